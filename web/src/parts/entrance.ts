/** Sign in and register. */
import { type TemplateResult, html, nothing } from "lit";
import { type Failure, type Native, failureOf, request } from "../native.ts";
import { operationAddress } from "../site.ts";
import { reasonOf, session } from "../state.ts";
import { t } from "../words.ts";
import { Part } from "./part.ts";

export class Entrance extends Part {
  static override properties = {
    mode: { state: true },
    isBusy: { state: true },
    failure: { state: true },
    awaited: { state: true },
    rules: { state: true },
  };
  declare mode: "enter" | "new" | "recover";
  declare isBusy: boolean;
  declare failure: string;
  /** The mail address whose link is awaited. */
  declare awaited: string;
  declare rules: Native.EntranceInfo | undefined;
  /** The account whose password is recovered, once the mail is on its way. */
  #recovered = "";
  /** Ends with its form. */
  #submitted = new AbortController();

  constructor() {
    super();
    this.mode = "enter";
    this.isBusy = false;
    this.failure = this.awaited = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    request<"hello">(operationAddress("hello"), {}).then(
      ({ entrance }) => {
        this.rules = entrance;
      },
      () => undefined,
    );
  }

  protected override render(): TemplateResult {
    return html`<main class="entrance">
      <img class="logo" src=${document.querySelector<HTMLLinkElement>("link[rel=icon]")?.href ?? ""} alt="" width="64" height="64">
      <h1>Dragoman</h1>
      ${session.ended.value ? html`<p class="note" role="status">${t("enter_again")}</p>` : nothing}
      ${this.awaited ? html`<p role="status">${t("awaiting_mail", { mail: this.awaited })}</p>` : this.#form()}
      ${this.mode === "enter" ? nothing : this.#turn("enter", t("sign_in"))}
      ${this.mode === "new" ? nothing : this.#turn("new", t("register"))}
      ${this.mode === "enter" && this.rules?.recovery.includes("mail") ? this.#turn("recover", t("recover")) : nothing}
    </main>`;
  }

  #form(): TemplateResult {
    const isNew = this.mode === "new";
    const hasTicket = this.#recovered !== "";
    return html`<form @submit=${this.#submit}>
      ${
        isNew
          ? this.#newFields()
          : hasTicket
            ? html`<p role="status">${t("recover_mailed")}</p><label>${t("ticket")}<input name="ticket" required autocomplete="one-time-code"></label>`
            : html`<label>${t("sign_in_hint")}<input name="identifier" autocomplete="username" required autocapitalize="none" spellcheck="false"></label>`
      }
      ${
        this.mode === "recover" && !hasTicket
          ? nothing
          : html`<label>${t("password")}
        <input name="password" type="password" required autocomplete=${this.mode === "enter" ? "current-password" : "new-password"}
          minlength=${this.mode === "enter" ? 1 : (this.rules?.secret_min ?? 1)}></label>`
      }
      ${this.failure ? html`<p role="alert" class="failure">${this.failure}</p>` : nothing}
      <button class="primary" ?disabled=${this.isBusy}>${isNew ? t("register") : this.mode === "recover" ? t("recover") : t("sign_in")}</button>
    </form>`;
  }

  #newFields(): TemplateResult {
    const needsMail = this.rules?.registration === "verified";
    return html`<label>${t("nickname")}<input name="nickname" autocomplete="nickname" required maxlength="64"></label>
      <label>${t("username")}<input name="username" autocomplete="username" autocapitalize="none" spellcheck="false" ?required=${!needsMail}></label>
      <label>${t("email")}<input name="email" type="email" autocomplete="email" ?required=${needsMail}></label>`;
  }

  #turn(mode: Entrance["mode"], label: string): TemplateResult {
    return html`<button type="button" class="quiet" @click=${() => {
      this.mode = mode;
      this.#submitted.abort();
      this.isBusy = false;
      this.failure = this.awaited = this.#recovered = "";
      void this.updateComplete.then(() => this.querySelector("input")?.focus());
    }}>${label}</button>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target as HTMLFormElement)) as Record<string, string>;
    const { signal } = (this.#submitted = new AbortController());
    this.isBusy = true;
    this.failure = "";
    let failure = "";
    try {
      await (this.mode === "new"
        ? this.#register(fields, signal)
        : this.mode === "recover"
          ? this.#recover(fields)
          : this.#enter(fields));
    } catch (error) {
      failure = this.#reason(failureOf(error));
    }
    if (signal.aborted) return; // another form is shown
    this.failure = failure;
    this.awaited = "";
    this.isBusy = false;
  }

  /** A ticket by mail, then the new password, which signs in. */
  async #recover({ identifier = "", ticket = "", password = "" }: Record<string, string>): Promise<void> {
    if (!this.#recovered) {
      await request<"recover">(operationAddress("recover"), { identifier });
      this.#recovered = identifier;
      return;
    }
    const secret = { scheme: "plain" as const, value: password };
    await request<"recover">(operationAddress("recover"), { ticket: ticket.trim(), secret });
    await session.enter({ identifier: this.#recovered, secret });
  }

  async #enter({ identifier = "", password = "" }: Record<string, string>): Promise<void> {
    await session.enter({ identifier, secret: { scheme: "plain", value: password } });
  }

  async #register({ nickname = "", username = "", email = "", password = "" }: Record<string, string>, signal: AbortSignal): Promise<void> {
    const named = { nickname, ...(username && { username }), ...(email && { email }) };
    const waiting = () => {
      this.awaited = email;
    };
    await session.register({ ...named, secret: { scheme: "plain", value: password } }, waiting, signal);
  }

  #reason(failure: Failure): string {
    if (this.mode === "enter" && failure.code === "unauthenticated") return t("wrong_login");
    return reasonOf(failure);
  }
}
customElements.define("dragoman-entrance", Entrance);
