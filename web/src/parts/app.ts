/** The page: sign in, or chats and the open screen; messages to every user; keys of the whole page. */
import { effect } from "@preact/signals-core";
import { type TemplateResult, html, nothing } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { tinykeys } from "tinykeys";
import { go, route } from "../site.ts";
import { announced, elsewhere, model, said, session } from "../state.ts";
import { t } from "../words.ts";
import { showDialog } from "./dialogs.ts";
import { each } from "./each.ts";
import { icon } from "./icons.ts";
import { Part, isComposing } from "./part.ts";
import { newBuild, useNewBuild } from "../shell.ts";

const REGIONS = [
  "nav.chats",
  "dragoman-messages .scroller",
  "dragoman-composer textarea",
  "aside.side",
  "footer.drawer button",
];
const SAID_MS = 8000;

export class App extends Part {
  #stopKeys: (() => void) | undefined;
  #saidTimer: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stopKeys = tinykeys(
      window,
      {
        "$mod+k": keep(() => showDialog("switch")),
        "Alt+ArrowDown": keep(() => neighbour(1)),
        "Alt+ArrowUp": keep(() => neighbour(-1)),
        F6: keep(() => nextRegion(1)),
        "Shift+F6": keep(() => nextRegion(-1)),
        "Shift+?": outsideFields(() => showDialog("help")),
        Escape: (event) => {
          if (!(event.target instanceof HTMLInputElement))
            document.querySelector<HTMLElement>("dragoman-composer textarea")?.focus();
        },
      },
      { ignore: isComposing },
    );
    effect(() => {
      clearTimeout(this.#saidTimer);
      if (said.value)
        this.#saidTimer = setTimeout(() => {
          said.value = "";
        }, SAID_MS);
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#stopKeys?.();
  }

  protected override render(): TemplateResult {
    return html`${session.login.value ? this.#workspace() : html`<dragoman-entrance></dragoman-entrance>`}
      <div class="unseen" role="log" aria-live="polite" aria-relevant="additions">${each(
        announced.value,
        ({ key }) => key,
        ({ text }) => html`<p>${text}</p>`,
      )}</div>
      <div class="unseen" role="status">${elsewhere.value ? keyed(elsewhere.value.key, html`<p>${elsewhere.value.text}</p>`) : nothing}</div>
      <div class="said" role="status">${
        said.value
          ? html`<p>${said.value} <button type="button" class="plain" aria-label=${t("dismiss")} @click=${() => {
              said.value = "";
            }}>${icon("close")}</button></p>`
          : nothing
      }</div>`;
  }

  #workspace(): TemplateResult {
    const { screen, chat } = route.value;
    const layer = screen || chat ? "detail" : "list";
    return html`<div class="workspace" data-layer=${layer}>
      <dragoman-chats></dragoman-chats>
      <main class="detail">${this.#notes()}${
        screen === "people"
          ? html`<dragoman-people></dragoman-people>`
          : screen === "devices"
            ? html`<dragoman-devices></dragoman-devices>`
            : screen === "settings"
              ? html`<dragoman-settings></dragoman-settings>`
              : html`<dragoman-conversation></dragoman-conversation>`
      }</main>
      <dragoman-drawer></dragoman-drawer></div>
      <dragoman-dialogs></dragoman-dialogs>`;
  }

  #notes(): TemplateResult | typeof nothing {
    const trouble = model.value?.store.trouble.value;
    const text =
      trouble === "full"
        ? t("storage_full")
        : trouble === "missing"
          ? t("storage_missing")
          : trouble === "superseded"
            ? t("storage_superseded")
            : "";
    return html`${text ? html`<p class="note" role="status">${text}</p>` : nothing}
      ${newBuild.value ? html`<p class="note" role="status">${t("build_ready")} <button type="button" class="quiet" @click=${useNewBuild}>${t("reload")}</button></p>` : nothing}`;
  }
}
customElements.define("dragoman-app", App);

function keep(work: () => void): (event: KeyboardEvent) => void {
  return (event) => {
    event.preventDefault();
    work();
  };
}

function outsideFields(work: () => void): (event: KeyboardEvent) => void {
  return (event) => {
    const isField = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (!isField) keep(work)(event);
  };
}

function neighbour(by: 1 | -1): void {
  const order = model.peek()?.order.peek() ?? [];
  const at = order.findIndex((chat) => chat.head.peek().chat === route.peek().chat);
  const next = order[at < 0 ? 0 : at + by];
  if (next) go({ chat: next.head.peek().chat });
}

function nextRegion(by: 1 | -1): void {
  const found = REGIONS.flatMap((selector) => document.querySelector<HTMLElement>(selector) ?? []);
  const at = found.findIndex((region) => region.contains(document.activeElement));
  const region = found[(at + by + found.length) % found.length];
  (region?.matches("nav")
    ? region.querySelector<HTMLElement>("a[aria-current], a, button")
    : region?.matches(".scroller, aside")
      ? (region.querySelector<HTMLElement>('li[tabindex="0"]') ?? region.querySelector("button") ?? region)
      : region
  )?.focus();
}
