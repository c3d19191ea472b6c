/** The scale and the lines of charts, and numbers with their units. */

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.HTMLElement = class {};
globalThis.customElements = { define() {} };
const web = "../../../../../services/cli/overview/web";
const { ceiling, path } = await import(`${web}/chart.js`);
const { format } = await import(`${web}/format.js`);

test("a scale ends at 1, 2 or 5 times a power of ten", () => {
  assert.deepEqual([0, 0.003, 1, 1.1, 34, 999].map(ceiling), [1, 0.005, 1, 2, 50, 1000]);
});

test("a line ends at the right edge, and is broken where a number is missing", () => {
  assert.equal(path([0, 1], 1, 2), "M52.0 112.0L314.0 10.0");
  assert.equal(path([1, null, 0], 1, 3), "M52.0 10.0M314.0 112.0");
  assert.equal(path([0], 1, 90), "M314.0 112.0");
});

test("numbers have units", () => {
  assert.deepEqual([[null, "s"], [0.0021, "s"], [7300, "s"], [1536, "B"], [0.123, "%"], [12345, "/s"]].map((one) => format(...one)),
    ["–", "2.1 ms", "2 h", "1.5 KiB", "12.3 %", "12.3 k/s"]);
});
