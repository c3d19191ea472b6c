// The outbox of dragoman.js: edits and reads wait in it, rejected texts stay, and pages share its store.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { webStore } from "../../../../clients/javascript/dragoman.js";
import { FakeStorage, Stage, change, head, message, page, settled } from "./fakes.mjs";

let stage;

beforeEach(() => { stage = new Stage(); });

const shared = (storage) => ({ store: webStore(storage) });
const nothing = () => {};

test("an edit without a reply is sent again under its nonce, and is given once", async () => {
  const { client, socket } = await stage.online();
  const changed = [];
  client.on("changed", ({ rev }) => changed.push(rev));
  const edited = client.edit({ chat: 5, index: 2, text: "better" });
  const { nonce } = await socket.take("edit");
  await socket.end(1006);
  await stage.clock.pass(500);
  const second = await stage.enter(page([head(2, { rev: 1 })]), change(1, 2, { kind: "edit" }));
  assert.equal((await second.reply("edit", { rev: 1, time: 1 })).nonce, nonce);
  assert.equal((await edited).rev, 1);
  assert.deepEqual(changed, [1]);
});

test("an edit follows the message that was sent before it, a mark as read does not wait", async () => {
  const { client, socket } = await stage.online();
  client.send({ chat: 5, text: "hello" });
  client.edit({ chat: 5, index: 2, text: "better" });
  client.read(5, 2);
  await settled();
  assert.deepEqual(socket.sent.map(({ op }) => op), ["send", "read"]);
  await socket.reply("send", { chat: 5, index: 3, id: 3, time: 3 });
  assert.ok(socket.has("edit"));
});

test("what was marked as read without a connection is marked later, the highest alone", async () => {
  const storage = new FakeStorage();
  const client = stage.client(shared(storage));
  const reads = [client.read(5, 1), client.read(5, 2), client.read(5, 1), client.read(9, 4)];
  await settled();
  assert.equal(storage.length, 2);
  client.token("t");
  const socket = await stage.enter();
  assert.deepEqual((await socket.reply("read", { unread: 0 })).index, 2);
  assert.deepEqual((await socket.reply("read", { unread: 3 })).chat, 9);
  assert.deepEqual((await Promise.all(reads)).map(({ unread }) => unread), [0, 0, 0, 3]);
  assert.ok(!socket.has("read"));
});

test("a rejected text stays with its reason for the next page, until it is retried or discarded", async () => {
  const storage = new FakeStorage();
  const { client, socket } = await stage.online(shared(storage));
  const rejected = assert.rejects(client.send({ chat: 5, text: "hello", nonce: "n" }), { code: "forbidden", reason: "silenced" });
  await socket.reject("send", { code: "forbidden", reason: "silenced", text: "you are silenced" });
  await rejected;
  client.close();
  const next = stage.client(shared(storage));
  next.token("t");
  const second = await stage.enter();
  const [{ params, error }] = next.outbox;
  assert.deepEqual([params.text, error.reason, error.message], ["hello", "silenced", "you are silenced"]);
  assert.ok(!second.has("send"));
  next.retry("n");
  await second.reject("send", { code: "forbidden" });
  assert.equal(next.outbox[0].error.reason, undefined);
  const again = next.send({ chat: 5, text: "hello", nonce: "n" });
  await second.reply("send", { chat: 5, index: 3, id: 3, time: 3 });
  assert.equal((await again).index, 3);
  assert.deepEqual([next.outbox, storage.length], [[], 1]);
});

test("of rejected texts the oldest go, marks as read do not stay", async () => {
  const { client, socket } = await stage.online();
  for (let number = 0; number < 102; number += 1) {
    client.send({ chat: 5, text: `${number}`, nonce: `${number}` }).catch(nothing);
    await socket.reject("send", { code: "limit" });
  }
  client.read(5, 2).catch(nothing);
  await socket.reject("read", { code: "not_found" });
  assert.deepEqual([client.outbox.length, client.outbox[0].nonce], [100, "2"]);
});

test("what is discarded is not sent, and its sender hears of it", async () => {
  const { client, socket } = await stage.online();
  client.send({ chat: 5, text: "first", nonce: "a" });
  const sent = assert.rejects(client.send({ chat: 5, text: "second", nonce: "b" }), { code: "unavailable", unknown: false });
  client.discard("b");
  await sent;
  await socket.reply("send", { chat: 5, index: 3, id: 3, time: 3 });
  assert.deepEqual([client.outbox, socket.has("send")], [[], false]);
});

