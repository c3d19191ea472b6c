/** The colours of pictures, as the reference implementation of ThumbHash has them (version 0.1.1, in JavaScript). */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { load } from "./typescript.mjs";

const { DRAWN, drawnHash, thumbHash } = await load("src/files/thumbhash.ts");

/** Width, height, and each pixel by a formula; the hash in hexadecimal digits. */
const PICTURES = {
  "a landscape": [40, 20, (x, y) => [6 * x, 12 * y, 128, 255], "9e070a3498707777708878778877808008f788"],
  "a portrait": [15, 33, (x, y) => [(x * y) % 256, (x + y) % 2 ? 200 : 20, 7 * y, 255], "59c70d4b0c65806979877877658f061338"],
  "a square": [24, 24, (x, y) => [x > y ? 250 : 30, 10 * x, 255 - 10 * y, 255], "a0271267167077777f868797778888778878073777887f08"],
  "a disc": [20, 20, (x, y) => [12 * x, 80, 12 * y, (x - 10) ** 2 + (y - 10) ** 2 < 64 ? 255 : 0], "5a47821d0637907e907bb9e677847f06797806588688808958"],
  "a mist": [50, 9, (x, y) => [(7 * x * y) % 256, 5 * x, (20 * y + x * x) % 256, (5 * x + 9 * y) % 256], "dfc785118a18706a8678947098f53459004b376b877877"],
  nothing: [4, 4, () => [0, 0, 0, 0], "00088205000000000000000000000000000000000000000000"],
  "a line": [64, 1, (x) => [4 * x, 4 * x, 0, 255], "d50b2af9807477878888088b8488000000"],
};

/** Of square pictures, which the reference draws with as many pixels: the corners of the first row, and two others. */
const DRAWINGS = {
  "a square": [[104, 0, 255, 255], [255, 166, 211, 255], [0, 48, 71, 255], [129, 129, 115, 255]],
  "a disc": [[106, 96, 111, 0], [146, 79, 90, 0], [90, 78, 146, 31], [116, 82, 116, 255]],
};
const SHOWN = [[0, 0], [31, 0], [5, 27], [16, 16]];

for (const [name, [width, height, colour, hash]] of Object.entries(PICTURES)) {
  test(`the hash of ${name}`, () => {
    const pixels = Uint8ClampedArray.from({ length: 4 * width * height }, (_, at) => {
      const pixel = Math.floor(at / 4);
      return colour(pixel % width, Math.floor(pixel / width))[at % 4];
    });
    assert.equal(Buffer.from(thumbHash(width, height, pixels)).toString("hex"), hash);
  });
}

for (const [name, wanted] of Object.entries(DRAWINGS)) {
  test(`the drawing of ${name}`, () => {
    const drawn = drawnHash(Buffer.from(PICTURES[name].at(-1), "hex"));
    SHOWN.forEach(([x, y], pixel) => {
      const found = [...drawn.slice(4 * (x + y * DRAWN), 4 * (x + y * DRAWN) + 4)];
      const isNear = found.every((value, at) => Math.abs(value - wanted[pixel][at]) <= 1);
      assert.ok(isNear, `${found} is not ${wanted[pixel]}`);
    });
  });
}

test("any bytes make a drawing", () => {
  for (let length = 0; length <= 32; length += 1)
    for (let again = 0; again < 3; again += 1) assert.equal(drawnHash(randomBytes(length)).length, 4 * DRAWN * DRAWN);
});
