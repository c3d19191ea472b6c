// The order of each chat: every message and change once, what is missing fetched or named, and where a later client goes on.

import type * as Native from "../native.d.ts";
import { type Connection, LISTING, type Loose, type Parameters, base64, pause, utf8 } from "./connection.ts";
import type { SafeStore } from "./store.ts";

/** What was given of a chat; a gap names what was not. `covered`: a sync has sent the changes up to this one. `state`: of
 * the last head. */
type Place = { chat: number; index: number; rev: number; covered: number; state: number };
/** A message as a client keeps it. `rev`: that up to which changes are in it; missing: none that is still to come. */
export type Kept = Native.ShownMessage & { rev?: number };
type Change = Omit<Native.ChangedEvent, "ev">;
/** Around the chats. `emit` resolves when the handlers have kept what they were given. */
export type Around = {
  store: SafeStore;
  cursor: boolean;
  timeline: number;
  random: () => number;
  account: () => number;
  emit: (kind: string, value: Loose) => Promise<unknown>;
};

const PAGE = 100;
const WINDOW = 100;
const MOST_CHATS = 2000; // in one command: each takes at most 32 characters of a frame, and 12 as a rule
const MOST_IDS = 2 ** 53;
const GIVES_NONE = ["not_found", "forbidden"];
const IN_ORDER = ["message", "changed", "gone"];
const CHAT = "chat/";
const EPOCH = "epoch";
const isNumber = Number.isSafeInteger;

/** The rule for messages of a page: a change applies to a message that was fetched at a lower `rev`; every other one is in
 * it already. Returns the message as it is then. `account`: whose reactions are `mine`. */
export function applyChange<M extends Pick<Kept, "chat" | "index" | "rev" | "mine">>(message: M, change: Change, account: number): M {
  if (change.chat !== message.chat || change.index !== message.index || change.rev <= (message.rev ?? 0)) return message;
  const { rev, segments = [], reactions, emoji = "", by, on } = change;
  const mine = message.mine ?? [];
  const others = mine.filter((one) => one !== emoji);
  const parts: Record<string, Partial<Kept>> = {
    edit: { segments, edited: true },
    recall: { segments: [], recalled: true, edited: undefined, reply_to: undefined, reactions: undefined, mine: undefined },
    reaction: { reactions, mine: change.mine ?? (by !== account ? mine : on ? [...others, emoji] : others) },
  };
  return { ...message, ...parts[change.kind], rev };
}

export class Chats {
  epoch = "";
  #places = new Map<number, Place>();
  #connection: Connection | undefined;
  #ready: Promise<unknown> = Promise.resolve();
  #early: Map<unknown, Loose> | undefined; // what has come before the end of a sync; the key of a `gone` is the chat
  #isListing = false;
  #synced = (_event: Loose) => {};
  /** Pages that are being fetched, with the changes that were given meanwhile. `least`: the `rev` of a sync meanwhile, which
   * gives no changes of messages that it leaves out. */
  #pages = new Set<{ chat: number; changes: Change[]; least: number }>();
  #kept = new Map<number, Promise<unknown>>();
  #emptied: Promise<unknown> = Promise.resolve(); // the caller has forgotten what it had before the last reset
  #unsaved = new Map<string, number[] | undefined>();
  #saving: Promise<void> | undefined;
  #around: Around;

