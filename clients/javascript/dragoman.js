/**
 * A client of Dragoman's native dialect, for browsers and Node, without dependencies: docs/javascript.md describes it.
 *
 * @import * as Native from "./native.d.ts"
 * @typedef {Omit<Native.SendParameters, "id">} Draft
 * @typedef {{chat: number, index: number, rev: number, covered: number, state: number}} Place  What was given of a chat; a
 *   gap names what was not. `covered`: a sync has sent the changes up to this one. `state`: of the last head.
 * @typedef {{[E in Native.Event as E["ev"]]: E} & {verify: Native.VerificationInfo, head: Native.ChatHead,
 *   gap: {chat: number, from: number, to: number}, reset: {epoch: string}, state: {state: Dragoman["state"], error?: DragomanError},
 *   storage: {error: unknown}, outcome: {nonce: string, draft: Draft, reply?: Native.SendReply, error?: DragomanError}}} Events
 * @typedef {{WebSocket?: typeof WebSocket, storage?: Omit<Storage, "clear">, key?: string, epoch?: string,
 *   have?: Record<string, number[]>, outboxLimit?: number, timeline?: number, random?: () => number}} Options
 */

const [FIRST_DELAY_MS, LAST_DELAY_MS, RETRY_MS, AWAY_MS, OTHER_MS] = [500, 30_000, 1000, 5000, 10_000];
const [STABLE_MS, PING_MS, SILENT_PINGS, DAY_MS, REPEAT_MS] = [10_000, 20_000, 3, 86_400_000, 30_000]; // STABLE_MS: no longer delays
const [PAGE, WINDOW, MOST_CHATS, MOST_QUEUED, DRAFT_BYTES] = [100, 100, 1000, 10_000, 65_000];
/** By close code, if its reason is not JSON; undefined: it does not come back. Others: OTHER_MS, the client has a fault. */
const DELAYS_MS = new Map([[1000, undefined], [1001, 0], [1005, 0], [1006, 0], [1011, 0], [1012, 0], [1013, RETRY_MS],
  [4001, RETRY_MS], [4003, undefined], [4008, 60_000]]);
const [IN_ORDER, LOGINS] = [["message", "changed", "gone"], ["login", "register", "token", "refresh", "password"]];
const CHANGES = ["edit", "recall", "react", "unreact", "pin", "unpin"];
const MAKES = ["create", "link", "create_hook", "create_outgoing_hook", "create_bot", "create_bot_token"]; // under a nonce
/** An error reply, or `unavailable` without a connection. `unknown`: the command may have had its effect. */
export class DragomanError extends Error {
  constructor(/** @type {Partial<Native.ErrorInfo>} */ { code = "internal", text = code, field, retry_ms, unknown = false }) {
    super(text);
    this.code = code;
    this.field = field;
    this.retry_ms = Number.isFinite(retry_ms) ? Math.min(Math.max(retry_ms ?? 0, 0), DAY_MS) : undefined;
    this.unknown = unknown;
  }
}

/** A UUID of version 7: it begins with the time, so that the server keeps new nonces beside each other. */
export const newNonce = () => {
  const random = [...crypto.getRandomValues(new Uint8Array(18))].map((byte) => (byte & 15).toString(16));
  const digits = [...Date.now().toString(16).padStart(12, "0"), ...random];
  return "xxxxxxxx-xxxx-7xxx-8xxx-xxxxxxxxxxxx".replaceAll("x", () => digits.shift() ?? "");
};
const parsed = (/** @type {any} */ text) => { // an object, or undefined
  try { return [JSON.parse(text)].find((value) => value instanceof Object); } catch { return undefined; }
};
const pause = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const failure = (/** @type {string} */ code, /** @type {string} */ text) => new DragomanError({ code, text });
const disconnected = (text = "there is no connection") => failure("unavailable", text);

