/** A row between the messages: a day, the line before new messages, messages that are not loaded. */
import { type TemplateResult, html } from "lit";
import type { Row } from "../model/rows.ts";
import { count, dayOf, t } from "../words.ts";
import { icon } from "./icons.ts";

type LineRow = Exclude<Row, { kind: "message" | "sending" }>;

/** `load`: the messages before an index. */
export function lineRow(
  row: LineRow,
  isLoading: boolean,
  load: (before: number) => void,
  dismiss: () => void,
): TemplateResult {
  const loadButton = (before: number, label: string) =>
    html`<button type="button" class="quiet" ?disabled=${isLoading} @click=${() => load(before)}>${isLoading ? t("loading") : label}</button>`;
  switch (row.kind) {
    case "day":
      return html`<span class="day-line"><span>${dayOf(row.time)}</span></span>`;
    case "new":
      return html`<span class="new-line">${t("new_line")} <button type="button" class="plain" aria-label=${t("dismiss")} title=${t("dismiss")} @click=${dismiss}>${icon("close")}</button></span>`;
    case "gap":
      return html`<span class="gap-line">${count("gap", row.to - row.from + 1)} ${loadButton(row.to + 1, t("load"))}</span>`;
    case "earlier":
      return html`<span class="gap-line">${loadButton(row.before, t("load_earlier"))}</span>`;
  }
}
