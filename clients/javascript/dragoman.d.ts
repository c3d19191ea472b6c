// Made by `node clients/javascript/build.mjs` from src. Do not edit.
import type * as Native from "./native.d.ts";
export type { Native };
/** A message as a client keeps it. `rev`: that up to which changes are in it; missing: none that is still to come. */
export type Kept = Native.ShownMessage & {
    rev?: number;
};
type Change = Omit<Native.ChangedEvent, "ev">;
/** The rule for messages of a page: a change applies to a message that was fetched at a lower `rev`; every other one is in
 * it already. Returns the message as it is then. `account`: whose reactions are `mine`. */
export declare function applyChange<M extends Pick<Kept, "chat" | "index" | "rev" | "mine">>(message: M, change: Change, account: number): M;
export type Op = keyof Native.Operations;
/** The members of a command, without those that the client adds. */
export type Parameters<O extends Op> = Omit<Native.Operations[O][0], "op" | "id">;
/** The members of a reply. */
export type Reply<O extends Op> = Native.Operations[O][1];
/** How long a caller waits. */
export type Patience = {
    signal?: AbortSignal;
    timeout_ms?: number;
};
/** What the server sends, or a storage has: nothing is sure about it. */
type Loose = any;
/** An error reply, or `unavailable` without a connection. `unknown`: the command may have had its effect. */
export declare class DragomanError extends Error {
    code: Native.ErrorInfo["code"];
    field: string | undefined;
    retry_ms: number | undefined;
    unknown: boolean;
    reason: Native.ErrorInfo["reason"];
    request: string | undefined;
    get name(): string;
    constructor({ code, text, field, retry_ms, unknown, reason, request }: Partial<Native.ErrorInfo>);
}
/** A UUID of version 7: it begins with the time, so that the server keeps new nonces beside each other. */
export declare function newNonce(): string;
/** What becomes of it. `tick`: the time of the server, as of now. */
type Ends = {
    receive: (event: Loose) => void;
    end: (error: DragomanError) => void;
    tick: (time: number) => void;
};
/** Sees each frame as it is. */
type Tap = (direction: "in" | "out", text: string) => void;
/** Operations that may be repeated without end. */
export type QueuedOp = "send" | "edit" | "recall" | "react" | "unreact" | "read";
/** A command of the outbox. With an `error` it was rejected: it stays until it is retried or discarded. */
export type Pending = {
    [O in QueuedOp]: {
        nonce: string;
        at: number;
        op: O;
        params: Parameters<O>;
        error?: DragomanError;
    };
}[QueuedOp];
/** What became of a command of the outbox, also of one of another page. */
export type Outcome = {
    [O in QueuedOp]: {
        nonce: string;
        op: O;
        params: Parameters<O>;
        reply?: Reply<O>;
        error?: DragomanError;
    };
}[QueuedOp];
type Json = object | undefined;
type WebStorage = Pick<Storage, "length" | "key" | "getItem" | "setItem" | "removeItem">;
/** Pages of one account can share a store. */
export interface Store {
    /** The values whose keys begin so. */
    read(prefix: string): Promise<Map<string, Json>>;
    /** A transaction: `work` gets the values of the keys and returns, at once, those to store; undefined removes one. */
    change(keys: string[], work: (values: Json[]) => Json[]): Promise<void>;
    /** Runs the work while no other page does, as far as the platform has locks and they come soon. */
    alone<T>(work: () => Promise<T>): Promise<T>;
}
/** For programs, and for pages that keep nothing. */
export declare function memoryStore(): Store;
/** In `localStorage`, or in an object with its methods. Pages see late what others write: nonces make it harmless. */
export declare function webStore(storage?: WebStorage, name?: string): Store;
/** In an IndexedDB database of this name: best for pages that share it. */
export declare function indexedStore(name?: string): Store;
/** `nonce`: the same file under it is stored once, and goes on where it has stopped, also after a restart of the page. */
export type UploadOptions = {
    name?: string;
    nonce?: string;
    signal?: AbortSignal;
    /** What the server has. */
    onProgress?: (bytes: number, size: number) => void;
};
/** The `id` goes into a segment of a message. */
export type Media = {
    id: string;
    name: string;
    size: number;
    hash: string;
    mime: string;
    url: string;
    width?: number;
    height?: number;
};
/** "waiting": for the next attempt. */
export type State = "offline" | "connecting" | "online" | "waiting" | "ended";
/** The server's, and the client's own. */
export type Events = {
    [E in Native.Event as E["ev"]]: E;
} & {
    message: {
        rev?: number;
    };
    state: {
        state: State;
        error?: DragomanError;
    };
    head: Native.ChatHead;
    gap: {
        chat: number;
        from: number;
        to: number;
    };
    reset: {
        epoch: string;
    };
    outbox: Pending[];
    outcome: Outcome;
    store: {
        error: unknown;
    };
    verify: Native.VerificationInfo;
};
export type Options = {
    store?: Store;
    /** Keeps in the store where a later client goes on. */
    cursor?: boolean;
    epoch?: string;
    have?: Record<string, number[]>;
    timeline?: number;
    outboxLimit?: number;
    onFrame?: Tap;
    WebSocket?: typeof WebSocket;
    fetch?: typeof fetch;
    random?: () => number;
};
/** A login, whose connection comes back until it is closed. */
export declare class Dragoman {
    #private;
    readonly url: URL;
    readonly options: {
        epoch?: string;
        have?: Record<string, number[]>;
        onFrame?: Tap;
        WebSocket: {
            new (url: string | URL, protocols?: string | string[]): WebSocket;
            prototype: WebSocket;
            readonly CONNECTING: 0;
            readonly OPEN: 1;
            readonly CLOSING: 2;
            readonly CLOSED: 3;
        };
        fetch: typeof fetch;
        outboxLimit: number;
        timeline: number;
        random: () => number;
        cursor: boolean;
        store: Store;
    };
    state: State;
    account: number;
    /** The outbox and the places of the store are there. */
    readonly ready: Promise<void>;
    /** `wss://host`, or with a path. */
    constructor(url: string | URL, options?: Options);
    /** The commands that wait, and those that were rejected (with their `error`). */
    get outbox(): readonly Pending[];
    get epoch(): string;
    /** The last index, `rev` and `state` of each chat, where a later client goes on. */
    get have(): Record<string, number[]>;
    /** The same of one chat: inside a handler, up to its event. */
    place(chat: number): number[] | undefined;
    /** Milliseconds of the server's clock, as far as it is known. */
    serverTime(): number;
    /** Returns its end. What a handler returns is awaited before the `cursor` moves. */
    on<K extends keyof Events>(kind: K, handler: (value: Events[K]) => unknown): () => void;
    /** One attempt. With `refreshable` the store keeps the login for `resume`. */
    login(login: Parameters<"login">): Promise<Reply<"login">>;
    /** One attempt. */
    register(account: Parameters<"register">): Promise<Reply<"register">>;
    /** Tries until the server takes or rejects the token. */
    token(token: string): Promise<Reply<"token">>;
    /** Goes on with the login of the store, as `token`. */
    resume(): Promise<Reply<"token">>;
    /** Rejects with a DragomanError; without a connection at once. */
    call<O extends Op>(op: O, params?: Parameters<O>, patience?: Patience): Promise<Reply<O>>;
    /** A page with all changes that were given before it is; `applyChange` applies later ones. */
    history(chat: number, page?: Omit<Parameters<"history">, "chat">, patience?: Patience): Promise<Omit<Reply<"history">, "messages"> & {
        messages: Kept[];
    }>;
    /** Puts a message into the outbox. Resolves when the server has stored it, after any number of connections. */
    send(message: Omit<Parameters<"send">, "nonce"> & {
        nonce?: string;
    }): Promise<Reply<"send">>;
    /** As `send`. */
    edit(edit: Omit<Parameters<"edit">, "nonce"> & {
        nonce?: string;
    }): Promise<Reply<"edit">>;
    /** Marks the messages up to an index as read, as `send`. */
    read(chat: number, index: number): Promise<Reply<"read">>;
    /** Any operation that can wait in the outbox. */
    enqueue<O extends QueuedOp>(op: O, params: Omit<Parameters<O>, "nonce"> & {
        nonce?: string;
    }): Promise<Reply<O>>;
    /** Sends a rejected command of the outbox again, as it is. */
    retry(nonce: string): void;
    /** Takes a command out of the outbox. One that is being sent may still be carried out. */
    discard(nonce: string): void;
    /** Stores a file; its `id` goes into a segment. */
    upload(file: Blob, options?: UploadOptions): Promise<Media>;
    /** A token that is valid now, for requests by HTTP. */
    accessToken(isRejected?: boolean): Promise<string>;
    /** The platform is back: connects now if it waits, looks whether the connection still lives, and into the store. Called by
     * itself when the page is shown, or the network is there. */
    wake(): void;
    /** Ends the login. */
    logout(): Promise<void>;
    /** Ends the connection, and the waiting for results. The outbox stays, and is sent after the next login. */
    close(): void;
}