/** One WebSocket: commands with their replies, work in order, and a watch for silence. */
class Connection {
  /** `pings`: that were sent since; NaN: the reply may take as long as it likes.
   * @type {Map<number, {resolve: (reply: any) => void, reject: (error: DragomanError) => void, pings: number}>} */
  #waiting = new Map();
  #queues = /** @type {Map<string, Promise<void>>} */ (new Map());
  #queued = 0;
  #ids = 0;
  #bye = undefined;
  #heard = false;
  #timer = setInterval(() => {
    if (!this.#heard || [...this.#waiting.values()].some((one) => ++one.pings > SILENT_PINGS)) return this.drop();
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
    socket.onclose = ({ code, reason }) => this.#over(code, parsed(reason));
  }
  get isOpen() { return !this.isOver && this.socket.readyState === 1; }
  /** The server's answer, an `error` too. Rejects when the connection ends before it: that answers nothing.
   * @param {string} op @param {object} [params] @returns {Promise<any>} */
  exchange(op, params) {
    return new Promise((resolve, reject) => {
      const frame = JSON.stringify({ ...params, op, id: ++this.#ids });
      if (this.isOver) throw disconnected();
      this.#waiting.set(this.#ids, { resolve, reject, pings: 0 });
      if (this.isOpen) this.socket.send(frame); // else its end comes
    });
  }
  /** Rejects with a DragomanError. @param {string} op @param {object} [params] @returns {Promise<any>} */
  request(op, params) { return this.exchange(op, params).then(({ error, ...reply }) => { if (error) throw error; return reply; }); }
  /** After the work before it under this key. @param {string} key @param {() => Promise<any>} work @param {Promise<void>} first */
  queue(key, work, first) {
    if (++this.#queued > MOST_QUEUED) this.drop(); // the next sync brings it
    const before = this.#queues.get(key) ?? first;
    const done = before.then(() => this.isOver || work()).catch(() => this.drop()).finally(() => { this.#queued -= 1; });
    return this.#queues.set(key, done) && done;
  }
  drop() { this.#over(1006); this.socket.close(1000); } // without waiting for the other side
  #take(/** @type {any} */ frame) {
    if (this.isOver || !frame) return;
    this.#heard = true;
    if (frame.ev === "bye") this.#bye = frame;
    if (frame.ev) return this.receive(frame);
    const id = frame.error ? frame.re ?? this.#waiting.keys().next().value : frame.re; // replies come in order
    const waiting = this.#waiting.get(id);
    if (waiting && frame.verify) waiting.pings = NaN;
    if (frame.verify) return this.receive({ ev: "verify", ...frame.verify }); // the reply follows
    this.#waiting.delete(id);
    waiting?.resolve(frame.error ? { error: new DragomanError(frame.error) } : frame);
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
  #last = 0; // of the order of the storage
  #attempts = 0;
  #chats = /** @type {Map<number, Place>} */ (new Map());
  /** What the caller waits for. @type {{op: string, params: object, resolve: Function, reject: Function} | undefined} */
  #entry;
  #connection = /** @type {Connection | undefined} */ (undefined);
  #sends = /** @type {Map<Draft, {resolve: Function, reject: Function}[]>} */ (new Map());
  #handlers = /** @type {Map<string, Set<Function>>} */ (new Map());
  #ready = Promise.resolve();
  #early = /** @type {any[] | undefined} */ (undefined); // what has come before the end of a sync
  #synced = (/** @type {any} */ _event) => {};
  #timers = /** @type {number[]} */ ([]);
  /** @param {string} url  `wss://host`, or with a path. @param {Options} [options] */
  constructor(url, options = {}) {
    this.url = new URL(url);
    if (this.url.pathname === "/") this.url.pathname = "/ws/native";
    this.options = { WebSocket: globalThis.WebSocket, key: "dragoman", outboxLimit: 1000, timeline: 20, random: Math.random, ...options };
    this.account = this.#stored((storage) => parsed(storage.getItem(this.options.key))?.account) ?? 0;
    this.outbox = this.#stored((storage) => this.#load(storage)) ?? [];
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
    if (!this.#connection?.isOpen) throw disconnected();
    const { chat, index, token } = /** @type {any} */ (params ?? {});
    const reply = await (MAKES.includes(op) ? this.#make(op, params ?? {}) : this.#connection.request(op, params));
    if (LOGINS.includes(op) && reply.account === this.account) this.#token = reply.token ?? token ?? this.#token;
    const sent = op === "send" ? [reply] : op === "forward" ? reply.results ?? [] : []; // no event comes here of these
    for (const one of sent) if (one.index) this.#reach(one.chat, one.index, 0);
    if (CHANGES.includes(op)) this.#reach(chat, index, reply.rev);
    return reply;
  }
  /** Repeats what makes something until its result is known. @param {string} op @param {any} params @returns {Promise<any>} */
  async #make(op, params) {
    const [named, end] = [{ ...params, nonce: params.nonce || newNonce() }, Date.now() + REPEAT_MS];
    for (let lost = /** @type {any} */ (undefined); ; await pause(RETRY_MS * (1 + this.options.random()))) {
      try { if (!lost || this.state === "online") return await this.#connection?.request(op, named); } catch (/** @type {any} */ error) {
        if (!error.unknown && (!lost || error.retry_ms === undefined)) throw error;
        lost ??= error;
      }
      if (this.state === "ended" || Date.now() > end) throw lost;
    }
  }
  /** Puts a message into the outbox. Resolves when the server has stored it, after any number of connections.
   * @param {Omit<Draft, "nonce"> & {nonce?: string}} message @returns {Promise<Native.SendReply>} */
  async send(message) {
    const text = JSON.stringify({ ...message, nonce: message.nonce || newNonce() });
    if (new TextEncoder().encode(text).length > DRAFT_BYTES) throw failure("too_large", "the message is too long");
    const parts = JSON.parse(text);
    const known = this.outbox.find(({ nonce }) => nonce === parts.nonce);
    if (known && JSON.stringify(known) !== text) throw failure("conflict", "another message of the outbox has this nonce");
    if (!known && this.outbox.length >= this.options.outboxLimit) throw failure("limit", "the outbox is full");
    const draft = known ?? this.#keep(parts);
    return new Promise((resolve, reject) => { this.#sends.set(draft, [...(this.#sends.get(draft) ?? []), { resolve, reject }]); });
  }
  /** Ends the connection, and the waiting for results. The outbox stays, and is sent after the next login. */
  close() {
    const error = new DragomanError({ code: "unavailable", text: "the client is closed", unknown: true });
    for (const { reject } of [...this.#sends.values()].flat()) reject(error);
    this.#sends.clear();
    this.#lost(error, "");
  }
  /** @param {string} token @param {string} op @param {object} params @returns {Promise<any>} */
  #enter(token, op, params) {
    if (this.#connection || this.#timers.length) this.#lost(disconnected("another login has begun"), "");
    this.#token = token;
    const entered = new Promise((resolve, reject) => { this.#entry = { op, params, resolve, reject }; });
    this.#connect();
    return entered;
  }
  #connect() {
    this.#emit("state", { state: this.state = "connecting" });
    this.#early = [];
    for (const place of this.#chats.values()) place.covered = place.rev;
    const end = (/** @type {any} */ error) => {
      if (this.#connection === connection) this.#lost(error instanceof DragomanError ? error : failure("internal", `${error}`));
    };
    const socket = new this.options.WebSocket(this.url, "dragoman");
    const connection = this.#connection = new Connection(socket, (event) => this.#receive(event), end);
    this.#ready = this.#begin(connection).catch(end);
  }
  /** Ends with the sync; events of chats wait for it. @param {Connection} connection */
  async #begin(connection) {
    await connection.opened;
    const { op, params } = this.#entry ?? { op: "token", params: { token: this.#token } };
    const { account, token = this.#token, ...reply } = await connection.request(op, params);
    const owner = this.#stored((storage) => parsed(storage.getItem(this.options.key))?.account) || this.account;
    if (owner && owner !== account) throw failure("conflict", "this client is another account's");
    [this.account, this.#token] = [account, token];
    this.#stored((storage) => storage.setItem(this.options.key, JSON.stringify({ account })));
    this.#entry = this.#entry?.resolve({ account, token, ...reply });
    this.#timers.push(setTimeout(() => { this.#attempts = 0; }, STABLE_MS));
    this.#emit("state", { state: this.state = "online" });
    for (const draft of this.outbox) this.#post(draft);
    await this.#sync(connection);
  }
  #lost(/** @type {DragomanError} */ error, token = this.#token) {
    const connection = this.#connection;
    [this.#token, this.#connection] = [token, undefined];
    this.#timers.splice(0).forEach((timer) => clearTimeout(timer));
    connection?.drop();
    if (this.#token && (error.retry_ms !== undefined || error.code === "internal")) {
      const jitter = this.options.random() * Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts++);
      this.#timers.push(setTimeout(() => this.#connect(), (error.retry_ms ?? 0) + jitter));
      return this.#emit("state", { state: this.state = "waiting", error });
    }
    [this.#token, this.#entry] = ["", this.#entry?.reject(error)];
    this.#emit("state", { state: this.state = "ended", error });
  }
  #emit(/** @type {string} */ kind, /** @type {any} */ value) {
    for (const handler of this.#handlers.get(kind) ?? []) // what it throws is the caller's own
      try { handler(value); } catch (error) { queueMicrotask(() => { throw error; }); }
  }
  /** Repeats a command as long as the server asks for it; gives another error as a reply. Rejects without the connection.
   * @param {Connection} connection @param {string} op @param {object} params @returns {Promise<any>} */
  async #repeat(connection, op, params) {
    for (;;) {
      const reply = await connection.exchange(op, params);
      const { retry_ms = reply.error?.unknown ? RETRY_MS : undefined } = reply.error ?? {};
      if (retry_ms === undefined) return reply;
      await pause(retry_ms * (1 + this.options.random()));
    }
  }
  #receive(/** @type {any} */ event) {
    const { ev, chat, index = 0, rev = 1, head, first } = event;
    if (IN_ORDER.includes(ev) && ![chat, index, rev].every(Number.isInteger)) return;
    if (ev === "synced") this.#synced(event);
    else if (this.#early && (ev === "message" || ev === "changed")) this.#early.push(event);
    else if (ev === "message") this.#reach(chat, index - 1, 0, event);
    else if (IN_ORDER.includes(ev)) this.#reach(chat, index, rev - 1, event);
    else this.#emit(ev, event);
    const begins = ev === "chat" && !this.#chats.has(chat) && [chat, head, first, rev].every(Number.isInteger);
    if (begins) this.#skip(this.#placed(event), head - this.options.timeline); // newer than the sync
  }
  /** The place in a chat; in a new one, that of its head or of its event. @param {any} head @returns {Place} */
  #placed({ chat, head, first, rev, changes_after: covered = rev, gap }) {
    const index = Math.max(0, Math.min((gap?.from ?? first) - 1, head));
    const place = this.#chats.get(chat) ?? { chat, index, rev: covered, covered, state: 0 };
    return this.#chats.set(chat, place) && place;
  }
  /** Gives an event after all messages up to an index and all changes up to a `rev`. What is missing of them is fetched.
   * @param {number} chat @param {number} index @param {number} rev @param {any} [event] */
  #reach(chat, index, rev, event) {
    const connection = this.#connection;
    return connection?.queue(`chat ${chat}`, async () => {
      const place = this.#chats.get(chat) // or newer than the sync, and its event is still to come, or names no head
        ?? this.#skip(this.#placed({ chat, head: 0, first: 1, rev: 0 }), index - this.options.timeline);
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
    return Object.assign(place, { index: Math.max(place.index, to) });
  }
  /** @param {Connection} connection @param {Place} place @param {number} upto */
  async #fetchMessages(connection, place, upto) {
    const wanted = { chat: place.chat, from: place.index + 1, count: PAGE, dir: "newer" };
    const { messages = [] } = await this.#repeat(connection, "history", wanted);
    for (const message of messages) this.#give(this.#skip(place, message.index - 1), { ev: "message", ...message });
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
      if (page.reset) [have, states, this.#chats] = [{}, {}, new Map()], this.#emit("reset", { epoch: page.epoch });
      [this.epoch, isAway] = [page.epoch, isAway || page.away.length > 0];
      gone.push(...page.gone), heads.push(...page.chats);
      for (const head of page.chats) {
        this.#emit("head", head);
        const place = this.#skip(this.#placed(head), head.gap?.to ?? 0);
        place.state = head.state ?? place.state; // an older server has none
        if (place.chat in have) place.covered = head.changes_after ?? head.rev;
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
  /** What fails is only not kept. @template T @param {(storage: Omit<Storage, "clear">) => T} work */
  #stored(work, { storage } = this.options) {
    try { return storage && work(storage); } catch (error) { queueMicrotask(() => this.#emit("storage", { error })); }
  }
  /** Each message has an entry of its own, so that pages can share a storage. @param {Draft} [draft] */
  #entryOf(draft) { return `${this.options.key}/${draft?.nonce ?? ""}`; }
  #load(/** @type {Omit<Storage, "clear">} */ storage) {
    const names = Array.from({ length: storage.length }, (_, at) => storage.key(at) ?? "");
    const entries = names.filter((name) => name.startsWith(this.#entryOf())).map((name) => parsed(storage.getItem(name)));
    const known = entries.filter((entry) => entry?.draft?.nonce).sort((one, other) => one.at - other.at);
    return known.map(({ at, draft }) => { this.#last = at; return draft; });
  }
  #keep(/** @type {Draft} */ draft) {
    this.outbox = [...this.outbox, draft];
    this.#last = Math.max(Date.now(), this.#last + 1);
    this.#stored((storage) => storage.setItem(this.#entryOf(draft), JSON.stringify({ at: this.#last, draft })));
    if (this.state === "online") this.#post(draft);
    return draft;
  }
  /** After those before it to the same chat. @param {Draft} draft */
  #post(draft) {
    const connection = this.#connection;
    connection?.queue(`send ${draft.chat || -(draft.to ?? 0)}`, async () => {
      const { error, ...reply } = await this.#repeat(connection, "send", draft);
      if (error?.code === "unauthenticated") return pause(RETRY_MS).then(() => connection.drop()); // the next login sends it
      this.outbox = this.outbox.filter((one) => one !== draft);
      this.#stored((storage) => storage.removeItem(this.#entryOf(draft)));
      this.#emit("outcome", { nonce: draft.nonce, draft, ...(error ? { error } : { reply }) });
      for (const { resolve, reject } of this.#sends.get(draft) ?? []) error ? reject(error) : resolve(reply);
      this.#sends.delete(draft);
      if (!error) this.#sent(draft, reply);
    }, Promise.resolve());
  }
  /** Gives it as a message: this connection gets no event of it. @param {Draft} draft @param {any} reply */
  #sent({ segments, text = "", reply_to }, { chat, index, id, time, again }) {
    if (!Number.isInteger(chat) || !Number.isInteger(index)) return;
    const shown = segments?.length ? segments : [{ t: "text", text }];
    const isPlain = !again && shown.every(({ t }) => t !== "image" && t !== "file"); // else it is fetched as it is shown
    const event = { ev: "message", chat, index, id, sender: this.account, time, segments: shown, reply_to };
    this.#reach(chat, isPlain ? index - 1 : index, 0, isPlain ? event : undefined);
  }
}
