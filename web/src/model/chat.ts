/** A chat: its summary, its messages that are in memory, its unsent messages, and the members that are writing. */
import { type Signal, computed, signal } from "@preact/signals-core";
import { applyChange } from "../../../clients/javascript/dragoman.js";
import type { Arrived, Head, Message, News, Outgoing } from "./shapes.ts";
import { stored } from "../storage/store.ts";

/** An entry that was sent, until its message is there. */
export interface Sending extends Outgoing {
  sent?: number;
}

/** So many messages of a chat stay in memory once it was left, and of one that was never opened. */
const MOST_LEFT = 100;
const MOST_UNOPENED = 1;
const MOST_AHEAD = 100;

export class Chat {
  readonly messages = new Map<number, Message>();
  readonly head: Signal<Head>;
  /** Rises with every change of the messages. */
  readonly version = signal(0);
  readonly sending = signal<Sending[]>([]);
  readonly typing = signal<ReadonlySet<number>>(new Set());
  /** The number of replies in memory, by the message that they reply to. */
  readonly replies = computed(() => {
    void this.version.value;
    const found = new Map<number, number>();
    for (const { reply_to } of this.messages.values())
      if (reply_to) found.set(reply_to, (found.get(reply_to) ?? 0) + 1);
    return found;
  });
  /** Messages up to this one are part of the counters. */
  #counted: number;
  #most = MOST_UNOPENED;
  /** Changes of messages that are not in memory: one of these may be on its way from the store as it was. */
  #ahead: Extract<News, { ev: "changed" }>[] = [];
  #timers = new Map<number, ReturnType<typeof setTimeout>>();

  constructor(
    head: Head,
    readonly me: number,
  ) {
    this.head = signal(head);
    this.#counted = head.head;
  }

  /** Of a sync: it has the exact counters. */
  replace(head: Head): void {
    const state = head.state ?? this.head.value.state;
    this.#counted = Math.max(head.head, this.#counted);
    this.head.value = { ...head, ...(state === undefined ? {} : { state }) };
  }

  /** At the server, unless it is being sent. */
  get draft(): Head["draft"] {
    const { draft } = this.head.value;
    return this.sending.value.some((entry) => entry.draft && entry.draft === draft?.rev) ? undefined : draft;
  }

  update(fields: Partial<Head>): void {
    this.head.value = { ...this.head.value, ...fields };
  }

  add(message: Omit<Message, "rev">, rev = 0): void {
    const known = this.messages.get(message.index);
    if (known && known.rev > rev) return;
    const now = this.#ahead.reduce((one, change) => applyChange(one, change, this.me), stored(message, rev));
    this.messages.set(message.index, now);
    this.#trim();
    this.version.value += 1;
    const isNewer = ({ sent = Number.POSITIVE_INFINITY }: Sending) => sent > message.index;
    if (!this.sending.value.every(isNewer)) this.sending.value = this.sending.value.filter(isNewer);
  }

  /** While it is shown, every message that was loaded stays. */
  open(): void {
    this.#most = Number.POSITIVE_INFINITY;
  }

  leave(): void {
    this.#most = MOST_LEFT;
    this.#trim();
  }

  /** A message that has just come: it counts as unread unless it is known to be read. */
  receive(message: Arrived): void {
    this.add(message, message.rev);
    this.#stopTyping(message.sender);
    const { index, sender, time } = message;
    if (index <= this.#counted) return;
    this.#counted = index;
    const { unread, mentions = 0, read, head } = this.head.value;
    if (sender === this.me)
      this.update({ head: Math.max(head, index), time, read: index, unread: 0, mentions: 0, unread_from: 0 });
    else
      this.update({
        head: Math.max(head, index),
        time,
        unread: index > read ? unread + 1 : unread,
        mentions: index > read && this.#isMentioned(message) ? mentions + 1 : mentions,
      });
  }

  /** Of two tabs, the reply to the earlier read may come last. The same mark comes twice, as a reply and as an event, and the
   *  second one does not count the messages that have come in between. */
  read({ index, unread, mentions, unread_from = 0 }: Extract<News, { ev: "read" }>): void {
    const { read, unread_from: marked = 0 } = this.head.value;
    if (unread_from ? unread_from === marked : index <= read && !marked) return;
    const most = Math.max(0, this.#counted - (unread_from ? unread_from - 1 : index)); // later ones are counted as they come
    const [left, named] = [Math.min(unread, most), Math.min(mentions, most)];
    this.update({ read: Math.max(read, index), unread: left, mentions: named, unread_from });
  }

  /** Of another epoch, which may have fewer messages. */
  forget(): void {
    this.messages.clear();
    this.#ahead = [];
    this.#counted = 0;
    this.version.value += 1;
  }

  /** Messages that a sync has left out: no changes come of those that may be here. */
  lose(from: number, to: number): void {
    const lost = [...this.messages.keys()].filter((index) => from <= index && index <= to);
    for (const index of lost) this.messages.delete(index);
    if (lost.length) this.version.value += 1;
  }

  change(news: Extract<News, { ev: "changed" }>): void {
    const known = this.messages.get(news.index);
    if (!known) this.#ahead = [...this.#ahead, news].slice(-MOST_AHEAD);
    else if (known.rev < news.rev) {
      this.messages.set(news.index, applyChange(known, news, this.me));
      this.version.value += 1;
    }
    if (news.kind === "pin" || news.kind === "recall") this.#pin(news.index, news.kind === "pin" && news.on === true);
  }

  type(account: number, milliseconds: number): void {
    this.#stopTyping(account);
    if (milliseconds <= 0 || account === this.me) return;
    this.typing.value = new Set([...this.typing.value, account]);
    this.#timers.set(
      account,
      setTimeout(() => this.#stopTyping(account), milliseconds),
    );
  }

  /** Whether a message is in memory, or before one that is. */
  reaches(index: number): boolean {
    return [...this.messages.keys()].some((one) => one >= index);
  }

  /** Of the messages in memory, the newest up to an index that come one after the other. */
  firstOfRun(index: number): number {
    let first = index;
    while (this.messages.has(first - 1)) first -= 1;
    return first;
  }

  /** The newest stay. */
  #trim(): void {
    if (this.messages.size <= this.#most) return;
    const indices = [...this.messages.keys()].sort((one, other) => one - other);
    for (const index of indices.slice(0, -this.#most)) this.messages.delete(index);
  }

  #stopTyping(account: number): void {
    clearTimeout(this.#timers.get(account));
    this.#timers.delete(account);
    if (this.typing.value.has(account))
      this.typing.value = new Set([...this.typing.value].filter((one) => one !== account));
  }

  #isMentioned({ segments }: Pick<Message, "segments">): boolean {
    return segments.some((segment) => segment.t === "mention" && segment.account === this.me);
  }

  #pin(index: number, on: boolean): void {
    const others = (this.head.value.pins ?? []).filter((one) => one !== index);
    if (on || others.length !== (this.head.value.pins ?? []).length)
      this.update({ pins: on ? [...others, index] : others });
  }
}
