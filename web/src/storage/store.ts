/**
 * Reads and writes the state of the model. Writes are collected into transactions: a chat's place moves on in the same one
 * as the messages before it. If it cannot be stored, the page goes on without: `trouble` tells the screens.
 */
import { signal } from "@preact/signals-core";
import type { IDBPTransaction } from "idb";
import type { Head, Message, News, Outgoing, Person, Place } from "../model/shapes.ts";
import { applyChange } from "../../../clients/javascript/dragoman.js";
import { type AccountDatabase, type AccountSchema, openAccount } from "./database.ts";

type Names = ("messages" | "heads" | "places" | "outbox" | "people" | "facts")[];
type Writing = IDBPTransaction<AccountSchema, Names, "readwrite">;
type Write = (transaction: Writing) => Promise<unknown> | void;

const ALL: Names = ["messages", "heads", "places", "outbox", "people", "facts"];
const PAGE = 100;
const LATEST = 0xffff_ffff;
const DAY_MS = 24 * 3600_000;
const KEPT_MS = 30 * DAY_MS;

export class AccountStore {
  /** Why new data is not kept: "full", "superseded" by a newer version in another tab, "missing" in this browser. */
  readonly trouble = signal<"" | "full" | "superseded" | "missing">("");
  /** A transaction has failed: the store lacks something, so places stay where they are until the next start. */
  hasHole = false;
  #account = 0;
  #database: AccountDatabase | undefined;
  #writes: Write[] = [];
  #places = new Map<number, Place>();
  #writing: Promise<void> | undefined;

