// dragoman.js against a server that the test plays, with a clock of its own.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Dragoman, DragomanError, newNonce, webStore } from "../../../../clients/javascript/dragoman.js";
import { FakeClock, FakeStorage, SYNCED, change, fakeSockets, head, message, page, settled } from "./fakes.mjs";

let clock, sockets, FakeSocket, shown, client;

/** What the handlers of a client get, in short. */
const NOTES = {
  message: ({ chat, index }) => `message ${chat}/${index}`,
  changed: ({ chat, rev }) => `changed ${chat}/${rev}`,
  gap: ({ chat, from, to }) => `gap ${chat}/${from}-${to}`,
  gone: ({ chat, why }) => `gone ${chat} ${why}`,
  head: ({ chat }) => `head ${chat}`,
  reset: ({ epoch }) => `reset ${epoch}`,
  synced: () => "synced",
};

function made(options = {}) {
  const one = new Dragoman("wss://chat.example", { WebSocket: FakeSocket, random: () => 0.5, ...options });
  for (const [kind, note] of Object.entries(NOTES)) one.on(kind, (value) => shown.push(note(value)));
  return one;
}

/** The latest socket, logged in as account 12; `reply` and `events` are the sync's. */
async function entered(reply = page(), ...events) {
  const socket = sockets.at(-1);
  await socket.open();
  await socket.reply("token", { account: 12, sid: "s", expires: 9 });
  const sync = await socket.reply("sync", reply, ...events, SYNCED);
  return { socket, sync };
}

/** A client that has messages 1 and 2 of chat 5. */
async function online(options) {
  client = made(options);
  const entry = client.token("t");
  const { socket } = await entered(page([head(2)]), message(1), message(2));
  await entry;
  shown.length = 0;
  return socket;
}

async function came() {
  await settled();
  return shown.splice(0);
}

beforeEach(() => {
  clock = new FakeClock();
  clock.install();
  ({ sockets, FakeSocket } = fakeSockets());
  shown = [];
});

// Nonces

test("a nonce is a UUID of version 7 of the present time", () => {
  const before = Date.now();
  const nonces = Array.from({ length: 100 }, newNonce);
  for (const nonce of nonces) assert.match(nonce, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(nonces).size, 100);
  const time = parseInt(nonces[0].slice(0, 8) + nonces[0].slice(9, 13), 16);
  assert.ok(before <= time && time <= Date.now());
});

// Logins

test("it connects to the native dialect, and a login is one attempt", async () => {
  client = made();
  const login = client.login({ identifier: "ann", secret: { scheme: "plain", value: "orange" } });
  const rejected = assert.rejects(login, (error) => error instanceof DragomanError && error.code === "unauthenticated");
  const [socket] = sockets;
  assert.deepEqual([socket.url, socket.protocol], ["wss://chat.example/ws/native", "dragoman"]);
  await socket.open();
  const sent = await socket.reject("login", { code: "unauthenticated" });
  assert.deepEqual(sent.secret, { scheme: "plain", value: "orange" });
  await rejected;
  assert.deepEqual([client.state, clock.delays], ["ended", []]);
});

test("an error has the name of its class", () => {
  const error = new DragomanError({ code: "conflict", text: "this username is taken" });
  assert.equal(`${error}`, "DragomanError: this username is taken");
  assert.match(error.stack, /^DragomanError: this username is taken\n/);
});

test("a platform without WebSocket is told what it needs", async () => {
  client = made({ WebSocket: undefined });
  await assert.rejects(client.token("h.p.s"), { code: "unavailable", message: "needs Node 22, or the option WebSocket" });
});

test("a login that waits for a mailed link gets its reply later", async () => {
  client = made();
  const waits = [];
  client.on("verify", ({ expires }) => waits.push(expires));
  const registered = client.register({ nickname: "Ann", secret: { scheme: "plain", value: "orange" } });
  const [socket] = sockets;
  await socket.open();
  const { id } = await socket.take("register");
  await socket.push({ re: id, verify: { expires: 99 } });
  assert.deepEqual([waits, client.state], [[99], "connecting"]);
  const mailed = client.call("verify_mail");
  await socket.reply("verify_mail");
  await mailed;
  await socket.push({ ev: "verified", result: "passed" }, { re: id, account: 12, token: "h.p.s" });
  assert.deepEqual([(await registered).token, client.state], ["h.p.s", "online"]);
  await socket.end(1006);
  await clock.pass(10_000);
  await sockets[1].open();
  assert.equal((await sockets[1].take("token")).token, "h.p.s");
});

