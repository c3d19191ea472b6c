/** The members of a chat, beside it. */
import { type TemplateResult, html, nothing } from "lit";
import { openWith } from "../model/actions.ts";
import type { Chat } from "../model/chat.ts";
import { type Model, manages } from "../model/model.ts";
import type { Native } from "../native.ts";
import { avatarAddress, go } from "../site.ts";
import { attempt } from "../state.ts";
import { t } from "../words.ts";
import { each } from "./each.ts";
import { avatar, icon } from "./icons.ts";
import { Part } from "./part.ts";

export class Members extends Part {
  static override properties = {
    model: { attribute: false },
    chat: { attribute: false },
    list: { state: true },
    query: { state: true },
    next: { state: true },
  };
  declare model: Model;
  declare chat: Chat;
  declare list: Native.MemberInfo[];
  declare query: string;
  /** After this account, there are more. */
  declare next: number | undefined;
  #asked: object | undefined;

  constructor() {
    super();
    this.list = [];
    this.query = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#load();
  }

  protected override render(): TemplateResult {
    const head = this.chat.head.value;
    return html`<aside class="side" aria-label=${t("members")}>
      <header class="bar"><h2>${t("members")}</h2><button type="button" class="plain" aria-label=${t("close")} @click=${() => this.dispatchEvent(new Event("close"))}>${icon("close")}</button></header>
      ${head.handle ? html`<p class="hint">${t("on_irc", { name: `#${head.handle}` })}</p>` : nothing}
      <label class="search"><span class="unseen">${t("search_members")}</span>${icon("search")}<input type="search" placeholder=${t("search_members")} .value=${this.query} @input=${this.#search}></label>
      <ul class="people">${each(
        this.list,
        ({ account }) => account,
        (member) => this.#member(member, head.owner),
      )}</ul>
      ${this.next ? html`<button type="button" class="quiet" @click=${() => void this.#load(this.next)}>${t("load")}</button>` : nothing}
      ${manages(head, this.model.me) ? html`<form @submit=${this.#invite}><label>${t("find_people")}<input name="query" autocomplete="off" autocapitalize="none"></label><button class="quiet">${t("invite")}</button></form>` : nothing}
      ${head.kind === "group" ? html`<button type="button" class="quiet dangerous" @click=${() => void attempt(() => this.#leave())}>${t("leave")}</button>` : nothing}
    </aside>`;
  }

  #member({ account, role, nickname = "", avatar: chosen = "" }: Native.MemberInfo, owner: number): TemplateResult {
    const person = this.model.people.get(account);
    const roleName = account === owner || role === "owner" ? t("role_owner") : role === "admin" ? t("role_admin") : "";
    return html`<li>${avatar(avatarAddress("account", account, chosen || person.avatar), 28)} <bdi>${person.nickname || nickname || `#${account}`}</bdi> <span class="hint">${roleName}</span>
      ${account === this.model.me ? nothing : html`<button type="button" class="quiet" @click=${() => void attempt(() => openWith(this.model, account))}>${t("start_chat")}</button>`}</li>`;
  }

  #search({ target }: InputEvent): void {
    this.query = (target as HTMLInputElement).value;
    void this.#load();
  }

  async #load(after?: number): Promise<void> {
    const { chat } = this.chat.head.peek();
    const wanted = {
      chat,
      ...(after === undefined ? {} : { after }),
      ...(this.query.trim() ? { query: this.query.trim() } : {}),
    };
    const asked = (this.#asked = wanted);
    await attempt(async () => {
      const { members, more, after: last = members.at(-1)?.account } = await this.model.wire.call("members", wanted);
      if (asked !== this.#asked) return; // a later query may be answered first
      this.list = after === undefined ? members : [...this.list, ...members];
      this.next = more ? last : undefined;
    });
  }

  async #invite(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const query = String(new FormData(form).get("query") ?? "").trim();
    if (!query) return;
    await attempt(async () => {
      const { accounts } = await this.model.wire.call("find", { query });
      const [found] = accounts;
      if (!found) throw { code: "not_found", text: t("no_match") };
      await this.model.wire.call("invite", { chat: this.chat.head.peek().chat, account: found.account });
      form.reset();
      await this.#load();
    });
  }

  async #leave(): Promise<void> {
    if (!confirm(`${t("leave")}?`)) return;
    const { chat } = this.chat.head.peek();
    await this.model.wire.call("leave", { chat });
    this.model.take({ ev: "gone", chat, why: "left" });
    go({});
  }
}
customElements.define("dragoman-members", Members);
