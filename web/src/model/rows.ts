/** The rows of a conversation: messages in order, and between them days, the line before new messages, holes. Pure. */
import type { Sending } from "./chat.ts";
import type { Head, Message } from "./shapes.ts";

export type Row =
  | { kind: "earlier"; key: string; before: number }
  | { kind: "gap"; key: string; from: number; to: number }
  | { kind: "day"; key: string; time: number }
  | { kind: "new"; key: string }
  | { kind: "message"; key: string; message: Message; isContinued: boolean }
  | { kind: "sending"; key: string; entry: Sending };

const TOGETHER_MS = 5 * 60_000;

export function rowsOf(
  head: Pick<Head, "first" | "head">,
  messages: ReadonlyMap<number, Message>,
  sending: readonly Sending[],
  newFrom: number,
): Row[] {
  const indices = [...messages.keys()].sort((one, other) => one - other);
  const rows: Row[] = [];
  const lowest = indices[0] ?? head.head + 1;
  if (lowest > head.first) rows.push({ kind: "earlier", key: "earlier", before: lowest });
  let before: Message | undefined;
  for (const index of indices) {
    const message = messages.get(index) as Message;
    if (before && index > before.index + 1)
      rows.push({ kind: "gap", key: `gap ${before.index}`, from: before.index + 1, to: index - 1 });
    const isNewDay = !before || dayOf(before.time) !== dayOf(message.time);
    if (isNewDay) rows.push({ kind: "day", key: `day ${dayOf(message.time)} ${index}`, time: message.time });
    const isNew = index === newFrom;
    if (isNew) rows.push({ kind: "new", key: "new" });
    rows.push({
      kind: "message",
      key: `message ${index}`,
      message,
      isContinued: !isNewDay && !isNew && isTogether(before, message),
    });
    before = message;
  }
  if (before && before.index < head.head)
    rows.push({ kind: "gap", key: `gap ${before.index}`, from: before.index + 1, to: head.head });
  for (const entry of sending) {
    if (entry.sent === undefined || !messages.has(entry.sent))
      rows.push({ kind: "sending", key: `sending ${entry.nonce}`, entry });
  }
  return rows;
}

function isTogether(before: Message | undefined, message: Message): boolean {
  return (
    before !== undefined &&
    before.sender === message.sender &&
    before.index === message.index - 1 &&
    message.time - before.time < TOGETHER_MS &&
    message.reply_to === undefined
  );
}

const OFFSETS = new Map<number, string>();

/** Of this machine's time zone. Remembered by quarter of an hour: a `Date` for each of 10,000 messages is slow. */
function dayOf(time: number): string {
  const quarter = Math.floor(time / 900_000);
  const known = OFFSETS.get(quarter);
  if (known) return known;
  const date = new Date(time);
  const day = `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
  OFFSETS.set(quarter, day);
  return day;
}
