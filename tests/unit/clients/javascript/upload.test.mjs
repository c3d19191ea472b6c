// Uploads of dragoman.js to a server that the test plays: in pieces, with progress, over a network that breaks off.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Stage } from "./fakes.mjs";

const MIB = 1 << 20;
const FILE = new File([new Uint8Array(2 * MIB + 5).map((_, at) => at % 251)], "häuser.png");
const MEDIA = { id: "00ff", name: "häuser.png", size: FILE.size, hash: "ab", mime: "image/png", url: "/media/00ff" };

let stage, client, asked, stored, faults;

/** What a server of tus does. `faults`: by the number of the request, in its place. */
async function served(url, { method, headers, body, signal }) {
  asked.push(`${method} ${new URL(url).pathname}${new URL(url).search}`);
  const fault = faults.get(asked.length);
  if (fault === "lost") throw new TypeError("fetch failed");
  if (fault === "silent") return new Promise((_, reject) => { signal.onabort = () => reject(signal.reason); });
  if (fault instanceof Response) return fault;
  assert.deepEqual([headers.Authorization, headers["Tus-Resumable"]], ["Bearer t", "1.0.0"]);
  if (method === "POST") {
    const name = Buffer.from(headers["Upload-Metadata"].split(" ")[1], "base64").toString();
    assert.deepEqual([name, headers["Upload-Length"]], [FILE.name, `${FILE.size}`]);
    return new Response(null, { status: 201, headers: { Location: "https://elsewhere.example/prefix/media/uploads/7f" } });
  }
  if (method === "PATCH") {
    if (headers["Upload-Offset"] !== `${stored.length}`) return new Response('{"error":"conflict","text":"another offset"}', { status: 409 });
    const come = fault === "slow" ? body.slice(0, 300_000) : body;
    stored = Buffer.concat([stored, Buffer.from(await come.arrayBuffer())]);
    if (fault === "slow" && stored.length < FILE.size) return new Promise((_, reject) => { signal.onabort = () => reject(signal.reason); });
    if (fault === "unanswered") throw new TypeError("fetch failed");
    if (stored.length === FILE.size) return Response.json(MEDIA);
  }
  return new Response(null, { status: method === "HEAD" ? 200 : 204, headers: { "Upload-Offset": `${stored.length}` } });
}

async function finished(uploaded) {
  let result;
  uploaded.then((media) => { result = { media }; }, (error) => { result = { error }; });
  for (let second = 0; second < 600 && !result; second += 1) await stage.clock.pass(1000);
  if (result?.error) throw result.error;
  return result.media;
}

beforeEach(async () => {
  stage = new Stage();
  [asked, stored, faults] = [[], Buffer.alloc(0), new Map()];
  ({ client } = await stage.online({ fetch: served }));
});

test("a file is stored in pieces, with progress", async () => {
  const seen = [];
  assert.deepEqual(await finished(client.upload(FILE, { nonce: "n 1", onProgress: (bytes) => seen.push(bytes) })), MEDIA);
  assert.deepEqual(stored, Buffer.from(await FILE.arrayBuffer()));
  assert.deepEqual(seen, [0, MIB, 2 * MIB]);
  const pieces = Array(3).fill("PATCH /media/uploads/7f");
  assert.deepEqual(asked, ["POST /media/uploads?nonce=n%201", "HEAD /media/uploads/7f", ...pieces], "at this server, whatever host is named");
});

for (const fault of ["lost", "unanswered", "silent", 500, 503, 409, 460, 429]) {
  test(`it goes on after a fault: ${fault}`, async () => {
    faults.set(4, typeof fault === "number" ? new Response("busy", { status: fault, headers: { "Retry-After": "1" } }) : fault);
    assert.deepEqual(await finished(client.upload(FILE)), MEDIA);
    assert.deepEqual(stored, Buffer.from(await FILE.arrayBuffer()));
    assert.equal(asked.filter((one) => one.startsWith("HEAD")).length, 2);
  });
}

test("an upload that has expired begins again", async () => {
  faults.set(2, new Response(null, { status: 410 }));
  assert.deepEqual(await finished(client.upload(FILE)), MEDIA);
  assert.equal(asked.filter((one) => one.startsWith("POST")).length, 2);
});

for (const [status, code] of [[403, "limit"], [413, "too_large"]]) {
  test(`it ends when it cannot succeed: ${status}`, async () => {
    faults.set(1, Response.json({ error: code, text: "no" }, { status }));
    await assert.rejects(finished(client.upload(FILE)), { code, message: "no" });
    assert.equal(asked.length, 1);
  });
}

test("it ends after some failures in a row, and a later call goes on", async () => {
  for (let at = 3; at < 40; at += 1) faults.set(at, "lost");
  await assert.rejects(finished(client.upload(FILE, { nonce: "n" })), { code: "unavailable", unknown: true });
  stored = Buffer.from(await FILE.slice(0, MIB).arrayBuffer());
  faults.clear();
  assert.deepEqual(await finished(client.upload(FILE, { nonce: "n" })), MEDIA);
});

test("a piece that the network is too slow for goes on where it was ended", async () => {
  for (let at = 3; at < 40; at += 1) faults.set(at, "slow");
  assert.deepEqual(await finished(client.upload(FILE)), MEDIA);
  assert.deepEqual(stored, Buffer.from(await FILE.arrayBuffer()));
});

test("a server that takes nothing is not asked for ever", async () => {
  const asleep = await stage.online({ fetch: async (_url, { method }) => new Response(null, method === "POST"
    ? { status: 201, headers: { Location: "/media/uploads/7f" } } : { headers: { "Upload-Offset": "0" } }) });
  await assert.rejects(finished(asleep.client.upload(FILE)), { code: "unavailable" });
});

test("a caller may stop it", async () => {
  const stopping = new AbortController();
  faults.set(3, "silent");
  const stopped = assert.rejects(client.upload(FILE, { signal: stopping.signal }), { name: "AbortError" });
  await stage.clock.pass(1000);
  stopping.abort();
  await stopped;
  assert.equal(asked.length, 3);
});

test("a token that is rejected is not shown again", async () => {
  faults.set(1, new Response('{"error":"unauthenticated","text":"expired"}', { status: 401 }));
  await assert.rejects(finished(client.upload(FILE)), { code: "unauthenticated" });
  assert.equal(asked.length, 1);
});
