// Logins of dragoman.js that last: refreshed tokens in a store that pages share, a platform that sleeps, callers that give up.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { memoryStore, webStore } from "../../../../clients/javascript/dragoman.js";
import { FakeStorage, SYNCED, Stage, head, message, page, settled } from "./fakes.mjs";

const HOUR = 3_600_000;

let stage, storage;

beforeEach(() => {
  stage = new Stage();
  storage = new FakeStorage();
  storage.setItem("dragoman/login", '{"account":12,"refresh":"R0"}');
});

const shared = () => ({ store: webStore(storage) });
const stored = () => JSON.parse(storage.getItem("dragoman/login"));
const renewed = (number, more = {}) => (
  { account: 12, sid: "s", token: `T${number}`, refresh: `R${number}`, expires: Date.now() + HOUR, refresh_expires: 9e15, time: Date.now(), ...more });

/** Answers a refresh, a login by the new token, and its sync. */
async function refreshed(number, socket = stage.sockets.at(-1)) {
  if (socket.readyState === 0) await socket.open();
  const { refresh } = await socket.reply("refresh", renewed(number));
  assert.equal((await socket.reply("token", { account: 12, expires: Date.now() + HOUR })).token, `T${number}`);
  if (socket.has("sync")) await socket.reply("sync", page(), SYNCED);
  return refresh;
}

/** Time passes, and the server answers pings. */
async function live(ms, socket) {
  for (let passed = 0; passed < ms; passed += 10_000) {
    await stage.clock.pass(10_000);
    while (socket.has("ping")) await socket.reply("ping");
  }
}

test("a refreshable login is kept, and the next page goes on with it", async () => {
  storage.items.clear();
  const client = stage.client(shared());
  const entered = client.login({ identifier: "ann", secret: { scheme: "plain", value: "orange" }, refreshable: true });
  await stage.sockets[0].open();
  await stage.sockets[0].reply("login", renewed(0));
  assert.equal((await entered).token, "T0");
  assert.deepEqual(stored(), { account: 12, refresh: "R0" });
  client.close();
  const next = stage.client(shared());
  const resumed = next.resume();
  await settled();
  assert.equal(await refreshed(1), "R0");
  assert.equal((await resumed).account, 12);
  assert.deepEqual([stored().refresh, await next.accessToken()], ["R1", "T1"]);
});

test("without a login in the store there is nothing to go on with", async () => {
  await assert.rejects(stage.client().resume(), { code: "unauthenticated" });
});

test("the new refresh token is stored before the token that came with it is used", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  const [socket] = stage.sockets;
  await socket.open();
  await socket.take("refresh");
  const { setItem } = storage;
  storage.setItem = (...item) => { assert.ok(!socket.has("token")); setItem.apply(storage, item); };
  await socket.push({ re: 1, ...renewed(1) });
  assert.deepEqual([stored().refresh, socket.has("token")], ["R1", true]);
});

test("a page that was suspended in the middle of a refresh goes on with the same token", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  await stage.sockets[0].open();
  await stage.sockets[0].take("refresh"); // its reply is lost
  await stage.sockets[0].end(1006);
  await stage.clock.pass(24 * HOUR);
  assert.equal(await refreshed(1), "R0");
  assert.equal(client.state, "online");
});

test("a page takes what another one has refreshed, also in between", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  const [socket] = stage.sockets;
  await socket.open();
  storage.setItem("dragoman/login", '{"account":12,"refresh":"R5"}');
  await socket.reject("refresh", { code: "unauthenticated" });
  assert.equal(await refreshed(6), "R5");
  storage.setItem("dragoman/login", '{"account":12,"refresh":"R8"}');
  await live(HOUR, socket);
  assert.equal((await socket.take("refresh")).refresh, "R8");
});

test("a page whose login is answered late puts no older token back into the store", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  const [socket] = stage.sockets;
  await socket.open();
  await socket.reply("refresh", renewed(1));
  storage.setItem("dragoman/login", '{"account":12,"refresh":"R2"}'); // of another page, which has waited for this one
  await socket.reply("token", { account: 12, expires: Date.now() + HOUR });
  assert.deepEqual([client.state, stored().refresh], ["online", "R2"]);
});

test("a token that the store could not take is the next one, and stored when it can again", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  const { setItem } = storage;
  storage.setItem = () => { throw new Error("full"); };
  await refreshed(1);
  storage.setItem = setItem;
  await live(HOUR, stage.sockets[0]);
  assert.equal(await refreshed(2), "R1");
  assert.equal(stored().refresh, "R2");
});

