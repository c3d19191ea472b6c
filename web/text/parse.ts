/**
 * Reads a message's text in one pass: bold, italic, strike, code, fence, quote, list, links. Everything else is as it is
 * written. Pure and linear: styles nest at most once each, and a search that has failed in a line is not repeated.
 */
import type { Block, Line, Span, Style } from "./tokens.ts";

const FENCE = "```";
const OPENING = /^```[\w+#.-]{0,30}$/;
const STYLES: Record<string, Style> = { "**": "strong", "*": "em", _: "em", "~~": "strike" };
const SPACE = /\s/;
/** Each sign of formatting, and each link, begins with one of these. */
const SPECIAL = /[`hH*_~]/;
const WORD = /[\p{L}\p{N}]/u;
const LINK_END = /[\s<>"`\u3000-\u303f\uff00-\uff65]/g;
const SCHEME = /https?:\/\//iy;
/** At the end of a link these belong to the sentence. */
const TRAILING = /[.,;:!?'")\]}*_~]/;

export function parse(text: string): Block[] {
  const lines = text.split(/(?<=\n)/);
  const blocks: Block[] = [];
  let [at, isFenceLeft] = [0, true];
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const opens = isFenceLeft && line.startsWith(FENCE) && OPENING.test(line.trimEnd());
    const end = opens ? closingFence(lines, at + 1) : undefined;
    isFenceLeft &&= !opens || end !== undefined;
    if (end === undefined) addLine(blocks, line);
    else blocks.push(fence(lines, at, end));
    at = (end ?? at) + 1;
  }
  return blocks;
}

function addLine(blocks: Block[], line: string): void {
  const { t, mark } = kindOf(line);
  const tokens: Line = [...(mark ? [{ t: "mark", text: mark } as const] : []), ...spans(line.slice(mark.length))];
  const last = blocks.at(-1);
  if (last?.t === t) last.lines.push(tokens);
  else blocks.push({ t, lines: [tokens] });
}

function closingFence(lines: string[], from: number): number | undefined {
  for (let at = from; at < lines.length; at += 1) if ((lines[at] ?? "").trimEnd() === FENCE) return at;
  return undefined;
}

function fence(lines: string[], from: number, to: number): Block {
  const open = lines[from] ?? "";
  return {
    t: "fence",
    open,
    language: open.slice(FENCE.length).trim(),
    code: lines.slice(from + 1, to).join(""),
    close: lines[to] ?? "",
  };
}

function kindOf(line: string): { t: "lines" | "quote" | "list"; mark: string } {
  if (line.startsWith(">")) return { t: "quote", mark: line.startsWith("> ") ? "> " : ">" };
  if (line.startsWith("- ")) return { t: "list", mark: "- " };
  return { t: "lines", mark: "" };
}

interface Frame {
  /** The sign before it; empty for the line itself. */
  open: string;
  spans: Span[];
}

/** Of one line. */
export function spans(line: string): Line {
  if (!SPECIAL.test(line)) return line ? [{ t: "text", text: line }] : [];
  const frames: Frame[] = [{ open: "", spans: [] }];
  const searches: Searches = { code: [true, true] };
  let at = 0;
  while (at < line.length) at = step(line, at, frames, searches);
  while (frames.length > 1) unstyle(frames);
  return frames[0]?.spans ?? [];
}

/** Whether a closing run of one, of two backticks may still be there. */
interface Searches {
  code: [boolean, boolean];
}

/** Takes the token that begins here. Returns where the next begins. */
function step(line: string, at: number, frames: Frame[], searches: Searches): number {
  const char = line[at] ?? "";
  if (char === "`") return code(line, at, frames, searches);
  if (char === "h" || char === "H") {
    const end = linkEnd(line, at);
    if (end > at) return link(line, at, end, frames);
  }
  const delimiter = delimiterAt(line, at);
  if (delimiter) return style(line, at, delimiter, frames);
  let end = at + 1;
  while (end < line.length && !SPECIAL.test(line[end] ?? "")) end += 1;
  add(frames, line.slice(at, end));
  return end;
}

function delimiterAt(line: string, at: number): string {
  const pair = line.slice(at, at + 2);
  return pair === "**" || pair === "~~" ? pair : pair[0] === "*" || pair[0] === "_" ? pair[0] : "";
}

function style(line: string, at: number, delimiter: string, frames: Frame[]): number {
  const [before, after] = [charBefore(line, at), charAt(line, at + delimiter.length)];
  const isInner = delimiter.length === 1; // one sign inside a word is no style
  const mayClose = before !== "" && !SPACE.test(before) && !(isInner && isWord(after));
  const mayOpen = after !== "" && !SPACE.test(after) && !(isInner && isWord(before));
  const open = frames.findIndex((frame) => frame.open === delimiter);
  if (mayClose && open > 0 && !isEmpty(frames, open)) {
    while (frames.length > open + 1) unstyle(frames);
    const { spans: inner } = frames.pop() as Frame;
    frames
      .at(-1)
      ?.spans.push({ t: "styled", style: STYLES[delimiter] as Style, open: delimiter, spans: inner, close: delimiter });
  } else if (mayOpen && open < 0) frames.push({ open: delimiter, spans: [] });
  else add(frames, delimiter);
  return at + delimiter.length;
}

function isEmpty(frames: Frame[], open: number): boolean {
  return frames.length === open + 1 && frames[open]?.spans.length === 0;
}

/** The sign of a style that nothing has closed is text. */
function unstyle(frames: Frame[]): void {
  const { open, spans: inner } = frames.pop() as Frame;
  add(frames, open);
  for (const span of inner) {
    if (span.t === "text") add(frames, span.text);
    else frames.at(-1)?.spans.push(span);
  }
}

function add(frames: Frame[], text: string): void {
  const inner = frames.at(-1)?.spans ?? [];
  const last = inner.at(-1);
  if (last?.t === "text") last.text += text;
  else inner.push({ t: "text", text });
}

function code(line: string, at: number, frames: Frame[], searches: Searches): number {
  let length = 1;
  while (line[at + length] === "`") length += 1;
  const ticks = "`".repeat(length);
  const end = length <= 2 && searches.code[length - 1] ? closingTicks(line, at + length, length) : -1;
  if (end < 0) {
    if (length <= 2) searches.code[length - 1] = false;
    add(frames, ticks);
    return at + length;
  }
  const text = line.slice(at, end + length);
  frames.at(-1)?.spans.push({ t: "code", text, code: line.slice(at + length, end) });
  return end + length;
}

function closingTicks(line: string, from: number, length: number): number {
  for (let at = line.indexOf("`", from); at >= 0; at = line.indexOf("`", at)) {
    let end = at;
    while (line[end] === "`") end += 1;
    if (end - at === length && at > from) return at;
    at = end;
  }
  return -1;
}

/** The end of the address that begins here, or `at`. */
function linkEnd(line: string, at: number): number {
  if (isWord(charBefore(line, at))) return at;
  SCHEME.lastIndex = at;
  if (!SCHEME.test(line)) return at;
  LINK_END.lastIndex = at;
  return LINK_END.exec(line)?.index ?? line.length;
}

function link(line: string, at: number, extent: number, frames: Frame[]): number {
  let [end, opened, closed] = [extent, 0, 0];
  for (const char of line.slice(at, extent))
    [opened, closed] = [opened + Number(char === "("), closed + Number(char === ")")];
  while (end > at && TRAILING.test(line[end - 1] ?? "")) {
    if (line[end - 1] === ")") {
      if (opened >= closed) break;
      closed -= 1;
    }
    end -= 1;
  }
  const text = line.slice(at, end);
  const href = address(text);
  if (href) frames.at(-1)?.spans.push({ t: "link", text, href });
  else add(frames, line.slice(at, end));
  return Math.max(end, at + 1);
}

/** Empty unless it is an address of a host. */
function address(text: string): string {
  try {
    const url = new URL(text);
    return url.username || url.password ? "" : url.href;
  } catch {
    return "";
  }
}

function charBefore(line: string, at: number): string {
  const low = line.charCodeAt(at - 1);
  return line.slice(low >= 0xdc00 && low < 0xe000 ? at - 2 : at - 1, at);
}

function charAt(line: string, at: number): string {
  const code = line.codePointAt(at);
  return code === undefined ? "" : String.fromCodePoint(code);
}

/** Not of scripts that are written without spaces. */
function isWord(char: string): boolean {
  return char !== "" && (char.codePointAt(0) ?? 0) < 0x2e80 && WORD.test(char);
}
