// Messages that the page has sent are found again among those that its users receive, however a frame names the sender.

import assert from "node:assert/strict";
import { test } from "node:test";

import { message } from "../../../../../../services/edge/http/web/codecs/events.js";
import { Conversation } from "../../../../../../services/edge/http/web/conversation.js";

const CHAT = 5;
globalThis.document = { hidden: true };

/** Ann, Bob, the lines that they see, and a message of Ann. */
function talk() {
  const conversation = new Conversation();
  const lines = [];
  const [ann, bob] = [["Ann", 12], ["Bob", 34]].map(([name, number]) => ({
    name, account: { number }, codec: { label: "" }, edge: { name: "" }, since: 0, post() {},
    addLine: ({ author, text }) => lines.push([author, text]),
  }));
  Object.assign(conversation, { chat: CHAT, people: [ann, bob] });
  conversation.send(ann, "lunch?");
  return { conversation, bob, lines };
}

/** @param {Parameters<typeof message>[0]} fields */
function received(fields) {
  const { conversation, bob, lines } = talk();
  conversation.received(bob, message({ chat: CHAT, ...fields }));
  conversation.acknowledged(conversation.latest ?? assert.fail("it is not the message that was sent"), 1);
  assert.deepEqual(conversation.counts(), { sent: 1, due: 1, received: 1, lost: 0, repeated: 0 });
  return lines;
}

for (const [how, fields] of Object.entries({
  "number": { sender: 12, text: "lunch?" },
  "name": { senderName: "Ann", text: "lunch?" },
  "number as a name, where session does not answer": { senderName: "12", text: "lunch?" },
  "name before the text": { text: "Ann: lunch?" },
  "number before the text": { text: "12: lunch?" },
})) {
  test(`the sender's ${how}`, () => assert.deepEqual(received(fields), [["Ann", "lunch?"]]));
}

test("no sender", () => assert.deepEqual(received({ text: "lunch?" }), [["", "lunch?"]]));

test("a sender that is not of the page", () => {
  assert.throws(() => received({ senderName: "Eve", text: "lunch?" }), /it is not the message/);
});

test("what may have come before is shown once, and counts as no repetition", () => {
  const { conversation, bob, lines } = talk();
  for (const [sender, text] of [[12, "lunch?"], [12, "lunch?"], [56, "Me, too"]]) {
    conversation.received(bob, message({ chat: CHAT, sender, text }), true);
  }
  assert.deepEqual(lines, [["Ann", "lunch?"], ["user 56", "Me, too"]]);
  assert.equal(conversation.counts().repeated, 0);
});
