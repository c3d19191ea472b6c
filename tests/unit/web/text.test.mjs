/** The parser of messages: its vectors, and texts at random. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { load } from "./typescript.mjs";

const { parse } = await load("text/parse.ts");
const { mentionName, mentioning } = await load("text/mentions.ts");
const { textOf } = await load("text/tokens.ts");
Object.assign(globalThis, { document: { documentElement: { dataset: {} } }, location: { pathname: "/chat" }, addEventListener() {} });
const { summaryOf } = await load("src/model/actions.ts");
const VECTORS = JSON.parse(readFileSync(new URL("../../vectors/web_text.json", import.meta.url), "utf8"));
const LONGEST = 16_384;
const MOST_MS = 50; // a parser that takes a quadratic time needs more than 250
const PIECES = ["*", "**", "_", "~~", "`", "``", "```", "\n", "> ", ">", "- ", "a", " ", "https://", "http://[", "(", ")", "é", "漢",
  "𝒳", "\u200f", "\r\n", "```js\n", "x.example", "@", "<b>", "👩‍👩‍👧"];

test("vectors", () => {
  for (const { text, tokens } of VECTORS) assert.equal(shown(parse(text)), tokens, text);
});

test("a summary ends with a whole character", () => {
  const summary = (text) => summaryOf([{ t: "text", text }], 4);
  assert.deepEqual([summary("abc🐱"), summary("ab🐱d"), summary("**a**🐱🐱🐱")], ["abc", "ab🐱", "a🐱"]);
});

test("a long nickname is cut, so that the server takes the mention", () => {
  const [nickname, number] = ["🐱".repeat(64), 2 ** 53 - 1];
  const name = mentionName(nickname, 1, new Map());
  const other = mentionName(nickname, number, new Map([[name, 1]]));
  assert.deepEqual([[...name].length, [...other].length, other.endsWith(`#${number}`)], [47, 64, true]);
  assert.equal(mentioning(`${other} ${name}`, new Map([[name, 1], [other, number]])).length, 3);
  assert.deepEqual([mentionName("Ann", 1, new Map()), mentionName("Ann", 2, new Map([["@Ann", 1]]))], ["@Ann", "@Ann#2"]);
});

test("names in a text are mentions, the longest first, and only whole ones", () => {
  const names = new Map([["@Ann", 1], ["@Ann Lee", 2], ["@C++ (x)", 3]]);
  const found = mentioning("@Ann Lee, @Ann, @Anna and a@b, @C++ (x)", names);
  assert.equal(found.map(({ text }) => text).join(""), "@Ann Lee, @Ann, @Anna and a@b, @C++ (x)");
  assert.deepEqual(found.filter(({ t }) => t === "mention").map(({ account }) => account), [2, 1, 3]);
  assert.deepEqual(mentioning("", names), []);
});

test("whatever is written, the tokens have its text", () => {
  const random = generator(20_261_128);
  for (let round = 0; round < 2000; round += 1) {
    const text = Array.from({ length: random(60) }, () => PIECES[random(PIECES.length)]).join("");
    assert.equal(textOf(parse(text)), text);
  }
});

test("16 KiB of anything take no quadratic time", () => {
  const hostile = [...PIECES, "*a_", "*a **b ", "`a``b", "> *", "```\n", "```a\n", "**a", "_a ~~b *c **d ", "https://a)", "https://(((", "h"];
  for (const piece of hostile) {
    const text = piece.repeat(Math.ceil(LONGEST / piece.length)).slice(0, LONGEST);
    const times = Array.from({ length: 5 }, () => {
      const begun = process.cpuUsage(); // other programs do not count
      assert.equal(textOf(parse(text)), text);
      return process.cpuUsage(begun).user / 1000;
    });
    assert.ok(Math.min(...times) < MOST_MS, `${JSON.stringify(piece)} takes ${Math.min(...times)} ms`);
  }
});

function shown(blocks) {
  return blocks.map((block) => {
    if (block.t === "fence") return `fence ${block.language}{${block.code}}`;
    const lines = block.lines.map((line) => line.map(shownSpan).join("")).join("");
    return block.t === "lines" ? lines : `${block.t}{${lines}}`;
  }).join("");
}

function shownSpan(span) {
  if (span.t === "styled") return `${span.style}(${span.spans.map(shownSpan).join("")})`;
  if (span.t === "code") return `code(${span.code})`;
  if (span.t === "link") return `link(${span.text})`;
  return span.t === "mark" ? `[${span.text}]` : span.text;
}

/** Numbers below a bound, the same in each run. */
function generator(seed) {
  let state = seed;
  return (bound) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * bound);
  };
}
