// One WebSocket: commands with their replies, work in order, and a watch for silence.

import type * as Native from "../native.d.ts";

export const RETRY_MS = 1000;
const OTHER_MS = 10_000;
const PING_MS = 20_000;
const SILENT_PINGS = 3;
const PROBE_MS = 5000;
const DAY_MS = 86_400_000;
const MOST_QUEUED = 10_000;
/** By close code, if its reason is not JSON; undefined: it does not come back. Others: OTHER_MS, the client has a fault. */
const DELAYS_MS: Record<number, number | undefined> = {
  1000: undefined, 1001: 0, 1005: 0, 1006: 0, 1011: 0, 1012: 0, 1013: RETRY_MS, 4001: RETRY_MS, 4003: undefined, 4008: 60_000,
};

export type Op = keyof Native.Operations;
/** The members of a command, without those that the client adds. */
export type Parameters<O extends Op> = Omit<Native.Operations[O][0], "op" | "id">;
/** The members of a reply. */
export type Reply<O extends Op> = Native.Operations[O][1];
/** How long a caller waits. */
export type Patience = { signal?: AbortSignal; timeout_ms?: number };
/** What the server sends, or a storage has: nothing is sure about it. */
export type Loose = any; // eslint-disable-line

/** An error reply, or `unavailable` without a connection. `unknown`: the command may have had its effect. */
export class DragomanError extends Error {
  declare code: Native.ErrorInfo["code"];
  declare field: string | undefined;
  declare retry_ms: number | undefined;
  declare unknown: boolean;
  declare reason: Native.ErrorInfo["reason"];
  declare request: string | undefined;
  get name(): string { return "DragomanError"; } // a minified class has another one
  constructor({ code = "internal", text = code, field, retry_ms, unknown = false, reason, request }: Partial<Native.ErrorInfo>) {
    super(text);
    const wait = Number.isFinite(retry_ms) ? Math.min(Math.max(retry_ms ?? 0, 0), DAY_MS) : undefined;
    Object.assign(this, { code, field, retry_ms: wait, unknown, reason, request });
  }
}

export const failure = (code: Native.ErrorInfo["code"], text: string, unknown = false) => new DragomanError({ code, text, unknown });
export const disconnected = (text = "there is no connection", unknown = false) => failure("unavailable", text, unknown);
export const pause = (ms: number) => new Promise<void>((resolve) => { setTimeout(resolve, ms); });
export const utf8 = (text: string) => new TextEncoder().encode(text);
export const base64 = (bytes: Iterable<number>) => btoa(String.fromCharCode(...bytes));

/** A UUID of version 7: it begins with the time, so that the server keeps new nonces beside each other. */
export function newNonce(): string {
  const random = [...crypto.getRandomValues(new Uint8Array(18))].map((byte) => (byte & 15).toString(16));
  const digits = [...Date.now().toString(16).padStart(12, "0"), ...random];
  return "xxxxxxxx-xxxx-7xxx-8xxx-xxxxxxxxxxxx".replaceAll("x", () => digits.shift() ?? "");
}

/** An object, or undefined. */
export function parsed(text: unknown): Loose {
  try { return [JSON.parse(text as string)].find((value) => value instanceof Object); } catch { return undefined; }
}

/** The result of the work, unless the caller gives up before. The work goes on. */
export function within<T>(work: Promise<T>, { signal, timeout_ms }: Patience): Promise<T> {
  if (!signal && timeout_ms === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    const late = () => reject(disconnected("there was no reply in time", true));
    const timer = timeout_ms === undefined ? undefined : setTimeout(late, timeout_ms);
    signal?.addEventListener("abort", abort);
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    });
  });
}

type Waiting = { op: string; sent: number; resolve: (reply: Loose) => void; reject: (error: DragomanError) => void; pings: number };
/** What becomes of it. `tick`: the time of the server, as of now. */
export type Ends = { receive: (event: Loose) => void; end: (error: DragomanError) => void; tick: (time: number) => void };
/** The event of a client itself: a reply to `sync` has come. What follows up to `synced` belongs to it. */
export const LISTING = "client listing";

/** Sees each frame as it is. */
export type Tap = (direction: "in" | "out", text: string) => void;