test("a renewed token is the one of the next connection", async () => {
  const socket = await online();
  const renewed = client.call("token", { token: "newer" });
  await socket.reply("token", { account: 12 });
  await renewed;
  await socket.end(1006);
  await clock.pass(10_000);
  await sockets[1].open();
  assert.equal((await sockets[1].take("token")).token, "newer");
});

test("one client is for one account", async () => {
  await online();
  const rejected = assert.rejects(client.token("of another"), { code: "conflict" });
  await sockets[1].open();
  await sockets[1].reply("token", { account: 34 });
  await rejected;
  assert.equal(client.state, "ended");
});

// Coming back

test("delays grow, with full jitter, up to half a minute", async () => {
  let drawn = 0.5;
  client = made({ random: () => drawn });
  client.token("t");
  const delays = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    await sockets.at(-1).end(1006);
    delays.push(...clock.delays);
    await clock.pass(clock.delays[0]);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  drawn = 0;
  await sockets.at(-1).end(1006);
  assert.deepEqual(clock.delays, [0]);
});

test("a login that lasts ends the growth", async () => {
  client = made();
  client.token("t");
  for (let attempt = 0; attempt < 4; attempt += 1) {
    await sockets.at(-1).end(1006);
    await clock.pass(clock.delays[0]);
  }
  const { socket } = await entered();
  await clock.pass(10_000);
  await socket.end(1001);
  assert.deepEqual(clock.delays, [250]);
});

const ENDS = [
  ["the server restarts", 1012, { code: "unavailable", retry_ms: 1000 }, 1250],
  ["a lost reason", 1001, "", 250],
  ["a full server", 1013, { code: "rate_limited", retry_ms: 3000 }, 3250],
  ["a full server, its reason lost", 1013, "", 1250],
  ["an operator", 1013, { code: "unavailable", retry_ms: 10_000 }, 10_250],
  ["no login in time", 4001, { code: "unauthenticated", retry_ms: 1000 }, 1250],
  ["no login in time, the reason lost", 4001, "", 1250],
  ["bad frames", 4008, { code: "invalid", retry_ms: 60_000 }, 60_250],
  ["bad frames, the reason lost", 4008, "", 60_250],
  ["too many commands", 4029, { code: "rate_limited", retry_ms: 10_000 }, 10_250],
  ["a proxy's words", 1011, "upstream has gone", 250],
  ["a login that was ended", 4003, { code: "unauthenticated" }, undefined],
  ["the same, the reason lost", 4003, "", undefined],
  ["a logout", 1000, "logged out", undefined],
  ["too many commands, the reason lost", 4029, "", 10_250],
  ["a violation of the framing", 1002, "reserved bits must be 0", 10_250],
  ["a flood of control frames", 1008, "too many control frames or small fragments", 10_250],
  ["a frame that is too large", 1009, "message over 2097152 bytes", 10_250],
  ["a code of a later server", 4444, "", 10_250],
  ["a network", 1006, "", 250],
  ["a proxy without a code", 1005, "", 250],
  ["a reason without retry_ms", 4999, { code: "forbidden" }, undefined],
];
for (const [name, code, reason, delay] of ENDS) {
  test(`close codes: ${name} (${code})`, async () => {
    const socket = await online();
    await socket.end(code, reason);
    assert.deepEqual(clock.delays, delay === undefined ? [] : [delay]);
    assert.equal(client.state, delay === undefined ? "ended" : "waiting");
    await clock.pass(100_000);
    assert.equal(sockets.length > 1, delay !== undefined);
  });
}

test("bye tells what a lost close frame would", async () => {
  const socket = await online();
  await socket.push({ ev: "bye", code: "unauthenticated", text: "the login was ended" });
  await socket.end(1006);
  assert.equal(client.state, "ended");
});

test("a token that is rejected is not tried again, one that cannot be checked is", async () => {
  const socket = await online();
  await socket.end(1006);
  await clock.pass(250);
  await sockets[1].open();
  await sockets[1].reject("token", { code: "unavailable", retry_ms: 1000 });
  assert.deepEqual([client.state, clock.delays], ["waiting", [1500]]);
  await clock.pass(1500);
  await sockets[2].open();
  await sockets[2].reject("token", { code: "unauthenticated" });
  assert.deepEqual([client.state, clock.delays], ["ended", []]);
});

