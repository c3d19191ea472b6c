/** One row of a conversation. */
import { computed } from "@preact/signals-core";
import { type TemplateResult, html, nothing } from "lit";
import type { Chat, Sending } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import { drop, react, sendAgain, summaryOf } from "../model/actions.ts";
import type { Message } from "../model/shapes.ts";
import type { Segment } from "../native.ts";
import { avatarAddress, ownAddress } from "../site.ts";
import { attempt, reasonOf } from "../state.ts";
import { count, momentOf, t, timeOf } from "../words.ts";
import { colours } from "./colours.ts";
import { avatar, icon } from "./icons.ts";
import { Part, properties } from "./part.ts";
import { shownSegments } from "./text.ts";

const LONGEST_QUOTE = 140;

export interface RowActions {
  jump(index: number): void;
  reply(message: Message): void;
  showReplies(index: number): void;
  menu(message: Message, anchor: HTMLElement): void;
  emojis(message: Message, anchor: HTMLElement): void;
  edit(message: Message): void;
  editRefused(entry: Sending): void;
}

/** A key on a row that has the focus. Returns whether it means something there. */
export function pressed(key: string, message: Message, row: HTMLElement, actions: RowActions): boolean {
  if (key === "Enter") actions.menu(message, row);
  else if (message.recalled) return false;
  else if (key.toLowerCase() === "r") actions.reply(message);
  else if (key.toLowerCase() === "e") actions.edit(message);
  else return false;
  return true;
}

/** Author, text, attachments, reactions, and the time last: as a reader hears it. A frame of a scroll shows none again. */
export class MessageRow extends Part {
  static override properties = {
    model: { attribute: false },
    chat: { attribute: false },
    message: { attribute: false },
    isContinued: { attribute: false },
    actions: { attribute: false },
  };
  declare model: Model;
  declare chat: Chat;
  declare message: Message;
  declare isContinued: boolean;
  declare actions: RowActions;
  /** Of this message alone: a row stays the one of its message. */
  #replies = computed(() => this.chat.replies.value.get(this.message.index) ?? 0);

  /** At once: the list measures it. */
  show(): void {
    this.performUpdate();
  }

