/** The messages of the open chat: few rows in the page, and a place that never jumps. */
import {
  type Range,
  Virtualizer,
  defaultRangeExtractor,
  elementScroll,
  observeElementOffset,
  observeElementRect,
} from "@tanstack/virtual-core";
import { type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { computed, effect, signal, untracked } from "@preact/signals-core";
import { read, textOfSegments } from "../model/actions.ts";
import type { Chat } from "../model/chat.ts";
import { loadAround, loadNewest, loadOlder } from "../model/history.ts";
import type { Model } from "../model/model.ts";
import { type Row, rowsOf } from "../model/rows.ts";
import { attempt, said } from "../state.ts";
import { count, t } from "../words.ts";
import { each } from "./each.ts";
import { icon } from "./icons.ts";
import { lineRow } from "./line_row.ts";
import { type MessageRow, type RowActions, pressed, sendingRow } from "./message.ts";
import { Part, properties } from "./part.ts";

const ESTIMATE = { message: 58, sending: 58, day: 40, new: 28, gap: 48, earlier: 48 } as const;
const NEAR_START = 12;
const READ_MS = 120;
/** After a sync's summary, its messages come at once. */
const END_MS = 300;
const END_PIXELS = 60;

export class Messages extends Part {
  static override properties = {
    model: { attribute: false },
    chat: { attribute: false },
    actions: { attribute: false },
    index: { attribute: false },
    active: { state: true },
    wanted: { state: true },
  };
  declare model: Model;
  declare chat: Chat;
  declare actions: RowActions;
  /** That the route names. */
  declare index: number | undefined;
  /** The key of the row that has the tabindex. */
  declare active: string;
  /** Shown when its page is there. */
  declare wanted: number | undefined;
  #rows: Row[] = [];
  #positions = new Map<string, number>();
  #virtualizer: Virtualizer<HTMLElement, HTMLElement> | undefined;
  #mounted: (() => void) | undefined;
  #newFrom = signal(0);
  #first = computed(() => this.chat.head.value.first);
  #head = computed(() => this.chat.head.value.head);
  /** Made again when a message has changed, not in each frame of a scroll, nor when messages count as read. */
  #found = computed(() => {
    void this.chat.version.value;
    const ends = { first: this.#first.value, head: this.#head.value };
    return rowsOf(ends, this.chat.messages, this.chat.sending.value, this.#newFrom.value);
  });
  #seen = 0;
  /** The mark as unread with which it was opened. One that is made here stays until the chat is opened again. */
  #marked = 0;
  #isLoading = false;
  /** Messages before this index were asked for, and are asked for again after a scroll. */
  #loaded = 0;
  /** The newest message, if it was looked for. */
  #sought = 0;
  #isPlaced = false;
  /** The end is seen, as of the last update or scroll. A keyboard or a drawer that opens makes the page lower: its end
   * stays the end. */
  #showsEnd = signal(false);
  /** Rows have changed while the end was seen. */
  #follows = false;
  #unfollow: (() => void) | undefined;
  #readTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.active = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const { read: upto, unread, unread_from = 0, head } = this.chat.head.peek();
    this.#newFrom.value = unread_from || (unread ? upto + 1 : 0);
    this.#seen = head;
    this.#marked = unread_from;
    this.wanted = this.index;
    this.#unfollow = effect(() => {
      void this.#found.value;
      this.#follows ||= this.#isAtEnd();
    });
    this.chat.open();
    for (const kind of ["focus", "visibilitychange"]) addEventListener(kind, this.#look);
    void this.#begin();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const kind of ["focus", "visibilitychange"]) removeEventListener(kind, this.#look);
    clearTimeout(this.#readTimer);
    this.#unfollow?.();
    this.#mounted?.();
    this.chat.leave();
  }

  /** To a message, whatever has to be loaded for it. */
  async jump(index: number): Promise<void> {
    this.wanted = index;
    if (!(await attempt(() => loadAround(this.model, this.chat, index)))) return;
    if (!this.chat.messages.has(index)) said.value = t("reply_lost");
  }

  toEnd(): void {
    this.#virtualizer?.scrollToEnd();
    this.#dismissJump();
  }

  /** The focus goes to a message, if it is in the list. */
  focusMessage(index: number): void {
    this.#focusRow(`message ${index}`);
  }

  /** The button goes, and leaves its focus to the last row. */
  #jumpToEnd(): void {
    this.toEnd();
    this.#focusRow(this.#rows.at(-1)?.key ?? "");
  }

  /** The line before new messages goes, and leaves its focus to the first of them. */
  #dismissNew(): void {
    this.focusMessage(this.#newFrom.peek());
    this.#newFrom.value = 0;
  }

  get lastOwn(): Extract<Row, { kind: "message" }> | undefined {
    return this.#rows.findLast(
      (row) => row.kind === "message" && row.message.sender === this.model.me && !row.message.recalled,
    ) as Extract<Row, { kind: "message" }> | undefined;
  }

  protected override render(): TemplateResult {
    void this.model.state.value; // messages that could not be marked as read without a connection
    const virtualizer = this.#virtualizer;
    if (this.#found.value !== this.#rows) this.#place(this.#found.value);
    else virtualizer?.setOptions({ ...virtualizer.options, rangeExtractor: (range) => this.#extract(range) });
    const items = virtualizer?.getVirtualItems() ?? [];
    const newer = this.#newer();
    return html`<div class="scroller" tabindex="-1" @scroll=${this.#scrolled}>
        <ol class="rows" ${properties({ "block-size": `${virtualizer?.getTotalSize() ?? 0}px` })} @keydown=${this.#keys} @copy=${this.#copy} @focusin=${this.#focused}>
          ${each(
            items,
            ({ key }) => key,
            ({ index, start, key }) => this.#row(this.#rows[index] as Row, index, start, String(key)),
          )}
        </ol>
        ${this.#rows.length || this.#isLoading ? nothing : html`<p class="hint empty">${t("empty_chat")}</p>`}
      </div>
      ${
        newer === undefined
          ? nothing
          : html`<button type="button" class="jump" @click=${this.#jumpToEnd}>${icon("down")}
        ${newer ? count("jump_new", newer) : html`<span class="unseen">${t("to_newest")}</span>`}</button>`
      }`;
  }

  protected override updated(changes: PropertyValues): void {
    super.updated(changes);
    const virtualizer = this.#virtualizer;
    if (!virtualizer) return this.#mount();
    for (const row of this.querySelectorAll<MessageRow>("dragoman-message")) row.show();
    virtualizer._willUpdate();
    for (const row of this.querySelectorAll<HTMLElement>(".rows > li")) virtualizer.measureElement(row);
    if (this.#follows) virtualizer.scrollToEnd();
    this.#follows = false;
    if (this.#isPlaced && this.index !== undefined && changes.has("index")) void this.jump(this.index);
    if (!this.#isPlaced && this.#rows.length) this.#showFirst(virtualizer);
    else if (this.wanted !== undefined && this.chat.messages.has(this.wanted))
      this.#showWanted(virtualizer, this.wanted);
    this.#showsEnd.value = this.#isAtEnd();
    this.#loadNearStart();
    this.#loadEnd();
    this.#look();
  }

  #row(row: Row, index: number, start: number, key: string): TemplateResult {
    const place = properties({ transform: `translateY(${start}px)` });
    const isActive = key === (this.active || this.#rows.at(-1)?.key);
    return html`<li class=${`row row-${row.kind}`} data-index=${index} data-key=${key} tabindex=${row.kind === "message" || row.kind === "sending" ? (isActive ? 0 : -1) : nothing}
      aria-setsize=${this.#rows.length} aria-posinset=${index + 1} ${place}>${this.#content(row)}</li>`;
  }

  #content(row: Row): TemplateResult {
    if (row.kind === "message")
      return html`<dragoman-message .model=${this.model} .chat=${this.chat} .message=${row.message} .isContinued=${row.isContinued} .actions=${this.actions}></dragoman-message>`;
    if (row.kind === "sending") return sendingRow(this.model, row.entry, this.actions);
    return lineRow(
      row,
      this.#isLoading,
      (before) => void this.#load(before),
      () => this.#dismissNew(),
    );
  }

  /** A message stays where it is when earlier rows come: days and buttons above it go, or stay at the top. */
  #place(rows: Row[]): void {
    const isAppended = rows.at(-1)?.key !== this.#rows.at(-1)?.key;
    const above = isAppended || rows.length === this.#rows.length ? 0 : this.#aboveMessage();
    this.#rows = rows;
    this.#positions = new Map(rows.map(({ key }, at) => [key, at]));
    const virtualizer = this.#virtualizer;
    if (!virtualizer) return;
    virtualizer.scrollOffset = (virtualizer.scrollOffset ?? 0) + above;
    virtualizer.setOptions(this.#options());
    virtualizer.scrollOffset -= above;
  }

  /** Pixels from the top of the visible part to the first message that begins there. */
  #aboveMessage(): number {
    const offset = this.#virtualizer?.scrollOffset ?? 0;
    const top = this.#virtualizer?.getVirtualItemForOffset(offset)?.index ?? 0;
    const first = this.#rows[top]?.kind === "message" ? -1 : this.#rows.findIndex((row, at) => at > top && row.kind === "message");
    return Math.max(0, (this.#virtualizer?.measurementsCache[first]?.start ?? 0) - offset);
  }

  #options(): ConstructorParameters<typeof Virtualizer<HTMLElement, HTMLElement>>[0] {
    const rows = this.#rows;
    return {
      count: rows.length,
      getScrollElement: () => this.querySelector<HTMLElement>(".scroller"),
      estimateSize: (index) => ESTIMATE[rows[index]?.kind ?? "message"],
      getItemKey: (index) => rows[index]?.key ?? index,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      overscan: 8,
      anchorTo: "end",
      scrollEndThreshold: END_PIXELS,
      paddingEnd: 8,
      rangeExtractor: (range) => this.#extract(range),
      onChange: () => this.requestUpdate(),
    };
  }

  /** The row with the focus stays in the page, and so do the ends of a selection. (The browser computes the layout for
   * the selection's `isCollapsed`.) */
  #extract(range: Range): number[] {
    const indices = defaultRangeExtractor(range);
    const { anchorNode, anchorOffset, focusNode, focusOffset } = getSelection() ?? {};
    const ends = anchorNode === focusNode && anchorOffset === focusOffset ? [] : [anchorNode, focusNode];
    const keys = [document.activeElement, ...ends].map(keyOf);
    const more = [...keys, this.active].flatMap((key) => (key === undefined ? [] : (this.#positions.get(key) ?? [])));
    return more.every((at) => indices.includes(at))
      ? indices
      : [...new Set([...indices, ...more])].sort((one, other) => one - other);
  }

  /** The next update gives the list its height. Before that, nothing can scroll to the end. */
  #mount(): void {
    const made = new Virtualizer<HTMLElement, HTMLElement>(this.#options());
    this.#virtualizer = made;
    const unmount = made._didMount();
    const observer = new ResizeObserver(() => {
      if (this.#showsEnd.peek()) made.scrollToEnd();
    });
    observer.observe(this.querySelector(".scroller") as HTMLElement);
    this.#mounted = () => {
      observer.disconnect();
      unmount();
    };
    queueMicrotask(() => this.requestUpdate());
  }

  /** At the first unread message, else at the end. */
  #showFirst(virtualizer: Virtualizer<HTMLElement, HTMLElement>): void {
    this.#isPlaced = true;
    const line = this.#positions.get("new");
    if (this.wanted !== undefined) void this.jump(this.wanted);
    else if (line !== undefined) virtualizer.scrollToIndex(Math.max(0, line - 1), { align: "start" });
    else virtualizer.scrollToEnd();
  }

  #showWanted(virtualizer: Virtualizer<HTMLElement, HTMLElement>, wanted: number): void {
    const at = this.#positions.get(`message ${wanted}`);
    if (at === undefined) return;
    this.wanted = undefined;
    virtualizer.scrollToIndex(at, { align: "center" });
    this.focusMessage(wanted);
  }

  async #begin(): Promise<void> {
    this.#isLoading = true;
    await loadNewest(this.model, this.chat).catch(() => undefined);
    const { first } = this.chat.head.peek();
    const lacksNew =
      this.#newFrom.peek() > first &&
      !this.chat.messages.has(this.#newFrom.peek()) &&
      this.chat.messages.has(this.chat.head.peek().head);
    if (lacksNew) await loadAround(this.model, this.chat, this.#newFrom.peek()).catch(() => undefined);
    this.#isLoading = false;
    this.requestUpdate();
  }

  async #load(before: number): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    this.#loaded = before;
    const isUsed = this.contains(document.activeElement);
    this.#keepEnd(before);
    this.requestUpdate();
    const isThere = await attempt(() => loadOlder(this.model, this.chat, before));
    this.#isLoading = false;
    if (!isThere) said.value = t("not_loaded");
    this.requestUpdate();
    await this.updateComplete;
    if (isUsed && document.activeElement === document.body) this.focusMessage(before); // the button has gone
  }

  /** Rows below the new ones stay where they are: the new ones have other sizes than the estimate, and the message after them
   * gets lower, for it follows another one and shows no name. */
  #keepEnd(index: number): void {
    const virtualizer = this.#virtualizer;
    if (!virtualizer) return;
    const seam = `message ${index}`;
    virtualizer.shouldAdjustScrollPositionOnItemSizeChange = ({ index: at, start }) => {
      if (!this.chat.messages.has(index - 1) || at > (this.#positions.get(seam) ?? 0))
        return start < (virtualizer.scrollOffset ?? 0);
      return true;
    };
  }

  #scrolled(): void {
    this.#showsEnd.value = this.#isAtEnd();
    this.#loaded = 0;
    this.#look();
  }

  /** By the page itself: the virtualizer hears of a scroll later. The browser computes the layout for this if an element
   * has changed, so it is read before the elements change, or after all of them have. */
  #isAtEnd(): boolean {
    if (!this.#isPlaced) return false;
    const { scrollHeight = 0, scrollTop = 0, clientHeight = 0 } = this.querySelector(".scroller") ?? {};
    return scrollHeight - scrollTop - clientHeight <= END_PIXELS;
  }

  /** A late tab may know of the newest message, and lack it: the message came before the tab. */
  #loadEnd(): void {
    const { head } = this.chat.head.peek();
    if (head === this.#sought || this.chat.messages.has(head) || this.model.state.peek().state !== "online") return;
    this.#sought = head;
    setTimeout(() => void loadNewest(this.model, this.chat).catch(() => undefined), END_MS);
  }

  /** With the rows that the page has now: at the top nobody can scroll again. The first row in view is found by the page
   * itself: the virtualizer hears of a scroll to the end later. */
  #loadNearStart(): void {
    const { scrollTop = 0 } = this.querySelector(".scroller") ?? {};
    const first = this.#virtualizer?.getVirtualItemForOffset(scrollTop)?.index ?? NEAR_START;
    const earlier = this.#rows[0];
    if (
      this.#isPlaced &&
      first < NEAR_START &&
      earlier?.kind === "earlier" &&
      earlier.before !== this.#loaded &&
      this.model.state.peek().state === "online"
    )
      void this.#load(earlier.before);
  }

  /** Messages are read when somebody looks at the end of the page. */
  #look = (): void => {
    untracked(() => {
      if (!this.#showsEnd.value) return;
      const { head, read: upto, unread_from = 0 } = this.chat.head.value;
      clearTimeout(this.#readTimer);
      if (this.#seen !== head) this.#dismissJump();
      if (unread_from ? unread_from !== this.#marked : head <= upto) return;
      if (document.visibilityState !== "visible" || !document.hasFocus() || !this.chat.messages.has(head)) return;
      this.#readTimer = setTimeout(() => void read(this.model, this.chat, head).catch(() => undefined), READ_MS);
    });
  };

  #dismissJump(): void {
    this.#seen = this.chat.head.peek().head;
    this.requestUpdate();
  }

  /** Messages that have come since the end was seen; undefined at the end. */
  #newer(): number | undefined {
    if (!this.#isPlaced || this.#showsEnd.value) return undefined;
    return Math.max(0, this.chat.head.value.head - this.#seen);
  }

  #focused({ target }: FocusEvent): void {
    const key = keyOf(target as Node);
    if (key && key !== this.active) this.active = key;
  }

  #keys(event: KeyboardEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>(".rows > li");
    if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
    const found = this.#rows[Number(row.dataset["index"])];
    if (event.key === "ArrowUp" || event.key === "ArrowDown")
      this.#move(Number(row.dataset["index"]), event.key === "ArrowUp" ? -1 : 1);
    else if (found?.kind !== "message" || !pressed(event.key, found.message, row, this.actions)) return;
    event.preventDefault();
  }

  /** Of a selection over several messages the page has only the ends: they are copied whole, from memory. */
  #copy(event: ClipboardEvent): void {
    const selected = getSelection();
    const [from, to] = [selected?.anchorNode, selected?.focusNode].map((node) => this.#positions.get(keyOf(node) ?? ""));
    if (from === undefined || to === undefined || from === to) return;
    const lines = this.#rows.slice(Math.min(from, to), Math.max(from, to) + 1).flatMap((row) =>
      row.kind === "message" ? [`${this.model.people.name(row.message.sender)}: ${textOfSegments(row.message.segments)}`] : [],
    );
    event.clipboardData?.setData("text/plain", lines.join("\n"));
    event.preventDefault();
  }

  #move(from: number, by: 1 | -1): void {
    let at = from + by;
    while (this.#rows[at] && !["message", "sending"].includes(this.#rows[at]?.kind ?? "")) at += by;
    const row = this.#rows[at];
    if (!row) return;
    this.#virtualizer?.scrollToIndex(at, { align: "auto" });
    this.#focusRow(row.key);
  }

  #focusRow(key: string): void {
    this.active = key;
    void this.updateComplete.then(() =>
      this.querySelector<HTMLElement>(`.rows > li[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true }),
    );
  }
}
customElements.define("dragoman-messages", Messages);

/** Of the row that a node is in. */
function keyOf(node: Node | null | undefined): string | undefined {
  return (node instanceof Element ? node : node?.parentElement)?.closest<HTMLElement>(".rows > li")?.dataset["key"];
}
