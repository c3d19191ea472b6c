/** The line below the chats: the state of the connection, and the number of unsent messages. Opened: the outbox, and the frames. */
import { type TemplateResult, html, nothing } from "lit";
import { drop, textOfSegments } from "../model/actions.ts";
import type { Sending } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import { BUILD } from "../site.ts";
import { model, reasonOf } from "../state.ts";
import { count, t } from "../words.ts";
import { frames } from "../wire/frames.ts";
import { Part } from "./part.ts";
import { copy } from "./text.ts";

const SHOWN_FRAMES = 60;

export class Drawer extends Part {
  static override properties = { isOpen: { state: true } };
  declare isOpen: boolean;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    this.isOpen = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#timer = setInterval(() => {
      if (model.peek()?.state.peek().until) this.requestUpdate();
    }, 1000);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override render(): TemplateResult {
    const known = model.value;
    if (!known) return html``;
    const { state } = known.state.value;
    return html`<footer class="drawer" aria-label=${t("connection")}>
      <button type="button" class="drawer-line" aria-expanded=${this.isOpen} title=${t("open_drawer")} @click=${() => {
        this.isOpen = !this.isOpen;
      }}>
        <span class=${`dot dot-${state}`} aria-hidden="true"></span>
        <span role="status">${sentence(known)} ${queue(known)}</span>
      </button>
      ${this.isOpen ? this.#details(known) : nothing}
    </footer>`;
  }

  #details(known: Model): TemplateResult {
    void frames.version.value;
    const entries = known.outbox.value;
    return html`<div class="drawer-details">
      <p>${frames.lastReply === undefined ? nothing : t("last_reply", { milliseconds: frames.lastReply.toFixed(1) })} <span class="hint">${BUILD}</span></p>
      ${entries.length ? html`<h3>${t("outbox")}</h3><ul>${entries.map((entry) => outgoing(known, entry))}</ul>` : nothing}
      <h3 id="frames-title">${t("frames")}</h3>
      ${
        known.wire.isHolder
          ? html`<ol class="frames" tabindex="0" aria-labelledby="frames-title">${frames.list
              .slice(-SHOWN_FRAMES)
              .reverse()
              .map(
                ({ isSent, text }) =>
                  html`<li><span aria-hidden="true">${isSent ? "→" : "←"}</span> <code>${text}</code></li>`,
              )}</ol>`
          : html`<p class="hint">${t("frames_elsewhere")}</p>`
      }
    </div>`;
  }
}
customElements.define("dragoman-drawer", Drawer);

function queue(known: Model): string {
  const rejected = known.outbox.value.filter((entry) => entry.rejected).length;
  const waiting = known.outbox.value.length - rejected;
  if (!waiting && !rejected) return known.state.value.state === "online" ? t("outbox_empty") : "";
  return [waiting && count("outbox", waiting), rejected && count("rejected", rejected)].filter(Boolean).join(" ");
}

/** One whose chat is not there is shown nowhere else: its text can be taken from here. */
function outgoing(known: Model, entry: Sending): TemplateResult {
  const chat = known.chats.get(entry.chat);
  const text = textOfSegments(entry.segments);
  return html`<li><bdi>${chat ? known.title(chat) : `#${entry.chat}`}</bdi>: <bdi>${text.slice(0, 100)}</bdi>
    ${entry.rejected ? html`<span class="hint">${t("not_sent", { reason: reasonOf(entry.rejected) })}</span>` : nothing}
    ${
      chat
        ? nothing
        : html`<button type="button" class="quiet" @click=${() => void copy(text)}>${t("copy")}</button>
    <button type="button" class="quiet" @click=${() => drop(known, entry)}>${t("forget_text")}</button>`
    }</li>`;
}

function sentence(known: Model): string {
  const { state, until = 0, isBlocked } = known.state.value;
  if (known.maintenance.value) return t("maintenance");
  if (state === "online") return t("connected");
  if (!navigator.onLine) return t("offline");
  if (isBlocked) return t("blocked_socket");
  if (state === "waiting") return t("reconnecting", { seconds: Math.max(0, Math.ceil((until - Date.now()) / 1000)) });
  return t("connecting");
}
