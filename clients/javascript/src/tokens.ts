// The tokens of a login. A refresh token is stored before the token that came with it is used: after that it is spent.

import { type Connection, type DragomanError, type Loose, failure } from "./connection.ts";
import type { SafeStore } from "./store.ts";

const KEY = "login";
const EARLY_MS = 60_000;
const TRIES = 3;

export class Tokens {
  token = "";
  refresh = "";
  /** 0: not known. */
  expires = 0;
  #kept: string | undefined; // what the store had last
  #renewing: Promise<void> | undefined;
  #store: SafeStore;
  #now: () => number;

  constructor(store: SafeStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  get isThere(): boolean { return Boolean(this.token || this.refresh); }
  /** Whether the token is missing, or ends soon, and can be renewed. */
  get isDue(): boolean { return Boolean(this.refresh) && (!this.token || (this.expires > 0 && this.expires - this.#now() < EARLY_MS)); }

  /** Those of another login, which are not stored yet. */
  set(token = "", refresh = "", expires = 0): void { [this.token, this.refresh, this.expires] = [token, refresh, expires]; }

  /** What a store knows of the login: its account, and a refresh token. */
  async stored(): Promise<{ account?: number; refresh?: string }> {
    return (await this.#store.read(KEY))?.get(KEY) ?? {};
  }

  /** Of the reply to a login. */
  async take({ account, token, refresh, expires }: Loose): Promise<void> {
    this.set(token ?? this.token, refresh ?? this.refresh, expires);
    await this.#change((old) => ({ ...old, account, ...(refresh && { refresh }) })); // else a newer one may be there
  }

  /** The login has ended. Another one that another page has stored stays. */
  async forget(): Promise<void> {
    const { refresh } = this;
    this.set();
    if (refresh) await this.#change(({ refresh: stored, ...old }) => stored === refresh ? old : { ...old, refresh: stored });
  }

  /** Rejects when the login has ended, or the connection. The same refresh token gets the same successor while that is unused. */
  renew(connection: Connection): Promise<void> {
    this.#renewing ??= this.#store.alone(() => this.#renew(connection)).finally(() => { this.#renewing = undefined; });
    return this.#renewing;
  }

  async #renew(connection: Connection): Promise<void> {
    for (let tried = 1; ; tried += 1) {
      const kept = (await this.stored()).refresh;
      if (kept && kept !== this.#kept) this.refresh = kept; // another page has renewed it; else the store could not take ours
      this.#kept = kept;
      const { error, ...reply } = await connection.exchange("refresh", { refresh: this.refresh });
      if (!error) {
        await this.#change((old) => (old.refresh ?? kept) === kept ? { ...old, refresh: reply.refresh } : old);
        return this.set(reply.token, reply.refresh, reply.expires);
      }
      const isReplaced = ((await this.stored()).refresh ?? kept) !== kept;
      if (error.code !== "unauthenticated" || !isReplaced || tried >= TRIES) throw error as DragomanError;
    }
  }

  #change(work: (old: Loose) => unknown): Promise<boolean> { return this.#store.change([KEY], ([old]) => [work(old ?? {})]); }
}

export const noLogin = () => failure("unauthenticated", "log in first");
