/** Members to mention: found while their name is typed after an "@". */
import { type PropertyValues, type TemplateResult, html, nothing } from "lit";
import type { Chat } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import type { Native } from "../native.ts";
import { avatarAddress } from "../site.ts";
import { t } from "../words.ts";
import { avatar } from "./icons.ts";
import { Part } from "./part.ts";

const MOST = 8;
/** Before the caret. In front of the "@" of a mail address is a letter, a digit or one of these signs. */
const BEGUN = /(?:^|[^\w.+-])@([^\s@]{0,64})$/;

export class Mentions extends Part {
  static override properties = { model: { attribute: false }, chat: { attribute: false }, found: { state: true }, at: { state: true } };
  declare model: Model;
  declare chat: Chat;
  declare found: Native.MemberInfo[];
  declare at: number;
  /** The user has chosen this member. Returns the name in the text. */
  choose: (nickname: string, account: number) => string = (nickname) => `@${nickname}`;
  #field: HTMLTextAreaElement | undefined;
  #asked: object | undefined;

  constructor() {
    super();
    this.found = [];
    this.at = 0;
  }

  /** A name may have been begun in the field. */
  async look(field: HTMLTextAreaElement): Promise<void> {
    this.#field = field;
    const { chat, kind } = this.chat.head.peek();
    const query = kind === "private" ? undefined : begun(field);
    if (query === undefined) return this.close();
    const asked = (this.#asked = { chat, count: MOST, ...(query && { query }) });
    const { members } = await this.model.wire.call("members", asked).catch(() => ({ members: [] })); // it stays a text
    if (asked !== this.#asked) return; // a later query may be answered first
    this.at = 0;
    this.found = members.filter(({ account }) => account !== this.model.me);
  }

  close(): void {
    this.#asked = undefined;
    if (this.found.length) this.found = [];
  }

  /** Returns whether the key was for this list. */
  press(key: string): boolean {
    const { length } = this.found;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    const chosen = this.found[this.at];
    if (!chosen) return false;
    if (step) this.at = (this.at + step + length) % length;
    else if (key === "Enter" || key === "Tab") this.#take(chosen);
    else if (key === "Escape") this.close();
    else return false;
    return true;
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.found.length) return nothing;
    return html`<ul id="mentions" role="listbox" class="choices" aria-label=${t("members")}>${this.found.map(
      (member, at) => html`<li role="option" id=${`mention-${at}`} aria-selected=${at === this.at}
        @pointerdown=${(event: Event) => event.preventDefault()} @click=${() => this.#take(member)}>${avatar(avatarAddress("account", member.account, member.avatar), 24)} <bdi>${this.#name(member)}</bdi></li>`,
    )}</ul>`;
  }

  /** The field keeps the focus, and names the chosen member to a screen reader. */
  protected override updated(changes: PropertyValues): void {
    super.updated(changes);
    this.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
    for (const [name, value] of [["controls", "mentions"], ["activedescendant", `mention-${this.at}`]] as const)
      if (this.found.length) this.#field?.setAttribute(`aria-${name}`, value);
      else this.#field?.removeAttribute(`aria-${name}`);
  }

  #name({ account, nickname = "" }: Native.MemberInfo): string {
    return this.model.people.get(account).nickname || nickname || `#${account}`;
  }

  #take(member: Native.MemberInfo): void {
    const field = this.#field;
    const query = field && begun(field);
    if (!field || query === undefined) return this.close();
    const name = this.choose(this.#name(member), member.account);
    field.focus();
    field.setRangeText(`${name} `, field.selectionStart - query.length - 1, field.selectionStart, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
}
customElements.define("dragoman-mentions", Mentions);

function begun({ value, selectionStart, selectionEnd }: HTMLTextAreaElement): string | undefined {
  return selectionStart === selectionEnd ? BEGUN.exec(value.slice(0, selectionStart).slice(-80))?.[1] : undefined;
}
