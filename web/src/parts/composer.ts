/** The field for writing. Its text is stored with every key, and never lost. */
import { type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { live } from "lit/directives/live.js";
import { edit, send, summaryOf, textOfSegments } from "../model/actions.ts";
import type { Chat, Sending } from "../model/chat.ts";
import type { Drafts } from "../model/drafts.ts";
import type { Model } from "../model/model.ts";
import type { Message } from "../model/shapes.ts";
import { attempt } from "../state.ts";
import { t } from "../words.ts";
import { mentioning } from "../../text/mentions.ts";
import { icon } from "./icons.ts";
import type { Mentions } from "./mentions.ts";
import { Part, isComposing } from "./part.ts";
import { type Writing, writingIn } from "./writing.ts";

const TYPING_MS = 4000;
const ENTER = "dragoman.enter";

/** Otherwise Enter begins a line, and Ctrl+Enter sends. */
export function sendsByEnter(): boolean {
  return (localStorage.getItem(ENTER) ?? (matchMedia("(pointer: coarse)").matches ? "line" : "send")) === "send";
}

export function sendByEnter(isWanted: boolean): void {
  localStorage.setItem(ENTER, isWanted ? "send" : "line");
}

export class Composer extends Part {
  static override properties = {
    model: { attribute: false },
    drafts: { attribute: false },
    chat: { attribute: false },
  };
  declare model: Model;
  declare drafts: Drafts;
  declare chat: Chat;
  #typedAt = 0;

  /** Writing an answer. */
  reply(index: number): void {
    this.drafts.set(this.#id, this.#text, index);
    this.focusField();
  }

  begin(message: Message): void {
    this.#writing.begin(message);
    this.focusField();
  }

  /** A rejected message comes back: its text before the draft. */
  putBack({ segments, reply_to }: Sending): void {
    const text = textOfSegments(segments);
    const before = this.drafts.get(this.#id);
    const whole = [text, before.text].filter(Boolean).join("\n");
    this.drafts.set(this.#id, whole, before.reply_to || reply_to);
    this.#writing.putBack(segments);
    this.focusField();
  }

  /** Where the caret is. */
  insert(text: string): void {
    const field = this.#field;
    if (!field) return;
    field.focus();
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  add(files: Iterable<File>): void {
    this.#writing.attachments.add(files);
  }

  focusField(): void {
    this.requestUpdate();
    void this.updateComplete.then(() => {
      const field = this.#field;
      field?.focus();
      field?.setSelectionRange(field.value.length, field.value.length);
    });
  }

  get #writing(): Writing {
    return writingIn(this.chat);
  }
  get #id(): number {
    return this.chat.head.peek().chat;
  }
  get #mentions(): Mentions | null {
    return this.querySelector<Mentions>("dragoman-mentions");
  }
  get #field(): HTMLTextAreaElement | null {
    return this.querySelector("textarea");
  }
  get #text(): string {
    return this.drafts.get(this.#id).text;
  }

  protected override render(): TemplateResult {
    void this.drafts.replaced.value;
    void this.drafts.changed.value;
    const { text, reply_to } = this.drafts.get(this.#id);
    const offered = this.drafts.offered.value.get(this.#id);
    const title = this.model.title(this.chat);
    const { editing: edits, edited, attachments } = this.#writing;
    const editing = edits.value;
    const shown = editing ? edited : text;
    return html`<form class="composer" @submit=${this.#submit} @keydown=${this.#keys}>
      ${
        offered
          ? html`<p class="composer-note">${t("draft_elsewhere", { text: offered.text.slice(0, 80) })}
        <button type="button" class="quiet" @click=${() => void attempt(() => this.drafts.accept(this.#id))}>${t("use")}</button>
        <button type="button" class="quiet" @click=${() => this.drafts.dismiss(this.#id)}>${t("dismiss")}</button></p>`
          : nothing
      }
      ${editing ? this.#note(t("editing"), () => this.#end()) : reply_to ? this.#replying(reply_to) : nothing}
      ${attachments.render()}
      <dragoman-mentions .model=${this.model} .chat=${this.chat} .choose=${(name: string, account: number) => this.#writing.mention(name, account)}></dragoman-mentions>
      <div class="composer-row">
        <label class="plain attach" title=${t("attach")}>${icon("attach")}<span class="unseen">${t("attach")}</span>
          <input type="file" multiple class="unseen" @change=${this.#chosen} ?disabled=${!!editing}></label>
        <textarea rows="1" enterkeyhint=${sendsByEnter() ? "send" : "enter"} dir="auto" aria-autocomplete="list" data-chat=${this.#id} aria-label=${t("write_to", { chat: title })} placeholder=${t("write_to", { chat: title })}
          .value=${live(shown)} @input=${this.#input} @blur=${() => this.#mentions?.close()} @paste=${this.#paste}></textarea>
        <button type="button" class="plain attach" aria-label=${t("emoji")} title=${t("emoji")} aria-haspopup="dialog"
          @click=${({ currentTarget }: Event) => this.dispatchEvent(new CustomEvent("choose-emoji", { detail: currentTarget, bubbles: true }))}>${icon("react")}</button>
        <button class="primary send" aria-label=${editing ? t("save") : t("send")} title=${editing ? t("save") : t("send")}>${icon("send")}</button>
      </div></form>`;
  }

  protected override updated(changes: PropertyValues): void {
    super.updated(changes);
    this.#fit();
  }

  /** As high as its text: not all browsers do this by `field-sizing`. */
  #fit(): void {
    const field = this.#field;
    if (!field || CSS.supports("field-sizing", "content")) return;
    field.style.setProperty("block-size", "auto");
    field.style.setProperty("block-size", `${field.scrollHeight + 2}px`);
  }

  #replying(index: number): TemplateResult {
    const original = this.chat.messages.get(index);
    const name = original ? this.model.people.name(original.sender) : `#${index}`;
    return this.#note(
      t("reply_to", { name }),
      () => {
        this.drafts.set(this.#id, this.#text);
        this.focusField();
      },
      original ? summaryOf(original.segments, 100) : "",
    );
  }

  #note(label: string, end: () => void, text = ""): TemplateResult {
    return html`<p class="composer-note"><strong>${label}</strong> <bdi>${text}</bdi>
      <button type="button" class="plain" aria-label=${t("cancel")} title=${t("cancel")} @click=${end}>${icon("close")}</button></p>`;
  }

  #input({ target }: InputEvent): void {
    const { value } = target as HTMLTextAreaElement;
    void this.#mentions?.look(target as HTMLTextAreaElement);
    this.#fit();
    const editing = this.#writing.editing.peek();
    if (editing) this.#writing.edited = value;
    else this.drafts.set(this.#id, value, this.drafts.get(this.#id).reply_to);
    if (!editing && value && Date.now() - this.#typedAt > TYPING_MS) {
      this.#typedAt = Date.now();
      void this.model.wire.call("typing", { chat: this.#id }).catch(() => undefined);
    }
  }

  #keys(event: KeyboardEvent): void {
    const editing = this.#writing.editing.peek();
    if (isComposing(event) || event.target !== this.#field) return;
    if (this.#mentions?.press(event.key)) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (event.key === "Enter" && !event.shiftKey && !event.altKey && (sendsByEnter() || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void this.#submit();
    } else if (event.key === "ArrowUp" && !this.#field?.value && !editing) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("edit-last", { bubbles: true }));
    } else if (event.key === "Escape" && (editing || this.drafts.get(this.#id).reply_to)) {
      event.stopPropagation();
      if (editing) this.#end();
      else this.drafts.set(this.#id, this.#text);
    }
  }

  #end(): void {
    this.#mentions?.close();
    this.#writing.editing.value = undefined;
    this.focusField();
  }

  async #submit(event?: Event): Promise<void> {
    event?.preventDefault();
    this.#mentions?.close();
    const editing = this.#writing.editing.peek();
    if (editing) return this.#save(editing);
    const text = this.#field?.value ?? "";
    const { reply_to } = this.drafts.get(this.#id);
    const files = this.#writing.attachments.ready();
    if (files === undefined || (!text.trim() && !files.length)) return;
    this.#writing.attachments.clear();
    this.#typedAt = 0;
    const segments = [...files, ...mentioning(text.trim(), this.#writing.mentioned)];
    this.#writing.forgetMentioned();
    send(this.model, this.drafts, this.chat, segments, reply_to || undefined);
    this.dispatchEvent(new CustomEvent("message-sent", { bubbles: true }));
  }

  /** The text may be changed, or another edit begun, until the reply comes. */
  async #save(message: Message): Promise<void> {
    const writing = this.#writing;
    const text = writing.edited.trim();
    if (!text) return;
    const written = mentioning(text, writing.mentioned);
    const isSaved =
      text === textOfSegments(message.segments) || (await attempt(() => edit(this.model, message, written)));
    if (isSaved && writing.editing.peek() === message && writing.edited.trim() === text) this.#end();
  }

  #chosen({ target }: Event): void {
    const input = target as HTMLInputElement;
    this.#writing.attachments.add(input.files ?? []);
    input.value = "";
    this.focusField();
  }

  /** Plain text, and files only where there is none: a spreadsheet gives both. */
  #paste(event: ClipboardEvent): void {
    const { clipboardData } = event;
    if (!clipboardData || clipboardData.types.includes("text/plain") || !clipboardData.files.length) return;
    event.preventDefault();
    this.#writing.attachments.add(clipboardData.files);
  }
}
customElements.define("dragoman-composer", Composer);