  protected override render(): TemplateResult {
    return shown(this, this.#replies.value);
  }
}
customElements.define("dragoman-message", MessageRow);

function shown({ model, chat, message, isContinued, actions }: MessageRow, replies: number): TemplateResult {
  const { sender, time, segments, recalled, edited, index } = message;
  const person = model.people.get(sender);
  const isOwn = sender === model.me;
  return html`<article class=${`message${isContinued ? " message-continued" : ""}${isOwn ? " message-own" : ""}`} dir="auto">
    ${isContinued ? nothing : avatar(avatarAddress("account", sender, person.avatar))}
    <span class=${isContinued ? "message-author unseen" : "message-author"}><bdi>${person.deleted ? t("deleted") : model.people.name(sender)}</bdi></span>
    <div class="message-body">
      ${message.reply_to ? quoted(model, chat, message.reply_to, actions) : nothing}
      ${recalled ? html`<em class="recalled">${t("recalled")}</em>` : shownSegments(segments, model.me)}
      ${attachments(segments)}
      ${reactions(model, message)}
    </div>
    ${replies ? html`<button type="button" class="quiet replies" @click=${() => actions.showReplies(index)}>${count("replies", replies)}</button>` : nothing}
    <span class="message-meta">${edited ? html`<span class="edited">${t("edited")}</span> ` : nothing}<time datetime=${new Date(time).toISOString()}
      title=${momentOf(time)}>${timeOf(time)}</time>${isOwn ? html`<span class="tick" title=${t("sent")} role="img" aria-label=${t("sent")}>✓</span>` : nothing}</span>
    ${
      recalled
        ? nothing
        : html`<span class="message-tools">
      <button type="button" class="plain" tabindex="-1" aria-label=${t("react")} title=${t("react")}
        @click=${(event: Event) => actions.emojis(message, event.currentTarget as HTMLElement)}>${icon("react")}</button>
      <button type="button" class="plain" tabindex="-1" aria-label=${t("reply")} title=${t("reply")} @click=${() => actions.reply(message)}>${icon("reply")}</button>
      <button type="button" class="plain" tabindex="-1" aria-label=${t("message_actions")} title=${t("message_actions")} aria-haspopup="menu"
        data-menu=${index} @click=${(event: Event) => actions.menu(message, event.currentTarget as HTMLElement)}>${icon("more")}</button></span>`
    }
  </article>`;
}

/** An unsent message: sending, not confirmed, rejected. The tick means "on disk", so it has none. */
export function sendingRow(model: Model, entry: Sending, actions: RowActions): TemplateResult {
  const isOnline = model.state.value.state === "online";
  const { rejected, reply_to, segments, sent } = entry;
  const state = rejected ? t("not_sent", { reason: reasonOf(rejected) }) : isOnline ? t("sending") : t("outbox");
  return html`<article class=${`message message-own message-sending${rejected ? " message-rejected" : ""}`} dir="auto">
    ${avatar(avatarAddress("account", model.me, model.people.get(model.me).avatar))}
    <span class="message-author"><bdi>${model.people.name(model.me)}</bdi></span>
    <div class="message-body">${reply_to ? html`<span class="quote">↳ …</span>` : nothing}${shownSegments(segments as never, model.me)}
      ${segments.map((one) => (one.t === "image" || one.t === "file" ? html`<p class="hint">${icon("attach")} <bdi>${one.name}</bdi></p>` : nothing))}
      ${
        rejected
          ? html`<p class="failure" role="alert">${state}
        <button type="button" class="quiet" @click=${() => sendAgain(model, entry)}>${t("send_again")}</button>
        <button type="button" class="quiet" @click=${() => actions.editRefused(entry)}>${t("edit")}</button>
        <button type="button" class="quiet" @click=${() => drop(model, entry)}>${t("forget_text")}</button></p>`
          : nothing
      }
    </div>
    <span class="message-meta">${rejected ? nothing : html`<span class="state" role="img" aria-label=${sent ? t("sent") : state} title=${sent ? t("sent") : state}>${sent ? "✓" : isOnline ? "…" : "↻"}</span>`}</span>
  </article>`;
}

function quoted(model: Model, chat: Chat, index: number, actions: RowActions): TemplateResult {
  void chat.version.value; // it may be loaded later
  const original = chat.messages.get(index);
  const text = original
    ? original.recalled
      ? t("recalled")
      : summaryOf(original.segments, LONGEST_QUOTE) || "📎"
    : `#${index}`;
  return html`<button type="button" class="quote" @click=${() => actions.jump(index)}>${icon("reply")}
    ${original ? html`<bdi class="quote-author">${model.people.name(original.sender)}</bdi>` : nothing} <bdi>${text}</bdi></button>`;
}

function attachments(segments: readonly Segment[]): TemplateResult | typeof nothing {
  const files = segments.flatMap((segment) => (segment.t === "image" || segment.t === "file" ? [segment] : []));
  if (!files.length) return nothing;
  const pictures = files.filter((one) => one.t === "image");
  const others = files.filter((one) => one.t === "file");
  return html`${pictures.length ? html`<div class="gallery" data-count=${Math.min(pictures.length, 4)}>${pictures.map(picture)}</div>` : nothing}
    ${others.map(({ media }) => file(media))}`;
}

type Picture = Extract<Segment, { t: "image" }>;
type Media = Picture["media"];

/** Its place and its colours are there before it is. A broken one leaves its name. */
function picture({ media: { url, name, width = 0, height = 0 }, hash = "", preview = url }: Picture): TemplateResult {
  const ratio = { "aspect-ratio": width && height ? `${width} / ${height}` : "4 / 3", "--width": `${width || 320}px` };
  return html`<a class="picture" href=${ownAddress(url)} target="_blank" rel="noopener" ${properties(ratio)}>
    ${hash ? html`<canvas aria-hidden="true" ${colours(hash)}></canvas>` : nothing}
    <img src=${ownAddress(preview)} alt=${t("picture", { name })} loading="lazy" decoding="async" @load=${pictured} @error=${pictured}></a>`;
}

/** It is there, or will not come. Without its preview, the picture itself is shown. */
async function pictured({ type, target }: Event): Promise<void> {
  const image = target as HTMLImageElement;
  const whole = image.parentElement?.getAttribute("href") ?? "";
  if (type === "error" && image.getAttribute("src") !== whole) return image.setAttribute("src", whole);
  image.classList.toggle("broken", type === "error");
  await image.decode().catch(() => undefined);
  image.previousElementSibling?.toggleAttribute("hidden", true);
}

function file({ url, name, size, mime }: Media): TemplateResult {
  const address = ownAddress(url);
  if (mime.startsWith("video/"))
    return html`<video class="player" controls preload="metadata" src=${address} aria-label=${name}></video>`;
  if (mime.startsWith("audio/"))
    return html`<audio class="player" controls preload="metadata" src=${address} aria-label=${name}></audio>`;
  return html`<a class="file" href=${address} target="_blank" rel="noopener" download=${name}>${icon("attach")} <bdi>${name}</bdi> <span class="hint">${bytes(size)}</span></a>`;
}

export function bytes(size: number): string {
  const [value, unit] =
    size < 1000 ? [size, "B"] : size < 1e6 ? [size / 1e3, "kB"] : size < 1e9 ? [size / 1e6, "MB"] : [size / 1e9, "GB"];
  return `${value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

function reactions(model: Model, message: Message): TemplateResult | typeof nothing {
  const found = Object.entries(message.reactions ?? {}).filter(([, number]) => number > 0);
  if (!found.length) return nothing;
  return html`<span class="reactions">${found.map(
    ([
      emoji,
      number,
    ]) => html`<button type="button" class="reaction" aria-pressed=${message.mine?.includes(emoji) ?? false}
    data-emoji=${emoji} @pointerenter=${(event: Event) => void name(model, message, emoji, event.currentTarget as HTMLElement)}
    @focus=${(event: Event) => void name(model, message, emoji, event.currentTarget as HTMLElement)}
    @click=${({ currentTarget }: Event) => void attempt(() => react(model, message, emoji)).then(() => name(model, message, emoji, currentTarget as HTMLElement))}>${emoji} ${number}</button>`,
  )}</span>`;
}

/** The names of those that have reacted, when somebody looks. */
async function name(model: Model, message: Message, emoji: string, button: HTMLElement): Promise<void> {
  const names = await reactorsOf(model, message, emoji);
  if (names) button.title = names;
}

export async function reactorsOf(model: Model, { chat, index }: Message, emoji: string): Promise<string> {
  const { reactors } = await model.wire
    .call("reactors", { chat, index, emoji, count: 20 })
    .catch(() => ({ reactors: [] }));
  await model.people.ensure(reactors.map(({ account }) => account));
  const names = reactors.map(({ account }) => model.people.name(account)).join(", ");
  return names && t("reactions_by", { emoji, names });
}
