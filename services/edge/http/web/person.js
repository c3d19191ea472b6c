/**
 * One user of the page: an account, its dialect, its edge, and a connection that comes back.
 *
 * @typedef {import("./codecs/events.js").Account} Account
 * @typedef {import("./codecs/events.js").Codec} Codec
 * @typedef {import("./codecs/events.js").ClientEvent} ClientEvent
 * @typedef {import("./codecs/events.js").MessageEvent} MessageEvent
 * @typedef {import("./connection.js").WireFrame} WireFrame
 * @typedef {import("./ledger.js").Entry} Entry
 * @typedef {{id: number, kind: "message"|"note", author: string, isOwn: boolean, text: string, time: Date,
 *   entry: Entry|null}} Line  `entry`: of a message that this page has sent. An empty `author`: the frame names none.
 * @typedef {{name: string, url: string}} Edge
 */

import { Connection, Ended, Rejected } from "./connection.js";
import { random } from "./setup.js";

const PAUSES_MS = [200, 400, 800, 1500, 3000];
const REMEMBERED = 300;
/** After a login. */
const REPETITION_MS = 3_000;

export class Person {
  /** @type {Line[]} */
  lines = [];
  /** @type {WireFrame[]} */
  wire = [];
  /** @type {"connecting"|"connected"|"away"} */
  state = "connecting";
  /** When the login was; Infinity without one. */
  since = Infinity;
  /** Connections in a row that were never opened. */
  unopened = 0;
  error = "";
  linesMade = 0;
  framesSeen = 0;
  /** @type {Connection|null} */
  #connection = null;
  /** @type {Entry[]} */
  #outbox = [];
  #failures = 0;
  #timer = 0;
  #isSending = false;
  /** Sent without a reply, to be sent again under the same nonce. @type {WeakSet<Entry>} */
  #unanswered = new WeakSet();
  /** The last index of this connection's page of the history: a push of it, or of one before, is a repetition. */
  #historyHead = 0;
  /** This page has closed the connection before: what came last there comes again, since pages may drop it. */
  #closedBefore = false;

  /** @param {Account} account @param {Codec} codec @param {Edge} edge @param {import("./conversation.js").Conversation} conversation */
  constructor(account, codec, edge, conversation) {
    this.account = account;
    this.name = account.name;
    this.codec = codec;
    this.edge = edge;
    this.conversation = conversation;
  }

  /** Connects, and reconnects until the page is left. */
  async connect() {
    const connection = new Connection(this.edge.url + this.codec.path, this.codec, this.account.number, {
      frame: (frame) => this.#note(frame),
      event: (event) => this.#push(connection, event),
    });
    this.#connection = connection;
    this.#historyHead = 0;
    this.#become("connecting");
    connection.opened.then(() => this.#enter(connection)).catch((error) => this.#fail(connection, error));
    const ended = await connection.ended;
    if (this.#connection !== connection) return; // another dialect has replaced it
    this.unopened = ended.opened ? 0 : this.unopened + 1;
    this.since = Infinity;
    this.#closedBefore = false;
    this.#become("away");
    const pause = PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length - 1)];
    this.#failures += 1;
    this.#timer = setTimeout(() => this.connect(), pause);
  }

  /** The transcript stays; a note says where the dialect changes. @param {Codec} codec */
  changeDialect(codec) {
    if (codec === this.codec) return;
    this.codec = codec;
    this.addLine({ kind: "note", text: `From here on over ${codec.label}. ${codec.lack}` });
    this.#failures = 0;
    this.unopened = 0;
    this.error = "";
    this.#outbox.filter((entry) => this.#unanswered.has(entry)).forEach((entry) => this.conversation.unknown(entry));
    this.#outbox = this.#outbox.filter((entry) => !this.#unanswered.has(entry));
    this.#reconnect();
  }

  /** Sends a message now, or once the connection is back. @param {Entry} entry */
  post(entry) {
    entry.nonce = random(8);
    this.addLine({ kind: "message", author: this.name, isOwn: true, text: entry.text, entry });
    this.#outbox.push(entry);
    this.#send();
  }