test("a silent connection ends: one that does not open, and one that does not answer", async () => {
  client = made();
  client.token("t");
  await clock.pass(20_000);
  assert.equal(sockets[0].closedWith, 1000);
  await clock.pass(1000);
  const { socket } = await entered();
  await clock.pass(20_000);
  await socket.reply("ping");
  await clock.pass(20_000);
  assert.deepEqual([client.state, socket.closedWith], ["online", undefined]);
  await clock.pass(20_000);
  assert.equal(socket.closedWith, 1000);
});

test("an error without an end is an end", async () => {
  const socket = await online();
  socket.onerror();
  await clock.pass(999);
  assert.equal(client.state, "online");
  await clock.pass(1);
  assert.equal(client.state, "waiting");
});

test("close is the end", async () => {
  const socket = await online();
  const sent = client.send({ chat: 5, text: "never" });
  const called = client.call("unread");
  await settled();
  client.close();
  await Promise.all([
    assert.rejects(sent, { code: "unavailable" }), assert.rejects(called, { code: "unavailable", unknown: true }),
  ]);
  await assert.rejects(client.call("unread"), { code: "unavailable", unknown: false });
  assert.deepEqual([socket.closedWith, client.state, clock.delays], [1000, "ended", []]);
  await socket.push(message(3));
  assert.deepEqual(await came(), []);
});

// The outbox

test("a message without a reply is sent again under its nonce, and is given once", async () => {
  const socket = await online();
  const sent = client.send({ chat: 5, text: "hello" });
  const first = await socket.take("send");
  await socket.end(1006);
  await clock.pass(250);
  const { socket: second } = await entered(page([head(3)]), message(3, { sender: 12 }));
  const again = await second.reply("send", { chat: 5, index: 3, id: 1003, time: 3, again: true });
  assert.deepEqual([again.nonce, again.text], [first.nonce, "hello"]);
  assert.equal((await sent).index, 3);
  assert.deepEqual(await came(), ["head 5", "message 5/3", "synced"]);
  assert.deepEqual(client.outbox, []);
});

test("an unknown result is cleared up by the same nonce", async () => {
  const socket = await online();
  const sent = client.send({ chat: 5, text: "hello" });
  const first = await socket.reject("send", { code: "unavailable", unknown: true, retry_ms: 1000 });
  await clock.pass(1499);
  assert.ok(!socket.has("send"));
  await clock.pass(1);
  const second = await socket.reply("send", { chat: 5, index: 3, id: 1003, time: 3 });
  assert.equal(second.nonce, first.nonce);
  await sent;
  assert.deepEqual(await came(), ["message 5/3"]);
});

test("a message that was stored before is given as it is now", async () => {
  const socket = await online();
  client.send({ chat: 5, text: "hello" });
  await socket.reply("send", { chat: 5, index: 3, id: 1, time: 1, again: true });
  await socket.reply("history", { messages: [message(3, { edited: true })], head: 3, more: false, rev: 0 });
  assert.deepEqual(await came(), ["message 5/3"]);
});

test("a message that a login has lost stays in the outbox", async () => {
  const socket = await online();
  client.send({ chat: 5, text: "kept", nonce: "n" });
  await socket.reject("send", { code: "unauthenticated" });
  await socket.end(4003);
  assert.deepEqual([client.state, client.outbox.length], ["ended", 1]);
  client.token("newer");
  const { socket: second } = await entered(page([head(2)]));
  assert.equal((await second.take("send")).nonce, "n");
});

test("messages to one chat keep their order, another chat does not wait", async () => {
  const socket = await online();
  const outcomes = [];
  client.on("outcome", ({ nonce, error }) => outcomes.push([nonce, error?.code]));
  const sends = ["a", "b"].map((nonce) => client.send({ chat: 5, text: nonce, nonce }));
  const third = client.send({ to: 34, text: "c", nonce: "c" });
  await settled();
  assert.deepEqual(socket.sent.map(({ nonce }) => nonce), ["a", "c"]);
  const rejected = assert.rejects(sends[0], { code: "forbidden" });
  await socket.reject("send", { code: "forbidden" });
  await rejected;
  assert.deepEqual(socket.sent.map(({ nonce }) => nonce), ["c", "b"]);
  await socket.reply("send", { chat: 9, index: 1, id: 1, time: 1 });
  await socket.reply("send", { chat: 5, index: 3, id: 2, time: 1 });
  await Promise.all([sends[1], third]);
  assert.deepEqual(outcomes, [["a", "forbidden"], ["c", undefined], ["b", undefined]]);
  assert.deepEqual(await came(), ["message 9/1", "message 5/3"]);
});

