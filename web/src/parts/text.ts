/** A message's text as templates. */
import { type TemplateResult, html, nothing } from "lit";
import { parse } from "../../text/parse.ts";
import type { Block, Line, Span } from "../../text/tokens.ts";
import type { Segment } from "../native.ts";
import { said } from "../state.ts";
import { t } from "../words.ts";

type Shown = TemplateResult | string | typeof nothing;

const parsed = new Map<string, Block[]>();
const MOST_PARSED = 500;

export function shownSegments(
  segments: readonly Pick<Segment & { text: string }, "t" | "text">[] | readonly Segment[],
  me = 0,
): Shown[] {
  return segments.flatMap((segment): Shown[] => {
    switch (segment.t) {
      case "text":
        return shownText((segment as { text: string }).text);
      case "mention":
        return [mention(segment as Extract<Segment, { t: "mention" }>, me)];
      case "emoji":
        return [`[${(segment as { id?: number }).id ?? ""}]`];
      default:
        return [];
    }
  });
}

function mention({ account, text }: { account: number; text: string }, me: number): TemplateResult {
  return html`<bdi class=${account === me ? "mention mention-me" : "mention"}>${text}</bdi>`;
}

export function shownText(text: string): Shown[] {
  const known = parsed.get(text) ?? parse(text);
  if (parsed.size > MOST_PARSED) parsed.clear();
  parsed.set(text, known);
  return known.map(block);
}

function block(one: Block): Shown {
  switch (one.t) {
    case "fence":
      return html`<div class="fence"><pre tabindex="0"><code>${one.code}</code></pre>
      <button type="button" class="quiet" @click=${() => copy(one.code)}>${t("copy_code")}</button></div>`;
    case "quote":
      return html`<blockquote class="lines">${one.lines.map(line)}</blockquote>`;
    case "list":
      return html`<ul>${one.lines.map((item) => html`<li class="lines">${line(withoutEnd(item))}</li>`)}</ul>`;
    default:
      return html`<span class="lines">${one.lines.map(line)}</span>`;
  }
}

function withoutEnd(item: Line): Line {
  const last = item.at(-1);
  return last?.t === "text" && last.text.endsWith("\n")
    ? [...item.slice(0, -1), { t: "text", text: last.text.slice(0, -1) }]
    : item;
}

function line(spans: Line): Shown[] {
  return spans.map(span);
}

function span(one: Span): Shown {
  switch (one.t) {
    case "text":
      return one.text;
    case "mark":
      return nothing;
    case "code":
      return html`<code>${one.code}</code>`;
    case "link":
      return html`<a href=${one.href} target="_blank" rel="noopener noreferrer nofollow">${one.text}</a>`;
    default:
      return styled(one);
  }
}

function styled({ style, spans }: Extract<Span, { t: "styled" }>): TemplateResult {
  const inner = spans.map(span);
  if (style === "strong") return html`<strong>${inner}</strong>`;
  return style === "em" ? html`<em>${inner}</em>` : html`<s>${inner}</s>`;
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    said.value = t("copied");
  } catch {
    said.value = t("not_copied"); // without https there is no clipboard
  }
}
