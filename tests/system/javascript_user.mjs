// A user of dragoman.js that a test types into. It says what it was given, and what became of its messages.

import { createInterface } from "node:readline";

import { Dragoman, newNonce } from "../../clients/javascript/dragoman.js";

const report = { given: [], gaps: [], acknowledged: [], failed: [] };
let client, token, wanted = Infinity;

function begin(options) {
  client = new Dragoman(process.argv[2], options);
  client.on("state", ({ state }) => console.log(`state ${state}`));
  client.on("changed", ({ index, kind, segments }) => console.log(`changed ${index} ${kind} ${segments?.[0].text}`));
  client.on("outcome", ({ reply, error }) => reply ? note("acknowledged", reply.index) : note("failed", error.code));
  client.on("gap", ({ from, to }) => note("gaps", [from, to]));
  client.on("message", ({ index, sender, segments }) => note("given", [index, sender, segments[0].text]));
}

function note(list, value) {
  report[list].push(value);
  reportIfDue();
}

function reportIfDue() {
  const last = Math.max(...report.given.map(([index]) => index), 0);
  if (last >= wanted && !client.outbox.length) {
    console.log(`report ${JSON.stringify(report)}`);
    wanted = Infinity;
  }
}

const COMMANDS = {
  async register(nickname) {
    const reply = await client.register({ nickname, secret: { scheme: "plain", value: "orange juice" } });
    token = reply.token;
    console.log(`account ${reply.account}`);
  },
  async open(account) {
    console.log(`chat ${(await client.call("open", { account: Number(account) })).chat}`);
  },
  async send(chat, ...words) {
    await client.send({ chat: Number(chat), text: words.join(" ") });
  },
  async edit(chat, index, text) {
    await client.call("edit", { chat: Number(chat), index: Number(index), text, nonce: newNonce() });
  },
  leave() {
    client.close();
  },
  async come(timeline) {
    begin({ epoch: client.epoch, have: client.have, timeline: Number(timeline) });
    await client.token(token);
  },
  /** Reports once the message with this index is there, and every own one is acknowledged. */
  until(index) {
    wanted = Number(index);
    reportIfDue();
  },
};

begin({ timeline: 100 });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  Promise.resolve(COMMANDS[command](...words)).catch((error) => console.log(`failed ${line}: ${error.code} ${error.message}`));
}
