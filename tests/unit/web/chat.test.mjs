/** Messages of a chat in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./typescript.mjs";

const { Chat } = await load("src/model/chat.ts");

const HEAD = { chat: 1, kind: "group", head: 0, first: 1, rev: 0, time: 0, read: 0, unread: 0 };

function receive(chat, from, upto) {
  for (let index = from; index <= upto; index += 1)
    chat.receive({ chat: 1, index, sender: 2, time: index, segments: [{ t: "text", text: String(index) }] });
}

test("of a chat that is not open few messages stay, and all count as unread", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 500);
  assert.deepEqual([...chat.messages.keys()], [500]);
  assert.equal(chat.head.value.unread, 500);
  chat.open();
  receive(chat, 501, 900);
  assert.equal(chat.messages.size, 401);
  chat.leave();
  assert.deepEqual([Math.min(...chat.messages.keys()), chat.messages.size], [801, 100]);
});

test("the reply to an earlier read comes last, and the counters stay", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 20);
  chat.read({ index: 20, unread: 0, mentions: 0 });
  chat.read({ index: 10, unread: 10, mentions: 0 });
  assert.deepEqual([chat.head.value.read, chat.head.value.unread], [20, 0]);
  chat.read({ index: 0, unread: 6, unread_from: 15 });
  assert.deepEqual([chat.head.value.unread, chat.head.value.unread_from], [6, 15]);
  chat.read({ index: 18, unread: 0 });
  assert.deepEqual([chat.head.value.unread, chat.head.value.unread_from], [0, 0]);
});

test("writing ends the mark as unread, as at the server", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 3);
  chat.read({ index: 0, unread: 2, mentions: 0, unread_from: 2 });
  chat.receive({ chat: 1, index: 4, sender: 1, time: 4, segments: [] });
  assert.deepEqual([chat.head.value.unread, chat.head.value.unread_from], [0, 0]);
});

test("a message that comes after a counter that it is part of counts once", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 3);
  chat.read({ index: 2, unread: 2, mentions: 0 }); // of the server, which has message 4
  receive(chat, 4, 4);
  assert.equal(chat.head.value.unread, 2);
  chat.read({ index: 4, unread: 1, mentions: 1 });
  receive(chat, 5, 5);
  assert.deepEqual([chat.head.value.unread, chat.head.value.mentions], [1, 0]);
  chat.read({ index: 0, unread: 4, mentions: 0, unread_from: 3 });
  receive(chat, 6, 6);
  assert.equal(chat.head.value.unread, 4);
});

test("an event that repeats a reply does not take back the messages that have come in between", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 3);
  for (const news of [{ index: 3, unread: 0, mentions: 0 }, { index: 0, unread: 2, mentions: 0, unread_from: 2 }]) {
    chat.read(news);
    const { unread } = chat.head.value;
    receive(chat, chat.head.value.head + 1, chat.head.value.head + 1);
    chat.read(news);
    assert.equal(chat.head.value.unread, unread + 1);
  }
});

test("what was sent does not wait for its message below newer ones", () => {
  const chat = new Chat(HEAD, 1);
  chat.open();
  chat.sending.value = [{ nonce: "one", sent: 3 }, { nonce: "two" }, { nonce: "three", sent: 9 }];
  receive(chat, 5, 6);
  assert.deepEqual(chat.sending.value.map(({ nonce }) => nonce), ["two", "three"]);
  assert.deepEqual([chat.reaches(3), chat.reaches(9)], [true, false]);
});

test("a change comes before its message, which was read before", () => {
  const chat = new Chat(HEAD, 1);
  chat.open();
  chat.change({ ev: "changed", chat: 1, index: 2, rev: 7, kind: "edit", by: 2, time: 1, segments: [{ t: "text", text: "new" }] });
  const message = { chat: 1, index: 2, sender: 2, time: 1, segments: [{ t: "text", text: "old" }] };
  chat.add(message, 6);
  assert.deepEqual([chat.messages.get(2).segments[0].text, chat.messages.get(2).rev], ["new", 7]);
  chat.add({ ...message, segments: [{ t: "text", text: "newer" }] }, 8);
  assert.equal(chat.messages.get(2).segments[0].text, "newer");
});

test("after the server was restored, messages count from its last one", () => {
  const chat = new Chat(HEAD, 1);
  receive(chat, 1, 9);
  chat.forget();
  chat.replace({ ...HEAD, head: 4, read: 4 });
  receive(chat, 3, 6);
  assert.deepEqual([chat.head.value.head, chat.head.value.unread], [6, 2]);
});

test("messages that a sync has left out are not kept as they were", () => {
  const chat = new Chat(HEAD, 1);
  chat.open();
  receive(chat, 1, 9);
  chat.lose(4, 6);
  assert.deepEqual([...chat.messages.keys()], [1, 2, 3, 7, 8, 9]);
});
