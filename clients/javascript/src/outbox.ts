// Commands that are sent until the server has carried them out or rejected them, each under one nonce.

import { type Connection, DragomanError, type Parameters, RETRY_MS, type Reply, disconnected, failure, newNonce, pause, utf8 } from "./connection.ts";
import type { SafeStore } from "./store.ts";

/** Operations that may be repeated without end. */
export type QueuedOp = "send" | "edit" | "recall" | "react" | "unreact" | "read";
/** A command of the outbox. With an `error` it was rejected: it stays until it is retried or discarded. */
export type Pending = { [O in QueuedOp]: { nonce: string; at: number; op: O; params: Parameters<O>; error?: DragomanError } }[QueuedOp];
/** What became of a command of the outbox, also of one of another page. */
export type Outcome = { [O in QueuedOp]: { nonce: string; op: O; params: Parameters<O>; reply?: Reply<O>; error?: DragomanError } }[QueuedOp];

const FRAME_BYTES = 65_000;
const MOST_REJECTED = 100;
const OPS = ["send", "edit", "recall", "react", "unreact", "read"];
/** Their text is not to be lost when they are rejected, and they have a nonce for the server, too. */
const TEXTS = ["send", "edit"];
const KEY = "outbox/";

type Waiter = { resolve: (reply: any) => void; reject: (error: DragomanError) => void };
/** The client around it. */
export type Client = {
  store: SafeStore;
  limit: number;
  random: () => number;
  /** The outcome, before those who wait for it. */
  done: (outcome: Outcome) => void;
  emit: (kind: string, value: unknown) => unknown;
};

export class Outbox {
  entries: Pending[] = [];
  #last = 0; // of the order
  #loaded = Promise.resolve();
  #removed = new Set<string>(); // since the last look into the store began
  #unkept = new Set<string>(); // that the store has failed to keep
  #waiters = new Map<string, Waiter[]>();
  #posted = new Set<Pending>(); // on this connection
  #sending = new Set<Pending>(); // of these, without their replies
  #connection: Connection | undefined;
  #client: Client;

