/** Dialogs: begin a chat, go to one, help on keys. The focus goes back where it was. */
import { signal } from "@preact/signals-core";
import { type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { openWith, show } from "../model/actions.ts";
import type { Chat } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import type { Native } from "../native.ts";
import { avatarAddress, go } from "../site.ts";
import { attempt, model } from "../state.ts";
import { count, t } from "../words.ts";
import { avatar, chatAvatar, icon } from "./icons.ts";
import { Part, isComposing } from "./part.ts";

type Dialog = "new" | "switch" | "help";

const shown = signal<Dialog | undefined>(undefined);
const MOST_FOUND = 12;
const KEYS: [string, () => string][] = [
  ["Ctrl+K", () => t("key_switch")],
  ["Alt+↑ Alt+↓", () => t("key_neighbour")],
  ["F6", () => t("key_regions")],
  ["↑ ↓", () => t("key_messages")],
  ["Enter", () => t("key_menu")],
  ["R", () => t("key_reply")],
  ["E", () => t("edit")],
  ["↑", () => t("key_edit")],
  ["Esc", () => t("key_escape")],
  ["?", () => t("key_help")],
];

export function showDialog(dialog: Dialog): void {
  shown.value = dialog;
}

export class Dialogs extends Part {
  static override properties = {
    query: { state: true },
    found: { state: true },
    chosen: { state: true },
    at: { state: true },
  };
  declare query: string;
  declare found: Native.ProfileResult[];
  declare chosen: Native.ProfileResult[];
  declare at: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.#clear();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#close(); // the next login sees none of it
  }

  protected override render(): TemplateResult | typeof nothing {
    const dialog = shown.value;
    const known = model.value;
    if (!dialog || !known) return nothing;
    const title = { new: t("new_chat"), switch: t("key_switch"), help: t("help") }[dialog];
    return html`<dialog aria-label=${title} @close=${this.#close} @cancel=${this.#close} @click=${this.#outside}>
      <header class="bar"><h2>${title}</h2><button type="button" class="plain" aria-label=${t("close")} @click=${this.#close}>${icon("close")}</button></header>
      ${dialog === "help" ? help() : dialog === "switch" ? this.#switch(known) : this.#new(known)}
    </dialog>`;
  }

  protected override updated(changes: PropertyValues): void {
    super.updated(changes);
    const dialog = this.querySelector("dialog");
    if (dialog && !dialog.open) {
      dialog.showModal();
      dialog.querySelector<HTMLElement>("input")?.focus();
    }
  }

  #switch(known: Model): TemplateResult {
    const wanted = this.query.trim().toLocaleLowerCase();
    const chats = known.order.value
      .filter((chat) => known.title(chat).toLocaleLowerCase().includes(wanted))
      .slice(0, MOST_FOUND);
    const at = Math.min(this.at, chats.length - 1);
    return html`<label class="search"><span class="unseen">${t("search_chats")}</span>${icon("search")}
      <input role="combobox" aria-expanded="true" aria-controls="switch-list" aria-activedescendant=${chats.length ? `switch-${at}` : nothing} autocomplete="off" .value=${this.query}
        @input=${(event: InputEvent) => {
          this.query = (event.target as HTMLInputElement).value;
          this.at = 0;
        }}
        @keydown=${(event: KeyboardEvent) => this.#switchKeys(event, chats, at)}></label>
      <ul id="switch-list" role="listbox" aria-label=${t("chats")} class="choices">${chats.map(
        (chat, index) => html`<li role="option" id=${`switch-${index}`} aria-selected=${index === at}
        @click=${() => this.#goTo(chat)}>${chatAvatar(known, chat, 24)} <bdi>${known.title(chat)}</bdi> ${chat.head.value.unread ? html`<span class="hint">${count("unread_count", chat.head.value.unread)}</span>` : nothing}</li>`,
      )}</ul>
      ${chats.length ? nothing : html`<p class="hint">${t("no_match")}</p>`}`;
  }

  #new(known: Model): TemplateResult {
    return html`<form @submit=${(event: Event) => {
      event.preventDefault();
      void this.#create(known);
    }}>
      <label>${t("find_people")}<input type="search" autocomplete="off" autocapitalize="none" .value=${this.query} @input=${(event: InputEvent) => this.#find(known, (event.target as HTMLInputElement).value)}></label>
      <ul class="choices">${this.found.map(
        (
          person,
        ) => html`<li>${avatar(avatarAddress("account", person.account, person.avatar), 28)} <bdi>${person.nickname}</bdi>
        <button type="button" class="quiet" @click=${() => void this.#write(known, person)}>${t("start_chat")}</button>
        <button type="button" class="quiet" @click=${() => this.#choose(person)}>${t("add_people")}</button></li>`,
      )}</ul>
      <label>${t("group_name")}<input name="name" maxlength="100"></label>
      <p class="hint">${this.chosen.length ? this.chosen.map(({ nickname }) => nickname).join(", ") : t("with_group")}</p>
      <button class="primary">${t("create")}</button></form>`;
  }

  #find(known: Model, query: string): void {
    this.query = query;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const { accounts } = query.trim()
        ? await known.wire.call("find", { query: query.trim() }).catch(() => ({ accounts: [] }))
        : { accounts: [] };
      if (query !== this.query) return; // a later query may be answered first
      this.found = accounts.filter(({ account }) => account !== known.me);
    }, 250);
  }

  #choose(person: Native.ProfileResult): void {
    if (!this.chosen.some(({ account }) => account === person.account)) this.chosen = [...this.chosen, person];
  }

  async #write(known: Model, { account }: Native.ProfileResult): Promise<void> {
    if (await attempt(() => openWith(known, account))) this.#close();
  }

  async #create(known: Model): Promise<void> {
    const name = this.querySelector<HTMLInputElement>("input[name=name]")?.value.trim() ?? "";
    const members = this.chosen.map(({ account }) => account);
    const made = attempt(async () => show(known, (await known.wire.call("create", { name, members })).chat));
    if (await made) this.#close();
  }

  #switchKeys(event: KeyboardEvent, chats: Chat[], at: number): void {
    if (isComposing(event)) return;
    const chat = chats[at];
    if (event.key === "ArrowDown") this.at = Math.min(at + 1, chats.length - 1);
    else if (event.key === "ArrowUp") this.at = Math.max(at - 1, 0);
    else if (event.key === "Enter" && chat) this.#goTo(chat);
    else return;
    event.preventDefault();
  }

  #goTo(chat: Chat): void {
    this.#close();
    go({ chat: chat.head.peek().chat });
    setTimeout(() => document.querySelector<HTMLElement>("dragoman-composer textarea")?.focus(), 50);
  }

  #outside({ target }: Event): void {
    if (target instanceof HTMLDialogElement) this.#close();
  }

  #close = (): void => {
    this.querySelector("dialog")?.close();
    shown.value = undefined;
    this.#clear();
  };

  #clear(): void {
    this.query = "";
    this.found = [];
    this.chosen = [];
    this.at = 0;
  }
}
customElements.define("dragoman-dialogs", Dialogs);

function help(): TemplateResult {
  return html`<dl class="keys">${KEYS.map(([keys, what]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${what()}</dd></div>`)}</dl><p class="hint">${t("shown_elsewhere")}</p>`;
}
