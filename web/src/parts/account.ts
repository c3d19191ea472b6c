/** The server's data of the account, as a file; and the end of the account. */
import { type TemplateResult, html } from "lit";
import type { Model } from "../model/model.ts";
import type { Failure, Native } from "../native.ts";
import { go } from "../site.ts";
import { attempt, model, said, session } from "../state.ts";
import { t } from "../words.ts";
import { Part } from "./part.ts";

const MOST_PAUSE_MS = 60_000;

export class Account extends Part {
  static override properties = { isBusy: { state: true } };
  declare isBusy: boolean;

  protected override render(): TemplateResult {
    return html`<div class="card"><p class="hint">${t("export_hint")}</p>
        <button type="button" class="quiet" ?disabled=${this.isBusy} @click=${this.#export}>${this.isBusy ? t("loading") : t("export")}</button></div>
      <form class="card" @submit=${this.#delete}><p class="hint">${t("delete_hint")}</p>
        <label>${t("password")}<input type="password" name="password" autocomplete="current-password" required></label>
        <button class="quiet dangerous">${t("delete_account")}</button></form>`;
  }

  async #export(): Promise<void> {
    const known = model.peek();
    if (!known) return;
    this.isBusy = true;
    await attempt(async () => save(`dragoman-${known.me}.json`, await exported(known)));
    this.isBusy = false;
  }

  async #delete(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const known = model.peek();
    const value = String(new FormData(event.target as HTMLFormElement).get("password"));
    if (!known || !confirm(t("delete_hint"))) return;
    try {
      await known.wire.call("delete_account", { secret: { scheme: "plain", value } });
    } catch (error) {
      const { code, text } = error as Failure;
      said.value = code === "unauthenticated" ? t("wrong_password") : t("reason_other", { text });
      return;
    }
    known.close();
    await session.leave();
    go({});
  }
}
customElements.define("dragoman-account", Account);

/** With the own messages of all chats. */
async function exported(known: Model): Promise<object> {
  const found = await known.wire.call("export");
  const messages: Native.ExportMessagesResult["messages"] = [];
  for (const chat of [...found.chats, ...found.left_chats]) {
    for (let after = 0, more = true; more; ) {
      const page = await patient(() => known.wire.call("export_messages", { chat, after }));
      messages.push(...page.messages);
      ({ after, more } = page);
    }
  }
  return { ...found, messages };
}

/** Again after a pause that the server asks for. */
async function patient<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const { retry_ms } = error as Failure;
      if (retry_ms === undefined || retry_ms > MOST_PAUSE_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, retry_ms));
    }
  }
}

function save(name: string, content: object): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 2)], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), MOST_PAUSE_MS);
}
