/** The first page leads here: a click on its link makes an account to try the client, in the chat of that page, unless
 * somebody is signed in. Pages of other origins cannot store the number of the chat, so no link of theirs makes an account. */
import { effect } from "@preact/signals-core";
import { newNonce } from "../../clients/javascript/dragoman.js";
import { go } from "./site.ts";
import { attempt, model, session } from "./state.ts";
import { t } from "./words.ts";

const CHOSEN = "dragoman.visit";

export async function visit(): Promise<void> {
  const chat = Number(localStorage.getItem(CHOSEN));
  localStorage.removeItem(CHOSEN);
  if (!chat || session.login.value) return;
  const name = newNonce();
  const account = {
    nickname: t("visitor"),
    username: `visitor-${name.slice(-12)}`,
    secret: { scheme: "plain" as const, value: name },
  };
  if (!(await attempt(() => session.register(account, () => undefined)))) return;
  const stop = effect(() => {
    const known = model.value;
    if (known?.state.value.state !== "online") return;
    queueMicrotask(() => {
      stop();
      void attempt(() => known.wire.call("join", { chat })).then((isIn) => {
        if (isIn) go({ chat }, { replace: true });
      });
    });
  });
}
