// A soak of dragoman.js: two accounts with several devices each say, edit, react, read and upload, while their connections are cut,
// fall silent and end in the middle of a refresh, while pages restart, share their store, or go on with a copy of it.
//
//   node javascript_soak.mjs SEED STEPS PAT EDGE…      PAT: an account of an older protocol, 0 for none
//
// Its faults follow the seed. At the end each device must have what a fresh fetch has, and the server what was said. What
// is wrong is a line "wrong …"; "frames …" names a file of replies and events with their shapes.

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

import { Dragoman, applyChange, memoryStore, newNonce } from "../../clients/javascript/dragoman.js";

const [seed, steps, pat, frames, ...edges] = process.argv.slice(2).map((text) => (/^\d+$/.test(text) ? Number(text) : text));
const PATIENCE_MS = 90_000;
const SECRET = { scheme: "plain", value: "orange juice" };
const TEXTS = ["unavailable"]; // of closed clients: their entries stay in the store

let state = seed;
/** Mulberry32: a number from 0 to 1. */
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}
const any = (list) => list[Math.floor(random() * list.length)];
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const wrong = (...words) => { console.log("wrong", ...words); };
async function until(look, what) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end; await pause(50)) if (look()) return;
  throw new Error(`there was not within ${PATIENCE_MS / 1000} s: ${what()}`);
}

const sockets = new Set();
let isCalm = false;

/** A WebSocket to any of the edges, with faults. */
class HarmedSocket {
  #real;
  #isDeaf = false;
  constructor(url, protocol) {
    this.#real = new WebSocket(new URL(new URL(url).pathname, any(edges)), protocol);
    sockets.add(this);
    this.#real.onopen = () => this.onopen?.();
    this.#real.onerror = () => this.onerror?.();
    this.#real.onmessage = ({ data }) => { if (!this.#isDeaf) this.onmessage?.({ data }); };
    this.#real.onclose = ({ code, reason }) => this.#end(code, reason);
  }
  get readyState() { return this.#real.readyState; }
  send(text) {
    this.#real.send(text);
    if (!isCalm && text.includes('"op":"refresh"') && random() < 0.5) this.deafen(); // suspended in the middle of it
  }
  close(code) { sockets.delete(this); this.#real.close(code); }
  /** What it has sent arrives, no answer does. */
  deafen() {
    this.#isDeaf = true;
    setTimeout(() => this.cut(), random() * 300);
  }
  cut() {
    this.#end(1006, "");
    this.#real.close();
  }
  #end(code, reason) {
    if (!sockets.delete(this)) return;
    this.onclose?.({ code, reason });
  }
}

const shapes = new Map();
/** Remembers replies and events with the names of their shapes. */
function seen() {
  const operations = new Map();
  const pascal = (op) => op.split("_").map((word) => word[0].toUpperCase() + word.slice(1)).join("");
  return (direction, text) => {
    const frame = JSON.parse(text);
    if (direction === "out") return operations.set(frame.id, frame.op);
    const shape = frame.ev ? `${pascal(frame.ev)}Event` : frame.error ? "ErrorReply" : frame.verify ? "" : `${pascal(operations.get(frame.re) ?? "")}Reply`;
    const key = `${shape} ${Object.keys(frame).sort()}`;
    if (shape.length > 5 && !shapes.has(key)) shapes.set(key, [shape, frame]);
  };
}

/** What a device keeps: its store, and its messages, which survive restarts and are shared by its tabs. */
class Device {
  messages = new Map();
  clients = new Set();
  constructor(person, isRefreshed, store = memoryStore()) {
    Object.assign(this, { person, isRefreshed, store });
  }