test("what another page has left is sent at a wake, and once", async () => {
  const storage = new FakeStorage();
  const { client, socket } = await stage.online(shared(storage));
  const other = stage.client(shared(storage));
  other.enqueue("react", { chat: 5, index: 2, emoji: "👍" }).catch(nothing);
  other.send({ chat: 5, text: "left", nonce: "n" }).catch(nothing);
  await settled();
  other.close();
  client.wake();
  await socket.reply("react", { rev: 1, count: 1 });
  const seen = [];
  client.on("outcome", ({ nonce }) => seen.push(nonce));
  await socket.reply("send", { chat: 5, index: 3, id: 3, time: 3 });
  assert.deepEqual([seen, storage.length], [["n"], 1]);
});

test("a page does not send what another one has completed meanwhile", async () => {
  const storage = new FakeStorage();
  const first = await stage.online(shared(storage));
  const second = await stage.online(shared(storage));
  first.client.send({ chat: 5, text: "before" });
  first.client.enqueue("unreact", { chat: 5, index: 2, emoji: "👍" });
  await settled();
  second.client.send({ chat: 5, text: "slow", nonce: "slow" }); // holds the queue of the chat
  second.client.wake();
  await settled();
  await first.socket.reply("send", { chat: 5, index: 3, id: 3, time: 3 });
  await first.socket.reply("unreact", { rev: 1, count: 0 });
  await second.socket.reply("send", { chat: 5, index: 4, id: 4, time: 4 });
  assert.deepEqual([second.socket.has("unreact"), second.socket.has("send"), second.client.outbox], [false, false, []]);
});

test("entries of a store that mean nothing are left alone", async () => {
  const storage = new FakeStorage();
  const entries = ["", "5", "{}", '{"op":"logout","params":{}}', '{"op":"send"}', '{"op":"send","params":5}', "[1]"];
  entries.forEach((text, at) => storage.setItem(`dragoman/outbox/${at}`, text));
  storage.setItem("dragoman/login", "[]");
  const { client, socket } = await stage.online(shared(storage));
  assert.deepEqual([client.outbox, socket.has("send"), storage.length], [[], false, entries.length + 1]);
});

// The cursor

test("a client goes on where the handlers of the one before have kept what they were given", async () => {
  const storage = new FakeStorage();
  let keep;
  const client = stage.client({ ...shared(storage), cursor: true });
  client.on("message", ({ index }) => index === 3 && new Promise((resolve) => { keep = resolve; }));
  client.token("t");
  const socket = await stage.enter(page([head(2, { state: 7 })]), message(1), message(2));
  await socket.push(message(3), message(4));
  await stage.clock.pass(0);
  client.close();
  const early = stage.client({ ...shared(storage), cursor: true });
  await early.ready;
  assert.deepEqual([early.epoch, early.have], ["e1", { 5: [2, 0, 7] }]);
  keep();
  await stage.clock.pass(0);
  const late = stage.client({ ...shared(storage), cursor: true });
  late.token("t");
  await stage.sockets.at(-1).open();
  await stage.sockets.at(-1).reply("token", { account: 12 });
  const { have, epoch } = await stage.sockets.at(-1).reply("sync", page([], { epoch: "e2", reset: true }), { ev: "synced" });
  assert.deepEqual([have, epoch], [{ 5: [4, 0, 7] }, "e1"]);
  await stage.clock.pass(0);
  const last = stage.client({ ...shared(storage), cursor: true });
  await last.ready;
  assert.deepEqual([last.epoch, last.have], ["e2", {}]);
});

test("of two pages the one that is behind does not take the cursor back", async () => {
  const storage = new FakeStorage();
  const [behind, ahead] = [await stage.online({ ...shared(storage), cursor: true }), await stage.online({ ...shared(storage), cursor: true })];
  await ahead.socket.push(message(3), message(4));
  await stage.clock.pass(0);
  await behind.socket.push(message(3));
  await stage.clock.pass(0);
  const next = stage.client({ ...shared(storage), cursor: true });
  await next.ready;
  assert.deepEqual(next.have, { 5: [4, 0, 0] });
});
