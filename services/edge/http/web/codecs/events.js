/**
 * Frames from a server, decoded, and the constructors of these events. Pure.
 *
 * @typedef {{name: string, email: string, password: string, number: number, token: string}} Account
 *   `token`: of the latest login or registration.
 *
 * @typedef {{kind: "message", text: string, chat: number, sender: number, senderName: string,
 *   index: number, isOld: boolean}} MessageEvent
 *   A message; 0 or empty where the dialect does not say. `isOld`: from a page of the history.
 * @typedef {{kind: "media", text: string, chat: number, sender: number}} MediaEvent  A picture or file.
 * @typedef {{kind: "registration"|"login"|"sent"|"any", error: string, number: number, token: string, chat: number,
 *   index: number, messages: MessageEvent[]}} ReplyEvent  A reply; "any" answers the oldest request.
 * @typedef {{kind: "other"}} OtherEvent  A frame without news for the first page.
 * @typedef {MessageEvent|MediaEvent|ReplyEvent|OtherEvent} ClientEvent
 *
 * @typedef {object} Codec
 * @property {string} dialect
 * @property {string} path  Of its WebSocket.
 * @property {string} label
 * @property {string} lack  A sentence: what a user of this dialect does not see.
 * @property {(account: Account) => string} login
 * @property {(account: Account, chat: number) => string[]} afterLogin  Requests for missed messages.
 * @property {boolean} [answersAfterLogin]  Their replies have the messages, the newest first; else messages are pushed.
 * @property {(account: Account, chat: number, text: string, seconds: number, nonce: string) => string} post
 *   `seconds`: Unix time, and `nonce`: the message's name, which some dialects send.
 * @property {boolean} [repeats]  A message that was sent again under its nonce is stored once.
 * @property {(chat: number, index: number) => string} [markRead]  Where a message that was pushed stays unread.
 * @property {(frame: string) => ClientEvent} decode  Throws for a frame that no server sends.
 */

/** @param {Partial<MessageEvent>} fields @returns {MessageEvent} */
export const message = (fields) => ({
  kind: "message", text: "", chat: 0, sender: 0, senderName: "", index: 0, isOld: false, ...fields,
});

/** @param {ReplyEvent["kind"]} kind @param {Partial<ReplyEvent>} [fields] @returns {ReplyEvent} */
export const reply = (kind, fields) => ({
  kind, error: "", number: 0, token: "", chat: 0, index: 0, messages: [], ...fields,
});

/** @type {OtherEvent} */
export const OTHER = { kind: "other" };

/** An OC number as OurChat writes it. @param {number} number */
export const padded = (number) => String(number).padStart(10, "0");
