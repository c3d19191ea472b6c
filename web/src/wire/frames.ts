/** The last frames of this tab's connection, for the drawer: the bytes themselves. */
import { signal } from "@preact/signals-core";
import type { Frame } from "./wire.ts";

const MOST = 200;
const SHOWN_CHARACTERS = 2000;
const SECRET = /("(?:token|refresh|value)"\s*:\s*")(?:[^"\\]|\\.)*/g;

class Frames {
  readonly version = signal(0);
  readonly list: Frame[] = [];
  /** Milliseconds between a command and its reply, the last one. */
  lastReply: number | undefined;
  #asked = new Map<string, number>();

  /** Tokens and passwords are left out. */
  note(isSent: boolean, text: string): void {
    const at = performance.now();
    const id = /"(?:id|re)":\s*(\d+)[,}]/.exec(text)?.[1];
    if (isSent && id) this.#asked.set(id, at);
    const asked = !isSent && id && text.includes('"re"') ? this.#asked.get(id) : undefined;
    if (asked !== undefined && id) {
      this.lastReply = at - asked;
      this.#asked.delete(id);
    }
    this.list.push({ at: Date.now(), isSent, text: text.slice(0, SHOWN_CHARACTERS).replace(SECRET, "$1…") });
    if (this.list.length > MOST) this.list.shift();
    this.version.value += 1;
  }

  /** The next account sees none of them. */
  clear(): void {
    this.list.length = 0;
    this.lastReply = undefined;
    this.#asked.clear();
    this.version.value += 1;
  }
}

export const frames = new Frames();
