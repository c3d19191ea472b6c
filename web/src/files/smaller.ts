/** What is sent beside a picture: its colours, and a smaller copy of a large one. */
import { thumbHash } from "./thumbhash.ts";

const PREVIEW_PIXELS = 1280;
/** The server takes no larger previews. A browser that cannot write WebP writes PNG, which may be larger. */
const PREVIEW_BYTES = 1024 * 1024;
const HASH_PIXELS = 64;
/** A smaller copy would not move. */
const MOVING = "image/gif";

/** `hash`: in base64, without padding. */
export interface Smaller {
  hash?: string;
  copy?: Blob;
}

/** Neither of what this browser cannot draw. A copy is smaller in bytes, too. */
export async function smallerOf(picture: Blob): Promise<Smaller> {
  try {
    const bitmap = await createImageBitmap(picture);
    const { canvas: few, context } = drawn(bitmap, HASH_PIXELS);
    const { data, width, height } = context.getImageData(0, 0, few.width, few.height);
    const hash = btoa(String.fromCharCode(...thumbHash(width, height, data))).replaceAll("=", "");
    if (Math.max(bitmap.width, bitmap.height) <= PREVIEW_PIXELS || picture.type === MOVING) return { hash };
    const type = picture.type === "image/jpeg" ? picture.type : "image/webp"; // a JPEG has nothing transparent
    const copy = await drawn(bitmap, PREVIEW_PIXELS).canvas.convertToBlob({ type, quality: 0.8 });
    return copy.size < picture.size && copy.size <= PREVIEW_BYTES ? { hash, copy } : { hash };
  } catch {
    return {};
  }
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
