/** In the service worker: notifications that arrive, and clicks on them. Every notification is shown: browsers withdraw a
 * subscription that stays silent. */
import type { Kept, Letter } from "./letters.ts";

export interface Window {
  readonly url: string;
  readonly focused: boolean;
  readonly visibilityState: DocumentVisibilityState;
  focus(): Promise<unknown>;
  postMessage(letter: Letter): void;
}
export interface Windows {
  matchAll(options: { type: "window"; includeUncontrolled: boolean }): Promise<readonly Window[]>;
  openWindow(address: string): Promise<unknown>;
}
interface Arrived {
  notification?: { title?: string; body?: string; tag?: string; renotify?: boolean; navigate?: string };
  app_badge?: number;
  close?: string[];
}
type Badges = { setAppBadge?: (count: number) => Promise<void> };

/** One notification for each chat: a later one has the same tag, and takes its place. */
export async function show(registration: ServiceWorkerRegistration, text: string, icon: string, windows: Windows) {
  const { notification: { title = "Dragoman", tag = "", navigate = "", ...shown } = {}, app_badge, close = [] } = read(text);
  const path = pathOf(navigate);
  const [id, index] = path.slice(1).split("/").map(Number);
  const kept: Kept = { path, chat: id || 0, index: index || 0 };
  await registration.showNotification(title, { ...shown, tag, icon, data: kept });
  if (app_badge !== undefined) await (navigator as Badges).setAppBadge?.(app_badge).catch(() => undefined);
  for (const one of close) for (const old of await registration.getNotifications({ tag: one })) old.close();
  await post(windows, { kind: "shown" });
}

/** Shows the message in a tab that is open, the one that was used last first, else in a new one. */
export async function openClicked(windows: Windows, { path = "" }: Partial<Kept>, chat: string): Promise<void> {
  const open = await windows.matchAll({ type: "window", includeUncontrolled: true });
  const ours = open.filter(({ url }) => url === chat || /^[/?#]/.test(url.slice(chat.length)) && url.startsWith(chat));
  const best = ours.find(({ focused }) => focused) ?? ours.find((one) => one.visibilityState === "visible") ?? ours[0];
  if (!best) return void (await windows.openWindow(chat + path));
  best.postMessage({ kind: "clicked", path });
  await best.focus().catch(() => undefined); // the page shows the message anyway
}

/** With the previous key. A page registers it at the server: only a page can log in. */
export async function replace(registration: ServiceWorkerRegistration, before: PushSubscription | null, windows: Windows) {
  const key = before?.options.applicationServerKey;
  if (key) await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await post(windows, { kind: "replaced" });
}

async function post(windows: Windows, letter: Letter): Promise<void> {
  for (const one of await windows.matchAll({ type: "window", includeUncontrolled: true })) one.postMessage(letter);
}

function read(text: string): Arrived {
  try {
    return (JSON.parse(text) as Arrived | null) ?? {};
  } catch {
    return {};
  }
}

/** The server names an address by which others reach it; here it is a path of this origin. */
function pathOf(navigate: string): string {
  const found = /\/chat(\/\d+(?:\/\d+)?)$/.exec(navigate);
  return found?.[1] ?? "";
}
