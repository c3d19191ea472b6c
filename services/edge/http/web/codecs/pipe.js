/** pipe: text frames whose fields are separated by `|`; the first is the command. Pure. */

import { OTHER, message, reply } from "./events.js";
import { md5 } from "./md5.js";

const GROUP = "1";

/** @type {import("./events.js").Codec} */
export const pipe = {
  dialect: "pipe",
  path: "/ws/pipe",
  label: "pipe",
  lack: "In a group, pipe does not name the sender: the server puts the name before the text.",

  login: (account) => ["login", account.number, md5(account.password)].join("|"),

  afterLogin: () => ["get_unread_message|"],

  post: (account, chat, text, seconds) =>
    ["send_message", GROUP, account.number, chat, seconds, text, account.token].join("|"),

  decode(frame) {
    const fields = frame.split("|");
    const [command] = fields;
    switch (command) {
      case "message": {
        const [, kind, number] = fields;
        const where = kind === GROUP ? { chat: Number(number) } : { sender: Number(number) };
        return message({ ...where, text: fields.slice(4).join("|") });
      }
      case "file": {
        const [, sender, host, port, path, size] = fields;
        return { kind: "media", chat: 0, sender: Number(sender), text: `${size} bytes at http://${host}:${port}/${path}` };
      }
      case "register_succ": return reply("registration");
      case "login_succ": return reply("login", { number: Number(fields[2]), token: fields[3] });
      case "send_message_succ": return reply("sent");
    }
    if (command === "error" || command.endsWith("_error")) {
      return reply("any", { error: fields.slice(1).join("|") || command });
    }
    return OTHER;
  },
};
