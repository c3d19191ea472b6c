// A clock and a server for the tests of dragoman.js: time passes when a test says so, and the test plays the server.

import assert from "node:assert/strict";

export class FakeClock {
  now = 0;
  #timers = new Map();
  #last = 0;

  install() {
    globalThis.setTimeout = (work, ms = 0) => this.#add(work, ms, 0);
    globalThis.setInterval = (work, ms) => this.#add(work, ms, ms);
    globalThis.clearTimeout = globalThis.clearInterval = (id) => this.#timers.delete(id);
  }

  /** When the next timers are due, from now on. */
  get delays() {
    return [...this.#timers.values()].filter(({ every }) => !every).map(({ at }) => at - this.now).sort((a, b) => a - b);
  }

  async pass(ms) {
    const end = this.now + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, { at, every, work }] = due;
      this.now = at;
      if (every) this.#timers.set(id, { at: at + every, every, work });
      else this.#timers.delete(id);
      work();
    }
    this.now = end;
    await settled();
  }

  #add(work, ms, every) {
    this.#last += 1;
    this.#timers.set(this.#last, { at: this.now + ms, every, work });
    return this.#last;
  }
}

export class FakeStorage {
  items = new Map();
  get length() { return this.items.size; }
  key(at) { return [...this.items.keys()][at] ?? null; }
  getItem(key) { return this.items.get(key) ?? null; }
  setItem(key, value) { this.items.set(key, value); }
  removeItem(key) { this.items.delete(key); }
}

/** All that follows without time passing has happened. */
export async function settled() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => { setImmediate(resolve); });
}

/** A class of WebSockets, and those that were made of it. */
export function fakeSockets() {
  const sockets = [];
  class FakeSocket {
    readyState = 0;
    sent = [];
    constructor(url, protocol) {
      Object.assign(this, { url: String(url), protocol });
      sockets.push(this);
    }

    send(frame) {
      this.sent.push(JSON.parse(frame));
    }

    close(code) {
      Object.assign(this, { readyState: 3, closedWith: code });
    }

    // The server's side

    async open() {
      this.readyState = 1;
      this.onopen();
      await settled();
    }

    push(...frames) {
      for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
      return settled();
    }

    end(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason: typeof reason === "string" ? reason : JSON.stringify(reason) });
      return settled();
    }

    /** The oldest command of this kind that has not been taken. */
    async take(op) {
      await settled();
      const at = this.sent.findIndex((one) => one.op === op);
      assert.notEqual(at, -1, `no ${op} among ${JSON.stringify(this.sent)}`);
      return this.sent.splice(at, 1)[0];
    }

    has(op) {
      return this.sent.some((one) => one.op === op);
    }

    /** Replies to the oldest command of this kind, and returns it. */
    async reply(op, result = {}, ...events) {
      const command = await this.take(op);
      await this.push({ re: command.id, ...result }, ...events);
      return command;
    }

    async reject(op, error) {
      const command = await this.take(op);
      await this.push({ re: command.id, error: { text: "no", ...error } });
      return command;
    }
  }
  return { FakeSocket, sockets };
}

export const message = (index, more = {}) => ({
  ev: "message", chat: 5, index, id: 1000 + index, sender: 34, time: index, segments: [{ t: "text", text: `${index}` }], ...more,
});
export const change = (rev, index, more = {}) => ({
  ev: "changed", chat: 5, rev, index, kind: "recall", by: 34, time: rev, ...more,
});
export const head = (last, more = {}) => ({
  chat: 5, kind: "group", name: "Fruit", avatar: "", owner: 34, join_policy: "open", version: 1, head: last, time: last,
  first: 1, read: 0, unread: 0, rev: 0, ...more,
});
export const page = (chats = [], more = {}) => ({ epoch: "e1", reset: false, chats, gone: [], away: [], ...more });
export const SYNCED = { ev: "synced", chats: 0, messages: 0, changes: 0 };
