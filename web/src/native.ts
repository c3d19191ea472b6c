/** The types of native that the client uses, and its errors. */
import type * as Native from "../../clients/javascript/native.d.ts";

export type { Native };
export type Segment = Native.MessageEvent["segments"][number];
export type Call = <O extends keyof Native.Operations>(
  op: O,
  params?: Omit<Native.Operations[O][0], "op" | "id">,
) => Promise<Native.Operations[O][1]>;

/** An error reply, as it also travels between tabs. */
export type Failure = Pick<Native.ErrorInfo, "code" | "text" | "field" | "reason" | "retry_ms" | "unknown">;

export function failureOf(error: unknown): Failure {
  const {
    code = "internal",
    message = String(error),
    text = message,
    field,
    reason,
    retry_ms,
    unknown,
  } = (error ?? {}) as Partial<Failure & Error>;
  return JSON.parse(JSON.stringify({ code, text, field, reason, retry_ms, unknown })) as Failure;
}

/** Whether repeating may help. */
export function isPassing({ code, retry_ms, unknown }: Failure): boolean {
  return unknown === true || retry_ms !== undefined || code === "unavailable";
}

/** An operation by HTTP, without a login or beside the connection. Rejects with a Failure. */
export async function request<O extends keyof Native.Operations>(
  address: string,
  params: Omit<Native.Operations[O][0], "op" | "id">,
  token = "",
): Promise<Native.Operations[O][1]> {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const signal = AbortSignal.timeout(15_000);
  let reply: { error?: Failure };
  try {
    reply = await (await fetch(address, { method: "POST", headers, body: JSON.stringify(params), signal })).json();
  } catch (error) {
    throw { code: "unavailable", text: String(error), unknown: true } satisfies Failure;
  }
  if (reply.error) throw reply.error;
  return reply as Native.Operations[O][1];
}
