/** Devices and settings. */
import { type TemplateResult, html, nothing } from "lit";
import type { Native } from "../native.ts";
import { go } from "../site.ts";
import { attempt, model, said, session, whenOnline } from "../state.ts";
import { LANGUAGE_NAMES, count, dateOf, keepLanguage, language, t } from "../words.ts";
import { sendByEnter, sendsByEnter } from "./composer.ts";
import { icon } from "./icons.ts";
import { Part } from "./part.ts";

const THEME = "dragoman.theme";

export function screenBar(title: string): TemplateResult {
  return html`<header class="bar"><button type="button" class="plain back" aria-label=${t("back")} @click=${() => go({})}>${icon("back")}</button><h1>${title}</h1></header>`;
}

export class DevicesScreen extends Part {
  static override properties = { sessions: { state: true } };
  declare sessions: Native.SessionInfo[];

  constructor() {
    super();
    this.sessions = [];
  }

  #stop: (() => void) | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = whenOnline(() => void this.#load());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop?.();
  }

  protected override render(): TemplateResult {
    return html`<section class="screen" aria-label=${t("devices")}>${screenBar(t("devices"))}
      <ul class="people card">${this.sessions.map(
        (
          one,
        ) => html`<li class="device"><strong>${one.device || one.dialect}</strong> <span class="badge-plain">${one.dialect}</span>
        <span class="hint">${one.address} · ${t("session_since", { time: dateOf(one.created), until: dateOf(one.expires) })}</span>
        ${one.here ? html`<em>${t("current_device")}</em>` : html`<button type="button" class="quiet" @click=${() => void this.#end(one.sid)}>${t("end_session")}</button>`}</li>`,
      )}</ul>
    </section>`;
  }

  async #end(sid: string): Promise<void> {
    await attempt(() => model.peek()?.wire.call("end_session", { sid }) ?? Promise.resolve());
    await this.#load();
  }

  async #load(): Promise<void> {
    await attempt(async () => {
      this.sessions = (await model.peek()?.wire.call("sessions"))?.sessions ?? [];
    });
  }
}
customElements.define("dragoman-devices", DevicesScreen);

export class SettingsScreen extends Part {
  static override properties = { isKept: { state: true } };
  /** The browser has promised not to delete stored data. Undefined if it cannot. */
  declare isKept: boolean | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void navigator.storage?.persisted?.().then((isKept) => {
      this.isKept = isKept;
    });
  }

  protected override render(): TemplateResult {
    const theme = localStorage.getItem(THEME) ?? "";
    const minutes = Math.round(session.clockOffset / 60_000);
    return html`<section class="screen" aria-label=${t("settings")}>${screenBar(t("settings"))}
      <form class="card" @submit=${(event: Event) => event.preventDefault()}>
        <label>${t("language")}<select @change=${this.#language}>${Object.entries(LANGUAGE_NAMES).map(([code, name]) => html`<option value=${code} ?selected=${code === language.value} lang=${code}>${name}</option>`)}</select></label>
        <label>${t("theme")}<select @change=${this.#theme}>${[
          ["", t("system_theme")],
          ["light", t("light")],
          ["dark", t("dark")],
        ].map(
          ([value = "", name]) => html`<option value=${value} ?selected=${value === theme}>${name}</option>`,
        )}</select></label>
        <label class="check"><input type="checkbox" ?checked=${sendsByEnter()} @change=${({ target }: Event) => sendByEnter((target as HTMLInputElement).checked)}> ${t("enter_sends")}</label>
      </form>
      <dragoman-notifications></dragoman-notifications>
      ${Math.abs(minutes) >= 2 ? html`<p class="card note">${t("clock_wrong", { minutes: Math.abs(minutes) })}</p>` : nothing}
      ${this.isKept === false ? html`<div class="card"><p class="hint">${t("may_delete")}</p><button type="button" class="quiet" @click=${() => void this.#keep()}>${t("keep_stored")}</button></div>` : nothing}
      ${isSecureContext ? nothing : html`<p class="card note">${t("not_https")}</p>`}
      <div class="card"><p class="hint">${t("log_out_hint")}</p><button type="button" class="quiet dangerous" @click=${() => void this.#leave()}>${t("log_out")}</button></div>
      <dragoman-account></dragoman-account>
    </section>`;
  }

  #language({ target }: Event): void {
    const { value } = target as HTMLSelectElement;
    keepLanguage(value);
    void model
      .peek()
      ?.wire.call("set_settings", { language: value })
      .catch(() => undefined);
  }

  async #keep(): Promise<void> {
    this.isKept = await navigator.storage.persist();
    if (!this.isKept) said.value = t("not_kept");
  }

  #theme({ target }: Event): void {
    localStorage.setItem(THEME, (target as HTMLSelectElement).value);
    applyTheme();
  }

  async #leave(): Promise<void> {
    const unsent = model.peek()?.outbox.peek().length ?? 0;
    if (unsent && !confirm(count("outbox", unsent))) return;
    model.peek()?.close();
    if (!(await session.leave())) said.value = t("left_offline");
    go({});
  }
}
customElements.define("dragoman-settings", SettingsScreen);

export function applyTheme(): void {
  const chosen = localStorage.getItem(THEME);
  if (chosen) document.documentElement.dataset["theme"] = chosen;
  else delete document.documentElement.dataset["theme"];
}
