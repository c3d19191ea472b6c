/**
 * The throw-away accounts of this tab, and their conversation: registered over OurChat v2, brought together over
 * service, whose groups are open. Every step is a request that any client may send.
 */

import { Connection } from "./connection.js";
import { ourchatV2 } from "./codecs/ourchat_v2.js";
import { service } from "./codecs/service.js";

/** @typedef {import("./codecs/events.js").Account} Account */
/** @typedef {import("./codecs/events.js").Codec} Codec */

const STORED = "dragoman.accounts";
/** A reserved domain: no mail leads there. */
const DOMAIN = "first-page.invalid";

/** @returns {{chat: number, accounts: Account[]}} */
export function stored() {
  const text = sessionStorage.getItem(STORED);
  return text ? JSON.parse(text) : { chat: 0, accounts: [] };
}

/** @param {{chat: number, accounts: Account[]}} state */
export function store(state) {
  sessionStorage.setItem(STORED, JSON.stringify(state));
}

export function forget() {
  sessionStorage.removeItem(STORED);
}

/**
 * A new account in the conversation, which it founds if `chat` is 0. Rejects with Rejected or Ended.
 *
 * @param {string} base @param {string} name @param {number} chat
 * @returns {Promise<{account: Account, chat: number}>}
 */
export async function register(base, name, chat) {
  const id = random(8);
  const account = { name, email: `${name.toLowerCase()}-${id}@${DOMAIN}`, password: random(16), number: 0, token: "" };
  await talk(base, ourchatV2, async (connection) => {
    const { number, token } = await connection.request(ourchatV2.register(account), "registration");
    Object.assign(account, { number, token });
  });
  let place = chat;
  await talk(base, service, async (connection) => {
    if (place) await connection.request(service.join(account, place), "any");
    else place = (await connection.request(service.create(account, "The first page"), "any")).chat;
  });
  return { account, chat: place };
}

/** @param {string} base @param {Codec} codec @param {(connection: Connection) => Promise<void>} work */
async function talk(base, codec, work) {
  const silent = { frame: () => {}, event: () => {} };
  const connection = new Connection(base + codec.path, codec, 0, silent);
  const ended = connection.ended.then((error) => { throw error; });
  try {
    await Promise.race([connection.opened, ended]);
    await work(connection);
  } finally {
    ended.catch(() => {}); // closing it is no failure
    connection.close();
  }
}

/** In hex. @param {number} bytes */
export function random(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
}
