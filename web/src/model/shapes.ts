/** Chats, messages and people, as they are stored and as they are shown. */
import type { Kept } from "../../../clients/javascript/dragoman.js";
import type { Failure, Native, Segment } from "../native.ts";

export type Head = Native.ChatHead;

/** Up to where the messages and changes of a chat were received, for the next `sync`. */
export interface Place {
  chat: number;
  at: number[];
}

/** `rev`: of the last change in it, or of the page that it came with. */
export interface Message {
  chat: number;
  index: number;
  sender: number;
  time: number;
  segments: Segment[];
  rev: number;
  edited?: boolean;
  recalled?: boolean;
  reactions?: Record<string, number>;
  mine?: string[];
  reply_to?: number;
}

export interface Person {
  account: number;
  nickname: string;
  avatar: string;
  v: number;
  deleted?: boolean;
}

/** A message of this account that the server may not have. `rejected`: why it will not take it. */
export interface Outgoing {
  nonce: string;
  chat: number;
  at: number;
  segments: OutgoingSegment[];
  reply_to?: number;
  draft?: number;
  rejected?: Failure;
}
export type OutgoingSegment = NonNullable<Native.SendParameters["segments"]>[number];

/** `rev`: up to which changes are in it; missing in a new one, whose changes are all to come. */
export type Arrived = Native.MessageEvent & { rev?: number };

/** From the wire to the model. */
export type News =
  | Exclude<Native.Event, { ev: "message" | "resumed" | "synced" | "verified" | "bye" }>
  | Arrived
  | { ev: "head"; head: Head }
  | { ev: "synced" }
  | { ev: "reset" }
  | { ev: "gap"; chat: number; from: number; to: number }
  | { ev: "outcome"; nonce: string; index?: number; chat?: number; failure?: Failure }
  | { ev: "page"; chat: number; messages: Kept[] }
  | { ev: "outgoing"; entry: Outgoing }
  | { ev: "dropped"; nonce: string }
  | { ev: "state"; state: WireState };

export interface WireState {
  state: "offline" | "connecting" | "online" | "waiting" | "ended";
  /** When the next attempt is made, by this machine's clock. */
  until?: number;
  reason?: Failure;
  /** The server is there, and only no WebSocket to it. */
  isBlocked?: boolean;
}