  constructor(around: Around, epoch = "", have: Record<string, number[]> = {}) {
    [this.#around, this.epoch] = [around, epoch];
    for (const [id, place] of Object.entries(have)) this.#begin(Number(id), place);
  }

  /** The last index, `rev` and `state` of each chat, where a later client goes on. */
  get have(): Record<string, number[]> {
    return Object.fromEntries([...this.#places.keys()].map((id) => [id, this.place(id) as number[]]));
  }

  /** Of one chat. */
  place(chat: number): number[] | undefined {
    const place = this.#places.get(chat);
    return place && [place.index, place.rev, place.state];
  }

  /** The places that a store has. */
  async load(): Promise<void> {
    if (!this.#around.cursor) return;
    const epoch = await this.#around.store.read(EPOCH);
    const found = await this.#around.store.read(CHAT);
    const known = epoch?.get(EPOCH)?.epoch;
    if (typeof known !== "string" || !found) return;
    this.epoch = known;
    for (const [key, { have, epoch } = {} as Loose] of found) {
      if (epoch === known && Array.isArray(have) && have.every(isNumber)) this.#begin(Number(key.slice(CHAT.length)), have);
    }
  }

  /** A connection begins; events of chats wait until it is ready. */
  enter(connection: Connection, ready: Promise<unknown>): void {
    [this.#connection, this.#ready, this.#early, this.#isListing] = [connection, ready, new Map(), false];
    for (const place of this.#places.values()) place.covered = place.rev;
  }

  leave(): void { this.#connection = undefined; }

  receive(event: Loose): void {
    const { ev, chat, index = 0, rev = 1, head, first } = event;
    if (IN_ORDER.includes(ev) && ![chat, index, rev].every(isNumber)) return;
    if (ev === LISTING || ev === "synced") this.#isListing = ev === LISTING;
    if (ev === LISTING && event.reset) this.#early?.clear(); // of what the server has lost
    if (ev === LISTING) return;
    if (ev === "chat") this.#early?.delete(chat);
    if (ev === "synced") this.#synced(event);
    else if (ev === "gone" && this.#early) this.#early.set(chat, event);
    else if (this.#early && (ev === "message" || ev === "changed")) this.#put(this.#early, event, this.#isListing);
    else if (ev === "message") this.reach(chat, index - 1, 0, event);
    else if (IN_ORDER.includes(ev)) this.reach(chat, index, rev - 1, event);
    else this.#around.emit(ev, event);
    const begins = ev === "chat" && !this.#places.has(chat) && [chat, head, first, rev].every(isNumber);
    if (begins) this.#skip(this.#placed(event), head - this.#around.timeline); // newer than the sync
  }

  /** An own message, as it was when it was sent. */
  sent(event: Loose): void {
    if (this.#early) this.#put(this.#early, event, false);
    else this.receive(event);
  }

  /** Gives an event after all messages up to an index and all changes up to a `rev`. What is missing of them is fetched. */
  reach(chat: number, index: number, rev: number, event?: Loose): Promise<unknown> | undefined {
    const connection = this.#connection;
    if (![chat, index, rev].every(isNumber)) return undefined;
    return connection?.queue(`chat ${chat}`, async () => {
      const place = this.#places.get(chat) // or newer than the sync, and its event is still to come, or names no head
        ?? this.#skip(this.#placed({ chat, head: 0, first: 1, rev: 0 }), index - this.#around.timeline);
      while (place.index < index) await this.#fetchMessages(connection, place, index);
      while (Math.max(place.rev, place.covered) < rev) await this.#fetchChanges(connection, place, rev);
      place.rev = Math.max(place.rev, rev);
      if (event) this.#give(place, event);
      else this.#keep(place);
    }, this.#ready);
  }

  /** A page with all changes that were given before it is, each message with its `rev`. Later ones are given after it. */
  async history(connection: Connection, params: Parameters<"history">): Promise<Loose> {
    const page = { chat: params.chat, changes: [] as Change[], least: 0 };
    this.#pages.add(page);
    try {
      let found: Loose;
      do {
        found = await connection.request("history", params);
        await pause(0); // nothing else is given between this turn and the caller's
      } while (found.rev < page.least);
      const { messages = [], rev = 0, ...reply } = found;
      const whole = (message: Kept) => page.changes.reduce((now, change) => applyChange(now, change, this.#around.account()), message);
      return { ...reply, messages: messages.map((message: Kept) => whole({ ...message, rev })), rev: Math.max(rev, page.changes.at(-1)?.rev ?? 0) };
    } finally {
      this.#pages.delete(page);
    }
  }

  async sync(connection: Connection): Promise<void> {
    let counts = {};
    let heads: Native.ChatHead[] = [];
    const known = new Set([...this.#places.keys()].sort((one, other) => one - other));
    for (let at = 0; !at || at < known.size; at += MOST_CHATS) {
      let named: object = this.#named([...known], at);
      for (let before = null, page; before !== undefined; before = page.before) {
        const synced = new Promise<object>((resolve) => { this.#synced = resolve; });
        page = await this.#ask(connection, "sync", { ...named, window: WINDOW, timeline: this.#around.timeline, before });
        if (page.error) throw page.error;
        counts = await synced;
        if (page.reset) [named, heads] = [{}, []], known.clear(), this.#reset(page.epoch);
        else if (page.epoch !== this.epoch) this.#save(EPOCH, { epoch: page.epoch });
        this.epoch = page.epoch;
        for (const chat of page.gone ?? []) this.#early?.set(chat, { ev: "gone", chat, why: "unknown" });
        for (const head of page.chats ?? []) {
          heads.push(head);
          for (const page of this.#pages) if (page.chat === head.chat) page.least = head.rev;
          const given = this.#around.emit("head", head);
          const place = this.#skip(this.#placed(head), head.gap?.to ?? 0);
          place.state = head.state ?? place.state; // an older server has none
          this.#keep(place, given);
        }
      }
    }
    const revs = new Map(heads.map(({ chat, rev }) => [chat, rev]));
    const early = this.#early ?? new Map();
    const isThere = ({ chat }: Loose) => !early.has(chat);
    const events = [...early.values()].filter(isThere).map(({ isListed, ...event }) => ({ rev: isListed ? revs.get(event.chat) : undefined, ...event }));
    const order = ({ ev, rev }: Loose) => ev === "changed" ? rev : 0; // messages first
    this.#early = undefined;
    for (const { chat, rev, changes_after = rev } of heads) { // from here on, what is asked comes after these changes
      const place = this.#places.get(chat) as Place;
      connection.queue(`chat ${chat}`, async () => { place.covered = changes_after; }, this.#ready);
    }
    events.sort((one, other) => order(one) - order(other) || one.index - other.index).forEach((event) => this.receive(event));
    const reached = heads.filter(isThere).map(({ chat, head, rev }) => this.reach(chat, head, rev));
    for (const event of early.values()) if (event.ev === "gone") reached.push(this.reach(event.chat, 0, 0, event));
    Promise.all(reached).then(() => this.#around.emit("synced", counts));
  }

  #begin(chat: number, [index, rev, state = 0]: number[]): void { this.#places.set(chat, { chat, index, rev, covered: rev, state }); }

  /** The places of some of these chats, as a sync takes them (docs/protocols/native/sync.md). */
  #named(ids: number[], at: number): object {
    const chats = ids.slice(at, at + MOST_CHATS);
    const numbers = chats.flatMap((chat, before) => {
      const { index, rev, state } = this.#places.get(chat) ?? { index: 0, rev: 0, state: 0 };
      return [chat - (chats[before - 1] ?? 0), index, rev, state % 2 ** 32];
    });
    const epoch = utf8(this.epoch);
    const packed = [0x92, 0xdb, ...bigEndian(epoch.length, 4), ...epoch, 0xdd, ...bigEndian(numbers.length, 4), ...numbers.flatMap(compact)];
    const have = base64(packed).replace(/[+/=]/g, (digit) => ({ "+": "-", "/": "_" })[digit] ?? "");
    return ids.length > chats.length ? { have, among: [at && chats[0], (ids[at + MOST_CHATS] ?? MOST_IDS) - 1] } : { have };
  }

  /** Of two copies of a message, that of the sync: the other one was pushed when the message was new, and may come late. */
  #put(early: Map<unknown, Loose>, event: Loose, isListed: boolean): void {
    const key = `${[event.ev, event.chat, event.index, event.rev]}`;
    if (isListed || !early.get(key)?.isListed) early.set(key, { ...event, isListed });
  }

  #ask(connection: Connection, op: string, params: object): Promise<Loose> { return connection.repeat(op, params, this.#around.random); }

  /** An empty page if there is none for this account. Another error ends the connection: the next sync repeats it. */
  async #page(connection: Connection, op: string, wanted: object): Promise<Loose> {
    const { error, ...page } = await this.#ask(connection, op, wanted);
    if (error && !GIVES_NONE.includes(error.code)) throw error;
    return page;
  }

  #reset(epoch: string): void {
    this.#places = new Map();
    this.#emptied = this.#around.emit("reset", { epoch }).then(() => this.#save(EPOCH, { epoch }));
  }

  /** The place in a chat; in a new one, that of its head or of its event. */
  #placed({ chat, head, first, rev, changes_after: covered = rev, gap }: Loose): Place {
    const index = Math.max(0, Math.min((gap?.from ?? first) - 1, head));
    const place = this.#places.get(chat) ?? { chat, index, rev: covered, covered, state: 0 };
    this.#places.set(chat, place);
    return place;
  }

  /** Unless it was given. */
  #give(place: Place, event: Loose): void {
    const counter = event.ev === "message" ? "index" : "rev";
    if (event.ev === "gone") this.#places.delete(place.chat);
    else if (event[counter] <= place[counter]) return;
    else place[counter] = event[counter];
    if (event.ev === "changed") for (const { chat, changes } of this.#pages) if (chat === place.chat) changes.push(event);
    this.#keep(place, this.#around.emit(event.ev, event));
  }

  #skip(place: Place, to: number): Place {
    if (to <= place.index) return place;
    const given = this.#around.emit("gap", { chat: place.chat, from: place.index + 1, to });
    place.index = to;
    this.#keep(place, given);
    return place;
  }

  async #fetchMessages(connection: Connection, place: Place, upto: number): Promise<void> {
    const wanted = { chat: place.chat, from: place.index + 1, count: PAGE, dir: "newer" };
    const { messages = [], rev } = await this.#page(connection, "history", wanted);
    for (const message of messages) this.#give(this.#skip(place, message.index - 1), { ev: "message", ...message, rev });
    if (!messages.length) this.#skip(place, upto);
  }

  async #fetchChanges(connection: Connection, place: Place, upto: number): Promise<void> {
    const wanted = { chat: place.chat, after: Math.max(place.rev, place.covered) };
    const { changes = [], rev = upto, more } = await this.#page(connection, "changes", wanted);
    for (const change of changes) {
      while (place.index < change.index) await this.#fetchMessages(connection, place, change.index);
      this.#give(place, { ev: "changed", ...change });
    }
    place.rev = Math.max(place.rev, changes.length ? 0 : upto, more ? 0 : rev);
  }

  /** Stores the place when all that was given up to it is kept. */
  #keep(place: Place, given: Promise<unknown> = Promise.resolve()): void {
    if (!this.#around.cursor) return;
    const { chat, index, rev, state } = place;
    const value = { have: [index, rev, state], epoch: this.epoch };
    const kept = Promise.all([this.#emptied, this.#kept.get(chat), given]).then(() => {
      this.#save(`${CHAT}${chat}`, this.#places.has(chat) ? value : undefined);
      if (this.#kept.get(chat) === kept) this.#kept.delete(chat);
    });
    this.#kept.set(chat, kept);
  }

  #save(key: string, value: Loose): void {
    if (!this.#around.cursor) return;
    this.#unsaved.set(key, value);
    this.#saving ??= pause(0).then(() => this.#write()).finally(() => { this.#saving = undefined; });
  }

  async #write(): Promise<void> {
    while (this.#unsaved.size) {
      const values = this.#unsaved;
      this.#unsaved = new Map();
      await this.#around.store.change([...values.keys()], (old) => [...values.values()].map((value, at) => further(old[at], value)));
    }
  }
}

/** Of two places in a chat the further one: another page may be ahead. If neither is, what both have. */
function further(old: Loose, value: Loose): Loose {
  if (!value?.have || old?.epoch !== value.epoch || !Array.isArray(old.have)) return value;
  const [[index, rev, state], [oldIndex, oldRev]] = [value.have, old.have];
  if (oldIndex >= index && oldRev >= rev) return old;
  return { ...value, have: [...(index >= oldIndex && rev >= oldRev ? [index, rev] : [Math.min(index, oldIndex), Math.min(rev, oldRev)]), state] };
}

const bigEndian = (value: number, bytes: number) => Array.from({ length: bytes }, (_, at) => Math.floor(value / 256 ** (bytes - 1 - at)) % 256);
/** An integer of msgpack. */
function compact(value: number): number[] {
  const power = [8, 16, 32, 64].findIndex((bits) => value < 2 ** bits);
  return value < 128 ? [value] : [0xcc + power, ...bigEndian(value, 2 ** power)];
}
