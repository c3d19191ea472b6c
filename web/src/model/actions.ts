/** The actions of a user on messages and chats. */
import { plain } from "../../text/plain.ts";
import { newNonce } from "../../../clients/javascript/dragoman.js";
import { go } from "../site.ts";
import type { Chat, Sending } from "./chat.ts";
import type { Drafts } from "./drafts.ts";
import type { Model } from "./model.ts";
import type { Message, Outgoing, OutgoingSegment } from "./shapes.ts";

/** Of a character of two code units, the first one at the end. */
const HALF = /[\ud800-\udbff]$/;

/** Into the outbox, where it stays until the server has it. */
export function send(
  model: Model,
  drafts: Drafts,
  chat: Chat,
  segments: OutgoingSegment[],
  reply_to?: number,
): void {
  const entry: Outgoing = {
    nonce: newNonce(),
    chat: chat.head.value.chat,
    at: Date.now(),
    segments,
    ...(reply_to ? { reply_to } : {}),
  };
  model.take({ ev: "outgoing", entry });
  drafts.clear(entry.chat, (draft) => {
    const whole = draft ? { ...entry, draft } : entry;
    if (draft) model.take({ ev: "outgoing", entry: whole }); // another page may have to send it
    model.wire.post(whole);
  });
}

/** A rejected one again, as a new message. */
export function sendAgain(model: Model, { rejected: _, sent: __, ...entry }: Sending): void {
  model.take({ ev: "dropped", nonce: entry.nonce });
  const again = { ...entry, nonce: newNonce() };
  model.take({ ev: "outgoing", entry: again });
  model.wire.post(again);
}

/** Its draft goes with it. */
export function drop(model: Model, { nonce, chat, draft }: Sending): void {
  model.take({ ev: "dropped", nonce });
  if (draft) void model.wire.call("set_draft", { chat, text: "", base: draft }).catch(() => undefined);
}

// An edit, a recall or a reaction comes back as an event, in turn with the changes of others.

/** The message keeps its files. Rejects with a Failure. */
export async function edit(model: Model, message: Message, written: OutgoingSegment[]): Promise<void> {
  const { chat, index } = message;
  const files = message.segments.flatMap((one) =>
    one.t === "image" || one.t === "file" ? [referenceTo(one)] : [],
  );
  await model.wire.call("edit", { chat, index, segments: [...files, ...written], nonce: newNonce() });
}

function referenceTo(shown: Extract<Message["segments"][number], { t: "image" | "file" }>): OutgoingSegment {
  const { id: media, name } = shown.media;
  if (shown.t === "file") return { t: "file", media, name };
  const { hash, preview } = shown;
  return { t: "image", media, name, ...(hash && { hash }), ...(preview && { preview: preview.split("/").pop() ?? null }) };
}

/** Rejects with a Failure. */
export async function recall(model: Model, { chat, index }: Message): Promise<void> {
  await model.wire.call("recall", { chat, index });
}

/** Rejects with a Failure. */
export async function react(model: Model, message: Message, emoji: string): Promise<void> {
  const { chat, index, mine = [] } = message;
  const on = !mine.includes(emoji);
  await model.wire.call(on ? "react" : "unreact", { chat, index, emoji });
}

/** Marks the messages up to an index as read. */
export async function read(model: Model, chat: Chat, index: number): Promise<void> {
  const { chat: id, read: before, unread_from = 0 } = chat.head.value;
  if (index <= before && !unread_from) return;
  const { unread = 0, mentions = 0 } = await model.wire.call("read", { chat: id, index });
  model.take({ ev: "read", chat: id, index, unread, mentions });
}

/** Rejects with a Failure. */
export async function markUnread(model: Model, { chat, index }: Message): Promise<void> {
  const { unread, mentions } = await model.wire.call("mark_unread", { chat, index });
  model.take({ ev: "read", chat, index: 0, unread, mentions, unread_from: index });
}

/** When there are alerts of a chat's messages. `until`: none before. Rejects with a Failure. */
export async function alertOf(model: Model, chat: Chat, until: number, mentions_only = false): Promise<void> {
  const { chat: id } = chat.head.value;
  await model.wire.call("mute", { chat: id, until, mentions_only });
  model.take({ ev: "mute", chat: id, until, mentions_only });
}

/** Shows the private chat with an account. Rejects with a Failure. */
export async function openWith(model: Model, account: number): Promise<void> {
  await show(model, (await model.wire.call("open", { account })).chat);
}

/** Shows a chat, of which no event may have come: this connection has made it. Rejects with a Failure. */
export async function show(model: Model, id: number): Promise<void> {
  if (!model.chats.has(id)) model.take({ ev: "chat", ...(await model.wire.call("chat", { chat: id })) });
  go({ chat: id });
}

/** Where it is in the list. Rejects with a Failure. */
export async function place(model: Model, chat: Chat, wanted: { pinned?: boolean; archived?: boolean }): Promise<void> {
  const { chat: id, pinned = false, archived = false } = chat.head.value;
  await model.wire.call("set_place", { chat: id, ...wanted });
  model.take({ ev: "place", chat: id, pinned, archived, ...wanted });
}

/** The beginning of a message's text, as a list or a quote shows it. */
export function summaryOf(segments: Message["segments"], most: number): string {
  return plain(textOfSegments(segments).slice(0, 2 * most)).slice(0, most).replace(HALF, "");
}

/** The text of a message, as it was written. */
export function textOfSegments(segments: readonly (Message["segments"][number] | OutgoingSegment)[]): string {
  return segments.map((segment) => (segment.t === "text" || segment.t === "mention" ? segment.text : "")).join("");
}
