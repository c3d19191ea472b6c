/** The list of chats, with unread messages, members that are writing, and drafts. */
import { type TemplateResult, html, nothing } from "lit";
import type { Chat } from "../model/chat.ts";
import { type Model, isMarked, isMuted } from "../model/model.ts";
import { go, route } from "../site.ts";
import { drafts, model } from "../state.ts";
import { count, shortTime, t } from "../words.ts";
import { chatAvatar, icon } from "./icons.ts";
import { Part } from "./part.ts";
import { each } from "./each.ts";
import { showDialog } from "./dialogs.ts";
import { summaryOf } from "../model/actions.ts";

const SHOWN_AT_FIRST = 60;

export class Chats extends Part {
  static override properties = { query: { state: true }, most: { state: true } };
  declare query: string;
  declare most: number;

  constructor() {
    super();
    this.query = "";
    this.most = SHOWN_AT_FIRST;
  }

  protected override render(): TemplateResult {
    const known = model.value;
    if (!known) return html``;
    const wanted = this.query.trim().toLocaleLowerCase();
    const chats = known.order.value.filter((chat) => !wanted || known.title(chat).toLocaleLowerCase().includes(wanted));
    return html`<nav class="chats" aria-label=${t("chats")}>
      <header class="bar"><h2>${t("chats")}</h2>
        <button type="button" class="plain" aria-label=${t("new_chat")} title=${t("new_chat")} @click=${() => showDialog("new")}>${icon("plus")}</button>
      </header>
      <label class="search"><span class="unseen">${t("search_chats")}</span>${icon("search")}
        <input type="search" placeholder=${t("search_chats")} .value=${this.query}
          @input=${(event: InputEvent) => {
            this.query = (event.target as HTMLInputElement).value;
          }}></label>
      ${chats.length ? nothing : html`<p class="hint">${wanted ? t("no_match") : t("no_chats")}</p>`}
      <ul class="chat-list" @scroll=${this.#more}>
        ${each(
          chats.slice(0, this.most),
          (chat) => chat.head.peek().chat,
          (chat) => html`<li class="chat-row"><dragoman-chat-row .model=${known} .chat=${chat}></dragoman-chat-row></li>`,
        )}
      </ul>
      <footer class="bar">${this.#links(known.requests.value.length)}</footer>
    </nav>`;
  }

  #links(requests: number): TemplateResult[] {
    const label = { people: `${t("people")}${requests ? ` (${requests})` : ""}`, devices: t("devices"), settings: t("settings") };
    return (["people", "devices", "settings"] as const).map(
      (screen) => html`<a class="plain" href="#" aria-label=${label[screen]} title=${label[screen]}
      aria-current=${route.value.screen === screen ? "page" : nothing}
      @click=${(event: Event) => {
        event.preventDefault();
        go({ screen });
      }}>${icon(screen)}${requests && screen === "people" ? html`<span class="badge" aria-hidden="true">${requests}</span>` : nothing}</a>`,
    );
  }

  #more({ target }: Event): void {
    const { scrollTop, scrollHeight, clientHeight } = target as HTMLElement;
    if (scrollHeight - scrollTop - clientHeight < 600) this.most += SHOWN_AT_FIRST;
  }
}
customElements.define("dragoman-chats", Chats);

/** One chat. It is shown again alone: a message changes one of two thousand. */
class ChatRow extends Part {
  static override properties = { model: { attribute: false }, chat: { attribute: false } };
  declare model: Model;
  declare chat: Chat;

  protected override render(): TemplateResult {
    const { model: known, chat } = this;
    const head = chat.head.value;
    const { chat: id, unread, mentions = 0 } = head;
    const isCurrent = route.value.chat === id;
    return html`<a href=${`#${id}`} class=${isMuted(head) ? "chat-muted" : nothing} aria-current=${isCurrent ? "page" : nothing} @click=${(event: Event) => {
        event.preventDefault();
        go({ chat: id });
      }}>
        ${chatAvatar(known, chat)}
        <span class="chat-title"><bdi>${known.title(chat)}</bdi></span>
        <span class="chat-preview">${this.#preview()}</span>
        ${head.time ? html`<time class="chat-time" datetime=${new Date(head.time).toISOString()}>${shortTime(head.time)}</time>` : nothing}
        ${mentions ? html`<span class="badge badge-mention" aria-hidden="true">@</span>` : nothing}
        ${unread ? html`<span class="badge" title=${count("unread_count", unread)}><span aria-hidden="true">${unread > 999 ? "999+" : unread}</span><span class="unseen">${count("unread_count", unread)}</span></span>` : nothing}
        ${!unread && isMarked(head) ? html`<span class="badge" title=${t("unread_mark")}><span class="unseen">${t("unread_mark")}</span></span>` : nothing}
      </a>`;
  }

  #preview(): TemplateResult {
    const { model: known, chat } = this;
    const { chat: id } = chat.head.value;
    const writing = [...chat.typing.value];
    if (writing.length) return html`<em>${typing(known, writing)}</em>`;
    const draft = route.value.chat === id ? "" : (drafts.value?.text(id) ?? "");
    if (draft) return html`<span class="draft">${t("draft")}</span> <bdi>${draft.slice(0, 80)}</bdi>`;
    const last = known.last(chat);
    if (!last) return html``;
    const who =
      chat.head.value.kind === "private"
        ? ""
        : last.sender === known.me
          ? `${t("you")}: `
          : `${known.people.name(last.sender)}: `;
    return html`<bdi>${who}${last.recalled ? t("recalled") : summaryOf(last.segments, 80) || "📎"}</bdi>`;
  }
}
customElements.define("dragoman-chat-row", ChatRow);

export function typing(known: Model, accounts: number[]): string {
  if (accounts.length > 2) return t("typing_many");
  const names = accounts.map((account) => known.people.name(account)).join(", ");
  return t(accounts.length === 1 ? "typing_one" : "typing_two", { names });
}
