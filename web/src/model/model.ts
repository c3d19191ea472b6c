/** The state of an account in this tab, fed by the wire. Screens read its signals. */
import { type ReadonlySignal, type Signal, batch, computed, signal } from "@preact/signals-core";
import type { Native } from "../native.ts";
import type { Session } from "../session.ts";
import { AccountStore } from "../storage/store.ts";
import { TabWire } from "../wire/tabs.ts";
import { Chat, type Sending } from "./chat.ts";
import { People } from "./people.ts";
import type { Arrived, Head, Message, News, Outgoing, WireState } from "./shapes.ts";

const FRAME_MS = 17;
const HIDDEN_MS = 50;
const MOST_EARLY = 1000;
/** The tab of an entry has asked for it by then, unless it was closed. */
const LEFT_MS = 1000;

export type Arrival = (chat: Chat, message: Native.MessageEvent) => void;

export class Model {
  readonly chats = new Map<number, Chat>();
  /** Rises when a chat comes or goes. */
  readonly members = signal(0);
  readonly state = signal<WireState>({ state: "offline" });
  /** Entries of the outbox whose chat is not there: it was left, or has not come yet. */
  readonly stranded = signal<Sending[]>([]);
  readonly isSynced = signal(false);
  readonly maintenance = signal(false);
  /** Of people who want to be friends or to join, until their screen is opened. */
  readonly requests = signal<Native.RequestEvent[]>([]);
  readonly friendsChanged = signal(0);
  readonly drafts = new Set<(event: Native.DraftEvent) => void>();
  readonly heads = new Set<(head: Head) => void>();
  readonly arrivals = new Set<Arrival>();
  readonly store = new AccountStore();
  readonly people: People;
  readonly wire: TabWire;
  #pending: News[] = [];
  #isScheduled = false;
  #appliedAt = 0;
  #stale = new Set<number>();
  /** Chats from before a reset that the sync has not named yet. */
  #unconfirmed = new Set<number>();
  /** Messages that have come before the event of their new chat. */
  #early: Arrived[] = [];
  #sought = new WeakMap<Chat, number>();

  static async open(session: Session): Promise<Model> {
    const model = new Model(session);
    await model.#loaded;
    return model;
  }

  private constructor(session: Session) {
    const account = session.login.value?.account ?? 0;
    this.me = account;
    const opened = this.store.open(account);
    const [summary, unsent] = [() => this.#summary(), () => this.#unsent()];
    this.wire = new TabWire(account, session, this.store, (news) => this.#receive(news), summary, unsent, opened);
    this.people = new People(this.wire.call, (people) =>
      this.store.write((transaction) => {
        for (const person of people) void transaction.objectStore("people").put(person);
      }),
    );
    this.#loaded = opened.then(() => this.#load());
    if (session.login.value?.nickname) this.people.meet(account, session.login.value.nickname);
  }

  readonly me: number;
  /** Stored data comes before all news. */
  #loaded: Promise<void>;

  /** The last one: as long as it stays, the list is not shown again. */
  #order: Chat[] = [];
  /** Pinned chats first, then by the last message; archived ones are apart. */
  readonly order: ReadonlySignal<Chat[]> = computed(() => {
    void this.members.value;
    const shown = [...this.chats.values()].map((chat) => ({ chat, head: chat.head.value }));
    shown.sort(
      ({ head: one }, { head: other }) =>
        Number(one.archived ?? false) - Number(other.archived ?? false) ||
        Number(other.pinned ?? false) - Number(one.pinned ?? false) ||
        other.time - one.time ||
        other.chat - one.chat,
    );
    const order = shown.map(({ chat }) => chat);
    return (this.#order = isSame(order, this.#order) ? this.#order : order);
  });

  readonly unread: ReadonlySignal<{ chats: number; messages: number; mentions: number }> = computed(() => {
    const counted = this.order.value.map((chat) => chat.head.value).filter((head) => head.unread > 0 || isMarked(head));
    const loud = counted.filter((head) => !isMuted(head));
    return {
      chats: loud.length,
      messages: loud.reduce((sum, head) => sum + head.unread, 0),
      mentions: counted.reduce((sum, head) => sum + (head.mentions ?? 0), 0),
    };
  });

  /** All that is on its way, or was rejected. */
  readonly outbox: ReadonlySignal<Sending[]> = computed(() => {
    void this.members.value;
    return this.#queues().flatMap((queue) => queue.value.filter(({ sent }) => sent === undefined));
  });

  close(): void {
    this.wire.close();
    this.store.close();
  }

  title(chat: Chat): string {
    const { kind, name, chat: id, face } = chat.head.value;
    if (kind !== "private") return name || `#${id}`;
    const other = this.other(chat);
    return other
      ? this.people.get(other).nickname || face?.nickname || `#${other}`
      : face?.nickname || name || `#${id}`;
  }

  /** The other member of a private chat. */
  other(chat: Chat): number | undefined {
    const { kind, members = [] } = chat.head.value;
    return kind === "private" ? members.find((account) => account !== this.me) : undefined;
  }

  /** News that begin in this tab: shown at once. */
  take(news: News): void {
    this.store.keep(news);
    this.wire.share(news);
    this.#pending.push(news);
    void this.#loaded.then(() => this.#applyPending());
  }

  async #load(): Promise<void> {
    const [heads, people, outbox] = await Promise.all([this.store.heads(), this.store.people(), this.store.outbox()]);
    batch(() => {
      this.people.load(people);
      for (const head of heads) this.#add(head);
      for (const entry of outbox) this.#apply({ ev: "outgoing", entry });
      this.members.value += 1;
    });
    for (const entry of this.#waiting) this.wire.post(entry); // the tab with the connection may not know of it, or has just sent it
  }

  /** A single event is shown at once, and events that come together are shown in one frame; a tick never waits. */
  #receive(news: News): void {
    this.#pending.push(news);
    if (news.ev === "outcome") return void this.#loaded.then(() => this.#applyPending());
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    let frame = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const apply = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      void this.#loaded.then(() => {
        this.#isScheduled = false;
        this.#appliedAt = performance.now();
        this.#applyPending();
      });
    };
    if (performance.now() - this.#appliedAt > FRAME_MS) return apply();
    frame = requestAnimationFrame(apply);
    timer = setTimeout(apply, HIDDEN_MS); // a page that is hidden, or is hidden meanwhile, has no frames
  }

