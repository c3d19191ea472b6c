/** The databases in this browser: one for each account, which its tabs share, and one for the login. */
import { type DBSchema, type IDBPDatabase, deleteDB, openDB } from "idb";
import type { Head, Message, Outgoing, Person, Place } from "../model/shapes.ts";

export interface AccountSchema extends DBSchema {
  messages: { key: [number, number]; value: Message };
  heads: { key: number; value: Head };
  places: { key: number; value: Place };
  outbox: { key: string; value: Outgoing };
  people: { key: number; value: Person };
  facts: { key: string; value: unknown };
}
export type AccountDatabase = IDBPDatabase<AccountSchema>;

/** Of the login: `refresh` gives a new token, once. */
export interface Login {
  account: number;
  sid: string;
  refresh: string;
  nickname: string;
}

const VERSION = 1;
const LOGIN = "dragoman";

export function openAccount(account: number, superseded: () => void): Promise<AccountDatabase> {
  return openDB<AccountSchema>(`dragoman-${account}`, VERSION, {
    upgrade(database) {
      database.createObjectStore("messages", { keyPath: ["chat", "index"] });
      database.createObjectStore("heads", { keyPath: "chat" });
      database.createObjectStore("places", { keyPath: "chat" });
      database.createObjectStore("outbox", { keyPath: "nonce" });
      database.createObjectStore("people", { keyPath: "account" });
      database.createObjectStore("facts");
    },
    blocking(_current, _next, event) {
      (event.target as IDBDatabase).close();
      superseded();
    },
  });
}

export async function deleteAccount(account: number): Promise<void> {
  await deleteDB(`dragoman-${account}`);
}

/** Unsent texts alone stay. */
export async function emptyAccount(account: number): Promise<void> {
  const database = await openAccount(account, () => undefined);
  try {
    const names = [...database.objectStoreNames].filter((name) => name !== "outbox");
    const transaction = database.transaction(names, "readwrite");
    await Promise.all([...names.map((name) => transaction.objectStore(name).clear()), transaction.done]);
  } finally {
    database.close();
  }
}

export async function storedLogin(): Promise<Login | undefined> {
  return inLogin("readonly", (store) => store.get("login") as Promise<Login | undefined>);
}

export async function storeLogin(login: Login | undefined): Promise<void> {
  await inLogin("readwrite", async (store) => {
    await (login ? store.put(login, "login") : store.delete("login"));
  });
}

interface LoginStore {
  get(key: string): Promise<unknown>;
  put(value: unknown, key: string): Promise<unknown>;
  delete(key: string): Promise<void>;
}

async function inLogin<T>(mode: IDBTransactionMode, work: (store: LoginStore) => Promise<T>): Promise<T> {
  const database = await openDB(LOGIN, VERSION, {
    upgrade: (made) => {
      made.createObjectStore("facts");
    },
  });
  try {
    const transaction = database.transaction("facts", mode);
    const result = await work(transaction.objectStore("facts") as unknown as LoginStore);
    await transaction.done;
    return result;
  } finally {
    database.close();
  }
}