export class Connection {
  isOver = false;
  readonly opened: Promise<unknown>;
  /** `pings`: that were sent since; NaN: the reply may take as long as it likes. */
  #waiting = new Map<number, Waiting>();
  #queues = new Map<string, Promise<unknown>>();
  #queued = 0;
  #ids = 0;
  #bye: Loose = undefined;
  #heard = 0; // frames, and the opening
  #known = 0; // of these, at the last look for silence
  #ends: Ends;
  #socket: WebSocket;
  #tap: Tap;
  #timer = setInterval(() => {
    if (this.#heard === this.#known || [...this.#waiting.values()].some((one) => ++one.pings > SILENT_PINGS)) return this.drop();
    this.#known = this.#heard;
    this.#ping();
  }, PING_MS);

  constructor(socket: WebSocket, ends: Ends, tap?: Tap) {
    this.#socket = socket;
    this.#ends = ends;
    this.#tap = (...frame) => tap && queueMicrotask(() => tap(...frame)); // what it throws is the caller's own
    this.opened = new Promise((resolve) => { socket.onopen = () => resolve(++this.#heard); });
    socket.onmessage = ({ data }) => { this.#tap("in", data); this.#take(parsed(data)); };
    socket.onerror = () => { setTimeout(() => this.#over(1006), RETRY_MS); }; // its end follows, but not in Node 20
    socket.onclose = ({ code, reason }) => this.#over(code, parsed(reason));
  }

  get isOpen(): boolean { return !this.isOver && this.#socket.readyState === 1; }

  /** The server's answer, an `error` too. Rejects when the connection ends before it: that answers nothing. */
  exchange(op: string, params?: object): Promise<Loose> {
    return new Promise((resolve, reject) => {
      const frame = JSON.stringify({ ...params, op, id: ++this.#ids });
      if (this.isOver) throw disconnected();
      this.#waiting.set(this.#ids, { op, sent: Date.now(), resolve, reject, pings: 0 });
      if (!this.isOpen) return; // its end comes
      this.#tap("out", frame);
      this.#socket.send(frame);
    });
  }

  /** Rejects with a DragomanError. */
  async request(op: string, params?: object): Promise<Loose> {
    const { error, ...reply } = await this.exchange(op, params);
    if (error) throw error;
    return reply;
  }

  /** Repeats a command as long as the server asks for it; gives another error as a reply. Rejects without the connection. */
  async repeat(op: string, params: object, random: () => number): Promise<Loose> {
    for (;;) {
      const reply = await this.exchange(op, params);
      const { retry_ms = reply.error?.unknown ? RETRY_MS : undefined } = reply.error ?? {};
      if (retry_ms === undefined) return reply;
      await pause(retry_ms * (1 + random()));
    }
  }

  /** After the work before it under this key. */
  queue(key: string, work: () => Promise<unknown>, first: Promise<unknown> = Promise.resolve()): Promise<unknown> {
    if (++this.#queued > MOST_QUEUED) this.drop(); // the next sync brings it
    const before = this.#queues.get(key) ?? first;
    const done = before.then(() => this.isOver || work()).catch(() => this.drop()).finally(() => { this.#queued -= 1; });
    this.#queues.set(key, done);
    return done;
  }

  /** Ends it, unless something is heard soon. */
  probe(): void {
    const known = this.#heard;
    if (this.isOpen) this.#ping();
    setTimeout(() => this.#heard > known || this.drop(), PROBE_MS);
  }

  /** Without waiting for the other side. */
  drop(): void {
    this.#over(1006);
    this.#socket.close(1000);
  }

  #ping(): void {
    this.request("ping").catch(() => {});
  }

  #take(frame: Loose): void {
    if (this.isOver || !frame) return;
    this.#heard += 1;
    if (frame.ev === "bye") this.#bye = frame;
    if (frame.ev) return this.#ends.receive(frame);
    const [oldest, ...others] = this.#waiting.keys();
    const id = frame.error && !others.length ? frame.re ?? oldest : frame.re; // of a frame that it cannot read: of several it could be any
    const waiting = this.#waiting.get(id);
    if (waiting && frame.verify) waiting.pings = NaN;
    if (frame.verify) return this.#ends.receive({ ev: "verify", ...frame.verify }); // the reply follows
    if (waiting && Number.isFinite(frame.time) && CLOCKS.includes(waiting.op)) this.#ends.tick(frame.time + (Date.now() - waiting.sent) / 2);
    this.#waiting.delete(id);
    if (waiting?.op === "sync") this.#ends.receive({ ev: LISTING, reset: frame.reset });
    waiting?.resolve(frame.error ? { error: new DragomanError(frame.error) } : frame);
  }

  #over(code: number, reason: Loose = this.#bye ?? { retry_ms: code in DELAYS_MS ? DELAYS_MS[code] : OTHER_MS }): void {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.#timer);
    const info = { code: code === 4003 ? "unauthenticated" : "unavailable", text: `the connection has ended (${code})`, ...reason };
    for (const { reject } of this.#waiting.values()) reject(new DragomanError({ ...info, code: "unavailable", unknown: true }));
    this.#ends.end(new DragomanError(info));
  }
}
export const LOGINS: string[] = ["login", "register", "token", "refresh", "password"];
/** Operations whose replies have the present time. */
const CLOCKS = [...LOGINS, "hello", "ping"];
