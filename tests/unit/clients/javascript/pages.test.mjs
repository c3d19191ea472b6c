// Pages of history and the changes around them: which ones apply.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { applyChange } from "../../../../clients/javascript/dragoman.js";
import { SYNCED, Stage, change, head, message, page, settled } from "./fakes.mjs";

const ANN = 12;
const shown = (index, more = {}) => { const { ev, ...rest } = message(index, more); return rest; };
const text = (words) => [{ t: "text", text: words }];

let stage;

beforeEach(() => { stage = new Stage(); });

test("a change applies to a message of its index that was fetched at a lower rev", () => {
  const at7 = shown(3, { rev: 7 });
  for (const [rev, index, chat] of [[7, 3, 5], [6, 3, 5], [8, 4, 5], [8, 3, 9]]) {
    assert.equal(applyChange(at7, change(rev, index, { chat, kind: "recall" }), ANN), at7);
  }
  assert.equal(applyChange(at7, change(8, 3), ANN).rev, 8);
  assert.equal(applyChange(shown(3), change(1, 3), ANN).recalled, true);
});

test("each kind of change makes the message that a page would have", () => {
  const plain = (value) => JSON.parse(JSON.stringify(value));
  let now = shown(3, { rev: 0, reply_to: 2, segments: text("one") });
  now = applyChange(now, change(1, 3, { kind: "reaction", by: ANN, emoji: "👍", on: true, reactions: { "👍": 1 } }), ANN);
  now = applyChange(now, change(2, 3, { kind: "reaction", by: 34, emoji: "👍", on: true, reactions: { "👍": 2 } }), ANN);
  assert.deepEqual(plain(now), shown(3, { rev: 2, reply_to: 2, segments: text("one"), reactions: { "👍": 2 }, mine: ["👍"] }));
  now = applyChange(now, change(3, 3, { kind: "edit", segments: text("two") }), ANN);
  now = applyChange(now, change(4, 3, { kind: "pin", on: true }), ANN);
  assert.deepEqual(plain(now), shown(3, { rev: 4, reply_to: 2, segments: text("two"), edited: true, reactions: { "👍": 2 }, mine: ["👍"] }));
  const without = applyChange(now, change(5, 3, { kind: "reaction", by: ANN, emoji: "👍", on: false, reactions: { "👍": 1 } }), ANN);
  assert.deepEqual(without.mine ?? [], []);
  assert.deepEqual(applyChange(now, change(5, 3, { kind: "reaction", mine: ["🎉"], reactions: { "🎉": 1 } }), ANN).mine, ["🎉"]);
  assert.deepEqual(plain(applyChange(now, change(5, 3), ANN)), shown(3, { rev: 5, segments: [], recalled: true }));
  assert.deepEqual(plain(applyChange(now, change(5, 3, { kind: "of a later version" }), ANN)), { ...plain(now), rev: 5 });
});

test("a page has what was given while it was fetched, and no more", async () => {
  const { client, socket } = await stage.online();
  const given = [];
  client.on("changed", ({ rev }) => given.push(rev));
  const asked = client.history(5, { count: 2 });
  const { id } = await socket.take("history");
  await socket.push(change(1, 1), change(2, 2, { kind: "edit", segments: text("two") }));
  await socket.push({ re: id, messages: [shown(2), shown(1, { recalled: true, segments: [] })], head: 2, more: false, rev: 1 }, change(3, 1));
  await stage.clock.pass(0);
  const { messages, rev } = await asked;
  assert.deepEqual([given, rev], [[1, 2, 3], 3]);
  assert.deepEqual(messages.map((one) => [one.index, one.rev, one.segments]), [[2, 2, text("two")], [1, 3, []]]);
  await socket.push(change(4, 2));
  assert.deepEqual([given.at(-1), applyChange(messages[0], change(4, 2), ANN).recalled], [4, true]);
});

test("a page that is older than a sync that has overtaken it is fetched again", async () => {
  const { client, socket } = await stage.online();
  const read = (client) => client.history(5, { from: 9, count: 1 });
  await socket.end(1006);
  await stage.clock.pass(500);
  const [, second] = stage.sockets;
  await second.open();
  await second.reply("token", { account: ANN });
  const asked = read(client);
  const { id } = await second.take("history");
  await second.reply("sync", page([head(40, { rev: 3, gap: { from: 3, to: 40 } })]), SYNCED);
  await second.push({ re: id, messages: [shown(9)], head: 39, more: false, rev: 2 });
  await stage.clock.pass(0);
  await second.reply("history", { messages: [shown(9, { reactions: { "👍": 1 } })], head: 40, more: false, rev: 3 });
  await stage.clock.pass(0);
  const { messages, rev } = await asked;
  assert.deepEqual([messages[0].reactions, rev], [{ "👍": 1 }, 3]);
});

