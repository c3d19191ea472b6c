/**
 * Unsent texts: stored at once in this browser, a moment later at the server. A synced draft never replaces
 * newer text: it is offered.
 */
import { signal, untracked } from "@preact/signals-core";
import { type Native, failureOf, isPassing } from "../native.ts";
import { route } from "../site.ts";
import type { Model } from "./model.ts";
import type { Head } from "./shapes.ts";

export interface Draft {
  text: string;
  reply_to?: number;
  /** The revision at the server that this one has changed. */
  base: number;
  /** The text that the server has. */
  synced: string;
}

const SYNC_MS = 1500;
/** As long a message waits for the draft that is on its way. */
const SYNCING_MS = 300;
const EMPTY: Draft = { text: "", base: 0, synced: "" };

export class Drafts {
  /** Of another device, by chat. */
  readonly offered = signal<ReadonlyMap<number, Native.DraftInfo>>(new Map());
  /** Rises when a draft was replaced from elsewhere. */
  readonly replaced = signal(0);
  readonly changed = signal(0);
  /** Rises with drafts of chats that are not open: a key in the field shows the list of chats not again. */
  readonly listed = signal(0);
  #own = new Map<number, Draft>();
  #timers = new Map<number, ReturnType<typeof setTimeout>>();
  #syncing = new Map<number, Promise<void>>();

  constructor(readonly model: Model) {
    model.drafts.add((event) => this.#receive(event));
    model.heads.add((head) => this.#compare(head));
    addEventListener("storage", this.#follow);
  }

  close(): void {
    removeEventListener("storage", this.#follow);
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  get(chat: number): Draft {
    const own = this.#own.get(chat) ?? read(localStorage.getItem(this.#key(chat)));
    this.#own.set(chat, own);
    if (!isEmpty(own)) return own;
    const draft = untracked(() => this.model.chats.get(chat)?.draft);
    return draft?.text && !draft.cut ? fromServer(draft) : EMPTY;
  }

  /** For the list of chats. */
  text(chat: number): string {
    void this.listed.value;
    return this.get(chat).text || (this.model.chats.get(chat)?.draft?.text ?? "");
  }

  set(chat: number, text: string, reply_to?: number): void {
    this.#store(chat, { ...this.get(chat), text, ...(reply_to ? { reply_to } : { reply_to: 0 }) });
    clearTimeout(this.#timers.get(chat));
    this.#timers.set(
      chat,
      setTimeout(() => this.#sync(chat), SYNC_MS),
    );
  }

  /** It is being sent. `post` gets the revision that the server is to remove with it: at once, unless one is on its way. */
  clear(chat: number, post: (revision: number | undefined) => void): void {
    clearTimeout(this.#timers.get(chat));
    const { base: before } = this.get(chat);
    const known = this.model.chats.get(chat);
    if (known?.head.peek().draft?.rev) known.update({ draft: { rev: 0, text: "" } });
    this.#store(chat, EMPTY);
    const syncing = this.#syncing.get(chat);
    if (!syncing) return post(before || undefined);
    const late = new Promise((resolve) => {
      setTimeout(resolve, SYNCING_MS);
    });
    void Promise.race([syncing, late]).then(() => {
      const { base, text } = this.get(chat);
      if (!text) this.#store(chat, EMPTY);
      post(Math.max(base, before) || undefined);
      this.#sync(chat); // a draft that was on its way for longer is removed
    });
  }

  /** The whole text of a draft of another device. */
  async accept(chat: number): Promise<void> {
    const { draft } = await this.model.wire.call("draft", { chat });
    if (draft) this.#replace(chat, draft);
    this.#offer(chat, undefined);
  }

  dismiss(chat: number): void {
    const offered = this.offered.value.get(chat);
    if (offered) this.#store(chat, { ...this.get(chat), base: offered.rev });
    this.#offer(chat, undefined);
  }

  /** One after the other: each has the revision of the one before it. */
  #sync(chat: number): void {
    const before = this.#syncing.get(chat) ?? Promise.resolve();
    const work: Promise<void> = before.then(() => this.#send(chat)).finally(() => {
      if (this.#syncing.get(chat) === work) this.#syncing.delete(chat);
    });
    this.#syncing.set(chat, work);
  }

  async #send(chat: number): Promise<void> {
    const { text, reply_to, base, synced } = this.get(chat);
    if (text === synced) return;
    try {
      const wanted = { chat, text, base, ...(reply_to ? { reply_to } : {}) };
      const { rev, conflict } = await this.model.wire.call("set_draft", wanted);
      if (conflict?.text) this.#offer(chat, conflict);
      else if (conflict) {
        this.#store(chat, { ...this.get(chat), base: 0, synced: "" }); // another device has sent or removed it
        this.#sync(chat);
      } else this.#store(chat, { ...this.get(chat), base: rev ?? base, synced: text });
    } catch (error) {
      if (isPassing(failureOf(error)))
        this.#timers.set(
          chat,
          setTimeout(() => this.#sync(chat), SYNC_MS * 10),
        );
    }
  }

  /** A draft that was sent or removed has the revision that it had, and the next one begins without one. */
  #receive({ chat, rev, ...rest }: Native.DraftEvent): void {
    const own = this.get(chat);
    if (rev && (rest.text ? own.base >= rev : own.base > rev)) return;
    const draft = { ...rest, rev: rest.text ? rev : 0 };
    if (own.text === own.synced && !draft.cut && !isBeingWritten(chat)) this.#replace(chat, draft);
    else if (draft.text && draft.text !== own.text) this.#offer(chat, draft);
    else this.#store(chat, { ...own, base: draft.rev, synced: draft.text });
  }

  /** Of a sync: another device may have changed or sent the draft meanwhile. */
  #compare({ chat }: Head): void {
    const draft = untracked(() => this.model.chats.get(chat)?.draft);
    if (draft?.rev) this.#receive({ ev: "draft", chat, ...draft });
    else if (this.get(chat).base) void this.#look(chat).catch(() => undefined);
  }

  /** The summary without a draft may be older than the draft of this device. Rejects with a Failure. */
  async #look(chat: number): Promise<void> {
    await this.#syncing.get(chat);
    const own = this.get(chat);
    const { draft = { rev: 0, text: "" } } = await this.model.wire.call("draft", { chat });
    if (this.get(chat) === own) this.#receive({ ev: "draft", chat, ...draft });
  }

  #replace(chat: number, draft: Native.DraftInfo): void {
    this.#store(chat, fromServer(draft));
    this.replaced.value += 1;
  }

  #offer(chat: number, draft: Native.DraftInfo | undefined): void {
    const others = new Map(this.offered.value);
    others.delete(chat);
    if (draft) others.set(chat, draft);
    this.offered.value = others;
  }

