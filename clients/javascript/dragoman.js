/**
 * A client of Dragoman's native dialect, for browsers and Node, without dependencies: docs/javascript.md describes it.
 *
 * @import * as Native from "./native.d.ts"
 * @typedef {Omit<Native.SendParameters, "id">} Draft
 * @typedef {{chat: number, index: number, rev: number, covered: number, state: number}} Place  What was given of a chat; a
 *   gap names what was not. `covered`: a sync has sent the changes up to this one. `state`: of the last head.
 * @typedef {{[E in Native.Event as E["ev"]]: E} & {verify: Native.VerificationInfo, head: Native.ChatHead,
 *   gap: {chat: number, from: number, to: number}, reset: {epoch: string}, state: {state: Dragoman["state"], error?: DragomanError},
 *   outcome: {nonce: string, reply?: Native.SendReply, error?: DragomanError}}} Events
 * @typedef {{WebSocket?: typeof WebSocket, storage?: Pick<Storage, "getItem" | "setItem">, key?: string, epoch?: string,
 *   have?: Record<string, number[]>, outboxLimit?: number, timeline?: number, random?: () => number}} Options
 */

const [FIRST_DELAY_MS, LAST_DELAY_MS, RETRY_MS, AWAY_MS, OTHER_MS] = [500, 30_000, 1000, 5000, 10_000];
const [STABLE_MS, PING_MS] = [10_000, 20_000]; // of a login that ends the growth of delays; between pings
const [PAGE, WINDOW, MOST_CHATS, MOST_QUEUED, DRAFT_BYTES] = [100, 100, 1000, 10_000, 65_000];
/** By close code, if its reason is not JSON; undefined: it does not come back. Others: OTHER_MS, the client has a fault. */
const DELAYS_MS = new Map([[1000, undefined], [1001, 0], [1005, 0], [1006, 0], [1011, 0], [1012, 0], [1013, RETRY_MS],
  [4001, RETRY_MS], [4003, undefined], [4008, 60_000]]);
const CHANGES = ["edit", "recall", "react", "unreact", "pin", "unpin"];

/** An error reply, or `unavailable` without a connection. `unknown`: the command may have had its effect. */
export class DragomanError extends Error {
  constructor(/** @type {Native.ErrorInfo} */ { code, text, field, retry_ms, unknown = false }) {
    super(text);
    this.code = code;
    this.field = field;
    this.retry_ms = retry_ms;
    this.unknown = unknown;
  }
}

/** A UUID of version 7: it begins with the time, so that the server keeps new nonces beside each other. */
export const newNonce = () => {
  const random = [...crypto.getRandomValues(new Uint8Array(18))].map((byte) => (byte & 15).toString(16));
  const digits = [...Date.now().toString(16).padStart(12, "0"), ...random];
  return "xxxxxxxx-xxxx-7xxx-8xxx-xxxxxxxxxxxx".replaceAll("x", () => digits.shift() ?? "");
};
const parsed = (/** @type {string} */ text) => { try { return JSON.parse(text); } catch { return undefined; } };
const failure = (/** @type {string} */ code, /** @type {string} */ text) => new DragomanError({ code, text });
const disconnected = (text = "there is no connection") => failure("unavailable", text);