test("a fetched message says of which rev it is, so that changes before it do no harm", async () => {
  const { client, socket } = await stage.online();
  let kept;
  client.on("message", (event) => { kept = event; });
  client.on("changed", (event) => { kept = applyChange(kept, event, ANN); });
  await socket.push(message(4));
  await socket.reply("history", { messages: [shown(3), shown(4, { edited: true, segments: text("newest") })], head: 4, more: false, rev: 2 });
  await socket.push(change(1, 4, { kind: "edit", segments: text("newer") }), change(2, 4, { kind: "edit", segments: text("newest") }));
  assert.deepEqual([kept.segments, kept.rev], [text("newest"), 2]);
});

/** A client that is back and has just sent a reaction, and the revs of the changes that it gives. */
async function reactingDuringSync() {
  const { client, socket } = await stage.online();
  const given = [];
  client.on("changed", ({ rev }) => given.push(rev));
  await socket.end(1006);
  await stage.clock.pass(500);
  const [, second] = stage.sockets;
  await second.open();
  await second.reply("token", { account: ANN });
  client.enqueue("react", { chat: 5, index: 1, emoji: "👍" });
  return { second, given };
}

test("an own change that is answered during a sync takes none of its changes away", async () => {
  const { second, given } = await reactingDuringSync();
  await second.reply("react", { rev: 3, count: 1 });
  const changes = [change(1, 1), change(2, 2), change(3, 1, { kind: "reaction", by: ANN })];
  await second.reply("sync", page([head(2, { rev: 4 })]), ...changes, change(4, 2), SYNCED);
  await second.reply("changes", { changes, rev: 3, more: false });
  assert.deepEqual(given, [1, 2, 3, 4]);
});

test("an own change that is answered between the pages of a sync takes none of its changes away", async () => {
  const { second, given } = await reactingDuringSync();
  const changes = [change(1, 1), change(2, 2), change(3, 1, { kind: "reaction", by: ANN })];
  await second.reply("sync", page([head(2, { rev: 3 })], { before: [7, 5] }), ...changes, SYNCED);
  await second.reply("react", { rev: 3, count: 1 });
  await second.reply("sync", page(), SYNCED);
  await second.reply("changes", { changes, rev: 3, more: false });
  assert.deepEqual(given, [1, 2, 3]);
});

test("an own message that is answered during a sync is given as the sync has it", async () => {
  const { client, socket } = await stage.online();
  const given = [];
  client.on("message", ({ index, reactions, rev }) => given.push([index, reactions, rev]));
  await socket.end(1006);
  await stage.clock.pass(500);
  const [, second] = stage.sockets;
  await second.open();
  await second.reply("token", { account: ANN });
  client.send({ chat: 5, text: "3" });
  client.send({ chat: 5, text: "4" });
  await second.reply("send", { chat: 5, index: 3, id: 1003, time: 3 });
  await second.reply("send", { chat: 5, index: 4, id: 1004, time: 4 });
  await second.reply("sync", page([head(3, { rev: 1 })]), message(3, { sender: ANN, reactions: { "👍": 1 } }), SYNCED);
  assert.deepEqual(given, [[3, { "👍": 1 }, 1], [4, undefined, undefined]]);
});

test("of two copies of a message the one of the sync is given, whenever the other one comes", async () => {
  const { client, socket } = await stage.online();
  const given = [];
  client.on("message", ({ index, segments, rev }) => given.push([index, segments[0].text, rev]));
  await socket.end(1006);
  await stage.clock.pass(500);
  const second = stage.sockets[1];
  await second.open();
  await second.reply("token", { account: ANN }, message(3));
  const listed = [message(3, { segments: text("edited") }), message(4, { segments: text("edited") })];
  const { id } = await second.take("sync");
  for (const frame of [{ re: id, ...page([head(4, { rev: 2 })]) }, ...listed, SYNCED, message(4), message(5)]) second.onmessage({ data: JSON.stringify(frame) });
  await settled();
  assert.deepEqual(given, [[3, "edited", 2], [4, "edited", 2], [5, "5", undefined]]);
});

for (const [op, missed] of [["history", message(4)], ["changes", change(2, 1)]]) {
  test(`what cannot be fetched now is left to the next sync: ${op}`, async () => {
    const { client, socket } = await stage.online();
    const given = [];
    for (const kind of ["message", "changed", "gap"]) client.on(kind, () => given.push(kind));
    await socket.push(missed);
    await socket.reject(op, { code: "internal" });
    assert.deepEqual([client.state, client.have, given], ["waiting", { 5: [2, 0, 0] }, []]);
  });
}
