/** The own profile, friends, requests, blocks. */
import { effect } from "@preact/signals-core";
import { type TemplateResult, html, nothing } from "lit";
import { openWith } from "../model/actions.ts";
import type { Model } from "../model/model.ts";
import type { Native } from "../native.ts";
import { avatarAddress } from "../site.ts";
import { attempt, model, said, whenOnline } from "../state.ts";
import { t } from "../words.ts";
import { avatar } from "./icons.ts";
import { Part } from "./part.ts";
import { screenBar } from "./screens.ts";

export class PeopleScreen extends Part {
  static override properties = {
    profile: { state: true },
    friends: { state: true },
    blocks: { state: true },
    requests: { state: true },
    found: { state: true },
  };
  declare profile: Native.ProfileResult | undefined;
  declare friends: number[];
  declare blocks: number[];
  declare requests: Native.RequestsResult;
  declare found: Native.ProfileResult[];

  constructor() {
    super();
    this.friends = this.blocks = [];
    this.found = [];
    this.requests = { friends: [], joins: [] };
  }

  #stop: (() => void) | undefined;
  #asked: object | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = effect(() => {
      void [model.value?.requests.value, model.value?.friendsChanged.value];
      return whenOnline(() => void this.#load());
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop?.();
  }

  protected override render(): TemplateResult {
    const known = model.value;
    if (!known) return html``;
    return html`<section class="screen" aria-label=${t("people")}>${screenBar(t("people"))}
      ${
        this.profile
          ? html`<form class="card" @submit=${this.#save}><h2>${t("profile")}</h2>
        <label>${t("nickname")}<input name="nickname" required maxlength="64" .value=${this.profile.nickname}></label>
        <label>${t("signature")}<input name="signature" maxlength="200" .value=${this.profile.signature}></label>
        ${this.profile.nick ? html`<p class="hint">${t("on_irc", { name: this.profile.nick })}</p>` : nothing}
        <button class="primary">${t("save")}</button></form>`
          : nothing
      }
      ${
        this.requests.friends.length + this.requests.joins.length
          ? html`<div class="card"><h2>${t("friend_requests")}</h2><ul class="people">
        ${this.requests.friends.map(({ account, text }) => this.#asks(known, account, text, (accept) => known.wire.call("answer_friend", { account, accept })))}
        ${this.requests.joins.map(({ account, chat, text }) => this.#asks(known, account, text || t("join_requests"), (accept) => known.wire.call("answer_join", { chat, account, accept })))}</ul></div>`
          : nothing
      }
      <div class="card"><h2>${t("friends")}</h2>
        <form @submit=${this.#find}><label>${t("find_people")}<input name="query" autocapitalize="none" autocomplete="off"></label></form>
        <ul class="people">${this.found.map(({ account, nick }) => this.#person(known, account, nick))}</ul>
        <ul class="people">${this.friends.map((account) => this.#person(known, account))}</ul></div>
      ${
        this.blocks.length
          ? html`<div class="card"><h2>${t("blocked")}</h2><ul class="people">${this.blocks.map(
              (account) => html`<li>${this.#face(known, account)}
        ${this.#button(t("unblock"), () => known.wire.call("unblock", { account }))}</li>`,
            )}</ul></div>`
          : nothing
      }
    </section>`;
  }

  #face(known: Model, account: number): TemplateResult {
    const person = known.people.get(account);
    return html`${avatar(avatarAddress("account", account, person.avatar), 28)} <bdi>${known.people.name(account)}</bdi>`;
  }

  #asks(known: Model, account: number, text: string, answer: (accept: boolean) => Promise<unknown>): TemplateResult {
    return html`<li>${this.#face(known, account)} <span class="hint"><bdi>${text || t("request_friend")}</bdi></span>
      ${this.#button(t("accept"), () => answer(true))}${this.#button(t("decline"), () => answer(false))}</li>`;
  }

  #person(known: Model, account: number, nick?: string): TemplateResult {
    const isFriend = this.friends.includes(account);
    return html`<li>${this.#face(known, account)}
      ${nick ? html`<span class="hint">${t("on_irc", { name: nick })}</span>` : nothing}
      ${this.#button(t("start_chat"), () => openWith(known, account))}
      ${isFriend ? this.#button(t("remove_friend"), () => known.wire.call("unfriend", { account })) : this.#button(t("add_friend"), () => known.wire.call("befriend", { account }))}
      ${this.#button(t("block"), () => known.wire.call("block", { account }))}</li>`;
  }

  #button(label: string, work: () => Promise<unknown>): TemplateResult {
    return html`<button type="button" class="quiet" @click=${() => void attempt(work).then(() => this.#load())}>${label}</button>`;
  }

  async #save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target as HTMLFormElement)) as {
      nickname: string;
      signature: string;
    };
    if (await attempt(() => model.peek()?.wire.call("set_profile", fields) ?? Promise.resolve()))
      said.value = t("saved");
  }

  async #find(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const query = String(new FormData(event.target as HTMLFormElement).get("query") ?? "").trim();
    const known = model.peek();
    if (!known || !query) return;
    const asked = (this.#asked = { query });
    await attempt(async () => {
      const { accounts } = await known.wire.call("find", asked);
      if (asked !== this.#asked) return; // a later query may be answered first
      this.found = accounts.filter(({ account }) => account !== known.me);
      if (!this.found.length) said.value = t("no_match");
    });
  }

  async #load(): Promise<void> {
    const known = model.peek();
    if (!known) return;
    await attempt(async () => {
      const { call } = known.wire;
      const [profile, { friends }, requests, { accounts }] = await Promise.all([
        call("profile", { account: known.me }),
        call("friends"),
        call("requests"),
        call("blocks"),
      ]);
      Object.assign(this, { profile, friends, requests, blocks: accounts });
      if (known.requests.peek().length) known.requests.value = [];
    });
  }
}
customElements.define("dragoman-people", PeopleScreen);
