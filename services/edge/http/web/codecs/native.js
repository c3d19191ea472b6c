/** native: JSON commands with `op` and `id`, replies with `re`, the same id, and events with `ev`. Pure. */

import { OTHER, message, reply } from "./events.js";

const HISTORY_COUNT = 50;

/** The id is the operation: one command of each waits at a time. @param {string} op @param {object} members */
const command = (op, members) => JSON.stringify({ op, id: op, ...members });

/** @param {any} segment */
function shown(segment) {
  switch (segment.t) {
    case "text": case "mention": return segment.text;
    case "emoji": return `[emoji:${segment.id}]`;
    default: return `[${segment.media.name}] ${segment.media.url}`;
  }
}

/** A mention brings its own spaces. @param {any[]} segments */
const text = (segments) => segments.reduce((whole, segment, at) => {
  const joins = at === 0 || segment.t === "mention" || segments[at - 1].t === "mention";
  return whole + (joins ? "" : " ") + shown(segment);
}, "");

/** @param {any} value @param {boolean} isOld */
const received = (value, isOld) => message({
  text: value.recalled ? "[recalled]" : text(value.segments), chat: value.chat, sender: value.sender,
  senderName: value.face?.nickname ?? "", index: value.index, isOld,
});

/** @type {import("./events.js").Codec} */
export const native = {
  dialect: "native",
  path: "/ws/native",
  label: "native",
  lack: "native has everything: names, times, indexes, the history, and a nonce by which a message can be sent again.",
  answersAfterLogin: true,
  repeats: true,

  login: (account) =>
    command("login", { kind: "id", identifier: String(account.number), secret: { scheme: "plain", value: account.password } }),

  afterLogin: (_account, chat) => [command("history", { chat, count: HISTORY_COUNT })],

  post: (_account, chat, text, _seconds, nonce) => command("send", { chat, text, nonce }),

  /** A command without an id has no reply. */
  markRead: (chat, index) => JSON.stringify({ op: "read", chat, index }),

  decode(frame) {
    const { re, ev, error, verify, ...members } = JSON.parse(frame);
    if (ev === "message") return received(members, false);
    if (re === undefined) return OTHER;
    return reply("any", {
      error: verify ? "the e-mail address must be verified first" : error?.text ?? "",
      number: members.account ?? 0,
      token: members.token ?? "",
      chat: members.chat ?? 0,
      index: members.index ?? 0,
      messages: (members.messages ?? []).map((/** @type {any} */ value) => received(value, true)),
    });
  },
};
