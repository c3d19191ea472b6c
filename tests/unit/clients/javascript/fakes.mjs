// A clock and a server for the tests of dragoman.js: time passes when a test says so, and the test plays the server.

import assert from "node:assert/strict";

import { Dragoman } from "../../../../clients/javascript/dragoman.js";

export class FakeClock {
  now = 0;
  #timers = new Map();
  #last = 0;

  install() {
    const start = Date.now();
    Date.now = () => start + this.now;
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

/** The epoch, and the index, `rev` and state of each chat, of a text as `sync` takes it. */
function positions(text) {
  assert.match(text, /^[\w-]+$/);
  const bytes = Buffer.from(text, "base64url");
  let at = 0;
  const read = (size) => bytes.readUIntBE((at += size) - size, size);
  assert.deepEqual([read(1), read(1)], [0x92, 0xdb]);
  const size = read(4);
  const epoch = bytes.toString("utf8", at, at += size);
  assert.equal(read(1), 0xdd);
  const numbers = Array.from({ length: read(4) }, () => {
    const first = read(1);
    assert.ok(first < 128 || (first >= 0xcc && first <= 0xcf));
    if (first === 0xcf) return read(2) * 2 ** 48 + read(6);
    return first < 128 ? first : read(2 ** (first - 0xcc));
  });
  assert.equal(at, bytes.length);
  const have = {};
  for (let chat = 0; numbers.length;) {
    const [step, ...place] = numbers.splice(0, 4);
    have[chat += step] = place;
  }
  return { epoch, have };
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
      Object.assign(this, { readyState: 3, sent: [] });
      this.onclose({ code, reason: typeof reason === "string" ? reason : JSON.stringify(reason) });
      return settled();
    }

    /** The oldest command of this kind that has not been taken. */
    async take(op) {
      await settled();
      const at = this.sent.findIndex((one) => one.op === op);
      assert.notEqual(at, -1, `no ${op} among ${JSON.stringify(this.sent)}`);
      const [command] = this.sent.splice(at, 1);
      return { ...command, ...(typeof command.have === "string" && positions(command.have)) };
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

/** Clients of account 12, and the server that the test plays. */
export class Stage {
  constructor() {
    this.clock = new FakeClock();
    this.clock.install();
    Object.assign(this, fakeSockets());
  }

  client(options = {}) {
    return new Dragoman("wss://chat.example", { WebSocket: this.FakeSocket, random: () => 0, ...options });
  }

  /** The latest socket, logged in by a token. */
  async enter(reply = page(), ...events) {
    const socket = this.sockets.at(-1);
    await socket.open();
    await socket.reply("token", { account: 12, sid: "s", expires: Date.now() + 3_600_000 });
    await socket.reply("sync", reply, ...events, SYNCED);
    return socket;
  }

  async online(options) {
    const client = this.client(options);
    const entered = client.token("t");
    const socket = await this.enter(page([head(2)]), message(1), message(2));
    await entered;
    return { client, socket };
  }
}