test("the storage keeps the outbox for the next client of the account", async () => {
  const storage = new FakeStorage();
  await online({ store: webStore(storage) });
  client.send({ chat: 5, text: "kept", nonce: "n" }).catch(() => {});
  client.close();
  const outcomes = [];
  client = made({ store: webStore(storage) });
  client.on("outcome", ({ nonce, reply }) => outcomes.push([nonce, reply.index]));
  client.token("t");
  const { socket } = await entered(page([head(2)]), message(1), message(2));
  assert.equal((await socket.reply("send", { chat: 5, index: 3, id: 1, time: 1 })).nonce, "n");
  assert.deepEqual(outcomes, [["n", 3]]);
  assert.deepEqual([...storage.items], [["dragoman/login", '{"account":12}']]);
  client = made({ store: webStore(storage) });
  const rejected = assert.rejects(client.token("of another"), { code: "conflict" });
  await sockets.at(-1).open();
  await sockets.at(-1).reply("token", { account: 34 });
  await rejected;
});

test("the outbox takes messages before the first login, and has a bound", async () => {
  client = made({ outboxLimit: 2 });
  const sent = client.send({ chat: 5, text: "early", nonce: "n" });
  client.send({ chat: 5, text: "second" });
  await assert.rejects(client.send({ chat: 5, text: "third" }), { code: "limit" });
  await assert.rejects(made().send({ chat: 5, text: "x".repeat(70_000) }), { code: "too_large" });
  client.token("t");
  const { socket } = await entered(page([head(2)]), message(1), message(2));
  assert.equal((await socket.reply("send", { chat: 5, index: 3, id: 1, time: 1 })).nonce, "n");
  await sent;
});

test("an own picture is given as the server shows it", async () => {
  const socket = await online();
  client.send({ chat: 5, segments: [{ t: "image", media: "0".repeat(32) }] });
  await socket.reply("send", { chat: 5, index: 3, id: 1, time: 1 });
  const { from } = await socket.reply("history", { messages: [message(3)], head: 3, more: false, rev: 0 });
  assert.equal(from, 3);
  assert.deepEqual(await came(), ["message 5/3"]);
});

// Order

test("messages are given in order, once", async () => {
  const socket = await online();
  await socket.push(message(3), message(3), message(2), message(4));
  assert.deepEqual(await came(), ["message 5/3", "message 5/4"]);
});

test("what is missing is fetched before what follows is given", async () => {
  const socket = await online();
  await socket.push(message(5), message(6), message(1, { chat: 9 }));
  assert.deepEqual(await came(), ["message 9/1"]);
  const { from, dir } = socket.sent.find(({ op }) => op === "history");
  assert.deepEqual([from, dir], [3, "newer"]);
  await socket.reject("history", { code: "unavailable", retry_ms: 1000 });
  await clock.pass(1500);
  await socket.reply("history", { messages: [message(3), message(4), message(5)], head: 6, more: true, rev: 0 });
  assert.deepEqual(await came(), [3, 4, 5, 6].map((index) => `message 5/${index}`));
});

test("what the server no longer has is named", async () => {
  const socket = await online();
  await socket.push(message(7));
  await socket.reply("history", { messages: [message(5), message(6)], head: 7, more: true, rev: 0 });
  assert.deepEqual(await came(), ["gap 5/3-4", "message 5/5", "message 5/6", "message 5/7"]);
  await socket.push(message(9));
  await socket.reject("history", { code: "forbidden" });
  assert.deepEqual(await came(), ["gap 5/8-8", "message 5/9"]);
});

test("a chat that is newer than the sync is given from its beginning, a long one from its timeline on", async () => {
  const socket = await online();
  await socket.push(message(1, { chat: 10 }), message(2, { chat: 9 }), message(3, { chat: 9 }));
  await socket.reply("history", { messages: [message(1, { chat: 9 })], head: 3, more: true, rev: 0 });
  assert.deepEqual(await came(), ["message 10/1", "message 9/1", "message 9/2", "message 9/3"]);
  await socket.push(message(31, { chat: 11 }));
  const { from } = await socket.reply("history", { messages: [message(30, { chat: 11 })], head: 31, more: true, rev: 0 });
  assert.equal(from, 11);
  assert.deepEqual(await came(), ["gap 11/1-10", "gap 11/11-29", "message 11/30", "message 11/31"]);
});

