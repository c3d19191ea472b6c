// The first page's codecs against the vectors of their dialects: what they send, a client may send; what the edge sends,
// they understand.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { CODECS } from "../../../../../../services/edge/http/web/codecs/index.js";
import { md5 } from "../../../../../../services/edge/http/web/codecs/md5.js";

const ROOT = new URL("../../../../../../", import.meta.url);
const TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxMiJ9.c2ln";
const SECONDS = 1724400000;

const load = (dialect) =>
  JSON.parse(readFileSync(new URL(`tests/vectors/${dialect.replaceAll("-", "_")}.json`, ROOT), "utf8")).vectors;
const parsed = (frame) => { try { return JSON.parse(frame); } catch { return frame; } };
const account = (fields) => ({ name: "Ann", email: "", password: "", number: 12, token: TOKEN, ...fields });

/** The frames in `out` as texts; binary ones are left out. */
function texts(out) {
  return (out ?? []).map((frame) => frame?.announcement ?? frame).filter((frame) => !frame?.binary)
    .map((frame) => (typeof frame === "string" ? frame : JSON.stringify(frame)));
}

/** By dialect and name of a vector: the same request, as the codec writes it. */
const REQUESTS = {
  "ourchat-v0": {
    "a text, and its echo": (codec) => codec.post(account(), 1, "hello", SECONDS),
    "by ocId": (codec) => codec.login(account({ password: "密码" })),
  },
  "ourchat-v1": {
    "a text to a group, and its echo": (codec) => codec.post(account(), 1145141919, "hello", 114514),
    "by ocid": (codec) => codec.login(account({ password: "密码" })),
  },
  "ourchat-v2": {
    "a registration, which also logs in": (codec) => codec.register(account({
      name: "Outchat", email: "123456@ourchat.com",
      password: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    })),
    "by ocid": (codec) => codec.login(account({ password: "密码" })),
    "about oneself": (codec) => codec.afterLogin(account(), 5)[0],
    "a session's values": (codec) => codec.afterLogin(account(), 1145141919)[1],
    "a text, and its echo": (codec) => codec.post(account(), 1145141919, "hello", 114514),
  },
  "service": {
    "a message": (codec) => codec.post(account(), 1919810, "message", SECONDS),
    "joining": (codec) => codec.join(account(), 1919810),
    "alone": (codec) => codec.create(account(), "x"),
    "the chats": (codec) => codec.login(account()),
  },
  "pipe": {
    "to a group": (codec) => codec.post(account(), 5, "a|b", SECONDS),
    "all of them": (codec) => codec.afterLogin(account(), 5)[0],
  },
  "native": {
    "a login": (codec) => codec.login(account({ password: "orange juice" })),
    "a message: the reply follows its commit": (codec) => codec.post(account(), 5, "still there?", SECONDS, "01J9Z"),
    "a page of the history: the newest two": (codec) => codec.afterLogin(account(), 5)[0],
    "everything up to an index is read": (codec) => codec.markRead(5, 124),
  },
};
/** Fields that the edge ignores, or that a vector has in another form. */
const IGNORED = {
  "ourchat-v1": { "by ocid": ["time"] },
  "native": {
    "a login": ["id", "kind", "identifier"],
    "a message: the reply follows its commit": ["id"],
    "a page of the history: the newest two": ["id", "count"],
    "everything up to an index is read": ["id"],
  },
};

for (const [dialect, requests] of Object.entries(REQUESTS)) {
  for (const [name, make] of Object.entries(requests)) {
    test(`${dialect} sends: ${name}`, () => {
      const vector = load(dialect).find((one) => one.name === name && one.command);
      const [made, wanted] = [parsed(make(CODECS.get(dialect))), parsed(vector.in)];
      for (const member of IGNORED[dialect]?.[name] ?? []) [made, wanted].forEach((one) => delete one[member]);
      assert.deepEqual(made, wanted);
    });
  }
}

test("pipe logs in by number and MD5", () => {
  const vector = load("pipe").find((one) => one.name === "a login");
  const [command, , secret] = vector.in.split("|");
  const [made, number, hash] = CODECS.get("pipe").login(account({ password: "orange" })).split("|");
  assert.deepEqual([made, number, hash.length], [command, "12", secret.length]);
});

/** The line before a reply; new lines in its text are spaces. */
function quoted({ quote }, dialect) {
  return quote && dialect !== "native" ? `> ${quote[0]}: ${quote[1].replaceAll("\n", " ")}\n` : "";
}

const KINDS = { Register: "registration", Login: "login", PostMessage: "sent" };

for (const [dialect, codec] of CODECS) {
  const vectors = load(dialect);
  const requests = vectors.flatMap((one) => [one, ...(one.actions ?? []).map((action) => action.request ?? {}), ...(one.requests ?? [])])
    .flatMap((one) => (one.replies ?? []).map((reply) => ({ ...reply, command: Object.keys(one.command ?? {})[0] })));

  test(`${dialect} understands every reply`, () => {
    assert.ok(requests.length > 5);
    for (const { out, failure, answer, command } of requests) {
      const events = texts(out).map((frame) => codec.decode(frame));
      const replies = events.filter((event) => "error" in event);
      if (failure && replies.length) assert.notEqual(replies.map((reply) => reply.error).join(""), "", JSON.stringify(out));
      if (!KINDS[command] || !answer || answer.VerificationNeeded) continue;
      assert.equal(replies.map((reply) => reply.error).join(""), "", JSON.stringify(out));
      const acknowledged = events.some((event) => [KINDS[command], "any"].includes(event.kind) ||
        (command === "PostMessage" && ["message", "media"].includes(event.kind)));
      assert.ok(acknowledged || (dialect === "ourchat-v1" && command !== "PostMessage"), JSON.stringify([command, out]));
    }
  });

  test(`${dialect} understands every message`, () => {
    const messages = vectors.filter((one) => one.message);
    assert.ok(messages.length >= 2);
    for (const { message, out } of messages) {
      const events = texts(out).map((frame) => codec.decode(frame)).filter((event) => event.kind !== "other");
      const shown = events.map((event) => event.text).join(" ");
      const parts = message.segments.filter(([, value]) => value !== "");
      const wanted = quoted(message, dialect) + parts.map(([kind, value, name], at) => {
        const text = { e: `[emoji:${value}]`, r: dialect === "native" ? "[recalled]" : "[撤回]", m: name }[kind] ?? value;
        return at === 0 || kind === "m" || parts[at - 1][0] === "m" ? text : ` ${text}`;
      }).join("");
      if (parts.every(([kind]) => kind !== "i" && kind !== "f")) {
        assert.ok([wanted, `${message.face?.[0]}: ${wanted}`].includes(shown), shown);
      } else {
        assert.notEqual(shown, "");
      }
      for (const event of events) {
        assert.ok(["message", "media"].includes(event.kind));
        assert.ok([message.chat, 0].includes(event.chat));
        assert.ok([message.sender, 0].includes(event.sender));
        if (!event.chat) assert.ok(event.sender, "a private chat is known by its sender");
      }
    }
  });

  test(`${dialect} understands every other frame`, () => {
    for (const { out } of vectors) texts(out).forEach((frame) => codec.decode(frame));
  });
}

test("MD5 is MD5", () => {
  for (const text of ["", "a", "密码", ..."x".repeat(130).split("").map((_, length) => "y".repeat(length))]) {
    assert.equal(md5(text), createHash("md5").update(text).digest("hex"));
  }
});
