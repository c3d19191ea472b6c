/** The tokens of a message's text. The texts of all tokens, put together, are the text itself. */

export type Span =
  | { t: "text"; text: string }
  | { t: "mark"; text: string }
  | { t: "code"; text: string; code: string }
  | { t: "link"; text: string; href: string }
  | { t: "styled"; style: Style; open: string; spans: Span[]; close: string };
export type Style = "strong" | "em" | "strike";
/** `mark`: signs that are not shown, as the `>` of a quote. */
export type Line = Span[];
export type Block =
  | { t: "lines"; lines: Line[] }
  | { t: "fence"; open: string; language: string; code: string; close: string }
  | { t: "quote"; lines: Line[] }
  | { t: "list"; lines: Line[] };

export function textOfSpan(span: Span): string {
  return span.t === "styled" ? span.open + span.spans.map(textOfSpan).join("") + span.close : span.text;
}

/** The text that the blocks were read from. */
export function textOf(blocks: Block[]): string {
  return blocks
    .map((block) =>
      block.t === "fence"
        ? block.open + block.code + block.close
        : block.lines.map((line) => line.map(textOfSpan).join("")).join(""),
    )
    .join("");
}
