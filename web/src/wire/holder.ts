/** The connection of the tab that holds it: events become news, entries of the outbox are sent until they are known. */
import { Dragoman } from "../../../clients/javascript/dragoman.js";
import type { News, Outgoing, Place } from "../model/shapes.ts";
import { type Call, type Failure, type Native, failureOf, request } from "../native.ts";
import type { Session } from "../session.ts";
import { operationAddress, socketAddress } from "../site.ts";
import type { AccountStore } from "../storage/store.ts";
import { frames } from "./frames.ts";
import type { Tell } from "./wire.ts";

const TIMELINE = 30;
/** So many attempts fail before the server is asked without a WebSocket. */
const ATTEMPTS = 3;
const RENEW_EARLY_MS = 5 * 60_000;
const PASSED = [
  "message",
  "changed",
  "chat",
  "gone",
  "role",
  "renamed",
  "settings",
  "member",
  "request",
  "friend",
  "profile",
  "typing",
  "presence",
  "read",
  "receipts",
  "mute",
  "place",
  "draft",
  "own_settings",
  "notice",
] as const;

type Wanted = Omit<Native.HistoryParameters, "op" | "id">;

export class Holder {
  #client: Dragoman;
  #posted = new Set<string>();
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  #isEntering = false;
  #attempts = 0;
  #isBlocked = false;

  static async open(session: Session, store: AccountStore, tell: Tell): Promise<Holder> {
    const [places, epoch] = await Promise.all([store.places(), store.fact("epoch")]);
    const holder = new Holder(session, store, tell, places, String(epoch ?? ""));
    holder.#enter();
    return holder;
  }

  private constructor(
    readonly session: Session,
    readonly store: AccountStore,
    readonly tell: Tell,
    places: Place[],
    epoch: string,
  ) {
    const have = Object.fromEntries(places.map(({ chat, at }) => [chat, at]));
    this.#client = new Dragoman(socketAddress(), {
      have,
      epoch,
      timeline: TIMELINE,
      outboxLimit: 10_000,
      onFrame: (direction, text) => frames.note(direction === "out", text),
    });
    for (const kind of PASSED) this.#client.on(kind, (event: unknown) => this.#pass(event as News));
    this.#client.on("head", (head) => this.#pass({ ev: "head", head }));
    this.#client.on("gap", (gap) => this.#pass({ ev: "gap", ...gap }));
    this.#client.on("reset", () => this.#pass({ ev: "reset" }));
    this.#client.on("synced", () => this.#synced());
    this.#client.on("outcome", ({ nonce, op, reply, error }) => {
      if (op === "send") this.#settle(nonce, reply as Native.SendReply | undefined, error);
    });
    this.#client.on("state", ({ state, error }) => this.#state(state, error));
  }

  readonly call: Call = async (op, params) => {
    try {
      return op === "history" ? await this.#page(params as never) : await this.#client.call(op, params);
    } catch (error) {
      throw failureOf(error);
    }
  };

  /** Of history. Kept here, in turn with the changes that follow: in another tab's turn, one of these could be missed. */
  async #page({ chat, ...wanted }: Wanted): Promise<never> {
    const page = await this.#client.history(chat, wanted);
    this.store.keep({ ev: "page", chat, messages: page.messages });
    return page as never;
  }

  post({ nonce, chat, segments, reply_to, draft }: Outgoing): void {
    if (this.#posted.has(nonce)) return;
    this.#posted.add(nonce);
    const more = { ...(reply_to ? { reply_to } : {}), ...(draft ? { draft } : {}) };
    this.#client.send({ nonce, chat, segments, ...more }).catch((error: unknown) => {
      if (!this.#isClosed && this.#posted.has(nonce)) this.#settle(nonce, undefined, error); // never reached the outbox
    });
  }

  /** A wait for the next attempt is cut short, and a connection that may be dead is probed. */
  wake(): void {
    if (this.#client.state === "ended") void this.#enter();
    else this.#client.wake();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#renewal);
    this.#client.close();
  }

  /** One at a time: another one would end the connection that this one makes. */
  async #enter(): Promise<void> {
    if (this.#isEntering) return;
    this.#isEntering = true;
    clearTimeout(this.#renewal);
    try {
      const token = await this.session.token();
      if (!this.#isClosed) await this.#client.token(token);
      this.#renewLater();
    } catch (error) {
      this.#failed(failureOf(error));
    } finally {
      this.#isEntering = false;
    }
  }

  #failed(failure: Failure): void {
    if (this.#isClosed) return;
    if (failure.code === "unauthenticated") {
      this.session.spoil();
      if (!this.session.login.value) return;
    }
    clearTimeout(this.#renewal);
    const wait = Math.max(failure.retry_ms ?? 0, 3000);
    this.#renewal = setTimeout(() => this.#enter(), wait);
    this.tell({ ev: "state", state: { state: "waiting", until: Date.now() + wait, reason: failure } });
  }

  /** The connection goes on with a new token before the old one expires. */
  #renewLater(): void {
    clearTimeout(this.#renewal);
    if (this.#isClosed) return; // the session may be another account's by now
    const wait = Math.max(this.session.expires - Date.now() - RENEW_EARLY_MS, 60_000);
    this.#renewal = setTimeout(
      async () => {
        this.session.spoil();
        try {
          await this.#client.call("token", { token: await this.session.token() });
        } finally {
          this.#renewLater();
        }
      },
      Math.min(wait, 2 ** 31 - 1),
    );
  }

  #state(state: Dragoman["state"], error?: Error): void {
    const reason = error && failureOf(error);
    if (state === "ended" && !this.#isClosed) {
      if (reason?.code === "unauthenticated") void this.session.rejected();
      return this.#failed(reason ?? { code: "unavailable", text: "" });
    }
    if (state === "online") [this.#attempts, this.#isBlocked] = [0, false];
    if (state === "waiting" && ++this.#attempts >= ATTEMPTS) void this.#probe();
    const until = state === "waiting" ? Date.now() + (reason?.retry_ms ?? 1000) : undefined;
    const isBlocked = this.#isBlocked;
    this.tell({ ev: "state", state: { state, isBlocked, ...(until ? { until } : {}), ...(reason ? { reason } : {}) } });
  }

  /** Whether the server is there, and only no WebSocket to it. */
  async #probe(): Promise<void> {
    const isThere = await request<"hello">(operationAddress("hello"), {}).then(
      () => true,
      () => false,
    );
    this.#isBlocked = isThere && this.#attempts >= ATTEMPTS;
  }

  #pass(news: News): void {
    this.tell(news);
    this.store.keep(news);
    if ("chat" in news && typeof news.chat === "number") this.#move(news.chat);
    if (news.ev === "head") this.#move(news.head.chat);
  }

  #synced(): void {
    const { epoch } = this.#client;
    this.store.write((transaction) => transaction.objectStore("facts").put(epoch, "epoch"));
    this.store.prune(this.#client.serverTime());
    this.tell({ ev: "synced" });
  }

  /** Moves the chat's place on in the store, as far as its messages and changes are kept. */
  #move(chat: number): void {
    const at = this.#client.place(chat);
    if (at) this.store.move({ chat, at });
  }

  #settle(nonce: string, reply: Native.SendReply | undefined, error: unknown): void {
    if (!this.#posted.delete(nonce)) return;
    this.#client.discard(nonce); // a rejected one stays in the outbox of this page, not in that of the client
    const news: News = reply
      ? { ev: "outcome", nonce, chat: reply.chat, index: reply.index }
      : { ev: "outcome", nonce, failure: failureOf(error) };
    this.tell(news);
    this.store.keep(news);
  }
}
