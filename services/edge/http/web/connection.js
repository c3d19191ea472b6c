/**
 * One WebSocket in one dialect. It shows every frame as it is on the wire, and sends one request at a time: the dialects
 * have no request numbers, so the order of replies is all that tells them apart.
 *
 * @typedef {import("./codecs/events.js").Account} Account
 * @typedef {import("./codecs/events.js").Codec} Codec
 * @typedef {import("./codecs/events.js").ClientEvent} ClientEvent
 * @typedef {import("./codecs/events.js").ReplyEvent} ReplyEvent
 * @typedef {{frame: string, expects: string, echo: string, resolve: (reply: ReplyEvent) => void,
 *   reject: (error: Error) => void, sentAt: number}} Waiting  `echo`: the text of a message that is its own reply.
 * @typedef {{direction: "out"|"in", frame: string, at: number, took: number}} WireFrame
 *   `took`: ms from a request to its reply, 0 for other frames.
 */

const REPLY_MS = 15_000;

/** The server has answered with an error. */
export class Rejected extends Error {}

/** The connection has ended; a request that waited may have had its effect. */
export class Ended extends Error {
  /** @param {string} message @param {{opened: boolean, code: number}} how */
  constructor(message, how) {
    super(message);
    this.opened = how.opened;
    this.code = how.code;
  }
}

export class Connection {
  /** @type {Waiting[]} */
  #waiting = [];
  #timer = 0;

  /**
   * @param {string} url @param {Codec} codec @param {number} number  The account's own, by which its echoes are known.
   * @param {{frame: (frame: WireFrame) => void, event: (event: ClientEvent) => void}} listener
   */
  constructor(url, codec, number, listener) {
    this.codec = codec;
    this.number = number;
    this.listener = listener;
    this.socket = new WebSocket(url);
    let opened = false;
    /** @type {Promise<void>} */
    this.opened = new Promise((resolve) => this.socket.addEventListener("open", () => { opened = true; resolve(); }));
    /** @type {Promise<Ended>} */
    this.ended = new Promise((resolve) => this.socket.addEventListener("close", ({ code, reason }) => {
      const error = new Ended(reason || "the connection has ended", { opened, code });
      clearTimeout(this.#timer);
      this.#waiting.splice(0).forEach((one) => one.reject(error));
      resolve(error);
    }));
    this.socket.addEventListener("message", ({ data }) => this.#receive(data));
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /**
   * Resolves with the reply. Rejects with Rejected or Ended.
   *
   * @param {string} frame @param {ReplyEvent["kind"]} expects @param {string} [echo] @returns {Promise<ReplyEvent>}
   */
  request(frame, expects, echo = "") {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(new Ended("there is no connection", { opened: false, code: 0 }));
      this.#waiting.push({ frame, expects, echo, resolve, reject, sentAt: 0 });
      if (this.#waiting.length === 1) this.#send();
    });
  }

  /** Sends a frame that has no reply. @param {string} frame */
  notify(frame) {
    this.#write(frame);
  }

  close() {
    this.socket.close(1000);
  }

  #send() {
    clearTimeout(this.#timer);
    const [next] = this.#waiting;
    if (!next) return;
    next.sentAt = performance.now();
    this.#timer = setTimeout(() => this.socket.close(4000, "no reply"), REPLY_MS);
    this.#write(next.frame);
  }

  /** @param {string} frame */
  #write(frame) {
    this.listener.frame({ direction: "out", frame, at: performance.now(), took: 0 });
    this.socket.send(frame);
  }

  /** @param {string|Blob} data */
  #receive(data) {
    const at = performance.now();
    if (typeof data !== "string") {
      return this.listener.frame({ direction: "in", frame: `(binary, ${data.size} bytes)`, at, took: 0 });
    }
    const event = this.codec.decode(data);
    const [first] = this.#waiting;
    const answers = first !== undefined && isReply(event, first, this.number);
    this.listener.frame({ direction: "in", frame: data, at, took: answers ? at - first.sentAt : 0 });
    if (answers) {
      this.#waiting.shift();
      this.#send();
      settle(first, event);
    } else {
      this.listener.event(event);
    }
  }
}

/** @param {ClientEvent} event @param {Waiting} waiting @param {number} number */
function isReply(event, waiting, number) {
  if (event.kind === "message") return waiting.echo !== "" && event.sender === number && event.text === waiting.echo;
  return event.kind === "any" || event.kind === waiting.expects;
}

/** @param {Waiting} waiting @param {ClientEvent} event */
function settle(waiting, event) {
  if ("error" in event && event.error) return waiting.reject(new Rejected(event.error));
  waiting.resolve(/** @type {ReplyEvent} */ (event));
}