  async open(account: number): Promise<void> {
    this.#account = account;
    try {
      this.#database = await openAccount(account, () => {
        this.trouble.value = "superseded";
      });
    } catch {
      this.trouble.value = "missing";
    }
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  async heads(): Promise<Head[]> {
    return (await this.#read((database) => database.getAll("heads"))) ?? [];
  }
  async places(): Promise<Place[]> {
    return (await this.#read((database) => database.getAll("places"))) ?? [];
  }
  /** Also stores the entries that a page that has gone had not stored yet. */
  async outbox(): Promise<Outgoing[]> {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.#underway("")));
    const left = keys.map((key) => JSON.parse(localStorage.getItem(key) ?? "") as Outgoing);
    left.forEach((entry) => this.keep({ ev: "outgoing", entry }));
    await this.flushed();
    const kept = (await this.#read((database) => database.getAll("outbox"))) ?? [];
    return [...kept, ...left.filter(({ nonce }) => !kept.some((one) => one.nonce === nonce))];
  }

  async people(): Promise<Person[]> {
    return (await this.#read((database) => database.getAll("people"))) ?? [];
  }
  fact(name: string): Promise<unknown> {
    return this.#read((database) => database.get("facts", name));
  }

  message(chat: number, index: number): Promise<Message | undefined> {
    return this.#read((database) => database.get("messages", [chat, index]));
  }

  /** The newest messages up to an index, ascending, without a hole between them. */
  async newest(chat: number, upto = LATEST): Promise<Message[]> {
    const found: Message[] = [];
    await this.#read(async (database) => {
      let cursor = await database.transaction("messages").store.openCursor(range(chat, 0, upto), "prev");
      for (; cursor && found.length < PAGE; cursor = await cursor.continue()) {
        if (found[0] && cursor.value.index !== found[0].index - 1) break;
        found.unshift(cursor.value);
      }
    });
    return found;
  }

  /** Undefined if it cannot be read, as if it was not stored: the browser may delete it at any time. */
  async #read<T>(read: (database: AccountDatabase) => Promise<T>): Promise<T | undefined> {
    try {
      return this.#database && (await read(this.#database));
    } catch {
      this.trouble.value ||= "missing";
      return undefined;
    }
  }

  /** Done when it is stored, or cannot be. */
  write(write: Write): Promise<void> {
    this.#writes.push(write);
    this.#writing ??= Promise.resolve().then(() => this.#flush());
    return this.#writing;
  }

  /** A chat's place, stored together with the writes before it. */
  move(place: Place): void {
    this.#places.set(place.chat, place);
    void this.write(() => {});
  }

  /** Removes messages older than 30 days, once a day. `now`: by the server's clock. Unsent messages are in another store. */
  prune(now: number): void {
    void this.write((t) => prune(t, now));
  }

  flushed(): Promise<void> {
    return this.#writing ?? Promise.resolve();
  }

  /** Stores the effect of the news. Idempotent. */
  keep(news: News): void {
    switch (news.ev) {
      case "message":
        this.write((t) => put(t, news, news.rev ?? 0));
        break;
      case "page":
        this.write((t) => Promise.all(news.messages.map((one) => put(t, one, one.rev ?? 0))));
        break;
      case "gap": // no changes come of the messages that may be kept there
        this.write((t) => t.objectStore("messages").delete(range(news.chat, news.from, news.to)));
        break;
      case "changed":
        this.write((t) => change(t, news, this.#account));
        break;
      case "reset":
        this.#places.clear();
        this.write((t) =>
          Promise.all([
            t.objectStore("messages").clear(),
            t.objectStore("places").clear(),
            t.objectStore("heads").clear(),
          ]),
        );
        break;
      case "gone":
        this.#places.delete(news.chat);
        this.write((t) => forget(t, news.chat));
        break;
      case "outgoing":
        this.#send(news.entry);
        break;
      case "dropped":
        localStorage.removeItem(this.#underway(news.nonce));
        this.write((t) => t.objectStore("outbox").delete(news.nonce));
        break;
      case "outcome":
        localStorage.removeItem(this.#underway(news.nonce));
        this.write((t) => settle(t, news));
        break;
    }
  }

  #send(entry: Outgoing): void {
    const key = this.#underway(entry.nonce);
    try {
      localStorage.setItem(key, JSON.stringify(entry));
    } catch {
      // it is full: the database alone has it
    }
    void this.write((t) => t.objectStore("outbox").put(entry)).then(() => {
      if (this.#database && !this.hasHole) localStorage.removeItem(key);
    });
  }

  /** Of an entry that is written at once, beside the database: a page may go before its transaction ends. */
  #underway(nonce: string): string {
    return `dragoman.${this.#account}.underway.${nonce}`;
  }

  async #flush(): Promise<void> {
    while (this.#writes.length && this.#database) {
      const writes = this.#writes.splice(0);
      const places = [...this.#places.values()];
      this.#places.clear();
      if (!this.hasHole) writes.push((t) => Promise.all(places.map((place) => t.objectStore("places").put(place))));
      try {
        const transaction = this.#database.transaction(ALL, "readwrite", { durability: "relaxed" });
        await Promise.all([inTurn(writes, transaction), transaction.done]);
        if (this.trouble.value === "full") this.trouble.value = "";
      } catch (error) {
        this.hasHole = true;
        this.trouble.value ||= (error as Error).name === "QuotaExceededError" ? "full" : "missing";
      }
    }
    this.#writes.length = 0;
    this.#places.clear();
    this.#writing = undefined;
  }
}

/** Each reads the result of those before it: a message and its changes may come together. */
async function inTurn(writes: Write[], transaction: Writing): Promise<void> {
  for (const write of writes) await write(transaction);
}

async function put(transaction: Writing, message: Omit<Message, "rev">, rev: number): Promise<void> {
  const store = transaction.objectStore("messages");
  const known = await store.get([message.chat, message.index]);
  if (!known || known.rev <= rev) await store.put(stored(message, rev));
}

/** As it is kept. */
export function stored(message: Omit<Message, "rev">, rev: number): Message {
  const { chat, index, sender, time, segments, edited, recalled, reactions, mine, reply_to } = message;
  return { chat, index, sender, time, segments, rev, ...defined({ edited, recalled, reactions, mine, reply_to }) };
}

function defined<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

async function change(transaction: Writing, news: Extract<News, { ev: "changed" }>, me: number): Promise<void> {
  const store = transaction.objectStore("messages");
  const known = await store.get([news.chat, news.index]);
  if (known && known.rev < news.rev) await store.put(applyChange(known, news, me));
}

function range(chat: number, from: number, to: number): IDBKeyRange {
  return IDBKeyRange.bound([chat, from], [chat, to]);
}

/** The newest of each chat stays, for the list, and so do those that the user has not read. A later time than now is wrong. */
async function prune(transaction: Writing, now: number): Promise<void> {
  const [store, facts] = [transaction.objectStore("messages"), transaction.objectStore("facts")];
  const since = now - Number((await facts.get("pruned")) ?? 0);
  if (since >= 0 && since < DAY_MS) return;
  for (let cursor = await store.openKeyCursor(); cursor; ) {
    const chat = cursor.key[0];
    const to = await lastOld(transaction, chat, now - KEPT_MS);
    await store.delete(range(chat, 0, to));
    cursor = await cursor.continue([chat + 1, 0]);
  }
  await facts.put(now, "pruned");
}

/** The last message to remove. A chat's messages are in the order of time: halving finds the first young one. */
async function lastOld(transaction: Writing, chat: number, time: number): Promise<number> {
  const [store, heads] = [transaction.objectStore("messages"), transaction.objectStore("heads")];
  const [newest, head] = [await store.openKeyCursor(range(chat, 0, LATEST), "prev"), await heads.get(chat)];
  const read = head ? (head.unread_from ? head.unread_from - 1 : head.read) : LATEST;
  let [old, end] = [0, Math.min(read + 1, newest?.key[1] ?? 0)];
  while (end - old > 1) {
    const middle = (old + end) >>> 1;
    const found = await store.openCursor(range(chat, middle, end - 1));
    if (found && found.value.time < time) old = found.value.index;
    else end = middle;
  }
  return old;
}

async function forget(transaction: Writing, chat: number): Promise<void> {
  await Promise.all([
    transaction.objectStore("messages").delete(range(chat, 0, LATEST)),
    transaction.objectStore("heads").delete(chat),
    transaction.objectStore("places").delete(chat),
  ]);
}

async function settle(transaction: Writing, { nonce, failure }: Extract<News, { ev: "outcome" }>): Promise<void> {
  const store = transaction.objectStore("outbox");
  const entry = failure && (await store.get(nonce));
  if (entry) await store.put({ ...entry, rejected: failure });
  else await store.delete(nonce);
}
