/** The service worker, which opens the page without a network; and whether there is a new build. */
import { effect, signal } from "@preact/signals-core";
import { BUILD, CHAT } from "./site.ts";
import { model } from "./state.ts";

export const newBuild = signal(false);
const CHECK_MS = 30 * 60_000;

interface TrustedPolicy {
  createScriptURL(address: string): string;
}
interface TrustedFactory {
  createPolicy(name: string, rules: { createScriptURL(address: string): string }): TrustedPolicy;
}

/** The policy knows one address, and nothing else. */
function workerAddress(): string {
  const address = `${CHAT}/worker.js`;
  const factory = (globalThis as { trustedTypes?: TrustedFactory }).trustedTypes;
  const policy = factory?.createPolicy("dragoman", {
    createScriptURL: (wanted) => {
      if (wanted === address) return wanted;
      throw new TypeError("this is not the worker");
    },
  });
  return policy?.createScriptURL(address) ?? address;
}

export async function startWorker(): Promise<void> {
  if (!("serviceWorker" in navigator) || !BUILD) return;
  const registration = await navigator.serviceWorker
    .register(workerAddress(), { scope: CHAT, updateViaCache: "none" })
    .catch(() => undefined);
  if (!registration) return;
  const look = () => {
    if (registration.waiting && navigator.serviceWorker.controller) newBuild.value = true;
  };
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
  look();
  setInterval(() => void registration.update().catch(() => undefined), CHECK_MS);
}

/** The server of each new connection says which build it serves: without a worker nothing else does. */
export function compareBuilds(): void {
  effect(() => {
    const known = model.value;
    if (known?.state.value.state !== "online") return;
    void known.wire.call("hello").then(
      ({ web }) => {
        if (web && web !== BUILD) newBuild.value = true;
      },
      () => undefined, // the connection has ended: the next one says it
    );
  });
}

/** Texts are stored with every key, so that nothing is lost. */
export async function useNewBuild(): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration(CHAT).catch(() => undefined); // none, or refused
  if (!registration?.waiting) return location.reload();
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  registration.waiting.postMessage("activate");
}

/** On iOS a keyboard covers the page, which stays as high as it was: the page takes the visible part. */
export function followKeyboard(): void {
  visualViewport?.addEventListener("resize", () => {
    const { height, scale } = visualViewport as VisualViewport;
    const isCovered = scale === 1 && height < innerHeight - 1;
    document.documentElement.style.setProperty("--seen", isCovered ? `${height}px` : "100dvh");
    if (isCovered) scrollTo(0, 0); // iOS moves the page up to the field
  });
}
