/** Photographs of the common formats lose their place, and stay pictures. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./typescript.mjs";

const { withoutPlace } = await load("src/files/without_place.ts");
const PLACE = "N 48.8584 E 2.2945";
const TURNED = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))));
const short = (number) => [number >> 8, number & 255];
const segment = (kind, ...content) => bytes([0xff, kind], short(bytes(...content).length + 2), ...content);
const scan = (...content) => bytes(segment(0xda, "\x01\x01\0\0\x3f\0"), ...content);
const jpeg = (...segments) => bytes([0xff, 0xd8], ...segments, scan("ab\xff\0c\xff\xd0d"), segment(0xc4, "table"), scan("ef"), [0xff, 0xd9]);
const chunk = (kind, content) => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length);
  return bytes(kind, size, content, content.length % 2 ? [0] : []);
};
const riff = (...chunks) => {
  const content = bytes("WEBP", ...chunks);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(content.length);
  return bytes("RIFF", size, content);
};
const part = (kind, content) => bytes([0, 0], short(content.length), kind, content, "crc!");
const png = (...parts) => bytes("\x89PNG\r\n\x1a\n", part("IHDR", "head"), ...parts, part("IDAT", "data"), part("IEND", ""));

function cleaned(content) {
  const { content: left, mayTellPlace } = withoutPlace(new Uint8Array(content));
  assert.equal(mayTellPlace, false);
  return Buffer.from(left);
}

test("a JPEG keeps its pixels, its colours, and how it is turned", () => {
  const shown = [segment(0xe0, "JFIF\0"), segment(0xe2, "ICC_PROFILE\0rgb"), segment(0xee, "Adobe")];
  const told = [segment(0xed, PLACE), segment(0xfe, PLACE), segment(0xe2, "MPF\0", PLACE), segment(0xe5, PLACE)];
  const picture = jpeg(...shown, segment(0xe1, "Exif\0\0", TURNED, PLACE), ...told);
  assert.deepEqual(cleaned(picture), jpeg(segment(0xe1, "Exif\0\0", TURNED), ...shown));
});

test("a JPEG ends with its picture", () => {
  assert.deepEqual(cleaned(bytes(jpeg(), "\0\0\0\x18ftypmp42", PLACE)), jpeg());
});

test("a JPEG with a broken directory loses it", () => {
  const broken = `MM\0*\x7f\0\0\0${PLACE}`;
  assert.deepEqual(cleaned(jpeg(segment(0xe1, "Exif\0\0", broken))), jpeg());
});

test("a WebP loses EXIF and XMP, and says so in its header", () => {
  const picture = riff(chunk("VP8X", "\x1c\0\0\0\x01\0\0\x01\0\0"), chunk("VP8L", "odd"), chunk("EXIF", PLACE), chunk("XMP ", PLACE));
  assert.deepEqual(cleaned(picture), riff(chunk("VP8X", "\x10\0\0\0\x01\0\0\x01\0\0"), chunk("VP8L", "odd")));
});

test("a PNG keeps what shows it", () => {
  const picture = png(part("gAMA", "1"), part("eXIf", PLACE), part("iTXt", PLACE), part("caBX", PLACE));
  assert.deepEqual(cleaned(bytes(picture, PLACE)), png(part("gAMA", "1")));
});

test("of what nothing can be taken out of it is said", () => {
  const files = ["\0\0\0\x18ftypheic", "\0\0\0\x18ftypavif", "\0\0\0\x14ftypqt  ", "II*\0", "MM\0*", "\xff\xd8broken"];
  for (const file of files) {
    const content = new Uint8Array(bytes(file, PLACE));
    assert.deepEqual(withoutPlace(content), { content, mayTellPlace: true }, file);
  }
  assert.equal(withoutPlace(new Uint8Array(bytes("plain text"))).mayTellPlace, false);
});
