/**
 * A photograph without the camera's data: place, time, owner. The pixels and their orientation stay. JPEG, PNG
 * and WebP keep only the parts that a picture needs to be shown. Pure.
 */
export interface Cleaned {
  content: Uint8Array;
  /** It is of a kind, or broken in a way, that nothing can be taken out of. */
  mayTellPlace: boolean;
}

export function withoutPlace(content: Uint8Array): Cleaned {
  const clean = cleanerOf(content);
  try {
    return clean ? { content: clean(content), mayTellPlace: false } : { content, mayTellPlace: isMedia(content) };
  } catch {
    return { content, mayTellPlace: true };
  }
}

type Cleaner = (content: Uint8Array) => Uint8Array;

const SCAN = 0xda;
const END = 0xd9;
const EXIF = "Exif\0\0";
const COLOURS = "ICC_PROFILE\0";
/** Beside the critical chunks: colours, transparency, size, movement. */
const PNG_SHOWN = "tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD pHYs acTL fcTL fdAT".split(" ");
const WEBP_SHOWN = ["VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "ICCP"];
/** In the flags of the chunk "VP8X": EXIF and XMP are there. */
const WEBP_FLAGS = 0x0c;

function cleanerOf(content: Uint8Array): Cleaner | undefined {
  if (content[0] === 0xff && content[1] === 0xd8) return jpeg;
  if (textAt(content, 0, 8) === "\x89PNG\r\n\x1a\n") return png;
  return textAt(content, 0, 4) === "RIFF" && textAt(content, 8, 4) === "WEBP" ? webp : undefined;
}

/** HEIC, AVIF, videos; TIFF, and cameras' variants of it; JPEG XL. */
function isMedia(content: Uint8Array): boolean {
  return ["ftyp", "JXL "].includes(textAt(content, 4, 4)) || ["II*\0", "MM\0*"].includes(textAt(content, 0, 4));
}

/** Ends with the picture: data that a telephone appends to it, such as a film, is not sent. */
function jpeg(content: Uint8Array): Uint8Array {
  const view = viewOf(content);
  const kept: Uint8Array[] = [content.subarray(0, 2)];
  let [at, turned] = [2, 1];
  while (content[at + 1] !== END) {
    if (content[at] !== 0xff) throw new RangeError("not a segment");
    if (content[at + 1] === 0xff) at += 1;
    else {
      const end = at + 2 + view.getUint16(at + 2);
      const segment = content.subarray(at, end);
      if (segment[1] === 0xe1 && textAt(segment, 4, 6) === EXIF) turned = orientation(segment.subarray(10));
      if (isShown(segment)) kept.push(segment);
      at = segment[1] === SCAN ? endOfScan(content, end) : end;
      if (segment[1] === SCAN) kept.push(content.subarray(end, at));
      if (at >= content.length) break;
    }
  }
  if (turned > 1 && turned <= 8) kept.splice(1, 0, orientationOnly(turned));
  return joined([...kept, content.subarray(at, at + 2)]);
}

/** Of an application's segments those with the size, the colour profile and Adobe's colours; no comment. */
function isShown(segment: Uint8Array): boolean {
  const kind = segment[1] ?? 0;
  if (kind === 0xe2) return textAt(segment, 4, COLOURS.length) === COLOURS;
  return kind === 0xe0 ? textAt(segment, 4, 5) === "JFIF\0" : kind === 0xee || (kind < 0xe0 && kind >= 0xc0);
}

/** Where the next marker is, but for those that belong to the scan. */
function endOfScan(content: Uint8Array, from: number): number {
  for (let at = content.indexOf(0xff, from); at >= 0; at = content.indexOf(0xff, at + 1)) {
    const kind = content[at + 1] ?? 0;
    if (kind !== 0 && kind !== 0xff && (kind < 0xd0 || kind > 0xd7)) return at;
  }
  return content.length;
}

/** Of a TIFF header's first directory; 1 of a broken one. */
function orientation(tiff: Uint8Array): number {
  const view = viewOf(tiff);
  try {
    const isLittle = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, isLittle);
    const entries = view.getUint16(directory, isLittle);
    for (let entry = 0; entry < entries; entry += 1) {
      const at = directory + 2 + entry * 12;
      if (view.getUint16(at, isLittle) === 0x0112) return view.getUint16(at + 8, isLittle);
    }
  } catch {
    // it points outside itself
  }
  return 1;
}

function orientationOnly(value: number): Uint8Array {
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, value, 0, 0, 0, 0, 0, 0];
  const exif = Array.from(EXIF, (character) => character.charCodeAt(0));
  return Uint8Array.from([0xff, 0xe1, 0, 2 + exif.length + tiff.length, ...exif, ...tiff]);
}

function png(content: Uint8Array): Uint8Array {
  const view = viewOf(content);
  const kept: Uint8Array[] = [content.subarray(0, 8)];
  for (let at = 8; at + 12 <= content.length; ) {
    const end = at + 12 + view.getUint32(at);
    const kind = textAt(content, at + 4, 4);
    if (/^[A-Z]/.test(kind) || PNG_SHOWN.includes(kind)) kept.push(content.subarray(at, end));
    if (kind === "IEND") break;
    at = end;
  }
  return joined(kept);
}

function webp(content: Uint8Array): Uint8Array {
  const view = viewOf(content);
  const kept: Uint8Array[] = [content.slice(0, 12)];
  const whole = Math.min(content.length, 8 + view.getUint32(4, true));
  for (let at = 12; at + 8 <= whole; ) {
    const size = view.getUint32(at + 4, true);
    const end = at + 8 + size + (size % 2);
    const kind = textAt(content, at, 4);
    const chunk = content.slice(at, end);
    if (kind === "VP8X") chunk[8] = (chunk[8] ?? 0) & ~WEBP_FLAGS;
    if (WEBP_SHOWN.includes(kind)) kept.push(chunk);
    at = end;
  }
  const result = joined(kept);
  viewOf(result).setUint32(4, result.length - 8, true);
  return result;
}

function viewOf(content: Uint8Array): DataView {
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

function textAt(content: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...content.subarray(at, at + length));
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
