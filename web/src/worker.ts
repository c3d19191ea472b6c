/** The service worker: the shell of one build, whole or not at all, and notifications. Messages are in IndexedDB, not
 * here. */
import type { Kept } from "./push/letters.ts";
import { type Windows, openClicked, replace, show } from "./push/shown.ts";

declare const BUILD: string;
declare const ASSETS: string[];

interface WorkerEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends WorkerEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface PushedEvent extends WorkerEvent {
  readonly data: { text(): string } | null;
}
interface ClickEvent extends WorkerEvent {
  readonly notification: Notification;
}
interface ReplacedEvent extends WorkerEvent {
  readonly oldSubscription: PushSubscription | null;
}
interface Worker extends EventTarget {
  readonly location: Location;
  readonly registration: ServiceWorkerRegistration;
  readonly clients: Windows & { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

const worker = self as unknown as Worker;
const CHAT = new URL("chat", new URL("./..", worker.location.href)).href;
const CACHE = `dragoman-chat-${BUILD}`;
const ICON = `${CHAT}/${ASSETS.find((name) => name.startsWith("assets/icon-"))}`;

/** Rejects if one file is missing, or if the page is of another build: then this build is not installed. */
async function install(): Promise<void> {
  const page = await fetch(CHAT, { cache: "no-store" });
  const text = await page.clone().text();
  if (!page.ok || !text.includes(`data-build="${BUILD}"`)) throw new Error("the page is of another build");
  const cache = await caches.open(CACHE);
  await cache.addAll(ASSETS.map((name) => `${CHAT}/${name}`));
  await cache.put(CHAT, page);
}

async function removeOthers(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("dragoman-chat-") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

/** The page from the server, from here without one or if it is slow; assets from here. */
async function respond(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  if (request.mode !== "navigate") return (await cache.match(request)) ?? fetch(request);
  const stored = await cache.match(CHAT);
  if (!stored) return fetch(request);
  const late = new Promise<Response>((resolve) => {
    setTimeout(resolve, 2000, stored);
  });
  return Promise.race([
    fetch(request).then(
      (page) => (page.status < 500 ? page : stored),
      () => stored,
    ),
    late,
  ]);
}

worker.addEventListener("install", (event) => (event as WorkerEvent).waitUntil(install()));
worker.addEventListener("activate", (event) => (event as WorkerEvent).waitUntil(removeOthers()));
worker.addEventListener("message", ({ data }: Event & { data?: unknown }) => {
  if (data === "activate") worker.skipWaiting();
});
worker.addEventListener("fetch", (event) => {
  const { request } = event as FetchEvent;
  const isOurs =
    request.url === CHAT || (/^[/?#]/.test(request.url.slice(CHAT.length)) && request.url.startsWith(CHAT));
  if (request.method === "GET" && isOurs) (event as FetchEvent).respondWith(respond(request));
});
worker.addEventListener("push", (event) => {
  const { data } = event as PushedEvent;
  (event as PushedEvent).waitUntil(show(worker.registration, data?.text() ?? "", ICON, worker.clients));
});
worker.addEventListener("notificationclick", (event) => {
  const { notification } = event as ClickEvent;
  notification.close();
  (event as ClickEvent).waitUntil(openClicked(worker.clients, (notification.data ?? {}) as Partial<Kept>, CHAT));
});
worker.addEventListener("pushsubscriptionchange", (event) => {
  const { oldSubscription } = event as ReplacedEvent;
  (event as ReplacedEvent).waitUntil(replace(worker.registration, oldSubscription, worker.clients));
});
