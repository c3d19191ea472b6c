/** service: requests with a `service_code`, replies with a `state_code` in the order of the requests. Pure. */

import { OTHER, message, reply } from "./events.js";

const OK = 200;
const PUSH = 8;
const HISTORY_COUNT = 50;

/** @param {number} code @param {object} content */
const request = (code, content) => JSON.stringify({ service_code: code, content });

/** @param {any} value @param {number} chat */
const received = (value, chat) =>
  message({ text: value.content, chat, senderName: value.name, index: value.index });

/**
 * @type {import("./events.js").Codec & {
 *   create: (account: import("./events.js").Account, name: string) => string,
 *   join: (account: import("./events.js").Account, chat: number) => string}}
 */
export const service = {
  dialect: "service",
  path: "/ws/service?push=1",
  label: "service",
  lack: "service has names, indexes and the history, and text only.",
  answersAfterLogin: true,

  /** Any request with a token is a login: the list of chats needs no UUID. */
  login: (account) => request(4, { token: account.token }),

  afterLogin: (account, chat) => [request(3, { token: account.token, chat, index: -1, count: HISTORY_COUNT })],

  post: (account, chat, text) => request(5, { token: account.token, chat, msg: text }),

  create: (account, name) => request(7, { token: account.token, name, is_group: true, member: [] }),

  join: (account, chat) => request(6, { token: account.token, chat }),

  /** A reply does not say which request it answers. */
  decode(frame) {
    const { service_code: code, state_code: state, content } = JSON.parse(frame);
    if (code === PUSH) return received(content.values[0], content.chat);
    if (code) return OTHER;
    if (state !== OK) return reply("any", { error: content.msg || String(state) });
    const values = content.values ?? [];
    return reply("any", {
      error: content.msg === "failed" ? content.cause || "rejected" : "",
      token: content.token || "",
      chat: Number(content.chat || 0),
      index: content.index || 0,
      messages: values.filter((/** @type {any} */ value) => !value.usrs)
        .map((/** @type {any} */ value) => ({ ...received(value, content.chat), isOld: true })),
    });
  },
};
