/** OurChat v1: an integer `code`, a `time` and an object `data`. Pure. */

import { OTHER, message, reply } from "./events.js";

/** @type {import("./events.js").Codec} */
export const ourchatV1 = {
  dialect: "ourchat-v1",
  path: "/ws/ourchat-v1",
  label: "OurChat v1",
  lack: "v1 has text only: pictures and files arrive as links.",

  login: (account) =>
    JSON.stringify({ code: 6, time: 0, data: { account: String(account.number), password: account.password } }),

  afterLogin: () => [],

  post: (account, chat, text, seconds) =>
    JSON.stringify({ code: 0, time: seconds, data: { sender: { ocid: account.number, group_id: chat }, msg: text } }),

  decode(frame) {
    const { code, data } = JSON.parse(frame);
    switch (code) {
      case 0: return message({ text: data.msg, chat: data.sender.group_id || 0, sender: data.sender.ocid });
      case 5: case 7: {
        const error = data.state ? data.details || `state ${data.state}` : "";
        return reply(code === 5 ? "registration" : "login", {
          error, number: Number(data.ocId || data.ocid || 0), token: data.token || "",
        });
      }
      case 18: return reply("any", { error: data.details || "rejected" });
      default: return OTHER;
    }
  },
};
