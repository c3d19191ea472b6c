/** What is being written in a chat beside its draft, also while another chat is shown: an edit, and files. */
import { effect, signal, untracked } from "@preact/signals-core";
import type { Chat } from "../model/chat.ts";
import type { Message } from "../model/shapes.ts";
import { model } from "../state.ts";
import { Attachments } from "./attachments.ts";

export class Writing {
  /** What is edited, in place of writing; the draft waits meanwhile. */
  readonly editing = signal<Message | undefined>(undefined);
  readonly attachments = new Attachments();
  edited = "";
}

const writings = new Map<Chat, Writing>();

export function writingIn(chat: Chat): Writing {
  const known = writings.get(chat) ?? new Writing();
  writings.set(chat, known);
  return known;
}

/** A chat that has gone takes its files with it, and so does an account. */
effect(() => {
  const known = model.value;
  void known?.members.value;
  for (const [chat, { attachments }] of writings) {
    if (known?.chats.get(chat.head.peek().chat) === chat) continue;
    writings.delete(chat);
    untracked(() => attachments.clear());
  }
});

/** Drafts are stored with every key. For the rest the browser asks before the page goes. */
addEventListener("beforeunload", (event) => {
  const isUnfinished = [...writings.values()].some((one) => one.editing.peek() || !one.attachments.isEmpty);
  if (isUnfinished) event.preventDefault();
});