  /** Another tab has written, or sent it. A field with the focus is never changed. */
  #follow = ({ key, newValue }: StorageEvent): void => {
    const chat = Number(key?.startsWith(this.#key("")) ? key.slice(this.#key("").length) : 0);
    if (!chat || isBeingWritten(chat)) return;
    if (newValue === null) this.model.chats.get(chat)?.update({ draft: { rev: 0, text: "" } });
    this.#show(chat, read(newValue));
  };

  /** The storage of this browser may be full: the text is in memory first. */
  #store(chat: number, draft: Draft): void {
    try {
      if (isEmpty(draft)) localStorage.removeItem(this.#key(chat));
      else localStorage.setItem(this.#key(chat), JSON.stringify(draft));
    } catch {
      this.model.store.trouble.value = "full";
    }
    this.#show(chat, draft);
  }

  #show(chat: number, draft: Draft): void {
    this.#own.set(chat, draft);
    this.changed.value += 1;
    if (route.peek().chat !== chat) this.listed.value += 1;
  }

  #key(chat: number | ""): string {
    return `dragoman.${this.model.me}.draft.${chat}`;
  }
}

function read(stored: string | null): Draft {
  return stored ? { ...EMPTY, ...(JSON.parse(stored) as Draft) } : EMPTY;
}

function isEmpty({ text, base, reply_to }: Draft): boolean {
  return !text && !base && !reply_to;
}

function fromServer({ text, rev, reply_to = 0 }: Native.DraftInfo): Draft {
  return { text, base: rev, synced: text, reply_to };
}

/** A composer that has focus is never changed. In a page without it the field is only where somebody has left. */
function isBeingWritten(chat: number): boolean {
  const { activeElement } = document;
  return document.hasFocus() && activeElement instanceof HTMLTextAreaElement && activeElement.dataset["chat"] === String(chat);
}
