/** This browser as a device that the server notifies while no page is open. */
import { effect, signal, untracked } from "@preact/signals-core";
import type { Model } from "../model/model.ts";
import { type Failure, failureOf } from "../native.ts";
import { CHAT, go, parseRoute } from "../site.ts";
import { model, session, whenOnline } from "../state.ts";
import { language } from "../words.ts";
import type { Kept, Letter } from "./letters.ts";

/** `not_installed`: on iOS, the page must be on the home screen. `switched_off`: on the server. */
export type Ability = "able" | "not_https" | "not_installed" | "missing" | "blocked" | "switched_off";

export const isNotified = signal(false);
/** Rises when the server knows this device anew. */
export const registered = signal(0);
const CLOSE_MS = 500;
const WORKER_MS = 10_000;

export function ability(): Ability {
  if (!isSecureContext) return "not_https";
  if (!("serviceWorker" in navigator) || !("PushManager" in globalThis) || !("Notification" in globalThis))
    return /iPhone|iPad/.test(navigator.userAgent) ? "not_installed" : "missing";
  return Notification.permission === "denied" ? "blocked" : "able";
}

/** After a click, or browsers do not ask. Rejects with a Failure. */
export async function turnOn(known: Model): Promise<void> {
  if ((await Notification.requestPermission()) !== "granted") return;
  await register(known, false);
  localStorage.setItem(wanted(known.me), "yes");
  isNotified.value = true;
}

/** Rejects with a Failure. */
export async function turnOff(known: Model): Promise<void> {
  localStorage.removeItem(wanted(known.me));
  await forget();
  const { subscriptions } = await known.wire.call("subscriptions");
  for (const one of subscriptions)
    if (one.here) await known.wire.call("unsubscribe", { subscription: one.subscription });
}

/** Registers again at each start, closes notifications of read messages, follows clicks, and forgets this device without a login. */
export function keepNotified(restored: Promise<void>): void {
  void restored.then(() =>
    effect(() => {
      if (!session.login.value) void untracked(forget);
    }),
  );
  effect(() => {
    const known = model.value;
    if (!known) return undefined;
    const isWanted = localStorage.getItem(wanted(known.me)) !== null;
    if (!isWanted) void untracked(forget); // the subscription is another account's, whose login goes on
    isNotified.value = isWanted && ability() === "able";
    void language.value; // of the notifications
    if (!isNotified.peek()) return undefined;
    return whenOnline(() => void again(known));
  });
  closeWhatIsRead();
  if ("serviceWorker" in navigator) navigator.serviceWorker.addEventListener("message", follow);
}

function follow({ data }: MessageEvent<Letter>): void {
  const known = model.peek();
  if (data.kind === "clicked") go(parseRoute(CHAT + data.path));
  else if (data.kind === "replaced" && known && isNotified.peek()) void again(known);
  else if (data.kind === "shown" && known?.isSynced.peek()) void close(known);
}

/** The server's subscription may have ended meanwhile, by its push service or after a restore. A subscription that the user
 * has removed on another device stays removed. */
async function again(known: Model): Promise<void> {
  try {
    await register(known, true);
  } catch (error) {
    const { reason } = failureOf(error);
    if (reason === "switched_off") isNotified.value = false;
    if (reason !== "gone") return;
    localStorage.removeItem(wanted(known.me));
    await forget();
  }
}

/** `again`: the user has not asked. Rejects with a Failure. */
async function register(known: Model, again: boolean): Promise<void> {
  const { key } = await known.wire.call("push_key");
  const { pushManager } = await worker();
  const old = await pushManager.getSubscription();
  if (old && keyOf(old) !== key) await old.unsubscribe();
  const options = { userVisibleOnly: true, applicationServerKey: key };
  const { endpoint = "", keys = {} } = (await pushManager.subscribe(options).catch(unreachable)).toJSON();
  const { p256dh = "", auth = "" } = keys;
  await known.wire.call("subscribe", { endpoint, p256dh, auth, key, again, language: language.peek() });
  registered.value += 1;
}

/** Rejects with a Failure: a worker that could not be installed is never ready. */
function worker(): Promise<ServiceWorkerRegistration> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(reject, WORKER_MS, { code: "unavailable", text: "the service worker is not installed" } satisfies Failure);
  });
  return Promise.race([navigator.serviceWorker.ready, late]);
}

function unreachable(error: unknown): never {
  throw { code: "unavailable", text: String(error) } satisfies Failure;
}

function keyOf({ options: { applicationServerKey } }: PushSubscription): string {
  const bytes = new Uint8Array(applicationServerKey ?? new ArrayBuffer(0));
  return btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (one) => ({ "+": "-", "/": "_" })[one] ?? "");
}

/** Nothing of the account is shown or arrives any more. */
async function forget(): Promise<void> {
  isNotified.value = false;
  const registration = await navigator.serviceWorker?.getRegistration(CHAT);
  if (!registration) return;
  for (const one of (await registration.getNotifications?.()) ?? []) one.close();
  await (await registration.pushManager?.getSubscription())?.unsubscribe();
}

function wanted(account: number): string {
  return `dragoman.${account}.push`; // a logout removes it
}

/** Here, or by another client while this one is connected: the server says it to devices only with the next message. */
function closeWhatIsRead(): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const known = model.value;
    void known?.unread.value;
    clearTimeout(timer);
    if (known?.isSynced.value && ability() === "able") timer = setTimeout(() => void close(known), CLOSE_MS);
  });
}

async function close(known: Model): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration(CHAT);
  for (const one of (await registration?.getNotifications()) ?? []) {
    const { chat = 0, index = 0 } = (one.data ?? {}) as Partial<Kept>;
    const head = known.chats.get(chat)?.head.peek();
    if (chat && (!head || (head.read >= index && !head.unread_from))) one.close();
  }
}