test("a login that has ended is forgotten, one that another page has begun is not", async () => {
  for (const [kept, refresh] of [[undefined, "R0"], ["R9", "R9"]]) {
    storage.setItem("dragoman/login", '{"account":12,"refresh":"R0"}');
    const client = stage.client(shared());
    const resumed = assert.rejects(client.resume(), { code: "unauthenticated" });
    await settled();
    await stage.sockets.at(-1).open();
    await stage.sockets.at(-1).take("refresh");
    await stage.sockets.at(-1).push({ re: 1, error: { code: "unauthenticated" } });
    await resumed;
    assert.deepEqual(stored(), { account: 12 });
    storage.setItem("dragoman/login", `{"account":12,"refresh":"${refresh}"}`);
    const other = stage.client(shared());
    other.resume();
    await settled();
    await refreshed(refresh.slice(1));
    if (kept) storage.setItem("dragoman/login", '{"account":12,"refresh":"another"}');
    await stage.sockets.at(-1).end(4003, { code: "unauthenticated" });
    assert.deepEqual([other.state, stored().refresh], ["ended", kept && "another"]);
  }
});

test("a login is refreshed in time, again after a failure, and no more after its end", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  await refreshed(1);
  const [socket] = stage.sockets;
  await live(HOUR, socket);
  await socket.reject("refresh", { code: "unavailable" });
  await live(10_000, socket);
  assert.equal(await refreshed(2), "R1");
  assert.equal(await client.accessToken(), "T2");
  await live(HOUR, socket);
  await socket.reject("refresh", { code: "unauthenticated" });
  await live(HOUR, socket);
  assert.deepEqual([socket.has("refresh"), stored()], [false, { account: 12 }]);
});

test("a token that the server rejects is refreshed once", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  await refreshed(1);
  await stage.sockets[0].end(1006);
  await stage.clock.pass(500);
  await stage.sockets[1].open();
  assert.equal((await stage.sockets[1].reject("token", { code: "unauthenticated" })).token, "T1");
  await refreshed(2);
  await stage.sockets[1].end(1006);
  await stage.clock.pass(500);
  await stage.sockets[2].open();
  await stage.sockets[2].reject("token", { code: "unauthenticated" });
  await stage.sockets[2].reply("refresh", renewed(3));
  await stage.sockets[2].reject("token", { code: "unauthenticated" });
  assert.equal(client.state, "ended");
});

test("one page refreshes at a time, unless the one with the lock does not go on", async () => {
  const waiting = [];
  const locks = { request: (_name, { signal }, work) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    waiting.push(() => resolve(work()));
  }) };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  try {
    const client = stage.client(shared());
    client.resume();
    await settled();
    const [socket] = stage.sockets;
    await socket.open();
    assert.ok(!socket.has("refresh"));
    storage.setItem("dragoman/login", '{"account":12,"refresh":"R1"}');
    waiting.shift()();
    assert.equal(await refreshed(2), "R1");
    await socket.end(4001, { code: "unauthenticated", retry_ms: 0 });
    client.close();
    client.resume();
    await settled();
    await stage.sockets[1].open();
    await stage.clock.pass(9_999);
    assert.ok(!stage.sockets[1].has("refresh"));
    await stage.clock.pass(1);
    assert.equal(await refreshed(3), "R2");
  } finally {
    Object.defineProperty(globalThis, "navigator", before ?? { value: undefined, configurable: true });
  }
});

test("logout forgets the login, and keeps what is not sent", async () => {
  const client = stage.client(shared());
  client.resume();
  await settled();
  await refreshed(1);
  client.send({ chat: 5, text: "hello", nonce: "n" }).catch(() => {});
  const done = client.logout();
  await stage.sockets[0].reply("logout");
  await done;
  await stage.sockets[0].end(1000, "logged out");
  assert.deepEqual([client.state, stored(), client.outbox.length], ["ended", { account: 12 }, 1]);
});

// A platform that sleeps

test("wake connects at once, but not before the server's time", async () => {
  const { client, socket } = await stage.online({ random: () => 1 });
  await socket.end(1006);
  client.wake();
  await stage.clock.pass(0);
  assert.equal(stage.sockets.length, 2);
  await stage.sockets[1].end(1013, { code: "rate_limited", retry_ms: 3000 });
  await stage.clock.pass(1000);
  client.wake();
  await stage.clock.pass(1999);
  assert.equal(stage.sockets.length, 2);
  await stage.clock.pass(1);
  assert.equal(stage.sockets.length, 3);
});

