/**
 * The login of this browser. The refresh token is in IndexedDB, the access token in memory. A refresh holds a Web Lock and
 * reads the store again: of two tabs, or of a page that was suspended in the middle, none uses a spent token.
 */
import { signal } from "@preact/signals-core";
import { Dragoman, type Media, type UploadOptions } from "../../clients/javascript/dragoman.js";
import { type Failure, type Native, failureOf, request } from "./native.ts";
import { operationAddress, socketAddress } from "./site.ts";
import { type Login, deleteAccount, emptyAccount, storeLogin, storedLogin } from "./storage/database.ts";

/** To the other tabs: a login has ended, or another one is stored. */
type Letter = { account: number; why: Failure | undefined } | "entered";
type Granted = Pick<Native.LoginReply, "account" | "sid" | "token" | "expires" | "refresh" | "time" | "nickname">;

export class Session {
  readonly login = signal<Login | undefined>(undefined);
  /** Why there is none any more. */
  readonly ended = signal<Failure | undefined>(undefined);
  /** Of the access token, by this machine's clock. */
  expires = 0;
  /** The server's clock minus this machine's. */
  clockOffset = 0;
  #token = "";
  /** The login that this browser could not store. */
  #unkept: Login | undefined;
  #tabs = new BroadcastChannel("dragoman-login");

  async restore(): Promise<void> {
    this.#tabs.onmessage = ({ data }: MessageEvent<Letter>) => {
      if (data === "entered") void this.#follow();
      else if (data.account === this.login.value?.account) this.#forget(data.why);
    };
    await this.#follow();
  }

  /** A browser has one login, which all tabs use. */
  async #follow(): Promise<void> {
    const stored = await storedLogin().catch(() => undefined);
    if (!stored || stored.account === this.login.value?.account) return;
    this.#forget();
    this.login.value = stored;
  }

  /** By password. Rejects with a Failure. */
  async enter(params: Omit<Native.LoginParameters, "id">): Promise<void> {
    await this.#granted(await request<"login">(operationAddress("login"), { ...params, ...options() }));
  }

  /** `waiting`: the reply follows when the link that was mailed is opened, unless nobody waits any more. Rejects with a Failure. */
  async register(params: Omit<Native.RegisterParameters, "id">, waiting: () => void, signal?: AbortSignal): Promise<void> {
    const client = new Dragoman(socketAddress());
    signal?.addEventListener("abort", () => client.close());
    const notMailed = new Promise<never>((_, reject) => {
      client.on("verify", () => {
        waiting();
        client.call("verify_mail").catch(reject);
      });
    });
    try {
      await this.#granted(await Promise.race([client.register({ ...params, ...options() }), notMailed]));
    } catch (error) {
      throw failureOf(error);
    } finally {
      client.close();
    }
  }

  /** A valid access token. Rejects with a Failure, `unauthenticated` if the login is over. */
  async token(): Promise<string> {
    if (!this.#isValid) await locked(async () => this.#isValid || this.#refresh());
    return this.#token;
  }

  get #isValid(): boolean {
    return this.#token !== "" && Date.now() < this.expires - 30_000;
  }

  /** The next one is a new one. */
  spoil(): void {
    this.#token = "";
  }

  /** The server takes the token no longer: a refresh tells whether the login is over. */
  async rejected(): Promise<void> {
    this.spoil();
    await this.token().catch(() => undefined);
  }

  /** By HTTP, beside the connection, which another tab may have. */
  upload(file: Blob, options: UploadOptions): Promise<Media> {
    const client = new Dragoman(socketAddress());
    client.accessToken = (isRejected = false) => {
      if (isRejected) this.spoil();
      return this.token();
    };
    return client.upload(file, options);
  }

  /** Ends the login in all tabs, and removes its data from this browser. Returns whether the server has ended it too. */
  async leave(): Promise<boolean> {
    const account = this.login.value?.account ?? 0;
    const isEnded = await locked(() => this.#logOut());
    await deleteAccount(account).catch(() => undefined);
    for (const name of Object.keys(localStorage))
      if (name.startsWith(`dragoman.${account}.`)) localStorage.removeItem(name);
    return isEnded;
  }

  /** Only the tab with the connection has a token: any other asks for one first. */
  async #logOut(): Promise<boolean> {
    try {
      if (!this.#isValid) await this.#refresh();
      await request<"logout">(operationAddress("logout"), {}, this.#token);
      return true;
    } catch (error) {
      return (error as Failure).code === "unauthenticated";
    } finally {
      await this.#over();
    }
  }

  /** There is no login any more, in any tab. Of one that the server has ended, unsent texts stay for that account. */
  async #over(why?: Failure): Promise<void> {
    const account = this.login.value?.account;
    await storeLogin(undefined).catch(() => undefined);
    if (account) this.#tabs.postMessage({ account, why } satisfies Letter);
    this.#forget(why);
    if (account && why) await emptyAccount(account).catch(() => undefined);
  }

  #forget(why?: Failure): void {
    this.#token = "";
    this.#unkept = undefined;
    this.ended.value = why;
    this.login.value = undefined;
  }

  /** A login that is stored no longer was ended by another tab: the one in memory is not used for it. */
  async #refresh(): Promise<void> {
    const stored = this.#unkept ?? (await storedLogin().catch(unreadable));
    if (!stored) {
      this.#forget();
      throw { code: "unauthenticated", text: "there is no login" } satisfies Failure;
    }
    try {
      const reply = await request<"refresh">(operationAddress("refresh"), { refresh: stored.refresh });
      await this.#granted({ ...reply, nickname: stored.nickname });
    } catch (error) {
      if ((error as Failure).code !== "unauthenticated") throw error;
      const newer = await storedLogin().catch(() => undefined);
      this.#unkept = undefined;
      if (newer && newer.refresh !== stored.refresh) return this.#refresh(); // another tab was faster, without a lock
      await this.#over(error as Failure);
      throw error;
    }
  }

  async #granted({
    account = 0,
    sid = "",
    token = "",
    expires = 0,
    refresh = "",
    time = Date.now(),
    nickname = "",
  }: Granted): Promise<void> {
    const login = { account, sid, refresh, nickname };
    this.#unkept = await storeLogin(login).then(
      () => undefined,
      () => login,
    );
    this.clockOffset = time - Date.now();
    this.expires = expires - this.clockOffset;
    this.#token = token;
    this.ended.value = undefined;
    if (this.login.value?.account === account) return;
    this.login.value = login;
    if (!this.#unkept) this.#tabs.postMessage("entered" satisfies Letter);
  }
}

/** The newest refresh token is there alone: an older one would end the login. */
function unreadable(error: unknown): never {
  throw { code: "unavailable", text: String(error) } satisfies Failure;
}

function options(): { refreshable: true; device: string } {
  const agent = navigator.userAgent;
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\//.exec(agent)?.[1]?.replace("Edg", "Edge") ?? "Browser";
  const system = /(Android|iPhone|iPad|Windows|Mac OS|Linux)/.exec(agent)?.[1] ?? "";
  return { refreshable: true, device: `${browser}${system && ` · ${system}`}` };
}

/** One tab after the other, where this browser can, and does not refuse it. */
async function locked<T>(work: () => Promise<T>): Promise<T> {
  let done: Promise<T> | undefined;
  const begin = () => (done ??= work());
  await navigator.locks?.request("dragoman-refresh", begin).catch(() => undefined);
  return begin();
}
