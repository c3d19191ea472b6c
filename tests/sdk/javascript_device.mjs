// A device with the client in JavaScript, for the soak: commands come in and lines go out, JSON objects.

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { Dragoman, webStore } from "../../clients/javascript/dragoman.js";

const [server, file, identifier] = process.argv.slice(2);
const items = new Map(existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : []);
const put = (change) => {
  change();
  writeFileSync(`${file}.new`, JSON.stringify([...items]));
  renameSync(`${file}.new`, file);
};
const store = webStore({
  get length() { return items.size; },
  key: (at) => [...items.keys()][at] ?? null,
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => put(() => items.set(key, value)),
  removeItem: (key) => put(() => items.delete(key)),
});
const write = (line) => console.log(JSON.stringify(line));
const client = new Dragoman(server, { store, cursor: true, timeline: 100 });
for (const ev of ["message", "changed", "gap", "reset", "gone"]) client.on(ev, (event) => write({ ...event, ev }));
client.on("outcome", ({ nonce, error }) => write({ ev: "outcome", nonce, error: error?.message ?? "" }));
client.on("state", ({ state, error }) => { if (state === "ended") write({ ev: "ended", error: error?.message }); });
await client.ready;
if (client.account) client.resume().catch(() => {});
else await client.login({ identifier, secret: { scheme: "plain", value: "orange juice" }, refreshable: true });
write({ ev: "ready" });

for await (const line of createInterface({ input: process.stdin })) {
  const { do: op, ...params } = JSON.parse(line);
  if (op === "count") write({ ev: "waiting", count: client.outbox.length });
  else client[op](...(op === "read" ? [params.chat, params.index] : [params])).catch(() => {});
  if (params.nonce) setTimeout(() => write({ ev: "queued", nonce: params.nonce }), 20); // the store has it
}
process.exit(0);