test("an own message whose reply is overtaken by what follows is given once", async () => {
  const socket = await online();
  const sent = client.send({ to: 34, text: "first" });
  const { id } = await socket.take("send");
  await socket.push(message(2, { chat: 9 }));
  await socket.reply("history", { messages: [message(1, { chat: 9 })], head: 2, more: true, rev: 0 });
  await socket.push({ re: id, chat: 9, index: 1, id: 1, time: 1 });
  await sent;
  assert.deepEqual(await came(), ["message 9/1", "message 9/2"]);
});

test("a handler that fails does not stop the others", async () => {
  const socket = await online();
  const failures = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (work) => failures.push(work);
  const off = client.on("message", () => { throw new Error("of the page"); });
  await socket.push(message(3));
  globalThis.queueMicrotask = queueMicrotask;
  assert.throws(failures[0], { message: "of the page" });
  off();
  await socket.push(message(4));
  assert.deepEqual(await came(), ["message 5/3", "message 5/4"]);
});

test("changes are given by rev, and after their message", async () => {
  const socket = await online();
  await socket.push(change(1, 1), change(1, 1), change(3, 3));
  assert.deepEqual(await came(), ["changed 5/1"]);
  await socket.reply("history", { messages: [message(3)], head: 3, more: false, rev: 3 });
  const { after } = await socket.reply("changes", { changes: [change(2, 2), change(3, 3)], rev: 3, more: false });
  assert.equal(after, 1);
  assert.deepEqual(await came(), ["message 5/3", "changed 5/2", "changed 5/3"]);
});

test("pages of changes go on to their end, and leave out what later ones have replaced", async () => {
  const socket = await online();
  await socket.push(change(9, 1));
  await socket.reply("changes", { changes: [change(4, 1)], rev: 9, more: true });
  const { after } = await socket.reply("changes", { changes: [change(8, 2)], rev: 8, more: false });
  assert.equal(after, 4);
  assert.deepEqual(await came(), ["changed 5/4", "changed 5/8", "changed 5/9"]);
});

test("a fetched change waits for its message", async () => {
  const socket = await online();
  await socket.push(change(2, 1));
  await socket.reply("changes", { changes: [change(1, 3), change(2, 1)], rev: 2, more: false });
  await socket.reply("history", { messages: [message(3)], head: 3, more: false, rev: 2 });
  assert.deepEqual(await came(), ["message 5/3", "changed 5/1", "changed 5/2"]);
});

test("what an own command has forwarded is given, too", async () => {
  const socket = await online();
  const forwarded = client.call("forward", { chat: 9, index: 4, into: [5, 7], nonce: "n" });
  const failure = { code: "forbidden", text: "no" };
  await socket.reply("forward", { results: [{ chat: 5, index: 3, id: 1, time: 1 }, { chat: 7, failure }] });
  await socket.reply("history", { messages: [message(3)], head: 3, more: false, rev: 0 });
  await forwarded;
  assert.deepEqual([await came(), socket.has("history")], [["message 5/3"], false]);
});

test("a reply that comes late does not bring back a former token", async () => {
  const socket = await online();
  const unread = client.call("unread");
  const renewed = client.call("token", { token: "newer" });
  await socket.reply("token", { account: 12 });
  await socket.reply("unread", { total: 0 });
  await Promise.all([unread, renewed]);
  await socket.end(1006);
  await clock.pass(10_000);
  await sockets[1].open();
  assert.equal((await sockets[1].take("token")).token, "newer");
});

test("an own change is given, too", async () => {
  const socket = await online();
  const recalled = client.call("recall", { chat: 5, index: 2 });
  await socket.reply("recall", { rev: 1, time: 1 });
  await socket.reply("changes", { changes: [change(1, 2, { by: 12 })], rev: 1, more: false });
  assert.equal((await recalled).rev, 1);
  assert.deepEqual(await came(), ["changed 5/1"]);
});

// After an absence

async function back() {
  await sockets.at(-1).end(1006);
  await clock.pass(clock.delays[0]);
}

