// Where a client keeps what must not be lost: in memory, in `localStorage`, in IndexedDB. Values are objects of JSON.

import { parsed } from "./connection.ts";

type Json = object | undefined;
type WebStorage = Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;
/** Pages of one account can share a store. */
export interface Store {
  /** The values whose keys begin so. */
  read(prefix: string): Promise<Map<string, Json>>;
  /** A transaction: `work` gets the values of the keys and returns, at once, those to store; undefined removes one. */
  change(keys: string[], work: (values: Json[]) => Json[]): Promise<void>;
  /** Runs the work while no other page does, as far as the platform has locks and they come soon. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

const LOCK_MS = 10_000;

/** What fails is only not kept: then `read` has nothing, and `change` false. */
export type SafeStore = {
  read: (prefix: string) => Promise<Map<string, any> | undefined>;
  change: (keys: string[], work: (values: any[]) => any[]) => Promise<boolean>;
  alone: Store["alone"];
};
export const safe = (store: Store, trouble: (error: unknown) => void): SafeStore => ({
  read: async (prefix) => { try { return await store.read(prefix); } catch (error) { return void trouble(error); } },
  change: async (...change) => { try { await store.change(...change); return true; } catch (error) { trouble(error); return false; } },
  alone: (work) => store.alone(work),
});

/** For programs, and for pages that keep nothing. */
export function memoryStore(): Store {
  const items = new Map<string, string>();
  return webStore({
    get length() { return items.size; },
    key: (at) => [...items.keys()][at] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => { items.set(key, value); },
    removeItem: (key) => { items.delete(key); },
  }, "");
}

/** In `localStorage`, or in an object with its methods. Pages see late what others write: nonces make it harmless. */
export function webStore(storage: WebStorage = localStorage, name = "dragoman"): Store {
  const start = name && `${name}/`;
  let turn: Promise<any> = Promise.resolve(); // of clients of one program
  return {
    async read(prefix) {
      const keys = Array.from({ length: storage.length }, (_, at) => storage.key(at) ?? "").filter((key) => key.startsWith(start + prefix));
      return new Map(keys.map((key) => [key.slice(start.length), parsed(storage.getItem(key))]));
    },
    async change(keys, work) { // nothing else of this page comes between
      const before = keys.map((key) => storage.getItem(start + key));
      const after = work(before.map((text) => parsed(text))).map((value) => value === undefined ? null : JSON.stringify(value));
      const put = (text: string | null, at: number) => {
        if (text !== null) storage.setItem(start + keys[at], text);
        else if (before[at] !== null) storage.removeItem(start + keys[at]);
      };
      try {
        after.forEach((text, at) => text === before[at] || put(text, at));
      } catch (error) { // it is full
        after.forEach((text, at) => text === before[at] || put(before[at], at));
        throw error;
      }
    },
    alone: (work) => name ? locked(name, work) : turn = turn.then(work, work) as Promise<any>,
  };
}

/** In an IndexedDB database of this name: best for pages that share it. */
export function indexedStore(name = "dragoman"): Store {
  let opened: Promise<IDBDatabase> | undefined;
  const open = () => opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => { request.result.createObjectStore("values"); };
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      request.result.onclose = () => { opened = undefined; };
      request.result.onversionchange = () => { request.result.close(); opened = undefined; };
      resolve(request.result);
    };
  }).catch((error) => { opened = undefined; throw error; });
  /** Resolves when the transaction is on disk. */
  const transact = async <T>(mode: IDBTransactionMode, work: (values: IDBObjectStore, result: T) => T, result: T): Promise<T> => {
    const database = await open();
    return new Promise<T>((resolve, reject) => {
      const transaction = database.transaction("values", mode, { durability: "strict" });
      const given = work(transaction.objectStore("values"), result);
      transaction.oncomplete = () => resolve(given);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  };
  return {
    read: (prefix) => transact("readonly", (values, found) => {
      values.openCursor(IDBKeyRange.bound(prefix, `${prefix}\uffff`)).onsuccess = ({ target }) => {
        const cursor = (target as IDBRequest<IDBCursorWithValue | null>).result;
        if (cursor) found.set(`${cursor.key}`, cursor.value);
        cursor?.continue();
      };
      return found;
    }, new Map<string, Json>()),
    change: (keys, work) => transact("readwrite", (values) => {
      const before: Json[] = [];
      const write = () => work(before).forEach((value, at) => {
        if (value === undefined) values.delete(keys[at]);
        else if (value !== before[at]) values.put(value, keys[at]);
      });
      keys.forEach((key, at) => {
        values.get(key).onsuccess = ({ target }) => {
          before.push((target as IDBRequest).result);
          if (at === keys.length - 1) write();
        };
      });
    }, undefined),
    alone: (work) => locked(name, work),
  };
}

/** A page that was suspended with the lock must not stop the others: then nonces and conditional changes keep it right. */
async function locked<T>(name: string, work: () => Promise<T>): Promise<T> {
  const locks = globalThis.navigator?.locks; // not without https
  if (!locks) return work();
  const waiting = new AbortController();
  const timer = setTimeout(() => waiting.abort(), LOCK_MS);
  try {
    return await locks.request(`dragoman ${name}`, { signal: waiting.signal }, () => { clearTimeout(timer); return work(); });
  } catch (error) {
    if (waiting.signal.aborted) return work();
    throw error;
  }
}
