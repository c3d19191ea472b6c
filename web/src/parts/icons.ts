/** Pictures of buttons, in the colour of the text; pictures of people and chats. */
import { type SVGTemplateResult, type TemplateResult, html, svg } from "lit";
import type { Chat } from "../model/chat.ts";
import type { Model } from "../model/model.ts";
import { avatarAddress } from "../site.ts";

const PATHS = {
  attach: "M8 12.5l6-6a3 3 0 0 1 4.2 4.2l-7.5 7.5a5 5 0 0 1-7-7l7-7",
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  devices: "M3 5h13v10H3zM8 19h5M18 9h4v10h-4z",
  down: "M12 5v14M6 13l6 6 6-6",
  more: "M4 12a1 1 0 1 0 2 0 1 1 0 0 0-2 0M11 12a1 1 0 1 0 2 0 1 1 0 0 0-2 0M18 12a1 1 0 1 0 2 0 1 1 0 0 0-2 0",
  people:
    "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.5-4 3-6 6.500-6s6 2 6.500 6M16 5a3 3 0 0 1 0 6M17.500 14.500c2.500.5 4 2.500 4 5.500",
  plus: "M12 5v14M5 12h14",
  react: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.500 14.500c1.500 2.500 5.500 2.500 7 0M9 9.500h.01M15 9.500h.01",
  reply: "M10 8V4l-7 7 7 7v-4c5 0 8 1.500 11 5-1-6-4-11-11-11z",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM20 20l-4.500-4.500",
  send: "M4 12l16-8-6 16-3-7z",
  settings: "M4 7h10M18 7h2M4 17h2M10 17h10M14 4v6M6 14v6",
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): TemplateResult {
  const path: SVGTemplateResult = svg`<path d=${PATHS[name]} />`;
  return html`<svg class="icon" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">${path}</svg>`;
}

/** A picture of a person or chat: beside its name, so that it needs none. */
export function avatar(address: string, size = 36): TemplateResult {
  return html`<img class="avatar" src=${address} alt="" width=${size} height=${size} loading="lazy" decoding="async">`;
}

export function chatAvatar(known: Model, chat: Chat, size?: number): TemplateResult {
  const { chat: id, kind, avatar: chosen } = chat.head.value;
  const other = known.other(chat);
  const address = other
    ? avatarAddress("account", other, known.people.get(other).avatar)
    : avatarAddress("chat", id, kind === "private" ? "" : chosen);
  return avatar(address, size);
}
