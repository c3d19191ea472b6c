/**
 * What the page has sent, and what came of it: acknowledged, rejected, received by whom and when. Pure: times (ms of
 * the page's own clock) are arguments.
 *
 * A message is known by its text, since frames carry nothing else: of equal texts, the oldest that its recipient still
 * misses.
 *
 * @typedef {{sender: string, text: string, sentAt: number, acknowledgedAt: number, state: "sent"|"acknowledged"|
 *   "rejected"|"unknown", reason: string, index: number, nonce: string, recipients: string[],
 *   received: Map<string, number>}} Entry  `nonce`: its name, set by its sender. `acknowledgedAt`: 0 without an acknowledgement. "unknown": the connection ended before the reply.
 * @typedef {{sent: number, due: number, received: number, lost: number, repeated: number}} Counts
 *   `due`: deliveries of acknowledged messages, one for each recipient; `received`: of these.
 */

/** A recipient that has got a later message misses an earlier one for good after so long: a chat keeps its order. */
const ORDER_MS = 5_000;
/** A recipient that is connected for so long has got everything. */
const QUIET_MS = 30_000;
const REMEMBERED = 2_000;

export class Ledger {
  /** @type {Entry[]} */
  #open = [];
  /** Received by all: remembered for repeated deliveries. @type {Entry[]} */
  #done = [];
  #closed = { sent: 0, due: 0 };
  #repeated = 0;

  /** @param {string} sender @param {string} text @param {string[]} recipients @param {number} now @returns {Entry} */
  add(sender, text, recipients, now) {
    /** @type {Entry} */
    const entry = {
      sender, text, sentAt: now, acknowledgedAt: 0, state: "sent", reason: "", index: 0, nonce: "",
      recipients, received: new Map(),
    };
    this.#open.push(entry);
    return entry;
  }

  /** @param {Entry} entry @param {number} now @param {number} index */
  acknowledge(entry, now, index = 0) {
    Object.assign(entry, { acknowledgedAt: now, state: "acknowledged", index });
    this.#settle(entry);
  }

  /** The server has answered with an error: nothing is stored. @param {Entry} entry @param {string} reason */
  reject(entry, reason) {
    Object.assign(entry, { state: "rejected", reason });
    this.#open.splice(this.#open.indexOf(entry), 1);
  }

  /** The connection ended before the reply. @param {Entry} entry */
  forget(entry) {
    if (entry.state === "sent") entry.state = "unknown";
  }

  /**
   * The message that a recipient has received; null if the page has not sent it. `isFirst`: it was not received before.
   *
   * @param {string} recipient @param {(entry: Entry) => boolean} matches @param {number} now
   * @param {boolean} [isOld]  It may have come before: from the history, or after this page has closed a connection.
   * @returns {{entry: Entry, isFirst: boolean}|null}
   */
  receive(recipient, matches, now, isOld = false) {
    /** @param {Entry} entry */
    const isTheirs = (entry) => entry.recipients.includes(recipient) && matches(entry);
    const entry = this.#open.find((one) => isTheirs(one) && !one.received.has(recipient));
    if (entry) {
      entry.received.set(recipient, now);
      if (entry.state === "unknown") this.acknowledge(entry, now); // it was stored, or nobody would receive it
      else this.#settle(entry);
      return { entry, isFirst: true };
    }
    const before = this.#done.findLast(isTheirs) ?? this.#open.find(isTheirs);
    if (!before || isOld) return before ? { entry: before, isFirst: false } : null;
    this.#repeated += 1;
    return { entry: before, isFirst: false };
  }

  /**
   * @param {number} now
   * @param {(recipient: string) => number} connectedSince  When the recipient's login was; Infinity without one.
   * @returns {Counts}
   */
  count(now, connectedSince) {
    const acknowledged = this.#open.filter((entry) => entry.state === "acknowledged");
    const due = acknowledged.flatMap((entry) => entry.recipients.map((recipient) => ({ entry, recipient })));
    const missing = due.filter(({ entry, recipient }) => !entry.received.has(recipient));
    const lost = missing.filter(({ entry, recipient }) =>
      this.#overtaken(entry, recipient, now) ||
      now - Math.max(entry.acknowledgedAt, connectedSince(recipient)) > QUIET_MS).length;
    return {
      sent: this.#closed.sent + acknowledged.length,
      due: this.#closed.due + due.length,
      received: this.#closed.due + due.length - missing.length,
      lost,
      repeated: this.#repeated,
    };
  }

  /** Whether the recipient got a message that was sent after this one's acknowledgement, some time ago.
   * @param {Entry} entry @param {string} recipient @param {number} now */
  #overtaken(entry, recipient, now) {
    return [...this.#open, ...this.#done].some((other) =>
      other.sentAt > entry.acknowledgedAt && now - (other.received.get(recipient) ?? Infinity) > ORDER_MS);
  }

  /** @param {Entry} entry */
  #settle(entry) {
    if (entry.state !== "acknowledged" || entry.received.size < entry.recipients.length) return;
    this.#open.splice(this.#open.indexOf(entry), 1);
    this.#done.push(entry);
    this.#closed.sent += 1;
    this.#closed.due += entry.recipients.length;
    if (this.#done.length > REMEMBERED) this.#done.shift();
  }
}
