// dragoman.js against the vectors of native: it understands every reply and every event that the edge sends.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, test } from "node:test";

import { Dragoman, DragomanError } from "../../../../clients/javascript/dragoman.js";
import { FakeClock, SYNCED, fakeSockets, page, settled } from "./fakes.mjs";

const { vectors } = JSON.parse(readFileSync(new URL("../../../vectors/native.json", import.meta.url), "utf8"));
const EVENTS = vectors.filter((one) => !one.in && !one.resumed)
  .flatMap(({ out = [], requests = [] }) => [...out, ...requests.flatMap(({ replies }) => replies.flatMap((one) => one.out))]);
const EXCHANGES = vectors.filter((one) => typeof one.in?.op === "string" && "id" in one.in).flatMap((one) => [
  ...(one.replies ?? []).map(({ out }) => [one.in, out]),
  ...(one.actions ?? []).flatMap(({ reply, request }) => [reply, ...(request?.replies ?? []).map(({ out }) => out)]
    .filter(Boolean).map((out) => [one.in, out])),
  ...(one.error ? [[one.in, one.out]] : []),
]).filter(([, out]) => out?.[0]?.re !== undefined && out[0].re !== null);

let socket, client;

beforeEach(async () => {
  new FakeClock().install();
  const { FakeSocket, sockets } = fakeSockets();
  client = new Dragoman("wss://chat.example", { WebSocket: FakeSocket });
  client.token("t");
  [socket] = sockets;
  await socket.open();
  await socket.reply("token", { account: 12 });
  await socket.reply("sync", page(), SYNCED);
  socket.sent.length = 0;
});

for (const event of EVENTS) {
  test(`an event: ${JSON.stringify(event).slice(0, 70)}`, async () => {
    const given = [];
    client.on(event.ev, (value) => given.push(value));
    await socket.push(event);
    if (socket.has("history")) await socket.reply("history", { messages: [], head: 0, more: false, rev: 0 });
    if (event.ev === "changed" && socket.has("changes")) await socket.reply("changes", { changes: [event], rev: event.rev });
    assert.deepEqual(given, event.ev === "synced" ? [] : [event], "synced is given at the end of all pages");
  });
}

test("every kind of event is among them", () => {
  const known = readFileSync(new URL("../../../../clients/javascript/native.d.ts", import.meta.url), "utf8");
  const kinds = [...known.matchAll(/[ {]ev: "(\w+)"/g)].map(([, kind]) => kind);
  assert.ok(kinds.length >= 14);
  const shown = new Set([...EVENTS, ...EXCHANGES.flatMap(([, out]) => out)].map(({ ev }) => ev));
  assert.deepEqual(kinds.filter((kind) => !shown.has(kind)), ["resumed", "cursor"], "by HTTP alone");
});

for (const [{ id, op, ...params }, [reply]] of EXCHANGES) {
  test(`a reply to ${op}: ${JSON.stringify(reply).slice(0, 60)}`, async () => {
    const ended = client.call(op, params).then((value) => value, (error) => error);
    await settled();
    const { id: number, op: sentOp, ...sent } = socket.sent[0];
    if (!params.nonce) delete sent.nonce; // the client's own
    assert.deepEqual([sentOp, sent], [op, params]);
    await socket.push({ ...reply, re: number });
    if (reply.verify) return assert.equal(client.state, "online", "the reply follows when the link is opened");
    const result = await ended;
    if (!reply.error) return assert.deepEqual(result, { ...reply, re: number });
    assert.ok(result instanceof DragomanError);
    const { text, ...members } = reply.error;
    assert.equal(result.message, text);
    const undefinedOnes = { field: undefined, retry_ms: undefined, reason: undefined, request: undefined };
    assert.deepEqual({ ...result }, { ...undefinedOnes, unknown: false, ...members });
  });
}

test("an unknown event, an unknown member and a reply to nothing are ignored", async () => {
  await socket.push({ ev: "of a later version", chat: 5 }, { re: 99 }, { re: null, error: { code: "invalid", text: "" } }, 5, null, []);
  await socket.push({ ev: "typing", chat: 5, account: 1, more: {} });
  assert.equal(client.state, "online");
});
