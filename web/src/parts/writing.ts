/** What is being written in a chat beside its draft, also while another chat is shown: an edit, and files. */
import { effect, signal, untracked } from "@preact/signals-core";
import type { Chat } from "../model/chat.ts";
import type { Message, OutgoingSegment } from "../model/shapes.ts";
import { model } from "../state.ts";
import { Attachments } from "./attachments.ts";

export class Writing {
  /** Who is mentioned in a draft or an edit, by what stands in its text. */
  readonly mentioned: Map<string, number>;
  /** What is edited, in place of writing; the draft waits meanwhile. */
  readonly editing = signal<Message | undefined>(undefined);
  readonly attachments = new Attachments();
  edited = "";
  readonly #key: string;

  constructor(chat: Chat) {
    this.#key = `dragoman.${chat.me}.mentioned.${chat.head.peek().chat}`;
    this.mentioned = new Map(JSON.parse(localStorage.getItem(this.#key) ?? "[]") as [string, number][]);
  }

  /** Stays with a draft that is kept. */
  mention(name: string, account: number): void {
    this.mentioned.set(name, account);
    this.#keep();
  }

  /** Of a message whose text is written again. */
  mentionAgain(segments: readonly (Message["segments"][number] | OutgoingSegment)[]): void {
    for (const segment of segments) if (segment.t === "mention") this.mention(segment.text, segment.account);
  }

  forgetMentioned(): void {
    this.mentioned.clear();
    this.#keep();
  }

  #keep(): void {
    try {
      if (this.mentioned.size) localStorage.setItem(this.#key, JSON.stringify([...this.mentioned]));
      else localStorage.removeItem(this.#key);
    } catch {
      // it is full: a reload makes a text of the mention
    }
  }
}

const writings = new Map<Chat, Writing>();

export function writingIn(chat: Chat): Writing {
  const known = writings.get(chat) ?? new Writing(chat);
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
