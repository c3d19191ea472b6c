/** OurChat v2: one JSON object with an integer `code`. Pure. */

import { OTHER, message, padded, reply } from "./events.js";

const PROFILE = ["ocid", "nickname", "status", "avatar", "avatar_hash", "time", "update_time", "sessions", "friends"];
const CHAT = ["session_id", "name", "avatar", "avatar_hash", "time", "update_time", "members", "owner"];
const ERRORS = new Map([
  ["5 1", "the server could not register the account"],
  ["5 2", "the e-mail address is taken"],
  ["7 1", "unknown account or wrong password"],
  ["7 2", "the server could not log in, or there were too many failed logins"],
]);

/** @type {import("./events.js").Codec & {register: (account: import("./events.js").Account) => string}} */
export const ourchatV2 = {
  dialect: "ourchat-v2",
  path: "/ws/ourchat-v2",
  label: "OurChat v2",
  lack: "v2 shows everything but the history.",

  register: (account) =>
    JSON.stringify({ code: 4, email: account.email, password: account.password, name: account.name }),

  login: (account) =>
    JSON.stringify({ code: 6, login_type: 1, account: padded(account.number), password: account.password }),

  /** Nothing is pushed until the first request about an account, and for a second nothing of a chat until it is requested. */
  afterLogin: (account, chat) => [
    JSON.stringify({ code: 10, ocid: padded(account.number), request_values: PROFILE }),
    JSON.stringify({ code: 1, session_id: String(chat), request_values: CHAT }),
  ],

  post: (account, chat, text, seconds) =>
    JSON.stringify({
      code: 0, time: seconds, sender: { ocid: padded(account.number), session_id: String(chat) },
      msg: [{ type: 0, text }],
    }),

  decode(frame) {
    const read = JSON.parse(frame);
    switch (read.code) {
      case 0: {
        const text = read.msg.map((/** @type {{text?: string}} */ part) => part.text ?? "").join(" ");
        return message({ text, chat: Number(read.sender.session_id), sender: Number(read.sender.ocid) });
      }
      case 5: case 7: {
        const error = read.status ? ERRORS.get(`${read.code} ${read.status}`) || `status ${read.status}` : "";
        return reply(read.code === 5 ? "registration" : "login", {
          error, number: Number(read.ocid || 0), token: read.token || "",
        });
      }
      case 13: return reply("any", { error: "the e-mail address must be verified first" });
      case 18: return reply("any", { error: read.details || "rejected" });
      default: return OTHER;
    }
  },
};