  constructor(client: Client) { this.#client = client; }

  /** Takes over what other pages have added. What they have discarded goes. */
  load(): Promise<void> { return this.#loaded = this.#loaded.then(() => this.#load()); }

  async #load(): Promise<void> {
    this.#removed.clear();
    const stored = await this.#client.store.read(KEY);
    if (!stored) return;
    const kept = this.entries.filter(({ nonce, error }) => !error || this.#unkept.has(nonce) || stored.has(KEY + nonce));
    const found = [...stored].map(([key, entry]) => ({ ...entry as any, nonce: key.slice(KEY.length) }))
      .filter(({ nonce, op, params }) => OPS.includes(op) && params instanceof Object && !this.#find(nonce) && !this.#removed.has(nonce))
      .map(({ error, ...entry }) => ({ ...entry, ...(error && { error: new DragomanError(error) }) }));
    this.#last = Math.max(this.#last, ...found.map(({ at }) => at || 0));
    if (found.length || kept.length < this.entries.length) this.#set([...kept, ...found.sort((one, other) => one.at - other.at)]);
    this.#post();
  }

  /** Resolves when the server has carried it out, after any number of connections. */
  async add<O extends QueuedOp>(op: O, params: Parameters<O> & { nonce?: string }): Promise<Reply<O>> {
    const text = JSON.stringify(TEXTS.includes(op) ? { ...params, nonce: params.nonce || newNonce() } : params);
    if (utf8(text).length > FRAME_BYTES) throw failure("too_large", "the message is too long");
    const copy = JSON.parse(text);
    const known = copy.nonce && this.#find(copy.nonce);
    if (known && JSON.stringify(known.params) !== text) throw failure("conflict", "another message of the outbox has this nonce");
    if (known?.error) this.retry(known.nonce);
    const entry = known || this.#latest(op, copy) || this.#put(op, copy);
    return new Promise((resolve, reject) => {
      this.#waiters.set(entry.nonce, [...(this.#waiters.get(entry.nonce) ?? []), { resolve, reject }]);
    });
  }

  /** Sends a rejected command again, as it is. */
  retry(nonce: string): void {
    const entry = this.#find(nonce);
    if (!entry?.error) return;
    delete entry.error;
    this.#store(entry, (old) => old && record(entry));
    this.#set(this.entries);
    this.#post();
  }

  /** Takes a command out. One that is being sent may still be carried out. */
  discard(nonce: string): void {
    const entry = this.#find(nonce);
    if (!entry) return;
    this.#remove(entry);
    this.#settle(nonce, ({ reject }) => reject(disconnected("it was discarded", this.#sending.has(entry))));
  }

  /** Sends what waits on this connection. */
  post(connection: Connection): void {
    [this.#connection, this.#posted, this.#sending] = [connection, new Set(), new Set()];
    this.#post();
  }

  /** Ends the waiting for results, and the sending. */
  abandon(error: DragomanError): void {
    this.#connection = undefined;
    for (const nonce of [...this.#waiters.keys()]) this.#settle(nonce, ({ reject }) => reject(error));
  }

  #find(nonce: string): Pending | undefined { return this.entries.find((one) => one.nonce === nonce); }

  /** Of marks as read that wait, the highest is enough. */
  #latest(op: QueuedOp, { chat, index }: any): Pending | undefined {
    const entry = op === "read" && this.entries.find((one) => one.op === op && one.params.chat === chat && !this.#sending.has(one));
    if (!entry || entry.op !== "read") return undefined;
    entry.params.index = Math.max(entry.params.index, index);
    this.#store(entry, () => record(entry));
    return entry;
  }

  #put(op: QueuedOp, params: any): Pending {
    if (this.entries.filter(({ error }) => !error).length >= this.#client.limit) throw failure("limit", "the outbox is full");
    this.#last = Math.max(Date.now(), this.#last + 1);
    const entry: Pending = { nonce: params.nonce ?? newNonce(), at: this.#last, op, params };
    this.#set([...this.entries, entry]);
    this.#store(entry, () => record(entry));
    this.#post();
    return entry;
  }

  #post(): void {
    const connection = this.#connection;
    for (const entry of connection ? this.entries : []) {
      if (entry.error || this.#posted.has(entry)) continue;
      this.#posted.add(entry);
      const { chat, to = 0 } = entry.params as { chat?: number; to?: number };
      connection?.queue(`${entry.op === "read" ? "read" : "write"} ${chat || -to}`, () => this.#send(connection, entry));
    }
  }

  /** After those before it to the same chat. */
  async #send(connection: Connection, entry: Pending): Promise<void> {
    if (entry.error || !this.entries.includes(entry)) return;
    this.#sending.add(entry);
    if (!this.#waiters.has(entry.nonce) && await this.#isDone(entry)) return this.#set(this.entries.filter((one) => one !== entry));
    const { error, ...reply } = await connection.repeat(entry.op, entry.params, this.#client.random);
    if (error?.code === "unauthenticated") return pause(RETRY_MS).then(() => connection.drop()); // the next login sends it
    this.#sending.delete(entry);
    this.#posted.delete(entry);
    if (error && TEXTS.includes(entry.op) && this.entries.includes(entry)) this.#reject(entry, error);
    else this.#remove(entry);
    const { nonce, op, params } = entry;
    this.#client.done({ nonce, op, params, ...(error ? { error } : { reply }) } as Outcome);
    this.#settle(nonce, (one) => error ? one.reject(error) : one.resolve(reply));
  }

  /** Whether another page has. */
  async #isDone({ nonce }: Pending): Promise<boolean> {
    const stored = await this.#client.store.read(KEY + nonce);
    return stored?.size === 0 && !this.#unkept.has(nonce);
  }

  #reject(entry: Pending, error: DragomanError): void {
    entry.error = error;
    this.#store(entry, (old) => old && record(entry));
    this.entries.filter((one) => one.error).slice(0, -MOST_REJECTED).forEach((one) => this.#remove(one));
    this.#set(this.entries);
  }

  #remove(entry: Pending): void {
    this.#removed.add(entry.nonce);
    this.#set(this.entries.filter((one) => one !== entry));
    this.#store(entry, () => undefined);
  }

  #set(entries: Pending[]): void {
    this.entries = [...entries];
    this.#client.emit("outbox", this.entries);
  }

  #store({ nonce }: Pending, work: (old: any) => unknown): void {
    this.#client.store.change([KEY + nonce], ([old]) => [work(old)]).then((isKept) => isKept || this.#unkept.add(nonce));
  }

  #settle(nonce: string, settle: (waiter: Waiter) => void): void {
    this.#waiters.get(nonce)?.forEach(settle);
    this.#waiters.delete(nonce);
  }
}

const record = ({ error, ...entry }: Pending) => ({ ...entry, ...(error && { error: { ...error, text: error.message } }) });