  open() {
    const client = new Dragoman(edges[0], { store: this.store, cursor: true, timeline: 100, WebSocket: HarmedSocket, onFrame: seen() });
    const keep = (message) => {
      const key = `${message.chat}/${message.index}`;
      const before = this.messages.get(key);
      if (!before || (before.rev ?? 0) < (message.rev ?? 0)) this.messages.set(key, message);
    };
    client.on("message", ({ ev, ...message }) => keep(message));
    client.on("changed", (change) => {
      const key = `${change.chat}/${change.index}`;
      if (this.messages.has(key)) this.messages.set(key, applyChange(this.messages.get(key), change, client.account));
    });
    client.on("gap", async ({ chat, from, to }) => {
      for (let next = from; next <= to;) {
        const page = await this.page(client, chat, { from: next, dir: "newer", count: Math.min(100, to - next + 1) });
        page.forEach(keep);
        next = Math.max(next, ...page.map(({ index }) => index)) + 1;
      }
    });
    client.on("outcome", ({ op, params, error }) => { if (error) wrong("rejected", op, JSON.stringify(params), error.code, error.message); });
    client.on("store", ({ error }) => wrong("store", error));
    this.keep = keep;
    this.clients.add(client);
    const entered = this.isRefreshed ? client.resume() : client.token(this.person.token);
    entered.catch((error) => this.clients.has(client) && wrong("login", error.code, error.message));
    return client;
  }
  /** A page, however often it takes. */
  async page(client, chat, params) {
    for (;;) {
      try { return (await client.history(chat, params, { timeout_ms: 20_000 })).messages; } catch (error) {
        if (!this.clients.has(client)) return new Promise(() => {}); // it never keeps them
        if (error.code !== "unavailable" && error.code !== "rate_limited") throw error;
        await pause(100);
      }
    }
  }
  close(client) {
    this.clients.delete(client);
    client.close();
  }
}

/** An account. `texts`: what each of its messages must say, by the first text; `reactions`: whether it has reacted. */
class Person {
  devices = [];
  texts = new Map();
  reactions = new Map();
  reads = new Map();
  async register(name) {
    const client = new Dragoman(edges[0]);
    const reply = await client.register({ nickname: name, username: `${name}${newNonce().slice(0, 13).replace("-", "")}`, secret: SECRET });
    [this.name, this.account, this.token] = [name, reply.account, reply.token];
    client.close();
    for (let number = 0; number < 2; number += 1) {
      const own = new Device(this, true);
      const entering = new Dragoman(edges[0], { store: own.store });
      await entering.login({ identifier: `${this.account}`, kind: "id", secret: SECRET, refreshable: true });
      entering.close();
      this.devices.push(own);
      own.open();
    }
    return this;
  }
  get clients() { return this.devices.flatMap(({ clients }) => [...clients]); }
  get client() { return any(this.clients); }
}

const expected = (promise, what) => promise.catch((error) => { if (!TEXTS.includes(error.code)) wrong(what, error.code, error.message); });
let said = 0;

function say(person, chat) {
  const text = `${person.name} ${said += 1}`;
  person.texts.set(text, text);
  const { client } = person;
  expected(client.send({ chat, text, nonce: newNonce() }).then(({ chat: place, index }) => person.placed.push([client, place, index, text])), "send");
}
/** One message has one editor, so that the order is known. */
function edit(person) {
  const [client, chat, index, text] = any(person.placed) ?? [];
  if (!client || !person.clients.includes(client)) return;
  const newer = `${text} v${said += 1}`;
  person.texts.set(text, newer);
  expected(client.edit({ chat, index, text: newer }), "edit");
}
function react(person) {
  const [client, chat, index] = any(person.placed) ?? [];
  if (!client || !person.clients.includes(client)) return;
  const key = `${chat}/${index}`;
  const isOn = !person.reactions.get(key);
  person.reactions.set(key, isOn);
  expected(client.enqueue(isOn ? "react" : "unreact", { chat, index, emoji: "👍" }), "react");
}
function read(person) {
  const [, chat, index] = any(person.placed) ?? [];
  if (!chat) return;
  person.reads.set(chat, Math.max(index, person.reads.get(chat) ?? 0));
  expected(person.client.read(chat, index), "read");
}
async function look(person) {
  const device = any(person.devices);
  const [client] = device.clients;
  const [, chat] = any(person.placed) ?? [];
  if (client && chat) (await device.page(client, chat, { count: 20 })).forEach(device.keep);
}
async function upload(person) {
  const bytes = Buffer.from(`${seed} ${said += 1}`);
  const { client } = person;
  try {
    const { hash } = await client.upload(new File([bytes], "note.txt"));
    if (hash !== createHash("sha256").update(bytes).digest("hex")) wrong("upload", hash);
  } catch (error) {
    if (!TEXTS.includes(error.code) && person.clients.includes(client)) wrong("upload", error.code, error.message);
  }
}
/** A page that ends, and begins again from its store. */
function restart(person) {
  const device = any(person.devices);
  const client = any([...device.clients]);
  device.close(client);
  person.placed = person.placed.map(([one, ...rest]) => [one === client ? undefined : one, ...rest]);
  device.open();
}
/** A second page of a device, or the end of one. */
function tab(person) {
  const device = any(person.devices);
  if (device.clients.size < 2) device.open();
  else restart(person);
}
/** A copy of what a device has stored, as of a backup: without its login, which only one may refresh. */
async function duplicate(person) {
  if (person.devices.length > 3) return;
  const [device, store] = [any(person.devices), memoryStore()];
  const values = await device.store.read("");
  values.set("login", { account: person.account });
  await store.change([...values.keys()], () => [...values.values()].map((value) => structuredClone(value)));
  const copy = new Device(person, false, store);
  copy.messages = new Map(device.messages);
  person.devices.push(copy);
  copy.open();
}

const ACTS = [[say, 40], [edit, 15], [react, 12], [read, 10], [look, 6], [upload, 3], [restart, 3], [tab, 3], [duplicate, 1]];
const DECK = ACTS.flatMap(([act, times]) => Array(times).fill(act));
const FAULTS = [
  () => any([...sockets])?.cut(),
  () => any([...sockets])?.deafen(),
  (people) => any(people).client?.wake(),
];

async function live(people, chats) {
  for (let step = 0; step < steps; step += 1) {
    const [person, act] = [any(people), any(DECK)];
    if (act === say) say(person, any(chats.get(person)));
    else Promise.resolve(act(person)).catch((error) => wrong(act.name, error.stack));
    if (random() < 0.08) any(FAULTS)(people);
    await pause(random() * 60);
    if (step % 50 === 0) console.log(`step ${step}`);
  }
}

const bare = ({ face, to, rev, mine = [], reactions = {}, edited = false, recalled = false, reply_to = 0, ...rest }) => (
  { ...rest, mine: [...mine].sort(), reactions: Object.fromEntries(Object.entries(reactions).sort()), edited, recalled, reply_to });

/** All that a new client fetches. */
async function fetched(person, chats) {
  const device = new Device(person, false);
  const client = device.open();
  await until(() => client.state === "online", () => "a fresh client");
  const messages = new Map();
  for (const chat of chats) {
    for (let from = 1, page; page?.length !== 0; from = (page.at(-1)?.index ?? 0) + 1) {
      page = await device.page(client, chat, { from, dir: "newer", count: 100 });
      for (const message of page) messages.set(`${chat}/${message.index}`, bare(message));
    }
  }
  const { chats: unread } = await client.call("unread");
  device.close(client);
  return { messages, unread };
}

async function judge(person, chats) {
  const { messages, unread } = await fetched(person, chats);
  const own = [...messages.values()].filter(({ sender }) => sender === person.account);
  const counted = own.map(({ segments }) => segments[0].text).sort();
  const wanted = [...person.texts.values()].sort();
  if (!isDeepStrictEqual(counted, wanted)) {
    wrong("said", person.name, JSON.stringify({ more: counted.filter((one) => !wanted.includes(one)), less: wanted.filter((one) => !counted.includes(one)), twice: counted.length - new Set(counted).size }));
  }
  for (const [key, isOn] of person.reactions) {
    if ((messages.get(key)?.mine ?? []).includes("👍") !== isOn) wrong("reaction", person.name, key, isOn);
  }
  for (const { chat, unread: count } of unread) {
    const last = person.reads.get(chat) ?? 0;
    const after = [...messages.values()].filter((one) => one.chat === chat && one.index > last && one.sender !== person.account).length;
    if (count > after) wrong("unread", person.name, chat, count, after);
  }
  for (const device of person.devices) {
    for (const [key, message] of messages) {
      const has = device.messages.get(key);
      if (!has) wrong("lacks", person.name, key);
      else if (!isDeepStrictEqual(bare(has), message)) wrong("differs", person.name, key, JSON.stringify(bare(has)), JSON.stringify(message));
    }
    for (const key of device.messages.keys()) if (!messages.has(key)) wrong("has", person.name, key);
  }
  return messages.size;
}

const CALM = ["hello", "ping", "sessions", "made", "bots", "settings", "unread", "friends", "requests", "blocks", "export"];

async function main() {
  const people = [await new Person().register("Ann"), await new Person().register("Bob")];
  const [ann, bob] = people;
  for (const person of people) person.placed = [];
  await until(() => people.every((one) => one.clients.every(({ state: now }) => now === "online")), () => "the first logins");
  const { chat: group } = await ann.client.call("create", { name: "Soak", join_policy: "open" });
  await bob.client.call("join", { chat: group });
  const { chat: pair } = await ann.client.call("open", { account: bob.account });
  const chats = new Map([[ann, [group, pair]], [bob, [group, pair]]]);
  if (pat) chats.get(ann).push((await ann.client.call("open", { account: pat })).chat);
  console.log(`begun ${ann.account}`);
  await live(people, chats);
  isCalm = true;
  const all = () => people.flatMap(({ clients }) => clients);
  await until(() => all().every(({ state: now }) => now === "online"), () => JSON.stringify(all().map(({ state: now }) => now)));
  for (const socket of [...sockets]) socket.cut(); // an announcement that was lost is made up for by a sync
  await until(() => all().every(({ state: now }) => now === "online"), () => JSON.stringify(all().map(({ state: now }) => now)));
  for (const client of all()) client.wake(); // takes over what closed pages have left
  await until(() => all().every(({ outbox }) => !outbox.length), () => JSON.stringify(all().map(({ outbox }) => outbox)));
  console.log("quiet");
  for await (const chunk of process.stdin) if (`${chunk}`.includes("judge")) break; // the other protocol is quiet, too
  const end = new Promise((resolve) => { bob.client.on("message", ({ segments }) => segments[0].text === "the end" && resolve()); });
  await ann.client.send({ chat: group, text: "the end" });
  await Promise.all([end, pause(2000)]);
  ann.texts.set("the end", "the end");
  for (const op of CALM) await ann.client.call(op).catch((error) => wrong(op, error.code, error.message));
  for (const [op, params] of [["chat", { chat: group }], ["members", { chat: group }], ["profile", { account: bob.account }], ["profiles", { accounts: [bob.account] }], ["changes", { chat: group }], ["find", { query: `${bob.account}` }], ["watch", { accounts: [bob.account] }]]) {
    await ann.client.call(op, params).catch((error) => wrong(op, error.code, error.message));
  }
  const counts = [await judge(ann, chats.get(ann)), await judge(bob, chats.get(bob))];
  writeFileSync(frames, JSON.stringify([...shapes.values()]));
  console.log(`judged ${counts}`);
  process.exit();
}

main().catch((error) => { console.log("wrong", error.stack); process.exit(1); });
