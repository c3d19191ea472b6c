/** OurChat v0: an integer `code` and an object `data`; messages, registrations and logins. Pure. */

import { OTHER, message, padded, reply } from "./events.js";

/** @type {import("./events.js").Codec} */
export const ourchatV0 = {
  dialect: "ourchat-v0",
  path: "/ws/ourchat-v0",
  label: "OurChat v0",
  lack: "v0 has no names and no times: it shows numbers.",

  login: (account) =>
    JSON.stringify({ code: 6, data: { ocId: padded(account.number), password: account.password } }),

  afterLogin: () => [],

  post: (account, chat, text) =>
    JSON.stringify({ code: 0, data: { cid: chat, sender_id: padded(account.number), msg: text } }),

  decode(frame) {
    const { code, data } = JSON.parse(frame);
    const from = { chat: data.cid, sender: Number(data.sender_id) };
    switch (code) {
      case 0: return message({ ...from, text: data.msg });
      case 1: return message({ ...from, text: `[emoji:${data.emojiId}]` });
      case 2: case 3: return { kind: "media", ...from, text: `${data.size} bytes in ${data.packages_num} packages` };
      case 5: case 7: {
        const error = data.state ? data.details || `state ${data.state}` : "";
        return reply(code === 5 ? "registration" : "login", {
          error, number: Number(data.ocId || 0), token: data.token || "",
        });
      }
      case 18: return reply("any", { error: data.details || "rejected" });
      default: return OTHER;
    }
  },
};
