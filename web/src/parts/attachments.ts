/** Files that are going to be sent: without the place of a photograph, with progress, and again after a failure. */
import { signal } from "@preact/signals-core";
import { type TemplateResult, html, nothing } from "lit";
import { newNonce } from "../../../clients/javascript/dragoman.js";
import { type Smaller, smallerOf } from "../files/smaller.ts";
import { withoutPlace } from "../files/without_place.ts";
import type { OutgoingSegment } from "../model/shapes.ts";
import { said, session } from "../state.ts";
import { t } from "../words.ts";
import { each } from "./each.ts";
import { icon } from "./icons.ts";
import { bytes } from "./message.ts";

interface Attachment {
  name: string;
  size: number;
  /** Missing of one that comes back from a message that was rejected: the server has it. */
  file?: File;
  /** Of a picture, for the page. */
  address: string;
  sent: number;
  /** Once the server has it. */
  segment?: MediaSegment;
  hasFailed: boolean;
  /** Nothing can be taken out of it. */
  mayTellPlace: boolean;
  /** Under it an upload goes on where it has stopped. */
  nonce: string;
  stop: AbortController;
}

const PICTURE = /^image\/(png|jpeg|gif|webp)$/;

/** The message does not wait longer for a preview to be drawn, nor for its upload. */
const PREVIEW_MS = 10_000;

type MediaSegment = Extract<OutgoingSegment, { t: "image" | "file" }>;
type Looks = Pick<Extract<OutgoingSegment, { t: "image" }>, "hash" | "preview">;

export class Attachments {
  /** Rises when something is to be shown again. */
  readonly version = signal(0);
  #list: Attachment[] = [];

  get isEmpty(): boolean {
    return this.#list.length === 0;
  }

  changed(): void {
    this.version.value += 1;
  }

  add(files: Iterable<File>): void {
    for (const file of files) {
      const address = PICTURE.test(file.type) ? URL.createObjectURL(file) : "";
      const { name, size } = file;
      const added = { ...begun(name), size, file, address };
      this.#list.push(added);
      void this.#upload(added);
    }
    this.changed();
  }

  /** Of a message that was rejected. */
  putBack(segments: readonly OutgoingSegment[]): void {
    for (const segment of segments.filter(isMedia)) this.#list.push({ ...begun(segment.name ?? ""), segment });
    this.changed();
  }

  /** Of all; undefined while one is on its way. */
  ready(): OutgoingSegment[] | undefined {
    const found = this.#list.flatMap(({ segment }) => segment ?? []);
    if (found.length === this.#list.length) return found;
    said.value = t("uploading");
    return undefined;
  }

  clear(): void {
    for (const one of [...this.#list]) this.#remove(one);
  }

  render(): TemplateResult | typeof nothing {
    void this.version.value;
    if (!this.#list.length) return nothing;
    return html`<ul class="attachments" aria-label=${t("attachments")}>${each(
      this.#list,
      (one) => one,
      (one) => html`<li class=${one.hasFailed ? "failed" : ""}>
      ${one.address ? html`<img src=${one.address} alt="" width="48" height="48">` : icon("attach")}
      <bdi>${one.name}</bdi> <span class="hint">${one.size ? bytes(one.size) : ""}${one.mayTellPlace ? ` · ${t("may_tell_place")}` : ""}</span>
      ${
        one.hasFailed
          ? html`<button type="button" class="quiet" @click=${() => void this.#upload(one)}>${t("again")}</button>`
          : one.segment
            ? nothing
            : html`<progress max=${one.size || 1} value=${one.sent} aria-label=${t("uploading")}></progress>`
      }
      <button type="button" class="plain" aria-label=${t("remove_file", { name: one.name })} @click=${() => this.#remove(one)}>${icon("close")}</button>
    </li>`,
    )}</ul>`;
  }

  #remove(one: Attachment): void {
    one.stop.abort();
    if (one.address) URL.revokeObjectURL(one.address);
    this.#list = this.#list.filter((other) => other !== one);
    this.changed();
  }

  async #upload(one: Attachment): Promise<void> {
    if (!one.file) return;
    one.hasFailed = false;
    this.changed();
    try {
      const { content, mayTellPlace } = withoutPlace(new Uint8Array(await one.file.arrayBuffer()));
      one.mayTellPlace = mayTellPlace;
      const onProgress = (sent: number) => {
        one.sent = sent;
        this.changed();
      };
      const { name, nonce, stop: { signal } } = one;
      const blob = new Blob([content as Uint8Array<ArrayBuffer>], { type: one.file.type });
      const { id: media } = await session.upload(blob, { name, nonce, signal, onProgress });
      one.segment = one.address ? { t: "image", media, name, ...(await looks(blob, name, one.stop)) } : { t: "file", media, name };
    } catch (error) {
      one.hasFailed = true;
      if (!this.#list.includes(one)) return;
      const isTooLarge = (error as { status?: number }).status === 413;
      said.value = t(isTooLarge ? "file_too_large" : "file_failed", { name: one.name });
    }
    this.changed();
  }
}

function begun(name: string): Attachment {
  const stop = new AbortController();
  return { name, size: 0, address: "", sent: 0, hasFailed: false, mayTellPlace: false, nonce: newNonce(), stop };
}

/** A picture is sent without a preview if that cannot be drawn and uploaded in time, or if the server does not know its width. */
async function looks(picture: Blob, name: string, stop: AbortController): Promise<Looks> {
  const late = new Promise<Smaller>((resolve) => {
    setTimeout(resolve, PREVIEW_MS, {});
  });
  const { hash, copy } = await Promise.race([smallerOf(picture), late]);
  const timer = setTimeout(() => stop.abort(), PREVIEW_MS);
  const preview = copy && (await session.upload(copy, { name, signal: stop.signal }).catch(() => undefined));
  clearTimeout(timer);
  return { ...(hash && { hash }), ...(preview?.width && { preview: preview.id }) };
}

function isMedia(segment: OutgoingSegment): segment is MediaSegment {
  return segment.t === "image" || segment.t === "file";
}
