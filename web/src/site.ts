/** Where this client is: the prefix that a proxy puts before its paths, its routes, addresses of files. */
import { signal } from "@preact/signals-core";

const { prefix = "", build = "" } = document.documentElement.dataset;
export const BUILD = build;
export const CHAT = `${prefix}/chat`;

export interface Route {
  chat?: number;
  index?: number;
  /** The replies to the message `index` are shown. */
  replies?: true;
  screen?: Screen;
}
export type Screen = (typeof SCREENS)[number];
const REPLIES = "replies";
const SCREENS = ["people", "devices", "settings"] as const;

export function socketAddress(): string {
  return `${location.origin.replace(/^http/, "ws")}${prefix}/ws/native`;
}

export function operationAddress(op: string): string {
  return `${prefix}/api/v1/${op}`;
}

/** By path on this host, whatever host an address names. Empty for an address of elsewhere. */
export function ownAddress(address: string): string {
  const own = /\/(?:media\/[0-9a-f]{32}|avatar\/(?:account|chat)\/\d+\.png)$/.exec(address);
  return own ? prefix + own[0] : "";
}

export function avatarAddress(kind: "account" | "chat", number: number, chosen = ""): string {
  return ownAddress(chosen) || `${prefix}/avatar/${kind}/${number}.png`;
}

export function parseRoute(path: string): Route {
  const [first = "", second = "", third = ""] = path.slice(CHAT.length).split("/").filter(Boolean);
  const screen = SCREENS.find((name) => name === first);
  if (screen) return { screen };
  if (!/^\d+$/.test(first)) return {};
  if (!/^\d+$/.test(second)) return { chat: Number(first) };
  return { chat: Number(first), index: Number(second), ...(third === REPLIES && { replies: true }) };
}

export function pathOf({ chat, index, replies, screen }: Route): string {
  return [CHAT, ...[screen, chat, index, replies && REPLIES].filter((part) => part !== undefined)].join("/");
}

export const route = signal<Route>(parseRoute(location.pathname));

/** Each layer is an entry of the history, so that a phone's back leaves it. */
export function go(to: Route, { replace = false } = {}): void {
  const path = pathOf(to);
  if (path !== location.pathname) history[replace ? "replaceState" : "pushState"](null, "", path);
  route.value = to;
}

addEventListener("popstate", () => {
  route.value = parseRoute(location.pathname);
});
