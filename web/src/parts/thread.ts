/** A message and the replies to it, beside the chat. */
import { type TemplateResult, html, nothing } from "lit";
import { loadAround, loadOlder } from "../model/history.ts";
import type { Chat } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import { type Row, rowsOf } from "../model/rows.ts";
import { attempt, said } from "../state.ts";
import { t } from "../words.ts";
import { each } from "./each.ts";
import { icon } from "./icons.ts";
import { lineRow } from "./line_row.ts";
import { type RowActions, pressed } from "./message.ts";
import { Part } from "./part.ts";

export class Thread extends Part {
  static override properties = {
    model: { attribute: false },
    chat: { attribute: false },
    index: { attribute: false },
    actions: { attribute: false },
    active: { state: true },
  };
  declare model: Model;
  declare chat: Chat;
  /** Of the message that is replied to. */
  declare index: number;
  declare actions: RowActions;
  /** The key of the row that has the tabindex. */
  declare active: string;

  constructor() {
    super();
    this.active = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#load();
    void this.updateComplete.then(() =>
      (this.querySelector<HTMLElement>('li[tabindex="0"]') ?? this.querySelector("button"))?.focus(),
    );
  }

  protected override render(): TemplateResult {
    const rows = this.#rows();
    const original = this.chat.messages.get(this.index);
    const first = `message ${this.index}`;
    const active = rows.some(({ key }) => key === this.active) ? this.active : first;
    return html`<aside class="side" aria-label=${t("replies")}>
      <header class="bar"><h2>${t("replies")}</h2><button type="button" class="plain" aria-label=${t("close")} title=${t("close")} @click=${() => this.dispatchEvent(new Event("close"))}>${icon("close")}</button></header>
      <ol class="thread" @keydown=${this.#keys} @focusin=${this.#focused}>${each(
        rows,
        ({ key }) => key,
        (row) => html`<li class=${row.key === first ? "original" : nothing} data-key=${row.key} tabindex=${row.kind !== "message" ? nothing : row.key === active ? 0 : -1}>${this.#content(row)}</li>`,
      )}</ol>
      ${original && !original.recalled ? html`<button type="button" class="quiet" @click=${() => this.actions.reply(original)}>${icon("reply")} ${t("reply")}</button>` : nothing}
    </aside>`;
  }

  #content(row: Row): TemplateResult | typeof nothing {
    if (row.kind === "message")
      return html`<dragoman-message .model=${this.model} .chat=${this.chat} .message=${row.message} .isContinued=${false} .actions=${this.actions}></dragoman-message>`;
    if (row.kind === "sending") return nothing;
    const load = (before: number) => void attempt(() => loadOlder(this.model, this.chat, before));
    return lineRow(row, false, load, () => undefined);
  }

  async #load(): Promise<void> {
    const isAnswered = await attempt(() => loadAround(this.model, this.chat, this.index));
    if (isAnswered && !this.chat.messages.has(this.index)) said.value = t("reply_lost");
  }

  /** The message, the replies in memory, and the gaps between them: there may be more replies. */
  #rows(): Row[] {
    void this.chat.version.value;
    const later = new Map([...this.chat.messages].filter(([index]) => index >= this.index));
    const rows = rowsOf({ first: this.index, head: this.chat.head.value.head }, later, [], 0);
    const shown = rows.filter(
      (row) =>
        row.kind !== "message" || row.message.index === this.index || row.message.reply_to === this.index,
    );
    return shown.filter(({ kind }, at) => kind !== "earlier" && (kind !== "day" || shown[at + 1]?.kind === "message"));
  }

  #focused({ target }: FocusEvent): void {
    const key = (target as HTMLElement).closest<HTMLElement>(".thread > li")?.dataset["key"];
    if (key) this.active = key;
  }

  #keys(event: KeyboardEvent): void {
    const row = event.target as HTMLElement;
    if (!row.matches(".thread > li") || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const items = [...this.querySelectorAll<HTMLElement>(".thread > li[tabindex]")];
    const message = this.chat.messages.get(Number(row.dataset["key"]?.slice("message ".length)));
    if (step) items[items.indexOf(row) + step]?.focus();
    else if (!message || !pressed(event.key, message, row, this.actions)) return;
    event.preventDefault();
  }
}
customElements.define("dragoman-thread", Thread);
