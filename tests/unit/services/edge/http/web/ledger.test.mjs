// The counters of the first page, and its sentences about troubles.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Ledger } from "../../../../../../services/edge/http/web/ledger.js";
import { UNOPENED, trouble } from "../../../../../../services/edge/http/web/troubles.js";

const always = () => 0;
const like = (text) => (entry) => entry.text === text;
const sent = (ledger, text, recipients = ["Bob"]) => {
  const entry = ledger.add("Ann", text, recipients, 10);
  ledger.acknowledge(entry, 20);
  return entry;
};

test("a message counts once it is acknowledged, and once for each recipient", () => {
  const ledger = new Ledger();
  const entry = ledger.add("Ann", "hello", ["Bob", "Cleo"], 10);
  assert.deepEqual(ledger.count(15, always), { sent: 0, due: 0, received: 0, lost: 0, repeated: 0 });
  ledger.acknowledge(entry, 20);
  assert.equal(ledger.receive("Bob", like("hello"), 25).isFirst, true);
  assert.deepEqual(ledger.count(30, always), { sent: 1, due: 2, received: 1, lost: 0, repeated: 0 });
  ledger.receive("Cleo", like("hello"), 35);
  assert.deepEqual(ledger.count(40, always), { sent: 1, due: 2, received: 2, lost: 0, repeated: 0 });
});

test("equal texts are received one by one", () => {
  const ledger = new Ledger();
  const [one, two] = [sent(ledger, "ok"), sent(ledger, "ok")];
  assert.deepEqual([1, 2].map(() => ledger.receive("Bob", like("ok"), 30).entry), [one, two]);
  assert.equal(ledger.count(40, always).received, 2);
});

test("a second delivery is counted as such, unless it is read from the history", () => {
  const ledger = new Ledger();
  sent(ledger, "ok");
  ledger.receive("Bob", like("ok"), 30);
  ledger.receive("Bob", like("ok"), 31, true);
  assert.equal(ledger.count(40, always).repeated, 0);
  assert.equal(ledger.receive("Bob", like("ok"), 32).isFirst, false);
  assert.equal(ledger.count(40, always).repeated, 1);
});

test("a message of another client is none of the page's", () => {
  assert.equal(new Ledger().receive("Bob", like("hello"), 30), null);
});

test("a message that a later one has overtaken is lost after five seconds", () => {
  const ledger = new Ledger();
  sent(ledger, "first");
  const second = ledger.add("Ann", "second", ["Bob"], 100);
  ledger.acknowledge(second, 110);
  ledger.receive("Bob", like("second"), 120);
  assert.equal(ledger.count(5_000, always).lost, 0);
  assert.equal(ledger.count(5_121, always).lost, 1);
  ledger.receive("Bob", like("first"), 6_000);
  assert.deepEqual(ledger.count(6_000, always), { sent: 2, due: 2, received: 2, lost: 0, repeated: 0 });
});

test("a message that a connected recipient has not got for thirty seconds is lost", () => {
  const ledger = new Ledger();
  sent(ledger, "hello");
  assert.equal(ledger.count(30_021, always).lost, 1);
  assert.equal(ledger.count(30_021, () => 10_000).lost, 0, "connected for twenty seconds");
  assert.equal(ledger.count(90_000, () => Infinity).lost, 0, "not connected");
});

test("a rejected message is not sent", () => {
  const ledger = new Ledger();
  ledger.reject(ledger.add("Ann", "hello", ["Bob"], 10), "too fast");
  assert.equal(ledger.count(90_000, always).due, 0);
});

test("without a reply nobody knows, until the message arrives", () => {
  const ledger = new Ledger();
  const entry = ledger.add("Ann", "hello", ["Bob"], 10);
  ledger.forget(entry);
  assert.equal(ledger.count(90_000, always).sent, 0);
  ledger.receive("Bob", like("hello"), 50);
  assert.deepEqual([entry.state, ledger.count(60, always).received], ["acknowledged", 1]);
});

const WELL = {
  answers: true, ready: true, unopened: 0, othersConnected: true, error: "", label: "pipe", edge: "edge-2", url: "ws://host:1",
};
const TROUBLES = [
  ["nothing is wrong", {}, /^$/],
  ["a restart takes a moment", { unopened: UNOPENED - 1 }, /^$/],
  ["the system is stopped", { answers: false, unopened: 9, othersConnected: false }, /`dragoman up`/],
  ["an edge does not come back", { ready: false, unopened: UNOPENED }, /edge-2 does not run/],
  ["a dialect is switched off", { unopened: UNOPENED }, /no connection over pipe\. Choose another dialect/],
  ["the browser blocks WebSockets", { unopened: UNOPENED, othersConnected: false }, /allow WebSockets/],
  ["the login is rejected", { error: "no" }, /rejects the login over pipe: no\. Choose/],
];
for (const [name, state, sentence] of TROUBLES) {
  test(`trouble: ${name}`, () => assert.match(trouble({ ...WELL, ...state }), sentence));
}
