/** Earlier messages of a chat: from the store, else from the server. */
import { batch } from "@preact/signals-core";
import type { Kept } from "../../../clients/javascript/dragoman.js";
import type { Chat } from "./chat.ts";
import type { Model } from "./model.ts";
import type { Message } from "./shapes.ts";

const PAGE = 100;
const FEW = 30;

/** The newest messages, as soon as they are stored or there. A chat that was not open has the last one alone. */
export async function loadNewest(model: Model, chat: Chat): Promise<void> {
  const { head, first, chat: id } = chat.head.value;
  const wanted = Math.max(first, head - FEW + 1);
  const lacksSome = () => !chat.messages.has(head) || chat.firstOfRun(head) > wanted;
  if (head > 0 && lacksSome()) add(chat, await model.store.newest(id));
  if (head > 0 && lacksSome()) await fetchPage(model, chat, { from: head, count: 50, dir: "older" });
}

/** Before an index. Rejects with a Failure. */
export async function loadOlder(model: Model, chat: Chat, before: number): Promise<void> {
  const { first, chat: id } = chat.head.value;
  if (before <= first) return;
  const stored = await model.store.newest(id, before - 1);
  if (stored.at(-1)?.index === before - 1) return add(chat, stored);
  await fetchPage(model, chat, { from: before - 1, count: PAGE, dir: "older" });
}

/** Around a message, if it is not in memory. Rejects with a Failure. */
export async function loadAround(model: Model, chat: Chat, index: number): Promise<void> {
  if (chat.messages.has(index)) return;
  await fetchPage(model, chat, { around: index, count: PAGE });
}

async function fetchPage(
  model: Model,
  chat: Chat,
  wanted: { from?: number; count: number; dir?: "older"; around?: number },
): Promise<void> {
  const { chat: id } = chat.head.value;
  const { messages } = await model.wire.call("history", { chat: id, ...wanted });
  batch(() => {
    for (const message of messages as Kept[]) {
      if (message.face) model.people.meet(message.sender, message.face.nickname, message.face.v);
      chat.add(message, message.rev);
    }
  });
}

function add(chat: Chat, messages: Message[]): void {
  batch(() => {
    for (const message of messages) chat.add(message, message.rev);
  });
}
