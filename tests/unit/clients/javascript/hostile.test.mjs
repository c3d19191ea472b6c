// dragoman.js in the hostile situations of the table, which the client in Python passes, too (resuming/test_hostile.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { Dragoman, webStore } from "../../../../clients/javascript/dragoman.js";
import { FakeClock, FakeStorage, SYNCED, fakeSockets, page, settled } from "./fakes.mjs";

const TABLE = JSON.parse(readFileSync(new URL("../../../sdk/hostile_replies.json", import.meta.url), "utf8"));
const SECONDS = 200;

let clock, sockets, FakeSocket;

beforeEach(() => {
  clock = new FakeClock();
  clock.install();
  ({ sockets, FakeSocket } = fakeSockets());
});

function made(options) {
  const client = new Dragoman("wss://chat.example", { WebSocket: FakeSocket, random: () => 0, ...options });
  client.token("t").catch(() => {});
  return client;
}

/** Plays a good server, except to messages. Returns the login's token. */
async function served(socket = sockets.at(-1)) {
  let token;
  if (socket.readyState === 0) await socket.open();
  await settled();
  if (socket.has("token")) ({ token } = await socket.reply("token", { account: 12 }));
  if (socket.has("sync")) await socket.reply("sync", page(), SYNCED);
  while (socket.has("ping")) await socket.reply("ping");
  return token;
}

/** The next message that comes, on whatever connection. */
async function nextSend() {
  for (let second = 0; second < SECONDS; second += 1) {
    await served();
    if (sockets.at(-1).has("send")) return { socket: sockets.at(-1), draft: await sockets.at(-1).take("send") };
    await clock.pass(1000);
  }
  return assert.fail("no message has come");
}

async function store({ socket, draft }, index = 3) {
  await socket.push({ re: draft.id, chat: draft.chat, index, id: index, time: 1 });
  return draft;
}

const outcome = (sent) => sent.then(() => "stored", ({ code }) => `refused: ${code}`);

for (const { name, frames, end, then } of TABLE.replies) {
  test(`replies: ${name}`, async () => {
    const client = made();
    const results = [];
    client.on("outcome", ({ params, error }) => results.push([params.text, error?.code]));
    await served();
    const [first, second] = ["first", "second"].map((text) => outcome(client.send({ chat: 5, text, nonce: text })));
    const { socket, draft } = await nextSend();
    for (const frame of frames) {
      const filled = frame.re === "$id" ? { ...frame, re: draft.id } : frame;
      socket.onmessage({ data: typeof filled === "string" ? filled : JSON.stringify(filled) });
    }
    await settled();
    if (end) await socket.end(...end);
    if (then === "sent again") assert.equal((await store(await nextSend())).nonce, "first");
    assert.equal((await store(await nextSend(), 4)).nonce, "second");
    assert.deepEqual([await first, await second], [then === "sent again" ? "stored" : then, "stored"]);
    const [, code] = /^refused: (.*)$/.exec(then) ?? [];
    assert.deepEqual(client.outbox.map(({ nonce, error }) => [nonce, error.code]), code ? [["first", code]] : []);
    client.discard("first");
    assert.deepEqual(client.outbox, []);
    assert.deepEqual(results, [["first", code], ["second", undefined]]);
  });
}

