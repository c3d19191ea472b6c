/** The colours of a picture, and a smaller copy of a large one, which are sent beside it. */
import { thumbHash } from "./thumbhash.ts";

const PREVIEW_PIXELS = 1280;
/** The server takes no larger previews. A browser that cannot write WebP writes PNG, which may be larger. */
const PREVIEW_BYTES = 1024 * 1024;
const HASH_PIXELS = 64;
/** Of a moving GIF, PNG or WebP, in its beginning. A smaller copy would not move. */
const MOVING = /^GIF8|acTL|ANIM/;
const BEGINNING_BYTES = 65536;
const KNOWN = [18, 52, 86];

/** `hash`: in base64, without padding. */
export interface Smaller {
  hash?: string;
  copy?: Blob;
}

let last: Promise<unknown> = Promise.resolve();

/** Decodes one picture at a time, because its pixels need much memory. Empty if the browser cannot draw it or gives false pixels. */
export function smallerOf(picture: Blob): Promise<Smaller> {
  const made = last.then(() => smaller(picture)).catch(() => ({}));
  last = made;
  return made;
}

/** A copy is smaller in bytes, too. */
async function smaller(picture: Blob): Promise<Smaller> {
  if (isFalsified()) return {};
  const bitmap = await createImageBitmap(picture);
  try {
    const { canvas: few, context } = drawn(bitmap, HASH_PIXELS);
    const { data, width, height } = context.getImageData(0, 0, few.width, few.height);
    const hash = btoa(String.fromCharCode(...thumbHash(width, height, data))).replaceAll("=", "");
    const isMoving = MOVING.test(await picture.slice(0, BEGINNING_BYTES).text());
    if (Math.max(bitmap.width, bitmap.height) <= PREVIEW_PIXELS || isMoving) return { hash };
    const type = picture.type === "image/jpeg" ? picture.type : "image/webp"; // a JPEG has nothing transparent
    const copy = await drawn(bitmap, PREVIEW_PIXELS).canvas.convertToBlob({ type, quality: 0.8 });
    return copy.size < picture.size && copy.size <= PREVIEW_BYTES ? { hash, copy } : { hash };
  } finally {
    bitmap.close();
  }
}

/** Some browsers give pages false pixels, so that no page recognises the machine. */
function isFalsified(): boolean {
  const context = new OffscreenCanvas(1, 1).getContext("2d") as OffscreenCanvasRenderingContext2D;
  context.fillStyle = `rgb(${KNOWN})`;
  context.fillRect(0, 0, 1, 1);
  const { data } = context.getImageData(0, 0, 1, 1);
  return KNOWN.some((value, at) => value !== data[at]);
}

/** With at most so many pixels at each side. */
function drawn(bitmap: ImageBitmap, most: number): { canvas: OffscreenCanvas; context: OffscreenCanvasRenderingContext2D } {
  const scale = Math.min(1, most / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale))) as [number, number];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return { canvas, context };
}