  /** @param {Partial<Line>} fields */
  addLine(fields) {
    this.linesMade += 1;
    this.lines.push({
      id: this.linesMade, kind: "message", author: "", isOwn: false, text: "", time: new Date(), entry: null, ...fields,
    });
    if (this.lines.length > REMEMBERED) this.lines.shift();
    this.conversation.changed();
  }

  #reconnect() {
    clearTimeout(this.#timer);
    const before = this.#connection;
    this.#connection = null;
    this.since = Infinity;
    this.#closedBefore = true;
    before?.close();
    // The edge confirms at the connection's end which pushes have arrived: only then is the next login told the rest.
    (before?.ended ?? Promise.resolve()).then(() => { if (this.#connection === null) this.connect(); });
    this.#become("connecting");
  }

  /** @param {Connection} connection */
  async #enter(connection) {
    const { token } = await connection.request(this.codec.login(this.account), "login");
    if (token) this.account.token = token;
    for (const frame of this.codec.afterLogin(this.account, this.conversation.chat)) {
      if (!this.codec.answersAfterLogin) connection.notify(frame);
      else this.#readHistory(connection, (await connection.request(frame, "any")).messages);
    }
    this.#failures = 0;
    this.error = "";
    this.since = performance.now();
    this.#become("connected");
    this.#send();
  }

  /** @param {Connection} connection @param {Error} error */
  #fail(connection, error) {
    if (error instanceof Ended) return;
    if (!(error instanceof Rejected)) throw error;
    this.error = error.message;
    this.conversation.loginRejected(this);
    connection.close();
  }

  async #send() {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      while (this.state === "connected" && this.#connection?.isOpen && this.#outbox.length) await this.#post(this.#outbox[0]);
    } finally {
      this.#isSending = false;
    }
  }

  /** @param {Entry} entry */
  async #post(entry) {
    const connection = /** @type {Connection} */ (this.#connection);
    const seconds = Math.floor(Date.now() / 1000);
    const frame = this.codec.post(this.account, this.conversation.chat, entry.text, seconds, entry.nonce);
    if (!this.#unanswered.has(entry)) entry.sentAt = performance.now();
    this.#outbox.shift();
    try {
      const { index } = await connection.request(frame, "sent", entry.text);
      this.conversation.acknowledged(entry, index);
    } catch (error) {
      if (error instanceof Rejected) return this.conversation.rejected(entry, error.message);
      if (!(error instanceof Ended)) throw error;
      if (!connection.codec.repeats || connection.codec !== this.codec) return this.conversation.unknown(entry);
      this.#unanswered.add(entry);
      this.#outbox.unshift(entry);
    }
  }

  /** @param {Connection} connection @param {MessageEvent[]} messages  The newest first. */
  #readHistory(connection, messages) {
    messages.toReversed().forEach((event) => this.#receive(event));
    if (!messages.length) return;
    this.#historyHead = messages[0].index;
    this.#markRead(connection, messages[0]);
  }

  /** @param {Connection} connection @param {ClientEvent} event */
  #push(connection, event) {
    if (event.kind === "message" && event.index && event.index <= this.#historyHead) return;
    this.#receive(event);
    if (event.kind === "message") this.#markRead(connection, event);
  }

  /** @param {Connection} connection @param {MessageEvent} event */
  #markRead(connection, { chat, index }) {
    if (connection.codec.markRead && index) connection.notify(connection.codec.markRead(chat, index));
  }

  /** @param {ClientEvent} event */
  #receive(event) {
    if (event.kind === "message") {
      const mayRepeat = this.#closedBefore && performance.now() < this.since + REPETITION_MS;
      this.conversation.received(this, event, mayRepeat);
    }
    else if (event.kind === "media") this.addLine({ text: `A picture or file: ${event.text}` });
  }

  /** @param {WireFrame} frame */
  #note(frame) {
    this.framesSeen += 1;
    this.wire.push(frame);
    if (this.wire.length > REMEMBERED) this.wire.shift();
    this.conversation.changed();
  }

  /** @param {Person["state"]} state */
  #become(state) {
    this.state = state;
    this.conversation.changed();
  }
}