test("a sync says what the client has, and its gaps are named", async () => {
  const socket = await online();
  await socket.push(change(1, 2));
  await back();
  const { sync } = await entered(page([head(30, { gap: { from: 3, to: 28 }, rev: 1 })]), message(29), message(30));
  assert.deepEqual([sync.epoch, sync.have], ["e1", { 5: [2, 1, 0] }]);
  assert.deepEqual(await came(), ["changed 5/1", "head 5", "gap 5/3-28", "message 5/29", "message 5/30", "synced"]);
  assert.deepEqual(client.have, { 5: [30, 1, 0] });
});

test("messages that are pushed before the sync wait for it", async () => {
  await online();
  await back();
  const socket = sockets.at(-1);
  await socket.open();
  await socket.reply("token", { account: 12 }, message(5), message(1, { chat: 9 }));
  assert.deepEqual(await came(), []);
  await socket.reply("sync", page([head(5)]), message(3), message(4), message(5), SYNCED, message(6));
  assert.deepEqual((await came()).filter((one) => one !== "synced"), [
    "head 5", "message 9/1", "message 5/3", "message 5/4", "message 5/5", "message 5/6",
  ]);
  assert.ok(!socket.has("history"));
});

test("the changes of a sync need not be dense, and the rest is fetched", async () => {
  await online();
  await back();
  const { socket } = await entered(page([head(2, { rev: 9, changes_after: 6 })]), change(3, 1), change(5, 2));
  const { after } = await socket.reply("changes", { changes: [change(8, 1)], rev: 9, more: false });
  assert.equal(after, 6);
  assert.deepEqual(await came(), ["head 5", "changed 5/3", "changed 5/5", "changed 5/8", "synced"]);
  assert.deepEqual(client.have, { 5: [2, 9, 0] });
});

test("where changes were replaced by later ones, the client has them all", async () => {
  await online();
  await back();
  await entered(page([head(2, { rev: 9 })]), change(3, 1));
  assert.deepEqual(client.have, { 5: [2, 9, 0] });
});

test("a change of a sync that was not given any more is fetched later", async () => {
  await online();
  await back();
  const { socket } = await entered(page([head(2, { rev: 5 })]), change(3, 1), change(5, 4));
  assert.ok(socket.has("history"));
  await back();
  const { socket: second, sync } = await entered(page());
  assert.deepEqual(sync.have, { 5: [2, 3, 0] });
  await second.push(change(6, 1));
  assert.equal((await second.take("changes")).after, 3);
});

test("all pages are requested", async () => {
  client = made();
  client.token("t");
  const { socket } = await entered(page([head(1)], { before: [7, 5] }), message(1));
  const other = message(1, { chat: 9 });
  const second = await socket.reply("sync", page([head(1, { chat: 9 })]), other, SYNCED);
  assert.deepEqual([second.before, second.have], [[7, 5], {}]);
  assert.deepEqual(await came(), ["head 5", "head 9", "message 5/1", "message 9/1", "synced"]);
  assert.deepEqual(client.have, { 5: [1, 0, 0], 9: [1, 0, 0] });
});

test("after a reset all is given again", async () => {
  await online();
  await back();
  const { socket, sync } = await entered(page([head(1)], { epoch: "e2", reset: true }), message(1));
  assert.equal(sync.epoch, "e1");
  assert.deepEqual(await came(), ["reset e2", "head 5", "message 5/1", "synced"]);
  await socket.push(message(2));
  assert.deepEqual(await came(), ["message 5/2"]);
  assert.deepEqual([client.epoch, client.have], ["e2", { 5: [2, 0, 0] }]);
});

test("a reset in a later page forgets what was collected before it", async () => {
  await online();
  await back();
  const more = { before: [7, 5], gone: [9] };
  const { socket } = await entered(page([head(4, { rev: 3 })], more), message(3), message(4));
  await socket.reply("sync", page([head(1)], { epoch: "e2", reset: true }), message(1), SYNCED);
  assert.equal(socket.has("history"), false);
  assert.deepEqual(await came(), ["head 5", "reset e2", "head 5", "message 5/1", "synced"]);
});

test("an error without an id belongs to no command if several wait", async () => {
  const socket = await online();
  const first = client.call("friends");
  const second = assert.rejects(client.call("blocks"), { code: "invalid" });
  await socket.push({ re: null, error: { code: "invalid", text: "not JSON" } });
  await socket.reply("friends", { friends: [] });
  await socket.push({ re: null, error: { code: "invalid", text: "not JSON" } });
  await Promise.all([first, second]);
});

