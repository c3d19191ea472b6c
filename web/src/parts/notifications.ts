/** The settings of notifications: of the account, and of its devices. */
import { effect } from "@preact/signals-core";
import { type TemplateResult, html, nothing } from "lit";
import { type Native, failureOf } from "../native.ts";
import { type Ability, ability, isNotified, registered, turnOff, turnOn } from "../push/device.ts";
import type { Model } from "../model/model.ts";
import { attempt, model, said, whenOnline } from "../state.ts";
import { language, momentOf, t } from "../words.ts";
import { Part } from "./part.ts";

type Device = Native.SubscriptionsReply["subscriptions"][number];
const EVENING = { from: "22:00", to: "07:00" };
const LEVELS = ["all", "mentions", "none"] as const;

export class NotificationSettings extends Part {
  static override properties = { settings: { state: true }, devices: { state: true }, isOff: { state: true }, mails: { state: true } };
  declare settings: Native.SettingsReply | undefined;
  declare devices: Device[];
  /** On the server. */
  declare isOff: boolean;
  /** The server mails, too. */
  declare mails: boolean;
  #stop: (() => void) | undefined;

  constructor() {
    super();
    this.devices = [];
    this.isOff = this.mails = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = effect(() => {
      void registered.value;
      return whenOnline((known) => {
        known.wire.call("push_key").then(
          ({ mail_minutes }) => (this.mails = !!mail_minutes),
          ({ reason }) => (this.isOff = reason === "switched_off"),
        );
        void this.#load();
      });
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stop?.();
  }

  protected override render(): TemplateResult {
    return html`<section class="card" aria-label=${t("notifications")}><h2>${t("notifications")}</h2>
      ${this.#here()}
      ${this.mails && !this.devices.some(({ kind }) => kind === "mail")
        ? html`<button type="button" class="quiet" @click=${() => void this.#change(mailMe)}>${t("notify_mail")}</button>`
        : nothing}
      <ul class="people">${this.devices.map((one) => this.#device(one))}</ul>
      ${this.settings ? this.#account(this.settings) : nothing}
    </section>`;
  }

  #here(): TemplateResult {
    const why = this.isOff ? "switched_off" : ability();
    if (why !== "able") return html`<p class="hint">${reasons()[why]}</p>`;
    return isNotified.value
      ? html`<button type="button" class="quiet" @click=${() => void this.#change(turnOff)}>${t("notify_stop")}</button>`
      : html`<button type="button" class="primary" @click=${() => void this.#change(turnOn)}>${t("notify_here")}</button>`;
  }

  #device({ subscription, origin, kind, created, here, last_ok, last_error }: Device): TemplateResult {
    const delivered = last_ok ? t("last_delivered", { time: momentOf(last_ok) }) : t("never_delivered");
    return html`<li class="device"><strong>${kind === "mail" ? t("notify_mails") : new URL(origin).host}</strong> ${here ? html`<em>${t("current_device")}</em>` : nothing}
      <span class="hint">${t("notified_since", { time: momentOf(created) })} · ${delivered}${last_error ? ` · ${last_error}` : nothing}</span>
      ${kind === "mail" ? nothing : html`<button type="button" class="quiet" @click=${() => void this.#test(subscription)}>${t("notify_test")}</button>`}
      <button type="button" class="quiet" @click=${() => void this.#remove(subscription)}>${t("notify_remove")}</button></li>`;
  }

  #account({ level, quiet }: Native.SettingsReply): TemplateResult {
    const { from, to } = quiet ?? EVENING;
    return html`<label>${t("notify_of")}<select @change=${this.#level}>${LEVELS.map(
      (one) => html`<option value=${one} ?selected=${one === level}>${levels()[one]}</option>`,
    )}</select></label>
      <label class="check"><input type="checkbox" name="quiet" ?checked=${!!quiet} @change=${this.#quiet}> ${t("quiet")}</label>
      <div class="check"><label>${t("quiet_from")} <input type="time" name="from" required .value=${from} @change=${this.#quiet}></label>
      <label>${t("quiet_to")} <input type="time" name="to" required .value=${to} @change=${this.#quiet}></label></div>`;
  }

  async #change(work: typeof turnOn): Promise<void> {
    const known = model.peek();
    if (known) await attempt(() => work(known));
    await this.#load();
  }

  async #test(subscription: number): Promise<void> {
    try {
      await model.peek()?.wire.call("test_push", { subscription });
      said.value = t("notify_tested");
    } catch (error) {
      said.value = failureOf(error).text; // the push service's own words
    }
    await this.#load();
  }

  async #remove(subscription: number): Promise<void> {
    const isHere = this.devices.some((one) => one.subscription === subscription && one.here);
    if (isHere) return this.#change(turnOff);
    await attempt(() => model.peek()?.wire.call("unsubscribe", { subscription }) ?? Promise.resolve());
    await this.#load();
  }

  #level({ target }: Event): void {
    void this.#save({ level: (target as HTMLSelectElement).value as (typeof LEVELS)[number] });
  }

  #quiet(): void {
    const field = (name: string) => this.querySelector<HTMLInputElement>(`input[name=${name}]`);
    const [from = "", to = ""] = ["from", "to"].map((name) => field(name)?.value);
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const isOn = field("quiet")?.checked && from && to;
    if (isOn || this.settings?.quiet) void this.#save({ quiet: isOn ? { tz, from, to } : null });
  }

  async #save(changed: Omit<Native.SetSettingsParameters, "op" | "id">): Promise<void> {
    if (await attempt(() => model.peek()?.wire.call("set_settings", changed) ?? Promise.resolve()))
      said.value = t("saved");
    await this.#load();
  }

  async #load(): Promise<void> {
    await attempt(async () => {
      const known = model.peek();
      if (!known) return;
      [this.settings, { subscriptions: this.devices }] = await Promise.all([
        known.wire.call("settings"),
        known.wire.call("subscriptions"),
      ]);
    });
  }
}
customElements.define("dragoman-notifications", NotificationSettings);

async function mailMe(known: Model): Promise<void> {
  await known.wire.call("subscribe", { kind: "mail", language: language.peek() });
}

function levels(): Record<(typeof LEVELS)[number], string> {
  return { all: t("level_all"), mentions: t("level_mentions"), none: t("level_none") };
}

function reasons(): Record<Exclude<Ability, "able">, string> {
  return {
    not_https: t("notify_not_https"),
    not_installed: t("notify_not_installed"),
    missing: t("notify_missing"),
    blocked: t("notify_blocked"),
    switched_off: t("notify_switched_off"),
  };
}