  /** For a tab that has just opened: the store may be older than the news of this tab to the others. */
  async #summary(): Promise<News[]> {
    await this.#loaded;
    this.#applyPending();
    const heads: News[] = [...this.chats.values()].map(({ head }) => ({ ev: "head", head: head.value }));
    return this.isSynced.value ? [...heads, { ev: "synced" }] : heads;
  }

  /** For this tab, which has got the connection. */
  async #unsent(): Promise<Outgoing[]> {
    await this.#loaded;
    this.#applyPending();
    return this.#waiting;
  }

  get #waiting(): Sending[] {
    return this.outbox.peek().filter(({ rejected }) => !rejected).sort((one, other) => one.at - other.at);
  }

  #applyPending(): void {
    batch(() => {
      for (const news of this.#pending.splice(0)) this.#apply(news);
    });
    this.#keepHeads();
  }

  #apply(news: News): void {
    switch (news.ev) {
      case "head":
        this.#head(news.head);
        break;
      case "chat":
        this.#joined(news);
        break;
      case "gone":
        this.#remove([news.chat]);
        break;
      case "reset":
        this.#reset();
        break;
      case "message":
        this.#message(news);
        break;
      case "outgoing":
        this.#outgoing(news);
        break;
      case "outcome":
        this.#outcome(news);
        break;
      case "dropped":
        this.#dropped(news.nonce);
        break;
      case "state":
        this.state.value = news.state;
        break;
      case "synced":
        this.#synced();
        break;
      case "profile":
        this.people.set({
          account: news.account,
          nickname: news.nickname,
          avatar: news.avatar,
          v: news.v ?? 0,
          ...(news.deleted ? { deleted: true } : {}),
        });
        break;
      case "request":
        this.requests.value = [
          ...this.requests.value.filter((one) => one.account !== news.account || one.chat !== news.chat),
          news,
        ];
        break;
      case "friend":
        this.friendsChanged.value += 1;
        break;
      case "notice":
        if (news.kind === "maintenance") this.maintenance.value = news.on;
        break;
      default:
        this.#ofChat(news);
    }
  }

  #remove(chats: Iterable<number>): void {
    for (const id of chats) {
      const left = this.chats.get(id)?.sending.value.filter(({ sent }) => sent === undefined) ?? [];
      this.chats.delete(id);
      if (left.length) this.stranded.value = [...this.stranded.value, ...left];
    }
    this.members.value += 1;
  }

  #add(head: Head): void {
    const chat = new Chat(head, this.me);
    this.chats.set(head.chat, chat);
    chat.sending.value = this.stranded.value.filter((entry) => entry.chat === head.chat);
    this.stranded.value = this.stranded.value.filter((entry) => entry.chat !== head.chat);
    this.members.value += 1;
    const early = this.#early.filter((message) => message.chat === head.chat);
    this.#early = this.#early.filter((message) => message.chat !== head.chat);
    for (const message of early) this.#message(message);
  }

  #queues(): Signal<Sending[]>[] {
    return [...[...this.chats.values()].map(({ sending }) => sending), this.stranded];
  }

  /** Messages are those of another epoch. Unsent messages stay with their chats. */
  #reset(): void {
    this.#unconfirmed = new Set(this.chats.keys());
    for (const chat of this.chats.values()) chat.forget();
  }

  #synced(): void {
    this.isSynced.value = true;
    this.#remove(this.#unconfirmed);
    this.#unconfirmed.clear();
  }

  #ofChat(news: News): void {
    const chat = "chat" in news ? this.chats.get(news.chat ?? 0) : undefined;
    if (!chat) return;
    this.#stale.add(chat.head.value.chat);
    switch (news.ev) {
      case "changed":
        chat.change(news);
        break;
      case "gap":
        chat.lose(news.from, news.to);
        break;
      case "typing":
        chat.type(news.account, news.ttl_ms);
        break;
      case "renamed":
        chat.update({ name: news.name });
        break;
      case "settings":
        chat.update({ avatar: news.avatar, topic: news.topic, handle: news.handle ?? "" });
        break;
      case "mute":
        chat.update({ muted_until: news.until, mentions_only: news.mentions_only });
        break;
      case "place":
        chat.update({ pinned: news.pinned, archived: news.archived });
        break;
      case "read":
        chat.read(news);
        break;
      case "draft":
        chat.update({ draft: news });
        this.drafts.forEach((listener) => listener(news));
        break;
      case "role":
        if (news.account === this.me) chat.update({ role: news.role });
        break;
    }
  }

  #head(head: Head): void {
    this.#unconfirmed.delete(head.chat);
    const known = this.chats.get(head.chat);
    if (known) known.replace(head);
    else this.#add(head);
    this.#stale.add(head.chat);
    this.heads.forEach((listener) => listener(head));
  }

  #joined({ ev: _, created, head = 0, first = 1, rev = 0, ...chat }: Native.ChatEvent): void {
    if (!this.chats.has(chat.chat)) this.#head({ ...chat, head, first, rev, time: created, read: head, unread: 0 });
    else this.chats.get(chat.chat)?.update({ name: chat.name, topic: chat.topic, avatar: chat.avatar });
  }

  #message(news: Arrived): void {
    const chat = this.chats.get(news.chat);
    if (!chat) return void this.#early.splice(0, Math.max(0, this.#early.push(news) - MOST_EARLY));
    if (news.face) this.people.meet(news.sender, news.face.nickname, news.face.v);
    const isNew = news.index > chat.head.value.head;
    chat.receive(news);
    this.#stale.add(news.chat);
    if (isNew) this.arrivals.forEach((arrival) => arrival(chat, news));
  }

  #outgoing({ entry }: Extract<News, { ev: "outgoing" }>): void {
    const queue = this.chats.get(entry.chat)?.sending ?? this.stranded;
    queue.value = [...queue.value.filter(({ nonce }) => nonce !== entry.nonce), entry];
    if (entry.rejected) return;
    setTimeout(() => {
      if (this.wire.isHolder && this.outbox.peek().includes(entry)) this.wire.post(entry);
    }, LEFT_MS);
  }

  #outcome({ nonce, index, failure }: Extract<News, { ev: "outcome" }>): void {
    for (const queue of this.#queues()) {
      const entry = queue.value.find((one) => one.nonce === nonce);
      if (!entry) continue;
      const others = queue.value.filter((one) => one !== entry);
      const chat = this.chats.get(entry.chat);
      if (index !== undefined && entry.draft && entry.draft === chat?.head.peek().draft?.rev)
        chat.update({ draft: { rev: 0, text: "" } });
      const isThere = index !== undefined && (!chat || chat.reaches(index));
      const next =
        index === undefined
          ? { ...entry, rejected: failure as NonNullable<typeof failure> }
          : { ...entry, sent: index };
      queue.value = isThere ? others : [...others, next].sort((one, other) => one.at - other.at);
    }
  }

  #dropped(nonce: string): void {
    for (const queue of this.#queues()) {
      if (queue.value.some((one) => one.nonce === nonce))
        queue.value = queue.value.filter((one) => one.nonce !== nonce);
    }
  }

  /** Summaries are stored by the tab that has the connection, so that none overwrites a newer one. */
  #keepHeads(): void {
    if (!this.wire.isHolder || !this.#stale.size) return;
    const heads = [...this.#stale].flatMap((id) => this.chats.get(id)?.head.value ?? []);
    this.#stale.clear();
    void this.store.write((transaction) => {
      for (const head of heads) void transaction.objectStore("heads").put(head);
    });
  }

  /** The last message of a chat for the list, from the store if it is not in memory. */
  last(chat: Chat): Message | undefined {
    void chat.version.value;
    const { chat: id, head } = chat.head.value;
    const known = chat.messages.get(head);
    if (!known && head && this.#sought.get(chat) !== head) {
      this.#sought.set(chat, head);
      void this.store.message(id, head).then((message) => {
        if (message) chat.add(message, message.rev);
      });
    }
    return known;
  }
}

function isSame<T>(one: readonly T[], other: readonly T[]): boolean {
  return one.length === other.length && one.every((value, at) => value === other[at]);
}

export function isMuted({ muted_until = 0, mentions_only, mentions = 0 }: Head): boolean {
  return !mentions && (muted_until > Date.now() || mentions_only === true);
}

/** Whether an account may change a group, and recall the messages of others there. */
export function manages({ kind, role, owner }: Head, account: number): boolean {
  return kind === "group" && (role === "admin" || role === "owner" || owner === account);
}

export function isMarked({ unread_from = 0 }: Head): boolean {
  return unread_from > 0;
}
