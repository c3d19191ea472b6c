/** An edit and files of a chat, beside its draft. They stay while another chat is shown. */
import { effect, signal, untracked } from "@preact/signals-core";
import { textOfSegments } from "../model/actions.ts";
import type { Chat } from "../model/chat.ts";
import type { Message, OutgoingSegment } from "../model/shapes.ts";
import { model } from "../state.ts";
import { mentionName } from "../../text/mentions.ts";
import { Attachments } from "./attachments.ts";

type Names = Map<string, number>;

export class Writing {
  /** Mentioned accounts, by their names in the text. */
  readonly #inDraft: Names;
  #inEdit: Names = new Map();
  /** The message that is edited; the draft waits meanwhile. */
  readonly editing = signal<Message | undefined>(undefined);
  readonly attachments = new Attachments();
  edited = "";
  readonly #key: string;

  constructor(chat: Chat) {
    this.#key = `dragoman.${chat.me}.mentioned.${chat.head.peek().chat}`;
    this.#inDraft = new Map(JSON.parse(localStorage.getItem(this.#key) ?? "[]") as [string, number][]);
  }

  get mentioned(): Names {
    return this.editing.peek() ? this.#inEdit : this.#inDraft;
  }

  begin(message: Message): void {
    this.editing.value = message;
    this.edited = textOfSegments(message.segments);
    this.#inEdit = namesIn(message.segments);
  }

  putBack(segments: readonly OutgoingSegment[]): void {
    this.attachments.putBack(segments);
    for (const [name, account] of namesIn(segments)) this.#inDraft.set(name, account);
    this.#keep();
  }

  /** Returns the account's name in the text: another member may have the same name. */
  mention(nickname: string, account: number): string {
    const name = mentionName(nickname, account, this.mentioned);
    this.mentioned.set(name, account);
    this.#keep();
    return name;
  }

  forgetMentioned(): void {
    this.#inDraft.clear();
    this.#keep();
  }

  #keep(): void {
    try {
      if (this.#inDraft.size) localStorage.setItem(this.#key, JSON.stringify([...this.#inDraft]));
      else localStorage.removeItem(this.#key);
    } catch {
      // it is full: a reload makes a text of the mention
    }
  }
}

function namesIn(segments: readonly (Message["segments"][number] | OutgoingSegment)[]): Names {
  return new Map(segments.flatMap((one) => (one.t === "mention" ? [[one.text, one.account] as const] : [])));
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