test("wake finds out whether the connection has died meanwhile", async () => {
  const { client, socket } = await stage.online();
  client.wake();
  await socket.reply("ping");
  await stage.clock.pass(5000);
  assert.equal(client.state, "online");
  client.wake();
  await stage.clock.pass(5000);
  assert.deepEqual([socket.closedWith, client.state], [1000, "connecting"]);
  client.wake(); // a connection that does not open
  await stage.clock.pass(5000);
  assert.equal(stage.sockets[1].closedWith, 1000);
});

test("wake ends no connection that a look for silence follows before the reply", async () => {
  const { client, socket } = await stage.online();
  await stage.clock.pass(19_999);
  client.wake();
  await stage.clock.pass(1);
  assert.deepEqual([socket.closedWith, client.state], [undefined, "online"]);
});

test("a page that is shown, and a network that is there, wake it until it is closed", async () => {
  const platform = new EventTarget();
  globalThis.addEventListener = platform.addEventListener.bind(platform);
  try {
    const { client, socket } = await stage.online();
    for (const sign of ["online", "pageshow", "visibilitychange"]) {
      platform.dispatchEvent(new Event(sign));
      await socket.reply("ping");
    }
    client.close();
    platform.dispatchEvent(new Event("online"));
    assert.ok(!socket.has("ping"));
  } finally {
    delete globalThis.addEventListener;
  }
});

// Callers

test("what needs a login waits for one, what does not is answered before", async () => {
  const client = stage.client();
  client.token("t");
  const [socket] = stage.sockets;
  await socket.open();
  await assert.rejects(client.call("unread"), { code: "unavailable", unknown: false });
  await assert.rejects(client.history(5), { code: "unavailable" });
  const hello = client.call("hello");
  await socket.reply("hello", { v: 1 });
  assert.equal((await hello).v, 1);
});

test("a caller that gives up is told that it may have happened, and the late reply harms nobody", async () => {
  const { client, socket } = await stage.online();
  const late = assert.rejects(client.call("profile", { account: 5 }, { timeout_ms: 1000 }), { code: "unavailable", unknown: true });
  const giving = new AbortController();
  const aborted = assert.rejects(client.call("profile", { account: 6 }, { signal: giving.signal }), { name: "AbortError" });
  const patient = client.call("profile", { account: 7 }, { signal: giving.signal, timeout_ms: 9000 });
  const held = [await socket.take("profile"), await socket.take("profile"), await socket.take("profile")];
  await stage.clock.pass(1000);
  await late;
  await socket.push({ re: held[2].id, account: 7 });
  giving.abort();
  await aborted;
  assert.equal((await patient).account, 7);
  await socket.push({ re: held[0].id, account: 5 }, { re: held[1].id, error: { code: "forbidden" } }, { re: held[0].id, account: 9 });
  await assert.rejects(client.call("profile", { account: 5 }, { signal: giving.signal }), { name: "AbortError" });
  assert.deepEqual([client.state, socket.has("profile")], ["online", false]);
});

test("the clock is the server's", async () => {
  const { client, socket } = await stage.online();
  const asked = client.call("ping");
  const { id } = await socket.take("ping");
  await stage.clock.pass(200);
  await socket.push({ re: id, time: 5000 });
  await asked;
  assert.equal(client.serverTime(), 5100);
  await stage.clock.pass(1000);
  assert.equal(client.serverTime(), 6100);
});

test("each frame is shown as it is, and a viewer that fails does no harm", async () => {
  const frames = [];
  const failures = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (work) => queueMicrotask(() => { try { work(); } catch (error) { failures.push(error); } });
  const { client, socket } = await stage.online({ onFrame: (...frame) => { frames.push(frame); if (frame[1] === "garbage") throw new Error("mine"); } });
  socket.onmessage({ data: "garbage" });
  await socket.push(message(3));
  globalThis.queueMicrotask = queueMicrotask;
  assert.deepEqual(frames[0], ["out", '{"token":"t","overtaking":true,"op":"token","id":1}']);
  assert.deepEqual(frames.slice(-2), [["in", "garbage"], ["in", JSON.stringify(message(3))]]);
  assert.deepEqual([failures.length, client.have], [1, { 5: [3, 0, 0] }]);
});
