/**
 * Tabs of one account share a connection: the holder of a Web Lock has it, others ask it by a channel. The lock only saves
 * connections: without it each tab connects by itself, and nonces keep that right.
 */
import type { News, Outgoing } from "../model/shapes.ts";
import { type Call, type Failure, failureOf } from "../native.ts";
import type { Session } from "../session.ts";
import type { AccountStore } from "../storage/store.ts";
import { Holder } from "./holder.ts";
import type { Tell, Wire } from "./wire.ts";

const REPLY_MS = 20_000;
const LOST: Failure = { code: "unavailable", text: "the tab with the connection is gone", unknown: true };

type Letter =
  | { kind: "call"; from: string; id: number; op: string; params: object | undefined }
  | { kind: "reply"; to: string; id: number; reply?: object; failure?: Failure }
  | { kind: "news"; news: News[] }
  | { kind: "post"; entry: Outgoing }
  | { kind: "hello"; from: string }
  | { kind: "ready"; to?: string; news: News[] }
  | { kind: "wake" };

export class TabWire implements Wire {
  #name = Math.random().toString(36).slice(2);
  #channel: BroadcastChannel;
  #holder: Holder | undefined;
  #release: () => void = () => {};
  #waiting = new Map<
    number,
    { resolve: (reply: never) => void; reject: (failure: Failure) => void; timer: ReturnType<typeof setTimeout> }
  >();
  #ids = 0;
  #state: News = { ev: "state", state: { state: "connecting" } };
  #isClosed = false;

  constructor(
    account: number,
    readonly session: Session,
    readonly store: AccountStore,
    readonly tell: Tell,
    readonly summary: () => Promise<News[]>,
    readonly unsent: () => Promise<Outgoing[]>,
    readonly opened: Promise<void>,
  ) {
    this.#channel = new BroadcastChannel(`dragoman-${account}`);
    this.#channel.onmessage = ({ data }) => this.#read(data as Letter);
    const lock = `dragoman-holder-${account}`;
    if (navigator.locks) void navigator.locks.request(lock, () => this.#hold()).catch(() => this.#hold());
    else void this.#hold();
    if (navigator.locks) this.#write({ kind: "hello", from: this.#name });
  }

  get isHolder(): boolean {
    return this.#holder !== undefined;
  }

  readonly call: Call = (op, params) => {
    if (this.#holder) return this.#holder.call(op, params);
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(LOST);
      }, REPLY_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#write({ kind: "call", from: this.#name, id, op, params });
    });
  };

  post(entry: Outgoing): void {
    if (this.#holder) return this.#holder.post(entry);
    // the holder removes the stored entry; one that is about to open asks for unsent entries
    void this.store.flushed().then(() => (this.#holder ? this.#holder.post(entry) : this.#write({ kind: "post", entry })));
  }

  share(news: News): void {
    this.#write({ kind: "news", news: [news] });
  }

  wake(): void {
    if (this.#holder) this.#holder.wake();
    else this.#write({ kind: "wake" });
  }

  close(): void {
    this.#isClosed = true;
    this.#holder?.close();
    this.#channel.close();
    this.#release();
  }

  /** Until this tab ends. */
  async #hold(): Promise<void> {
    if (this.#isClosed) return;
    await this.opened;
    await this.store.flushed();
    if (this.#isClosed) return;
    const holder = await Holder.open(this.session, this.store, (news) => this.#spread(news));
    if (this.#isClosed) return holder.close(); // the lock is free for the next login of this account
    this.#holder = holder;
    void this.unsent().then((entries) => entries.forEach((entry) => this.#holder?.post(entry)));
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(LOST);
    }
    this.#waiting.clear();
    this.#write({ kind: "ready", news: [this.#state] });
    await new Promise<void>((resolve) => {
      this.#release = resolve;
    });
  }

  #spread(news: News): void {
    if (this.#isClosed) return;
    if (news.ev === "state") this.#state = news;
    this.tell(news);
    if (navigator.locks) this.share(news); // without, the others hear it themselves
  }

  #write(letter: Letter): void {
    if (!this.#isClosed) this.#channel.postMessage(letter);
  }

  #read(letter: Letter): void {
    switch (letter.kind) {
      case "news":
        letter.news.forEach((news) => this.tell(news));
        break;
      case "call":
        void this.#answer(letter);
        break;
      case "reply":
        this.#settle(letter);
        break;
      case "post":
        this.#holder?.post(letter.entry);
        break;
      case "wake":
        this.#holder?.wake();
        break;
      case "hello":
        if (this.#holder) void this.#welcome(letter.from);
        break;
      case "ready":
        if (!this.#holder && (letter.to ?? this.#name) === this.#name) letter.news.forEach((news) => this.tell(news));
        break;
    }
  }

  async #welcome(to: string): Promise<void> {
    const heads = await this.summary();
    this.#write({ kind: "ready", to, news: [...heads, this.#state] });
  }

  async #answer({ from, id, op, params }: Extract<Letter, { kind: "call" }>): Promise<void> {
    if (!this.#holder) return;
    try {
      const reply = await this.#holder.call(op as "ping", params as never);
      this.#write({ kind: "reply", to: from, id, reply });
    } catch (error) {
      this.#write({ kind: "reply", to: from, id, failure: failureOf(error) });
    }
  }

  #settle({ to, id, reply, failure }: Extract<Letter, { kind: "reply" }>): void {
    const waiting = to === this.#name ? this.#waiting.get(id) : undefined;
    if (!waiting) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (failure) waiting.reject(failure);
    else waiting.resolve(reply as never);
  }
}
