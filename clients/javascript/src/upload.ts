// Files, in pieces that survive a bad network: the resumable uploads of tus 1.0.

import type * as Native from "../native.d.ts";
import { DragomanError, base64, disconnected, failure, newNonce, pause, utf8, within } from "./connection.ts";

const PIECE_BYTES = 1 << 20;
const REPETITIONS = 5;
const FIRST_DELAY_MS = 1000;
const ANSWER_MS = 60_000;
/** The upload goes on after these: from what the server has, or anew. */
const LOST = [404, 410];
const PASSING = [401, 409, 425, 429, 460];

/** `nonce`: the same file under it is stored once, and goes on where it has stopped, also after a restart of the page. */
export type UploadOptions = {
  name?: string;
  nonce?: string;
  signal?: AbortSignal;
  /** What the server has. */
  onProgress?: (bytes: number, size: number) => void;
};
/** The `id` goes into a segment of a message. */
export type Media = { id: string; name: string; size: number; hash: string; mime: string; url: string; width?: number; height?: number };
export type Uploading = { base: URL; fetch: typeof fetch; random: () => number; token: (isRejected: boolean) => Promise<string> };

export async function upload({ base, fetch, random, token }: Uploading, file: Blob, options: UploadOptions = {}): Promise<Media> {
  const { name = (file as File).name ?? "file", nonce = newNonce(), signal, onProgress } = options;
  let [address, offset, isRejected] = [undefined as URL | undefined, undefined as number | undefined, false];
  const ask = async (method: string, url: URL, headers: Record<string, string> = {}, body?: Blob): Promise<Response> => {
    signal?.throwIfAborted();
    const given = new AbortController();
    const own = { Authorization: `Bearer ${await token(isRejected)}`, "Tus-Resumable": "1.0.0", ...headers };
    const request = fetch(url, { method, headers: own, body, signal: given.signal });
    const response = await within(request, { signal, timeout_ms: ANSWER_MS }).catch((error) => { given.abort(); throw error; });
    isRejected = response.status === 401;
    if (!response.ok) throw await rejection(response);
    return response;
  };
  const found = (response: Response) => { // of whatever host it names, the path alone is ours
    const id = (response.headers.get("Location") ?? "").split("/").pop();
    return id ? new URL(`uploads/${id}`, base) : undefined;
  };
  for (let [failures, before] = [0, 0]; ; failures += 1) {
    try {
      if (!address) {
        const wanted = { "Upload-Length": `${file.size}`, "Upload-Metadata": `filename ${base64(utf8(name))}` };
        address = found(await ask("POST", new URL(`uploads?nonce=${encodeURIComponent(nonce)}`, base), wanted));
        if (!address) throw failure("internal", "there is no upload");
      }
      offset ??= Number((await ask("HEAD", address)).headers.get("Upload-Offset"));
      if (offset > before) failures = 0; // what has come of a piece that took too long is stored as well
      if (failures > REPETITIONS) throw disconnected("there is no progress", true);
      before = offset;
      onProgress?.(offset, file.size);
      const piece = { "Upload-Offset": `${offset}`, "Content-Type": "application/offset+octet-stream", Accept: "application/json" };
      const response = await ask("PATCH", address, piece, file.slice(offset, offset + PIECE_BYTES));
      if (response.status === 200) return await response.json() as Media;
      offset = Number(response.headers.get("Upload-Offset")) || undefined;
    } catch (error) {
      signal?.throwIfAborted();
      const { status = 0, retry_ms } = error as Rejected;
      const isPassing = status >= 500 || [0, ...LOST, ...PASSING].includes(status);
      if (!isPassing || (error instanceof DragomanError && !status && error.code !== "unavailable") || failures >= REPETITIONS) throw asError(error);
      if (LOST.includes(status)) address = undefined;
      offset = undefined;
      await within(pause((retry_ms ?? FIRST_DELAY_MS * 2 ** failures) * (1 + random())), { signal });
    }
  }
}

type Rejected = DragomanError & { status?: number };

async function rejection(response: Response): Promise<Rejected> {
  const { status, headers } = response;
  const { error, text } = await response.json().catch(() => ({})) ?? {};
  const code: Native.ErrorInfo["code"] = error ?? (status >= 500 ? "unavailable" : "invalid");
  const seconds = Number(headers.get("Retry-After") ?? NaN);
  return Object.assign(new DragomanError({ code, text: text ?? `the upload has ended (${status})`, retry_ms: seconds * 1000 }), { status });
}

const asError = (error: unknown) => error instanceof DragomanError ? error : disconnected(`${error}`, true);