const SITUATIONS = {
  async "a storage that fails"() {
    for (const method of ["setItem", "getItem", "removeItem", "key"]) {
      const storage = new FakeStorage();
      storage.setItem("before", "1");
      storage[method] = () => { throw new Error("QuotaExceededError"); };
      const client = made({ store: webStore(storage) });
      const failures = [];
      client.on("store", ({ error }) => failures.push(error.message));
      await served();
      const sent = outcome(client.send({ chat: 5, text: "hello" }));
      await store(await nextSend());
      assert.deepEqual([await sent, client.state, client.outbox], ["stored", "online", []]);
      assert.ok(failures.includes("QuotaExceededError"), method);
      client.close();
    }
  },
  async "a socket that closes"() {
    const client = made();
    const gaps = [];
    client.on("gap", (gap) => gaps.push(gap));
    await served();
    sockets[0].readyState = 2;
    const sent = outcome(client.send({ chat: 5, text: "hello" }));
    await sockets[0].push({ ev: "message", chat: 5, index: 9, id: 9, sender: 34, time: 9, segments: [] });
    await assert.rejects(client.call("unread"), { code: "unavailable", unknown: false });
    await sockets[0].end(1012);
    assert.deepEqual([client.outbox.length, gaps], [1, []]);
    await store(await nextSend());
    assert.equal(await sent, "stored");
  },
  async "a client that is closed"() {
    const storage = new FakeStorage();
    const client = made({ store: webStore(storage) });
    await served();
    const sent = assert.rejects(client.send({ chat: 5, text: "hello", nonce: "n" }), { code: "unavailable", unknown: true });
    client.close();
    await sent;
    assert.equal(client.outbox.length, 1);
    made({ store: webStore(storage) });
    assert.equal((await store(await nextSend())).nonce, "n");
    assert.deepEqual([...storage.items.keys()], ["dragoman/login"]);
  },
  async "a group that may exist already"() {
    const client = made();
    await served();
    const nonces = new Set();
    const next = async (op) => {
      for (let second = 0; second < SECONDS && !sockets.at(-1).has(op); second += 1, await served()) await clock.pass(1000);
      const command = await sockets.at(-1).take(op);
      return nonces.add(command.nonce) && command.id;
    };
    const group = client.call("create", { name: "Fruit" });
    const unknown = { code: "unavailable", unknown: true };
    await sockets[0].push({ re: await next("create"), error: unknown });
    await next("create");
    await sockets[0].end(1006);
    const id = await next("create");
    await sockets.at(-1).push({ re: id, error: { code: "rate_limited", retry_ms: 1 } });
    await sockets.at(-1).push({ re: await next("create"), chat: 7 });
    assert.equal((await group).chat, 7);
    assert.equal(nonces.size, 1);
    for (const [op, error] of [["kick", unknown], ["create", { code: "limit" }]]) {
      const called = outcome(client.call(op, { chat: 7, nonce: "mine" }));
      const answered = await next(op);
      await sockets.at(-1).push({ re: answered, error });
      assert.equal(await called, `refused: ${error.code}`);
    }
    assert.deepEqual([...nonces].slice(1), ["mine"]);
    const last = assert.rejects(client.call("link", { chat: 7 }), { code: "unavailable", unknown: true });
    await next("link");
    client.close();
    await last;
  },
  async "a nonce twice"() {
    const client = made();
    await served();
    const sent = [1, 2].map(() => client.send({ chat: 5, text: "hello", nonce: "n" }));
    await store(await nextSend());
    assert.deepEqual((await Promise.all(sent)).map(({ index }) => index), [3, 3]);
    assert.ok(!sockets[0].has("send"));
  },
  async "a nonce of another text"() {
    const client = made();
    await served();
    const sent = outcome(client.send({ chat: 5, text: "hello", nonce: "n" }));
    await assert.rejects(client.send({ chat: 5, text: "goodbye", nonce: "n" }), { code: "conflict" });
    await store(await nextSend());
    assert.equal(await sent, "stored");
  },
  async "a message that is no JSON"() {
    const client = made({ store: webStore(new FakeStorage()) });
    await served();
    const cycle = {};
    for (const text of [5n, Object.assign(cycle, { cycle })]) await assert.rejects(client.send({ chat: 5, text }));
    await assert.rejects(client.call("unread", { cycle }));
    const sent = outcome(client.send({ chat: 5, text: "hello", nonce: undefined }));
    assert.ok((await store(await nextSend())).nonce);
    assert.equal(await sent, "stored");
  },
  async "a message that is changed afterwards"() {
    const client = made();
    const message = { chat: 5, segments: [{ t: "text", text: "hello" }] };
    const sent = outcome(client.send(message));
    message.segments[0].text = "goodbye";
    assert.equal((await store(await nextSend())).segments[0].text, "hello");
    assert.equal(await sent, "stored");
  },
  async "an id and an operation of the caller"() {
    const client = made();
    await served();
    const sent = outcome(client.send({ chat: 5, text: "hello", id: "mine", op: "recall" }));
    const called = client.call("unread", { id: 1, op: "logout" });
    await sockets[0].reply("unread", { total: 0 });
    await store(await nextSend());
    assert.deepEqual([await sent, (await called).total], ["stored", 0]);
  },
  async "a token in a reply"() {
    const client = made();
    await served();
    const made1 = client.call("create_bot_token", { bot: 34, scopes: ["send"] });
    await sockets[0].reply("create_bot_token", { sid: "s", token: "a bot's" });
    const joined = client.call("join_link", { token: "of a link" });
    await sockets[0].reply("join_link", { chat: 5 });
    assert.equal((await made1).token, "a bot's");
    await joined;
    await sockets[0].end(1006);
    await clock.pass(1000);
    assert.equal(await served(), "t");
  },
  async "two clients with one storage"() {
    const storage = new FakeStorage();
    const sent = [];
    for (const text of ["first", "second"]) {
      const client = made({ store: webStore(storage) });
      await served();
      sent.push(outcome(client.send({ chat: 5, text, nonce: text })));
    }
    assert.deepEqual([...storage.items.keys()].sort(), ["dragoman/login", "dragoman/outbox/first", "dragoman/outbox/second"]);
    const third = made({ store: webStore(storage) });
    await third.ready;
    assert.deepEqual(third.outbox.map(({ nonce }) => nonce), ["first", "second"]);
    third.close();
    for (const [at, socket] of sockets.slice(0, 2).entries()) {
      while (socket.has("send")) await store({ socket, draft: await socket.take("send") }, 3 + at);
    }
    assert.deepEqual(await Promise.all(sent), ["stored", "stored"]);
    assert.deepEqual([...storage.items.keys()], ["dragoman/login"]);
  },
};

for (const [name, languages] of Object.entries(TABLE.situations)) {
  if (languages.includes("javascript")) test(`situations: ${name}`, SITUATIONS[name]);
}
