/** Announces new messages to a screen reader, once each; the number of unread messages in title, icon and badge. */
import { effect } from "@preact/signals-core";
import { summaryOf } from "./model/actions.ts";
import type { Chat } from "./model/chat.ts";
import type { Model } from "./model/model.ts";
import type { Native } from "./native.ts";
import { route } from "./site.ts";
import { announced, elsewhere, model, unreadTotal } from "./state.ts";
import { count } from "./words.ts";

const BURST_MS = 3000;
/** So many of the last lines stay: all that come in one frame are heard. */
const MOST = 50;
const LONGEST = 200;
let lines = 0;

export function announceArrivals(): void {
  effect(() => {
    const known = model.value;
    if (!known) return undefined;
    const others = new Burst(known);
    const arrival = (chat: Chat, message: Native.MessageEvent) => {
      if (message.sender === known.me) return;
      if (chat.head.peek().chat === route.peek().chat) announce(sentence(known, message));
      else if (known.isSynced.peek()) others.add(chat, message.sender);
    };
    known.arrivals.add(arrival);
    return () => {
      known.arrivals.delete(arrival);
      others.end();
    };
  });
  const icon = document.querySelector("link[rel=icon]") as HTMLLinkElement;
  const usual = icon.href;
  effect(() => {
    const { chats, messages } = unreadTotal.value;
    document.title = chats ? `(${messages || "•"}) Dragoman` : "Dragoman";
    icon.href = (chats && icon.dataset["unread"]) || usual;
    const badges = navigator as { setAppBadge?: (count: number) => Promise<void>; clearAppBadge?: () => Promise<void> };
    void (chats ? badges.setAppBadge?.(messages) : badges.clearAppBadge?.())?.catch(() => undefined);
  });
}

function announce(text: string): void {
  lines += 1;
  announced.value = [...announced.peek(), { key: lines, text }].slice(-MOST);
}

function sentence(known: Model, { sender, segments }: Native.MessageEvent): string {
  return `${known.people.name(sender)}: ${summaryOf(segments, LONGEST)}`;
}

/** Messages of other chats, one line every few seconds. */
class Burst {
  #counts = new Map<Chat, { number: number; senders: Set<number> }>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly model: Model) {}

  add(chat: Chat, sender: number): void {
    const { number, senders } = this.#counts.get(chat) ?? { number: 0, senders: new Set<number>() };
    this.#counts.set(chat, { number: number + 1, senders: senders.add(sender) });
    this.#timer ??= setTimeout(() => this.#say(), BURST_MS);
  }

  /** The next account hears nothing of this one. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #say(): void {
    const sentences = [...this.#counts].map(([chat, { number, senders }]) =>
      count("new_of", number, {
        chat: this.model.title(chat),
        names: [...senders].map((account) => this.model.people.name(account)).join(", "),
      }),
    );
    this.#counts.clear();
    this.#timer = undefined;
    lines += 1;
    elsewhere.value = { key: lines, text: sentences.join(". ") };
  }
}
