// A user of the first page over a WebSocket that the test plays.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { CODECS } from "../../../../../../services/edge/http/web/codecs/index.js";
import { Ledger } from "../../../../../../services/edge/http/web/ledger.js";
import { Person } from "../../../../../../services/edge/http/web/person.js";

const CHAT = 5;
const BOB = { name: "Bob", email: "", password: "orange", number: 34, token: "t" };
const MESSAGES = [[3, "three"], [2, "two"]].map(([index, text]) => (
  { chat: CHAT, index, sender: 12, segments: [{ t: "text", text }], face: { nickname: "Ann" } }));

/** @type {FakeSocket[]} */
let sockets = [];
/** The edge's address in this test: users of earlier tests still reconnect to theirs. */
let edge = "";
let tests = 0;

class FakeSocket extends EventTarget {
  static OPEN = 1;
  readyState = 0;
  sent = [];
  #taken = 0;
  constructor(url) { super(); if (url.startsWith(edge)) sockets.push(this); }
  send(frame) { this.sent.push(JSON.parse(frame)); }
  open() { this.readyState = 1; this.dispatchEvent(new Event("open")); }
  close() { this.readyState = 3; this.dispatchEvent(Object.assign(new Event("close"), { code: 1006, reason: "" })); }
  push(frame) { this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) })); }
  /** The next frame that the page sends. */
  async next() {
    await until(() => this.sent.length > this.#taken);
    this.#taken += 1;
    return this.sent[this.#taken - 1];
  }
}
globalThis.WebSocket = FakeSocket;
const { setTimeout } = globalThis;
/** Users reconnect for ever; that keeps no process alive. */
globalThis.setTimeout = (...how) => setTimeout(...how).unref();

async function until(holds) {
  for (let tries = 0; !holds(); tries += 1) {
    assert.ok(tries < 1000, "it does not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

class FakeConversation {
  chat = CHAT;
  shown = [];
  acknowledgedAt = [];
  unknownTexts = [];
  changed() {}
  received(_person, { text, isOld }, mayRepeat) { this.shown.push([text, isOld || mayRepeat]); }
  acknowledged(_entry, index) { this.acknowledgedAt.push(index); }
  unknown({ text }) { this.unknownTexts.push(text); }
}

let conversation;
beforeEach(() => {
  sockets = [];
  edge = `ws://edge-${tests += 1}`;
  conversation = new FakeConversation();
});

function connected(dialect) {
  const person = new Person({ ...BOB }, CODECS.get(dialect), { name: "edge-1", url: edge }, conversation);
  person.connect();
  return person;
}

/** The connection of native with this number, logged in. */
async function native(number, messages = []) {
  await until(() => sockets.length > number);
  const socket = sockets[number];
  socket.open();
  assert.equal((await socket.next()).op, "login");
  socket.push({ re: "login", account: 34, token: "h.p.s" });
  assert.equal((await socket.next()).op, "history");
  socket.push({ re: "history", messages, head: 3, more: false });
  return socket;
}

const entry = (text) => new Ledger().add("Bob", text, ["Ann"], 0);

test("native reads its history and marks as read what it shows, once", async () => {
  connected("native");
  const socket = await native(0, MESSAGES);
  assert.deepEqual(await socket.next(), { op: "read", chat: CHAT, index: 3 });
  socket.push({ ev: "message", ...MESSAGES[0] });
  socket.push({ ev: "message", ...MESSAGES[0], index: 4, segments: [{ t: "text", text: "four" }] });
  assert.deepEqual(await socket.next(), { op: "read", chat: CHAT, index: 4 });
  assert.deepEqual(conversation.shown, [["two", true], ["three", true], ["four", false]]);
  socket.close();
});

test("native sends a message without a reply again, under its nonce", async () => {
  const person = connected("native");
  const socket = await native(0);
  await until(() => person.state === "connected");
  person.post(entry("again?"));
  const sent = await socket.next();
  socket.close();
  const second = await native(1);
  assert.deepEqual(await second.next(), sent);
  second.push({ re: "send", chat: CHAT, index: 7, id: 9, time: 1, again: true });
  await until(() => conversation.acknowledgedAt.length);
  assert.deepEqual(conversation.acknowledgedAt, [7]);
  assert.deepEqual(conversation.unknownTexts, []);
  second.close();
});

test("a message without a reply is not sent again over another dialect", async () => {
  const person = connected("native");
  const socket = await native(0);
  await until(() => person.state === "connected");
  person.post(entry("once"));
  await socket.next();
  socket.close();
  await until(() => person.state === "away");
  person.changeDialect(CODECS.get("ourchat-v2"));
  assert.deepEqual(conversation.unknownTexts, ["once"]);
  await until(() => sockets.length > 1);
  sockets[1].open();
  assert.equal((await sockets[1].next()).code, 6);
  sockets[1].push({ code: 7, status: 0, ocid: "0000000034" });
  await until(() => person.state === "connected");
  assert.ok(!JSON.stringify(sockets[1].sent).includes("once"));
  person.post(entry("two"));
  await until(() => sockets[1].sent.some(({ code }) => code === 0));
  sockets[1].close();
  await until(() => conversation.unknownTexts.length === 2);
});


/** The connection of v0 with this number, logged in. */
async function v0(number) {
  await until(() => sockets.length > number);
  const socket = sockets[number];
  socket.open();
  assert.equal((await socket.next()).code, 6);
  socket.push({ code: 7, data: { state: 0, token: "t" } });
  return socket;
}

test("what comes after a change of dialect may have come before, but not after a lost connection", async () => {
  const post = { code: 0, data: { cid: CHAT, sender_id: "0000000012", msg: "Hello!" } };
  const person = connected("native");
  await native(0);
  await until(() => person.state === "connected");
  person.changeDialect(CODECS.get("ourchat-v0"));
  const second = await v0(1);
  second.push(post);
  await until(() => person.state === "connected");
  second.close();
  const third = await v0(2);
  third.push(post);
  assert.deepEqual(conversation.shown, [["Hello!", true], ["Hello!", false]]);
  third.close();
});
