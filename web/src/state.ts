/** The one login of this page, with its model and its drafts. */
import { computed, effect, signal, untracked } from "@preact/signals-core";
import { Drafts } from "./model/drafts.ts";
import { Model } from "./model/model.ts";
import { type Failure, failureOf } from "./native.ts";
import { Session } from "./session.ts";
import { frames } from "./wire/frames.ts";
import { t } from "./words.ts";

export const session = new Session();
export const model = signal<Model | undefined>(undefined);
export const drafts = signal<Drafts | undefined>(undefined);
/** A sentence for everybody, until it is read. */
export const said = signal("");
/** A screen reader says it once: an element each, for the same text may come again. */
export interface Line {
  key: number;
  text: string;
}
/** Of the open chat, the newest last; of others, the newest alone. */
export const announced = signal<readonly Line[]>([]);
export const elsewhere = signal<Line | undefined>(undefined);

export const unreadTotal = computed(() => model.value?.unread.value ?? { chats: 0, messages: 0, mentions: 0 });

/** Follows the login: a model for each account, none without one. */
export function followLogin(): void {
  let opened = 0;
  effect(() => {
    const account = session.login.value?.account ?? 0;
    if (account === opened) return;
    opened = account;
    const before = model.peek();
    model.value = undefined;
    drafts.peek()?.close();
    drafts.value = undefined;
    before?.close();
    forgetFormer();
    if (account) void open(account);
  });
}

/** The screens' data of an account, beside its model. */
function forgetFormer(): void {
  frames.clear();
  announced.value = [];
  elsewhere.value = undefined;
}

async function open(account: number): Promise<void> {
  const opened = await Model.open(session);
  if (session.login.peek()?.account !== account) return opened.close();
  drafts.value = new Drafts(opened);
  model.value = opened;
}

/** Once there is a connection. Returns its end. */
export function whenOnline(work: (known: Model) => void): () => void {
  let isDone = false;
  return effect(() => {
    const known = model.value;
    if (isDone || known?.state.value.state !== "online") return;
    isDone = true;
    untracked(() => work(known));
  });
}

/** Runs it, and says why it has failed. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    said.value = reasonOf(failureOf(error));
    return false;
  }
}

export function reasonOf({ code, reason, text }: Failure): string {
  switch (reason) {
    case "banned":
      return t("reason_banned");
    case "blocked":
      return t("reason_blocked");
    case "changed":
      return t("reason_changed");
    case "gone":
    case "missing":
      return t("reason_gone");
    case "length":
      return t("reason_length");
    case "not_member":
      return t("reason_not_member");
    case "silenced":
      return t("reason_silenced");
    case "taken":
      return t("reason_taken");
    case "too_old":
      return t("reason_too_old");
    default:
      break;
  }
  if (code === "rate_limited") return t("reason_rate");
  if (code === "unavailable") return t("reason_unavailable");
  return t("reason_other", { text });
}
