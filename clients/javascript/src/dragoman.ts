// A client of Dragoman's native dialect, for browsers and Node: docs/build/javascript.md describes it.

import type * as Native from "../native.d.ts";
import { Chats, type Kept } from "./chats.ts";
import {
  Connection, DragomanError, LOGINS, type Loose, type Op, type Parameters, type Patience, RETRY_MS, type Reply, type Tap, disconnected, failure, newNonce, pause, within,
} from "./connection.ts";
import { Outbox, type Outcome, type Pending, type QueuedOp } from "./outbox.ts";
import { type Store, memoryStore, safe } from "./store.ts";
import { Tokens, noLogin } from "./tokens.ts";
import { type Media, type UploadOptions, upload } from "./upload.ts";

export type { Native, Kept, Media, Op, Outcome, Parameters, Patience, Pending, QueuedOp, Reply, Store, UploadOptions };
export { applyChange } from "./chats.ts";
export { DragomanError, newNonce } from "./connection.ts";
export { indexedStore, memoryStore, webStore } from "./store.ts";

/** "waiting": for the next attempt. */
export type State = "offline" | "connecting" | "online" | "waiting" | "ended";
/** The server's, and the client's own. */
export type Events = { [E in Native.Event as E["ev"]]: E } & {
  message: { rev?: number };
  state: { state: State; error?: DragomanError };
  head: Native.ChatHead;
  gap: { chat: number; from: number; to: number };
  reset: { epoch: string };
  outbox: Pending[];
  outcome: Outcome;
  store: { error: unknown };
  verify: Native.VerificationInfo;
};
export type Options = {
  store?: Store;
  /** Keeps in the store where a later client goes on. */
  cursor?: boolean;
  epoch?: string;
  have?: Record<string, number[]>;
  timeline?: number;
  outboxLimit?: number;
  onFrame?: Tap;
  WebSocket?: typeof WebSocket;
  fetch?: typeof fetch;
  random?: () => number;
};

const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 30_000;
const STABLE_MS = 10_000;
const REPEAT_MS = 30_000;
const EARLY_MS = 60_000;
const LONGEST_MS = 2 ** 31 - 1;
const MAKES = /^(create|link$)/; // under a nonce
const BEFORE_LOGIN: string[] = ["hello", "ping", "verify_mail", "recover"];
const SIGNS = ["online", "pageshow", "visibilitychange"];

type Entry = { op: string; params: object; resolve: (reply: Loose) => void; reject: (error: DragomanError) => void };

/** A login, whose connection comes back until it is closed. */
export class Dragoman {
  readonly url: URL;
  readonly options;
  state: State = "offline";
  account = 0;
  /** The outbox and the places of the store are there. */
  readonly ready: Promise<void>;
  #attempts = 0;
  #earliest = 0; // for the next attempt
  #ahead = 0; // of the server's clock
  #entry: Entry | undefined; // what the caller waits for
  #connection: Connection | undefined;
  #timers: ReturnType<typeof setTimeout>[] = [];
  #handlers = new Map<string, Set<(value: Loose) => unknown>>();
  #listening: AbortController | undefined;
  #tokens: Tokens;
  #outbox: Outbox;
  #chats: Chats;

