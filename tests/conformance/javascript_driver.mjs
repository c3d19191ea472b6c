// The driver of dragoman.js: steps come in and lines go out, JSON objects (driver_lines.py).

import { createInterface } from "node:readline";

import { Dragoman } from "../../clients/javascript/dragoman.js";

let client;

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const fail = (key) => ({ code, message, field = "" }) => write({ on: "failed", key, code, text: message, field });
const plain = (segments) => segments.map(({ text = "" }) => text).join("");

const STEPS = {
  connect({ url, token }) {
    client = new Dragoman(url);
    client.on("message", ({ chat, index, segments }) => write({ on: "message", chat, index, text: plain(segments) }));
    client.on("changed", ({ chat, rev, index }) => write({ on: "changed", chat, rev, index }));
    client.on("gap", ({ chat, from, to }) => write({ on: "gap", chat, from, to }));
    client.on("reset", () => write({ on: "reset" }));
    client.on("state", ({ state }) => { if (state === "ended") write({ on: "ended" }); });
    client.token(token).catch(() => {}); // `ended` says so
  },
  send({ key, chat, text }) {
    client.send({ chat, text }).then(({ index }) => write({ on: "sent", key, chat, index }), fail(key));
  },
  call({ key, op, parameters }) {
    client.call(op, parameters).then(() => write({ on: "replied", key }), fail(key));
  },
  close() {
    process.exit();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  STEPS[step.do](step);
}
process.exit();
