/** The way to the server, whichever tab has the connection. */
import type { Call } from "../native.ts";
import type { News, Outgoing } from "../model/shapes.ts";

export interface Wire {
  /** Rejects with a Failure. */
  call: Call;
  /** Sends an entry of the outbox, until its outcome is known. */
  post(entry: Outgoing): void;
  /** To the models of the other tabs. */
  share(news: News): void;
  /** Tries at once: the network is back, or somebody looks again. */
  wake(): void;
  /** Ends it, in this tab. */
  close(): void;
}
export type Tell = (news: News) => void;

/** A frame of the connection, as it is. */
export interface Frame {
  at: number;
  isSent: boolean;
  text: string;
}