  /** `wss://host`, or with a path. */
  constructor(url: string | URL, options: Options = {}) {
    this.url = new URL(url);
    if (this.url.pathname === "/") this.url.pathname = "/ws/native";
    this.options = {
      WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), outboxLimit: 1000, timeline: 20, random: Math.random,
      cursor: false, ...options, store: options.store ?? memoryStore(),
    };
    const { random, cursor, timeline, outboxLimit: limit } = this.options;
    const store = safe(this.options.store, (error) => { queueMicrotask(() => this.#emit("store", { error })); });
    const emit = (kind: string, value: unknown) => this.#emit(kind, value);
    this.#tokens = new Tokens(store, () => this.serverTime());
    this.#outbox = new Outbox({ store, random, limit, emit, done: (outcome) => this.#done(outcome) });
    this.#chats = new Chats({ store, random, cursor, timeline, emit, account: () => this.account }, options.epoch, options.have);
    this.ready = Promise.all([this.#tokens.stored(), this.#outbox.load(), this.#chats.load()]).then(([{ account }]) => { this.account ||= account ?? 0; });
  }

  /** The commands that wait, and those that were rejected (with their `error`). */
  get outbox(): readonly Pending[] { return this.#outbox.entries; }
  get epoch(): string { return this.#chats.epoch; }
  /** The last index, `rev` and `state` of each chat, where a later client goes on. */
  get have(): Record<string, number[]> { return this.#chats.have; }
  /** The same of one chat: inside a handler, up to its event. */
  place(chat: number): number[] | undefined { return this.#chats.place(chat); }
  /** Milliseconds of the server's clock, as far as it is known. */
  serverTime(): number { return Date.now() + this.#ahead; }

  /** Returns its end. What a handler returns is awaited before the `cursor` moves. */
  on<K extends keyof Events>(kind: K, handler: (value: Events[K]) => unknown): () => void {
    this.#handlers.set(kind, (this.#handlers.get(kind) ?? new Set()).add(handler));
    return () => { this.#handlers.get(kind)?.delete(handler); };
  }

  /** One attempt. With `refreshable` the store keeps the login for `resume`. */
  login(login: Parameters<"login">): Promise<Reply<"login">> { return this.#enter("login", login); }
  /** One attempt. */
  register(account: Parameters<"register">): Promise<Reply<"register">> { return this.#enter("register", account); }
  /** Tries until the server takes or rejects the token. */
  token(token: string): Promise<Reply<"token">> { return this.#enter("token", { token }, token); }
  /** Goes on with the login of the store, as `token`. */
  async resume(): Promise<Reply<"token">> {
    const { refresh } = await this.#tokens.stored();
    if (!refresh) throw noLogin();
    return this.#enter("token", {}, "", refresh);
  }

  /** Rejects with a DragomanError; without a connection at once. */
  async call<O extends Op>(op: O, params?: Parameters<O>, patience: Patience = {}): Promise<Reply<O>> {
    return within(this.#call(this.#online(patience, op), op, params ?? {}, patience), patience);
  }

  /** A page with all changes that were given before it is; `applyChange` applies later ones. */
  async history(chat: number, page?: Omit<Parameters<"history">, "chat">, patience: Patience = {}): Promise<Omit<Reply<"history">, "messages"> & { messages: Kept[] }> {
    return within(this.#chats.history(this.#online(patience), { chat, ...page }), patience);
  }

  /** Puts a message into the outbox. Resolves when the server has stored it, after any number of connections. */
  send(message: Omit<Parameters<"send">, "nonce"> & { nonce?: string }): Promise<Reply<"send">> { return this.enqueue("send", message); }
  /** As `send`. */
  edit(edit: Omit<Parameters<"edit">, "nonce"> & { nonce?: string }): Promise<Reply<"edit">> { return this.enqueue("edit", edit); }
  /** Marks the messages up to an index as read, as `send`. */
  read(chat: number, index: number): Promise<Reply<"read">> { return this.enqueue("read", { chat, index }); }
  /** Any operation that can wait in the outbox. */
  async enqueue<O extends QueuedOp>(op: O, params: Omit<Parameters<O>, "nonce"> & { nonce?: string }): Promise<Reply<O>> {
    return this.#outbox.add(op, params as Parameters<O> & { nonce?: string });
  }
  /** Sends a rejected command of the outbox again, as it is. */
  retry(nonce: string): void { this.#outbox.retry(nonce); }
  /** Takes a command out of the outbox. One that is being sent may still be carried out. */
  discard(nonce: string): void { this.#outbox.discard(nonce); }

  /** Stores a file; its `id` goes into a segment. */
  upload(file: Blob, options?: UploadOptions): Promise<Media> {
    const base = new URL(this.url.href.replace(/^ws/, "http"));
    base.pathname = base.pathname.replace(/\/ws\/native$|\/[^/]*$/, "/media/");
    const { fetch, random } = this.options;
    return upload({ base, fetch, random, token: (isRejected) => this.accessToken(isRejected) }, file, options);
  }

  /** A token that is valid now, for requests by HTTP. */
  async accessToken(isRejected = false): Promise<string> {
    if (isRejected && !this.#tokens.refresh) throw noLogin();
    if (isRejected || this.#tokens.isDue) await this.#renew();
    if (!this.#tokens.token) throw noLogin();
    return this.#tokens.token;
  }

  /** The platform is back: connects now if it waits, looks whether the connection still lives, and into the store. Called by
   * itself when the page is shown, or the network is there. */
  wake(): void {
    this.#outbox.load();
    if (this.state !== "waiting") return this.#connection?.probe();
    this.#clear();
    this.#timers.push(setTimeout(() => this.#connect(), Math.max(0, this.#earliest - Date.now())));
  }

  /** Ends the login. */
  async logout(): Promise<void> {
    await this.call("logout");
    await this.#tokens.forget();
  }

  /** Ends the connection, and the waiting for results. The outbox stays, and is sent after the next login. */
  close(): void {
    const error = disconnected("the client is closed", true);
    this.#outbox.abandon(error);
    this.#lost(error, false);
  }

  #online({ signal }: Patience = {}, op = ""): Connection {
    signal?.throwIfAborted();
    if (!this.#connection?.isOpen || (this.state !== "online" && !BEFORE_LOGIN.includes(op))) throw disconnected();
    return this.#connection;
  }

  async #call(connection: Connection, op: Op, params: Loose, patience: Patience): Promise<Loose> {
    const reply = await (MAKES.test(op) ? this.#make(op, params, patience) : connection.request(op, params));
    if (LOGINS.includes(op) && reply.account === this.account) await this.#tokens.take({ token: params.token, ...reply });
    const sent = op === "send" ? [reply] : op === "forward" ? reply.results ?? [] : []; // no event comes here of these
    for (const one of sent) if (one.index) this.#chats.reach(one.chat, one.index, 0);
    this.#changed(params, reply);
    return reply;
  }

  /** Repeats what makes something until its result is known. */
  async #make(op: Op, params: Loose, { signal, timeout_ms = REPEAT_MS }: Patience): Promise<Loose> {
    const [named, end] = [{ ...params, nonce: params.nonce || newNonce() }, Date.now() + Math.min(timeout_ms, REPEAT_MS)];
    for (let lost: DragomanError | undefined; ; await pause(RETRY_MS * (1 + this.options.random()))) {
      try { if (!lost || this.state === "online") return await this.#connection?.request(op, named); } catch (error) {
        if (!(error instanceof DragomanError) || (!error.unknown && (!lost || error.retry_ms === undefined))) throw error;
        lost ??= error;
      }
      if (this.state === "ended" || signal?.aborted || Date.now() > end) throw lost;
    }
  }

  #enter(op: string, params: object, token = "", refresh = ""): Promise<Loose> {
    if (this.#connection || this.#timers.length) this.#lost(disconnected("another login has begun"), false);
    this.#tokens.set(token, refresh);
    this.#listen();
    return new Promise((resolve, reject) => {
      this.#entry = { op, params, resolve, reject };
      this.#connect();
    });
  }

  #connect(): void {
    if (!this.options.WebSocket) throw disconnected("needs Node 22, or the option WebSocket");
    this.#clear();
    this.#change("connecting");
    const end = (error: unknown) => {
      if (this.#connection === connection) this.#lost(error instanceof DragomanError ? error : failure("internal", `${error}`));
    };
    const receive = (event: Loose) => this.#chats.receive(event);
    const socket = new this.options.WebSocket(this.url, "dragoman");
    const connection = this.#connection = new Connection(socket, { receive, end, tick: (time) => { this.#ahead = time - Date.now(); } }, this.options.onFrame);
    this.#chats.enter(connection, this.#begin(connection).catch(end));
  }

  /** Ends with the sync; events of chats wait for it. */
  async #begin(connection: Connection): Promise<void> {
    await Promise.all([connection.opened, this.ready]);
    const entry = this.#entry;
    const { account, ...reply } = await this.#logIn(connection, entry);
    const owner = (await this.#tokens.stored()).account || this.account;
    if (owner && owner !== account) throw failure("conflict", "this client belongs to another account");
    this.account = account;
    await this.#tokens.take({ account, ...reply });
    if (this.#entry === entry) this.#entry = void entry?.resolve({ token: this.#tokens.token, account, ...reply });
    if (this.#connection !== connection) return;
    this.#timers.push(setTimeout(() => { this.#attempts = 0; }, STABLE_MS));
    this.#renewInTime();
    this.#change("online");
    this.#outbox.post(connection);
    await this.#outbox.load();
    await this.#chats.sync(connection);
  }

  async #logIn(connection: Connection, entry?: Entry): Promise<Loose> {
    if (entry && entry.op !== "token") return connection.request(entry.op, { ...entry.params, overtaking: true });
    const byToken = () => connection.request("token", { token: this.#tokens.token, overtaking: true });
    const isDue = this.#tokens.isDue;
    if (isDue) await this.#tokens.renew(connection);
    try {
      return await byToken();
    } catch (error) {
      if (isDue || !this.#tokens.refresh || !(error instanceof DragomanError) || error.code !== "unauthenticated") throw error;
      await this.#tokens.renew(connection);
      return byToken();
    }
  }

  /** Also of a connection that stays: an unused refresh token ends as well. */
  #renewInTime(): void {
    const { refresh, expires } = this.#tokens;
    if (!refresh || !expires) return;
    const again = async (error?: DragomanError) => {
      if (error?.code === "unauthenticated") await this.#tokens.forget(); // the server ends the connection
      this.#renewInTime();
    };
    const wait = Math.max(STABLE_MS, expires - this.serverTime() - EARLY_MS * (0.5 + this.options.random() / 2));
    this.#timers.push(setTimeout(() => { this.#renew().then(() => again(), again); }, Math.min(wait, LONGEST_MS)));
  }

  async #renew(): Promise<void> {
    const connection = this.#online();
    await this.#tokens.renew(connection);
    await connection.request("token", { token: this.#tokens.token });
  }

  #lost(error: DragomanError, comesBack = this.#tokens.isThere && (error.retry_ms !== undefined || error.code === "internal")): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#clear();
    this.#chats.leave();
    connection?.drop();
    if (comesBack) {
      const jitter = this.options.random() * Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts++);
      this.#earliest = Date.now() + (error.retry_ms ?? 0);
      this.#timers.push(setTimeout(() => this.#connect(), (error.retry_ms ?? 0) + jitter));
      return this.#change("waiting", error);
    }
    if (error.code === "unauthenticated") this.#tokens.forget();
    else this.#tokens.set();
    this.#listening = void this.#listening?.abort();
    this.#entry = void this.#entry?.reject(error);
    this.#change("ended", error);
  }

  #clear(): void { this.#timers.splice(0).forEach((timer) => clearTimeout(timer)); }

  #listen(): void {
    const { signal } = this.#listening ??= new AbortController();
    const wake = () => { if (globalThis.document?.visibilityState !== "hidden") this.wake(); };
    for (const sign of SIGNS) globalThis.addEventListener?.(sign, wake, { signal });
  }

  #change(state: State, error?: DragomanError): void {
    this.state = state;
    this.#emit("state", error ? { state, error } : { state });
  }

  /** Resolves when all handlers have kept it. What they throw is the caller's own. */
  async #emit(kind: string, value: Loose): Promise<void> {
    await Promise.all([...this.#handlers.get(kind) ?? []].map(async (handler) => {
      try { await handler(value); } catch (error) { queueMicrotask(() => { throw error; }); }
    }));
  }

  #done(outcome: Outcome): void {
    this.#emit("outcome", outcome);
    const { reply } = outcome;
    if (!reply) return;
    if (outcome.op === "send") this.#sent(outcome.params, reply);
    else this.#changed(outcome.params, reply);
  }

  /** Of a reply to another operation, the chat, the index or the `rev` is missing. */
  #changed({ chat, index }: Loose, { rev }: Loose): void { this.#chats.reach(chat, index, rev); }

  /** Gives it as a message: this connection gets no event of it. */
  #sent({ segments, text = "", reply_to }: Parameters<"send">, { chat, index, id, time, again }: Loose): void {
    const shown: Loose[] = segments?.length ? segments : [{ t: "text", text }];
    const isPlain = !again && shown.every(({ t }) => t !== "image" && t !== "file"); // else it is fetched as it is shown
    if (isPlain) this.#chats.sent({ ev: "message", chat, index, id, sender: this.account, time, segments: shown, reply_to });
    else this.#chats.reach(chat, index, 0);
  }
}
