/** A message's text without the signs of its styles: for lists, quotes and announcements. */
import { parse } from "./parse.ts";
import type { Block, Span } from "./tokens.ts";

export function plain(text: string): string {
  return parse(text).map(ofBlock).join("");
}

function ofBlock(block: Block): string {
  return block.t === "fence" ? block.code : block.lines.map((line) => line.map(ofSpan).join("")).join("");
}

function ofSpan(span: Span): string {
  if (span.t === "styled") return span.spans.map(ofSpan).join("");
  if (span.t === "mark") return "";
  return span.t === "code" ? span.code : span.text;
}