/** One WebSocket: commands with their replies, work in order, and a watch for silence. */
class Connection {
  /** @type {Map<number, {resolve: (reply: any) => void, reject: (error: DragomanError) => void}>} */
  #waiting = new Map();
  /** @type {Map<string, Promise<void>>} */
  #queues = new Map();
  #queued = 0;
  #ids = 0;
  #bye = undefined;
  #heard = false;
  #timer = setInterval(() => {
    if (!this.#heard) return this.drop();
    this.#heard = false;
    this.request("ping").catch(() => {});
  }, PING_MS);
  isOver = false;

  /** @param {WebSocket} socket @param {(event: any) => void} receive @param {(error: DragomanError) => void} end */
  constructor(socket, receive, end) {
    this.socket = socket;
    this.receive = receive;
    this.end = end;
    this.opened = new Promise((resolve) => { socket.onopen = () => resolve(this.#heard = true); });
    socket.onmessage = ({ data }) => this.#take(parsed(data));
    socket.onerror = () => { setTimeout(() => this.#over(1006), RETRY_MS); }; // its end follows, but not in Node 20
    socket.onclose = ({ code, reason }) => this.#over(code, parsed(reason) || undefined);
  }

  /** Rejects with a DragomanError. @param {string} op @param {object} [params] @returns {Promise<any>} */
  request(op, params) {
    return new Promise((resolve, reject) => {
      if (this.isOver || this.socket.readyState !== 1) throw disconnected();
      this.#waiting.set(++this.#ids, { resolve, reject });
      this.socket.send(JSON.stringify({ op, id: this.#ids, ...params }));
    });
  }

  /** After the work before it under this key. @param {string} key @param {() => Promise<any>} work @param {Promise<void>} first */
  queue(key, work, first) {
    if (++this.#queued > MOST_QUEUED) this.drop(); // the next sync brings it
    const before = this.#queues.get(key) ?? first;
    const done = before.then(() => this.isOver || work()).catch(() => this.drop()).finally(() => { this.#queued -= 1; });
    return this.#queues.set(key, done) && done;
  }

  /** Ends it without waiting for the other side. */
  drop() { this.#over(1006); this.socket.close(1000); }

  #take(/** @type {any} */ frame) {
    if (this.isOver || !frame) return;
    this.#heard = true;
    if (frame.ev === "bye") this.#bye = frame;
    if (frame.verify) return this.receive({ ev: "verify", ...frame.verify }); // the reply follows
    if (frame.ev) return this.receive(frame);
    const waiting = this.#waiting.get(frame.re);
    this.#waiting.delete(frame.re);
    return frame.error ? waiting?.reject(new DragomanError(frame.error)) : waiting?.resolve(frame);
  }

  /** @param {number} code @param {any} [reason] */
  #over(code, reason = this.#bye ?? { retry_ms: DELAYS_MS.has(code) ? DELAYS_MS.get(code) : OTHER_MS }) {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.#timer);
    const info = { code: "unavailable", text: `the connection has ended (${code})`, ...reason };
    for (const { reject } of this.#waiting.values()) reject(new DragomanError({ ...info, unknown: true }));
    this.end(new DragomanError(info));
  }
}

/** A login, whose connection comes back until it is closed. */
export class Dragoman {
  /** "waiting": for the next attempt. @type {"offline" | "connecting" | "online" | "waiting" | "ended"} */
  state = "offline";
  account = 0;
  outbox = /** @type {Draft[]} */ ([]);
  #token = "";
  #attempts = 0;
  /** @type {Map<number, Place>} */
  #chats = new Map();
  /** What the caller waits for. @type {{op: string, params: object, resolve: Function, reject: Function} | undefined} */
  #entry;
  /** @type {Connection | undefined} */
  #connection;
  /** @type {Map<Draft, {resolve: Function, reject: Function}>} */
  #sends = new Map();
  /** @type {Map<string, Set<Function>>} */
  #handlers = new Map();
  #ready = Promise.resolve();
  #early = /** @type {any[] | undefined} */ (undefined); // what has come before the end of a sync
  #synced = (/** @type {any} */ _event) => {};
  #timers = /** @type {number[]} */ ([]);

  /** Throws what the storage throws. @param {string} url  `wss://host`, or with a path. @param {Options} [options] */
  constructor(url, options = {}) {
    this.url = new URL(url);
    if (this.url.pathname === "/") this.url.pathname = "/ws/native";
    this.options = { WebSocket: globalThis.WebSocket, key: "dragoman", outboxLimit: 1000, timeline: 20, random: Math.random, ...options };
    ({ account: this.account = 0, outbox: this.outbox = [] } = parsed(options.storage?.getItem(this.options.key) ?? "") ?? {});
    this.epoch = options.epoch ?? "";
    for (const [id, [index, rev, state = 0]] of Object.entries(options.have ?? {})) {
      this.#chats.set(Number(id), { chat: Number(id), index, rev, covered: rev, state });
    }
  }

  /** The last index, `rev` and `state` of each chat, where a later client goes on. @returns {Record<string, number[]>} */
  get have() { return this.#known(({ index, rev, state }) => [index, rev, state]); }
  /** @template T @param {(place: Place) => T} read @returns {Record<string, T>} */
  #known(read) { return Object.fromEntries([...this.#chats].slice(0, MOST_CHATS).map(([id, place]) => [id, read(place)])); }

  /** Returns its end. @template {keyof Events} K @param {K} kind @param {(value: Events[K]) => void} handler */
  on(kind, handler) {
    this.#handlers.set(kind, (this.#handlers.get(kind) ?? new Set()).add(handler));
    return () => this.#handlers.get(kind)?.delete(handler);
  }

  /** One attempt. @param {Omit<Native.LoginParameters, "id">} login @returns {Promise<Native.LoginReply>} */
  login(login) { return this.#enter("", "login", login); }
  /** One attempt. @param {Omit<Native.RegisterParameters, "id">} account @returns {Promise<Native.LoginReply>} */
  register(account) { return this.#enter("", "register", account); }
  /** Tries until the server takes or rejects the token. @param {string} token @returns {Promise<Native.TokenReply>} */
  token(token) { return this.#enter(token, "token", { token }); }
  /** @param {number} chat @param {Omit<Native.HistoryParameters, "id" | "chat">} [page] */
  history(chat, page) { return this.call("history", { chat, ...page }); }
  /** Marks the messages up to an index as read. @param {number} chat @param {number} index */
  read(chat, index) { return this.call("read", { chat, index }); }

  /** Rejects with a DragomanError; without a connection at once. @template {keyof Native.Operations} O @param {O} op
   * @param {Omit<Native.Operations[O][0], "op" | "id">} [params] @returns {Promise<Native.Operations[O][1]>} */
  async call(op, params) {
    if (!this.#connection) throw disconnected();
    const { chat, index, token } = /** @type {any} */ (params ?? {});
    const reply = await this.#connection.request(op, params);
    this.#token = reply.token ?? token ?? this.#token;
    const sent = op === "send" ? [reply] : reply.results ?? []; // this connection gets no event of them, nor of a change
    for (const one of sent) if (one.index) this.#reach(one.chat, one.index, 0);
    if (CHANGES.includes(op)) this.#reach(chat, index, reply.rev);
    return reply;
  }

  /** Puts a message into the outbox. Resolves when the server has stored it, after any number of connections.
   * @param {Omit<Draft, "nonce"> & {nonce?: string}} message @returns {Promise<Native.SendReply>} */
  async send(message) {
    const draft = { nonce: newNonce(), ...message };
    if (new TextEncoder().encode(JSON.stringify(draft)).length > DRAFT_BYTES) throw failure("too_large", "the message is too long");
    if (this.outbox.length >= this.options.outboxLimit) throw failure("limit", "the outbox is full");
    this.#store([...this.outbox, draft]);
    return new Promise((resolve, reject) => {
      this.#sends.set(draft, { resolve, reject });
      if (this.state === "online") this.#post(draft);
    });
  }

  /** Ends the connection. The outbox stays in the storage. */
  close() {
    const error = disconnected("the client is closed");
    for (const { reject } of this.#sends.values()) reject(error);
    this.#sends.clear();
    this.#token = "";
    this.#lost(error);
  }

  /** @param {string} token @param {string} op @param {object} params @returns {Promise<any>} */
  #enter(token, op, params) {
    this.#token = "";
    if (this.#connection || this.#timers.length) this.#lost(disconnected("another login has begun"));
    this.#token = token;
    return new Promise((resolve, reject) => {
      this.#entry = { op, params, resolve, reject };
      this.#connect();
    });
  }

  #connect() {
    this.#emit("state", { state: this.state = "connecting" });
    this.#early = [];
    for (const place of this.#chats.values()) place.covered = place.rev;
    const end = (/** @type {any} */ error) => { if (this.#connection === connection) this.#lost(error); };
    const socket = new this.options.WebSocket(this.url, "dragoman");
    const connection = this.#connection = new Connection(socket, (event) => this.#receive(event), end);
    this.#ready = this.#begin(connection).catch(end);
  }

  /** Ends with the sync; events of chats wait for it. @param {Connection} connection */
  async #begin(connection) {
    await connection.opened;
    const { op, params } = this.#entry ?? { op: "token", params: { token: this.#token } };
    const { account, token = this.#token, ...reply } = await connection.request(op, params);
    if (this.account && this.account !== account) throw failure("conflict", "this client is another account's");
    [this.account, this.#token] = [account, token];
    this.#store(this.outbox);
    this.#entry?.resolve({ account, token, ...reply });
    this.#entry = undefined;
    this.#timers.push(setTimeout(() => { this.#attempts = 0; }, STABLE_MS));
    this.#emit("state", { state: this.state = "online" });
    for (const draft of this.outbox) this.#post(draft);
    await this.#sync(connection);
  }

  #lost(/** @type {DragomanError} */ error) {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#timers.splice(0).forEach((timer) => clearTimeout(timer));
    connection?.drop();
    if (this.#token && (error.retry_ms !== undefined || error.code === "internal")) {
      const jitter = this.options.random() * Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts++);
      this.#timers.push(setTimeout(() => this.#connect(), (error.retry_ms ?? 0) + jitter));
      return this.#emit("state", { state: this.state = "waiting", error });
    }
    this.#token = "";
    this.#entry?.reject(error);
    this.#entry = undefined;
    this.#emit("state", { state: this.state = "ended", error });
  }

  #emit(/** @type {string} */ kind, /** @type {any} */ value) {
    for (const handler of this.#handlers.get(kind) ?? []) {
      try { handler(value); } catch (error) { queueMicrotask(() => { throw error; }); } // the caller's own
    }
  }

  /** Repeats a command as long as the server asks for it; gives another error as a reply. Rejects without the connection.
   * @param {Connection} connection @param {string} op @param {object} params @returns {Promise<any>} */
  async #repeat(connection, op, params) {
    for (;;) {
      const reply = await connection.request(op, params).catch((error) => ({ error }));
      const { retry_ms = reply.error?.unknown ? RETRY_MS : undefined } = reply.error ?? {};
      if (reply.error && connection.isOver) throw reply.error;
      if (retry_ms === undefined) return reply;
      await new Promise((resolve) => { setTimeout(resolve, retry_ms * (1 + this.options.random())); });
    }
  }

  #receive(/** @type {any} */ event) {
    const { ev, chat, index = 0, rev = 1 } = event;
    if (ev === "synced") this.#synced(event);
    else if (this.#early && (ev === "message" || ev === "changed")) this.#early.push(event);
    else if (ev === "message") this.#reach(chat, index - 1, 0, event);
    else if (ev === "changed" || ev === "gone") this.#reach(chat, index, rev - 1, event);
    else this.#emit(ev, event);
  }

  /** Gives an event after all messages up to an index and all changes up to a `rev`. What is missing of them is fetched.
   * @param {number} chat @param {number} index @param {number} rev @param {any} [event] */
  #reach(chat, index, rev, event) {
    const connection = this.#connection;
    return connection?.queue(`chat ${chat}`, async () => {
      const place = this.#chats.get(chat) ?? { chat, index: 0, rev: 0, covered: 0, state: 0 };
      if (!this.#chats.has(chat)) this.#skip(place, index - this.options.timeline); // newer than the sync
      this.#chats.set(chat, place);
      while (place.index < index) await this.#fetchMessages(connection, place, index);
      while (Math.max(place.rev, place.covered) < rev) await this.#fetchChanges(connection, place, rev);
      place.rev = Math.max(place.rev, rev);
      if (event) this.#give(place, event);
    }, this.#ready);
  }

  /** Unless it was given. @param {Place} place @param {any} event */
  #give(place, event) {
    const counter = event.ev === "message" ? "index" : "rev";
    if (event.ev === "gone") this.#chats.delete(place.chat);
    else if (event[counter] <= place[counter]) return;
    else place[counter] = event[counter];
    this.#emit(event.ev, event);
  }

  #skip(/** @type {Place} */ place, /** @type {number} */ to) {
    if (to > place.index) this.#emit("gap", { chat: place.chat, from: place.index + 1, to });
    place.index = Math.max(place.index, to);
  }

  /** @param {Connection} connection @param {Place} place @param {number} upto */
  async #fetchMessages(connection, place, upto) {
    const wanted = { chat: place.chat, from: place.index + 1, count: PAGE, dir: "newer" };
    const { messages = [] } = await this.#repeat(connection, "history", wanted);
    for (const message of messages) {
      this.#skip(place, message.index - 1);
      this.#give(place, { ev: "message", ...message });
    }
    if (!messages.length) this.#skip(place, upto);
  }

  /** @param {Connection} connection @param {Place} place @param {number} upto */
  async #fetchChanges(connection, place, upto) {
    const wanted = { chat: place.chat, after: Math.max(place.rev, place.covered) };
    const { changes = [], rev = upto, more } = await this.#repeat(connection, "changes", wanted);
    for (const change of changes) {
      while (place.index < change.index) await this.#fetchMessages(connection, place, change.index);
      this.#give(place, { ev: "changed", ...change });
    }
    place.rev = Math.max(place.rev, changes.length ? 0 : upto, more ? 0 : rev);
  }

  async #sync(/** @type {Connection} */ connection) {
    let [have, states] = [this.#known(({ index, rev }) => [index, rev]), this.#known(({ state }) => state)];
    let [isAway, counts] = [false, {}];
    this.#early ??= [];
    const [gone, heads] = /** @type {[number[], Native.ChatHead[]]} */ ([[], []]);
    for (let before = null, page; before !== undefined; before = page.before) {
      const synced = new Promise((resolve) => { this.#synced = resolve; });
      const wanted = { epoch: this.epoch, have, states, window: WINDOW, timeline: this.options.timeline, before };
      page = await this.#repeat(connection, "sync", wanted);
      if (page.error) throw page.error;
      counts = await synced;
      if (page.reset) [have, states, this.#chats] = [{}, {}, new Map()];
      if (page.reset) this.#emit("reset", { epoch: page.epoch });
      [this.epoch, isAway] = [page.epoch, isAway || page.away.length > 0];
      gone.push(...page.gone);
      heads.push(...page.chats);
      for (const head of page.chats) {
        this.#emit("head", head);
        const [chat, covered] = [head.chat, head.changes_after ?? head.rev];
        const index = Math.max(0, Math.min((head.gap?.from ?? head.first) - 1, head.head));
        const place = this.#chats.get(chat) ?? { chat, index, rev: covered, covered, state: 0 };
        this.#chats.set(chat, Object.assign(place, { state: head.state ?? place.state })); // an older server has none
        if (chat in have) place.covered = covered;
        this.#skip(place, head.gap?.to ?? 0);
      }
    }
    if (isAway) this.#timers.push(setTimeout(() => this.#sync(connection).catch(() => connection.drop()), AWAY_MS));
    const early = this.#early.sort((one, other) => (one.rev ?? 0) - (other.rev ?? 0) || one.index - other.index);
    this.#early = undefined;
    early.forEach((event) => this.#receive(event)); // messages first
    const reached = gone.map((chat) => this.#reach(chat, 0, 0, { ev: "gone", chat, why: "unknown" }));
    reached.push(...heads.map(({ chat, head, rev }) => this.#reach(chat, head, rev)));
    Promise.all(reached).then(() => this.#emit("synced", counts));
  }

  #store(/** @type {Draft[]} */ drafts) {
    this.options.storage?.setItem(this.options.key, JSON.stringify({ account: this.account, outbox: drafts }));
    this.outbox = drafts;
  }

  /** After those before it to the same chat. @param {Draft} draft */
  #post(draft) {
    const connection = this.#connection;
    connection?.queue(`send ${draft.chat || -(draft.to ?? 0)}`, async () => {
      const { error, ...reply } = await this.#repeat(connection, "send", draft);
      if (error?.code === "unauthenticated") return; // it is sent again after the next login
      this.#store(this.outbox.filter((one) => one !== draft));
      const waiting = this.#sends.get(draft);
      this.#sends.delete(draft);
      this.#emit("outcome", { nonce: draft.nonce, ...(error ? { error } : { reply }) });
      if (error) return waiting?.reject(error);
      waiting?.resolve(reply);
      this.#sent(draft, reply);
    }, Promise.resolve());
  }

  /** Gives it as a message: this connection gets no event of it. @param {Draft} draft @param {any} reply */
  #sent({ segments, text = "", reply_to }, { chat, index, id, time, again }) {
    const shown = segments?.length ? segments : [{ t: "text", text }];
    const isPlain = !again && shown.every(({ t }) => t !== "image" && t !== "file"); // else it is fetched as it is shown
    const event = { ev: "message", chat, index, id, sender: this.account, time, segments: shown, reply_to };
    this.#reach(chat, isPlain ? index - 1 : index, 0, isPlain ? event : undefined);
  }
}