test("a chat that the account has left is gone", async () => {
  const socket = await online();
  await socket.push(message(3), { ev: "gone", chat: 5, why: "kicked" });
  assert.deepEqual(await came(), ["message 5/3", "gone 5 kicked"]);
  assert.deepEqual(client.have, {});
  await socket.push(message(1));
  await back();
  await entered(page([], { gone: [5] }));
  assert.deepEqual(await came(), ["message 5/1", "gone 5 unknown", "synced"]);
  await online();
  await back();
  const last = sockets.at(-1);
  await last.open();
  await last.reply("token", { account: 12 }, message(3), { ev: "gone", chat: 5, why: "kicked" });
  await last.reply("sync", page([head(4)]), message(4), SYNCED);
  assert.deepEqual([await came(), client.have], [["head 5", "gone 5 kicked", "synced"], {}]);
});

test("a sync is repeated as long as the server asks for it", async () => {
  client = made();
  client.token("t");
  const [socket] = sockets;
  await socket.open();
  await socket.reply("token", { account: 12 });
  await socket.reject("sync", { code: "rate_limited", retry_ms: 1000 });
  await clock.pass(1500);
  await socket.reply("sync", page(), SYNCED);
  assert.deepEqual(await came(), ["synced"]);
});

test("a chat whose head has changed alone is told, by the state that the client knows", async () => {
  client = made({ epoch: "e1", have: { 5: [2, 1, 70], 9: [1, 0] } });
  client.token("t");
  const { sync } = await entered(page([head(2, { rev: 1, name: "Pears", state: 71 })]));
  assert.deepEqual(sync.have, { 5: [2, 1, 70], 9: [1, 0, 0] });
  assert.deepEqual(await came(), ["head 5", "synced"]);
  assert.deepEqual(client.have, { 5: [2, 1, 71], 9: [1, 0, 0] });
  await back();
  await entered(page([head(3, { rev: 1 })]), message(3)); // by a server that has no states
  assert.deepEqual(client.have, { 5: [3, 1, 71], 9: [1, 0, 0] });
  await back();
  const { sync: last } = await entered(page([], { epoch: "e2", reset: true }));
  assert.deepEqual([last.have, client.have], [{ 5: [3, 1, 71], 9: [1, 0, 0] }, {}]);
});

test("a client with many chats names all of them, range by range", async () => {
  const have = Object.fromEntries(Array.from({ length: 2001 }, (_, at) => [(at + 1) * 300, [at * 40, at, 2 ** 52 + at]]));
  client = made({ epoch: "é1", have });
  client.token("t");
  const { socket, sync } = await entered(page([], { epoch: "é1" }));
  const rest = await socket.reply("sync", page([], { epoch: "é1", gone: [600_300] }), SYNCED);
  const named = { ...sync.have, ...rest.have };
  assert.deepEqual([sync.epoch, sync.among, rest.among], ["é1", [0, 600_299], [600_300, 2 ** 53 - 1]]);
  assert.deepEqual(named, Object.fromEntries(Object.entries(have).map(([chat, [index, rev, state]]) => [chat, [index, rev, state % 2 ** 32]])));
  assert.deepEqual(await came(), ["gone 600300 unknown", "synced"]);
  await back();
  const after = await entered(page([], { epoch: "e2", reset: true })); // forgets them, and names no more
  assert.deepEqual([Object.keys(client.have), after.socket.has("sync")], [[], false]);
});

test("a later client goes on where the caller's messages end", async () => {
  client = made({ epoch: "e1", have: { 5: [2, 0] } });
  client.token("t");
  const { sync } = await entered(page([head(3)]), message(3));
  assert.deepEqual([sync.epoch, sync.have], ["e1", { 5: [2, 0, 0] }]);
  assert.deepEqual(await came(), ["head 5", "message 5/3", "synced"]);
});

test("a gap that was being filled when the connection ended is left to the sync", async () => {
  const socket = await online();
  await socket.push(message(4));
  assert.ok(socket.has("history"));
  await back();
  await entered(page([head(4)]), message(3), message(4));
  assert.deepEqual(await came(), ["head 5", "message 5/3", "message 5/4", "synced"]);
});
