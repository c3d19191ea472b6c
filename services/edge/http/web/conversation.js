/**
 * The users of the page and what they have sent: the one place that the views look at. Views subscribe; changes are
 * announced once per frame of the display.
 */

import { Ledger } from "./ledger.js";

/** @typedef {import("./person.js").Person} Person */
/** @typedef {import("./ledger.js").Entry} Entry */
/** @typedef {import("./codecs/events.js").MessageEvent} MessageEvent */

export class Conversation {
  chat = 0;
  /** @type {Person[]} */
  people = [];
  ledger = new Ledger();
  /** The latest message that somebody has received. @type {Entry|null} */
  latest = null;
  /** The way of the chat's last message, as its processes remember it. @type {import("./system.js").MessageTimes|null} */
  times = null;
  /** @type {WeakMap<Entry, Record<string, string>>} By message: the dialect and edge of each user when it was sent. */
  ways = new WeakMap();
  /** @type {(person: Person) => void} */
  loginRejected = () => {};
  /** @type {(() => void)[]} */
  #views = [];
  #isDue = false;

  /** @param {() => void} view */
  subscribe(view) {
    this.#views.push(view);
    this.changed();
  }

  changed() {
    if (this.#isDue) return;
    this.#isDue = true;
    const show = () => { this.#isDue = false; this.#views.forEach((view) => view()); };
    if (document.hidden) setTimeout(show, 250);
    else requestAnimationFrame(show);
  }

  /** @param {Person} person @param {string} text */
  send(person, text) {
    const recipients = this.people.filter((other) => other !== person).map((other) => other.name);
    const entry = this.ledger.add(person.name, text, recipients, performance.now());
    this.ways.set(entry, Object.fromEntries(this.people.map((one) => [one.name, `${one.codec.label}, ${one.edge.name}`])));
    person.post(entry);
  }

  counts() {
    const since = (/** @type {string} */ name) => this.people.find((person) => person.name === name)?.since ?? Infinity;
    return this.ledger.count(performance.now(), since);
  }

  /** @param {Entry} entry @param {number} index */
  acknowledged(entry, index) {
    this.ledger.acknowledge(entry, performance.now(), index);
    this.changed();
  }

  /** @param {Entry} entry @param {string} reason */
  rejected(entry, reason) {
    this.ledger.reject(entry, reason);
    this.changed();
  }

  /** @param {Entry} entry */
  unknown(entry) {
    this.ledger.forget(entry);
    this.changed();
  }

  /** @param {Person} person @param {MessageEvent} event @param {boolean} [mayRepeat]  It may have come before. */
  received(person, event, mayRepeat = false) {
    if (event.chat && event.chat !== this.chat) return;
    const { author, text } = this.#authorOf(event);
    const matches = (/** @type {Entry} */ entry) =>
      (author === "" || entry.sender === author) && (entry.text === text || entry.text === event.text);
    const found = this.ledger.receive(person.name, matches, performance.now(), event.isOld || mayRepeat);
    if (event.isOld && !found?.isFirst) return; // it is in the transcript, or from before this page
    if (mayRepeat && found && !found.isFirst) return;
    if (found?.isFirst) this.latest = found.entry;
    person.addLine({
      author, text, isOwn: author === person.name, entry: null, kind: "message",
    });
  }

  /** The author as far as the frame names one; the server puts the name before a text to pipe's groups. Where session
   * does not answer, the name is the account's number.
   * @param {MessageEvent} event */
  #authorOf(event) {
    const shown = (/** @type {Person} */ { name, account }) => [name, String(account.number)];
    const named = this.people.find((person) =>
      event.sender ? person.account.number === event.sender : shown(person).includes(event.senderName));
    if (named) return { author: named.name, text: event.text };
    if (event.senderName || event.sender) return { author: event.senderName || `user ${event.sender}`, text: event.text };
    for (const person of this.people) {
      const prefix = shown(person).map((name) => `${name}: `).find((one) => event.text.startsWith(one));
      if (prefix) return { author: person.name, text: event.text.slice(prefix.length) };
    }
    return { author: "", text: event.text };
  }
}
