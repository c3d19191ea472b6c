"""One login of a client. The client reconnects until it is closed. It syncs, orders the messages of each chat, and has
an outbox and tokens."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast

from dragoman_client import native
from dragoman_client.client.connection import (
    PING_SECONDS,
    RETRY_MS,
    CommandLost,
    CommandRejected,
    Members,
    NativeConnection,
    is_integer,
    spread,
    unavailable,
)
from dragoman_client.client.events import Event
from dragoman_client.client.ordering import LISTING, REACH, ChatOrder, EarlyEvents, Positions
from dragoman_client.client.outbox import Outbox, QueuedCommand
from dragoman_client.client.store import Changes, MemoryStore, Store
from dragoman_client.client.tokens import Tokens
from dragoman_client.client.uploads import FileUpload, UploadedFile
from dragoman_client.errors import Unreachable
from dragoman_client.nonces import NonceSource

_ROOM = 1000
_WRITE_SECONDS = 1.0


class EventInbox:
    """The queue of events between the client and the program. The program takes the events one by one. An event counts
    as handled when the program takes the next event. Then the changes that the event makes to the store are written: at
    once if no event waits, and otherwise within a second. Until the program wants events (`wanted`), they are
    dropped."""

    def __init__(self, write: Callable[[Changes], None]) -> None:
        self.wanted = asyncio.Event()
        self._write = write
        self._events: deque[tuple[Members, Changes]] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()
        self._current: Changes = {}
        self._handled: dict[str, bytes | None] = {}
        self._written_at = 0.0
        self._end: Exception | None = None

    def give(self, event: Members, changes: Changes | None = None) -> None:
        if self.wanted.is_set():
            self._events.append((event, changes or {}))
            self._arrived.set()

    async def room(self) -> None:
        """Wait until the program has taken most of the events."""
        while len(self._events) >= _ROOM:
            self._taken.clear()
            await self._taken.wait()

    def end(self, error: Exception) -> None:
        """End the queue. `take` raises this error after the last event."""
        self._end = self._end or error
        self._arrived.set()

    async def take(self) -> Members:
        self.note_handled()
        while not self._events:
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()
        event, self._current = self._events.popleft()
        self._taken.set()
        return event

    def note_handled(self) -> None:
        """Note that the event that was taken last is handled."""
        self._handled.update(self._current)
        self._current = {}
        if self._handled and (not self._events or time.monotonic() - self._written_at > _WRITE_SECONDS):
            self._write(self._handled)
            self._handled = {}
            self._written_at = time.monotonic()

    def close(self) -> None:
        """Write the changes of the events that were handled."""
        if self._handled:
            self._write(self._handled)


_WINDOW = 500


class ClientParts(NamedTuple):
    """The parts of a client that stay when a connection ends."""

    tokens: Tokens
    positions: Positions
    outbox: Outbox
    inbox: EventInbox
    timeline: int


class Session:
    def __init__(self, connection: NativeConnection, parts: ClientParts) -> None:
        self.connection = connection
        self._tokens = parts.tokens
        self._positions = parts.positions
        self._outbox = parts.outbox
        self._inbox = parts.inbox
        self._timeline = parts.timeline

    async def request(self, op: str, members: Mapping[str, Any]) -> Members:
        """Send a command, and return the reply. Raises CommandRejected."""
        return await self.connection.request(op, members, partial(self._note, op, members))

    async def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Serve the connection from the login until the connection ends. Events are requested only when the program
        wants them."""
        tasks.create_task(self._post(tasks))
        tasks.create_task(self._keep_fresh())
        await self._inbox.wanted.wait()
        self.connection.listen()
        order = ChatOrder(self._positions, self._inbox.give, self._fetch, self._timeline)
        await self._sync(order)
        while True:
            await self._inbox.room()
            await order.take(await self.connection.events.get())

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            await self._tokens.keep_fresh(self.connection)

    async def _fetch(self, op: str, members: Mapping[str, Any]) -> Members:
        """Fetch a page of a chat. It is empty if the account may not have it. Raises CommandLost after any other error.
        Then the connection ends, and the next sync, on another connection, fetches the page."""
        await self._inbox.room()
        try:
            return await self.connection.repeat(op, members)
        except CommandLost:
            raise
        except CommandRejected as error:
            if error.code in ("not_found", "forbidden"):
                return {}
            raise CommandLost(error.code, f"{op}: {error}", retry_ms=RETRY_MS) from error

    async def _sync(self, order: ChatOrder) -> None:
        positions, connection = self._positions, self.connection
        pages, early = list[Members](), EarlyEvents()
        had = set(positions.chats)
        wanted: list[Members] = list(positions.named())
        while wanted:
            page = await connection.repeat(
                "sync", {**wanted[0], "window": _WINDOW, "timeline": self._timeline},
                lambda reply: connection.queue({"ev": LISTING, "reset": reply.get("reset")}),
            )  # fmt: skip
            while (event := await connection.events.get())["ev"] != "synced":
                # The server has lost data, so the pages that were listed before are not valid any more.
                if event["ev"] == LISTING and event["reset"]:
                    pages, early = [], EarlyEvents()
                early.put(event)
            early.put(counts := event)
            if page["reset"]:
                wanted, had = [{}], set()
                self._inbox.give({"ev": "reset", "epoch": page["epoch"]}, positions.reset(page["epoch"]))
            positions.epoch = page["epoch"]
            for head in page["chats"]:
                order.take_head(head, had=head["chat"] in had)
            pages.append(page)
            wanted[:1] = [{**wanted[0], "before": page["before"]}] if "before" in page else []
        for event in early.in_order({head["chat"]: head["rev"] for page in pages for head in page["chats"]}):
            await order.take(event)
        for page in pages:
            for chat in page["gone"]:
                await order.take({"ev": "gone", "chat": chat, "why": "unknown"})
            for head in page["chats"]:
                if head["chat"] not in early.gone:
                    await order.reach(head["chat"], head["head"], head["rev"])
        self._inbox.give(counts, positions.entries())

    # The outbox

    async def _post(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            for entry in self._outbox.take():
                tasks.create_task(self._deliver(entry))
            self._outbox.filled.clear()
            await self._outbox.filled.wait()

    async def _deliver(self, entry: QueuedCommand) -> None:
        outcome: Members = {"ev": "outcome", "op": entry.op, "nonce": entry.nonce, "draft": entry.draft}
        try:
            reply = await self.connection.repeat(entry.op, entry.draft, partial(self._note_sent, entry))
        except CommandLost:
            raise
        except CommandRejected as error:
            if error.code == "unauthenticated":  # the client reconnects, logs in again, and sends the command again
                await asyncio.sleep(RETRY_MS / 1000)
                return self.connection.abort()
            self._outbox.complete(entry, error)
            self._inbox.give({**outcome, "error": error})
        else:
            self._outbox.complete(entry, reply)
            self._inbox.give({**outcome, "reply": reply})

    # The following methods give the program its own messages and changes, because the server sends no event for these.

    def _note_sent(self, entry: QueuedCommand, reply: Members) -> None:
        """Give the program its own message after the server has stored it. A plain message is given in the form in
        which it was sent. Any other message is fetched."""
        draft = entry.draft
        segments = draft.get("segments") or [{"t": "text", "text": draft.get("text", "")}]
        is_plain = entry.op == "send" and _has_place(reply) and not reply.get("again")
        if not is_plain or any(one["t"] in ("image", "file") for one in segments):
            return self._note(entry.op, draft, reply)
        place = {name: reply.get(name) for name in ("chat", "index", "id", "time")}
        replied = {"reply_to": draft["reply_to"]} if draft.get("reply_to") else {}
        event = {"ev": "message", **place, "sender": self._tokens.login.account, "segments": segments, **replied}
        self.connection.queue(event)

    def _note(self, op: str, members: Mapping[str, Any], reply: Members) -> None:
        """Note the places of messages that this connection sends or changes, and a new token."""
        sent = [reply] if op == "send" else reply.get("results", []) if op == "forward" else []
        for one in sent:
            if _has_place(one):
                self.connection.queue({"ev": REACH, "chat": one["chat"], "index": one["index"], "rev": 0})
        if _has_place(members) and is_integer(reply.get("rev")):
            place = {"chat": members["chat"], "index": members["index"], "rev": reply["rev"]}
            self.connection.queue({"ev": REACH, **place})
        if op in ("token", "refresh", "password") and reply.get("account") == self._tokens.login.account:
            self._tokens.take({**{name: members[name] for name in ("token",) if name in members}, **reply})
        elif op == "logout":
            self._tokens.forget()


def _has_place(stored: Mapping[str, Any]) -> bool:
    return is_integer(stored.get("chat")) and is_integer(stored.get("index"))


_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 0.5, 30.0
_STABLE_SECONDS = 10.0
"""If a login lasts this long, the next delay before a reconnect is short again."""

T = TypeVar("T")
Work = Callable[[NativeConnection, asyncio.TaskGroup], Awaitable[T]]


class Dragoman(native.Operations):
    """`async with` connects the client, and `async for` gives the client's events. `token`: the token of a bot, or of
    another login. Without it, the token is in the store, or comes from `login` or `register`. `timeline`: how many of a
    chat's newest messages are given after an absence, at most 100. `call_seconds`: the longest time of a call,
    including the wait for a connection."""

    def __init__(
        self, server: str, store: Store | None = None, *, token: str = "", timeline: int = 20,
        outbox_limit: int = 1000, call_seconds: float = 30.0,
    ) -> None:  # fmt: skip
        self._server = server
        self._store = MemoryStore() if store is None else store
        self._call_seconds = call_seconds
        stored = self._store.load()
        self._inbox = EventInbox(self._write)
        self._tokens = Tokens(stored.get("login"), token, self._write)
        self._outbox = Outbox(stored, self._write, outbox_limit)
        self._parts = ClientParts(self._tokens, Positions(stored), self._outbox, self._inbox, timeline)
        self._nonces = NonceSource()
        self._session: Session | None = None
        self._is_online = asyncio.Event()
        self._end: CommandRejected | None = None
        self._running: asyncio.Task[None] | None = None
        self._attempts = 0
        self._stable_at = 0.0

    @property
    def account(self) -> int:
        """The number of the account, or 0 before the first login."""
        return self._tokens.login.account

    @property
    def outbox(self) -> list[QueuedCommand]:
        """The commands that the server has not accepted yet, oldest first."""
        return self._outbox.entries

    def server_time(self) -> int:
        """The time on the server's clock, in Unix milliseconds."""
        return self._tokens.server_time()

    # Life of the client

    async def __aenter__(self) -> Self:
        if self._tokens.login.token:
            self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._inbox.note_handled()
        await self.close()

    async def close(self) -> None:
        """End the connection. The client sends nothing more, and the store keeps the outbox."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        self._note_end(None)
        self._inbox.close()
        self._store.close()

    async def login(self, identifier: str, password: str, **members: Any) -> native.LoginResult:
        """Log in, with a single attempt. `members`: further members of the operation. If the user must open a mailed
        link, the call waits for that. Raises CommandRejected, Unreachable."""
        return await self._enter("login", {"identifier": identifier, "secret": _plain(password), **members})

    async def register(self, nickname: str, password: str, **members: Any) -> native.LoginResult:
        """Register an account, and log in. The result is the same as for `login`."""
        return await self._enter("register", {"nickname": nickname, "secret": _plain(password), **members})

    async def _enter(self, op: str, members: Members) -> native.LoginResult:
        async def work(connection: NativeConnection, tasks: asyncio.TaskGroup) -> Members:
            def mail(reply: Members) -> None:
                if "verify" in reply:
                    tasks.create_task(connection.request("verify_mail", {}))

            return await connection.request(op, {"refreshable": True, **members, "overtaking": True}, mail)

        if self._running is not None:
            raise CommandRejected("conflict", "this client is already logged in")
        reply = await self._connected_for(work)
        self._tokens.take(reply)
        self._start()
        return cast(native.LoginResult, reply)

    async def refresh(self) -> None:
        """Replace the token now. Without this call, the client replaces it in time. Raises CommandRejected."""
        await self._tokens.refresh((await self._online()).connection, self._tokens.login.token)

    def _start(self) -> None:
        self._running = asyncio.create_task(self._run())

    # Commands

    def send(self, **draft: Any) -> "asyncio.Future[native.SendResult]":
        """Put a message (`chat` or `to`, `text` or `segments`, `reply_to`) into the outbox. The future gets the reply
        when the server has stored the message, even if the client must reconnect before. If the future is cancelled,
        the message is sent nevertheless. Raises CommandRejected, OutboxFull."""
        return self._outbox.add("send", draft)

    def edit(self, **draft: Any) -> "asyncio.Future[native.ChangeResult]":
        """Put an edit of a message that the account has sent (`chat`, `index`, `text` or `segments`) into the outbox.
        See `send`."""
        return self._outbox.add("edit", draft)

    def recall(self, **message: Any) -> "asyncio.Future[native.ChangeResult]":
        """Put the recall of a message (`chat`, `index`) into the outbox. See `send`. If the recall is rejected, it is
        removed from the outbox."""
        return self._outbox.add("recall", message)

    def react(self, **reaction: Any) -> "asyncio.Future[native.ReactResult]":
        """Put a reaction (`chat`, `index`, `emoji`) into the outbox. See `recall`."""
        return self._outbox.add("react", reaction)

    def unreact(self, **reaction: Any) -> "asyncio.Future[native.ReactResult]":
        """Remove a reaction. The result is the same as for `react`."""
        return self._outbox.add("unreact", reaction)

    def read(self, chat: int, index: int) -> "asyncio.Future[native.ReadResult]":
        """Put a read position into the outbox. It replaces an earlier position."""
        return self._outbox.add("read", {"chat": chat, "index": index})

    def retry(self, nonce: str) -> None:
        """Send a rejected command again. Raises KeyError."""
        self._outbox.retry(nonce)

    def discard(self, nonce: str) -> None:
        """Remove a rejected command from the outbox. Raises KeyError."""
        self._outbox.discard(nonce)

    async def upload(
        self, path: Path, name: str = "", nonce: str = "", progress: Callable[[int, int], None] = lambda *_: None
    ) -> UploadedFile:
        """Store a file. If the connection fails, bytes that have arrived are not sent again. `progress` gets the number
        of sent bytes, and the number of all bytes. `nonce`: if an earlier program has begun an upload with this nonce,
        the upload continues. Raises CommandRejected, OSError."""
        upload = FileUpload(self._server, path, name, nonce or self._nonces.new_nonce(), progress)
        await self._tokens.keep_fresh((await self._online()).connection)
        return await upload.send(lambda: self._tokens.login.token)

    async def _call(self, op: str, members: Members) -> Any:
        """Perform an operation. It fails after `call_seconds`. A command that takes a nonce is repeated until its
        result is known."""
        members = {name.removesuffix("_"): value for name, value in members.items()}
        has_nonce = op in native.NONCED
        if has_nonce and not members.get("nonce"):
            members["nonce"] = self._nonces.new_nonce()
        lost: CommandRejected | None = None
        is_sent = False
        try:
            async with asyncio.timeout(self._call_seconds):
                while True:
                    session = await self._online()
                    is_sent = True
                    try:
                        return await session.request(op, members)
                    except CommandRejected as error:
                        may_repeat = error.unknown or (lost is not None and error.retry_ms is not None)
                        if not has_nonce or not may_repeat:
                            raise
                        lost = lost or error
                    await asyncio.sleep(spread(RETRY_MS / 1000))
        except TimeoutError:
            raise lost or unavailable(f"no reply within {self._call_seconds:g} s", unknown=is_sent) from None

    async def _online(self) -> Session:
        """Wait for a connection. Raises CommandRejected if the client has ended."""
        await self._is_online.wait()
        if self._session is None:
            assert self._end is not None
            raise self._end
        return self._session

    # Events

    def __aiter__(self) -> Self:
        self._inbox.wanted.set()
        return self

    async def __anext__(self) -> Event:
        """An event counts as handled when the program takes the next one, or leaves the client without an exception.
        Raises CommandRejected when the login has ended."""
        return cast(Event, await self._inbox.take())

    def _give(self, kind: str, **members: Any) -> None:
        self._inbox.give({"ev": kind, **members})

    def _write(self, changes: Changes) -> None:
        try:
            self._store.write(changes)
        except Exception as error:
            self._give("store", error=error)

    # Connections

    async def _run(self) -> None:
        """Connect again and again until cancelled, or until the server ends or rejects the login."""
        try:
            while True:
                self._give("state", state="connecting")
                end = await self._live()
                if end.retry_ms is None and end.code != "internal":
                    return self._note_end(end)
                self._give("state", state="waiting", error=end)
                await asyncio.sleep((end.retry_ms or 0) / 1000 + self._next_delay())
        except Exception as error:
            self._note_end(error)
            raise

    def _note_end(self, error: Exception | None) -> None:
        """Note why the client has ended. If `error` is None, the program has closed the client."""
        if self._end is None:
            text = "the client is closed" if error is None else f"the client has ended: {error}"
            self._end = error if isinstance(error, CommandRejected) else unavailable(text, unknown=True)
            self._outbox.abandon(unavailable(text, unknown=True))
            self._inbox.end(error or StopAsyncIteration())
            self._is_online.set()

    def _next_delay(self) -> float:
        if self._stable_at and time.monotonic() >= self._stable_at:
            self._attempts = 0
        self._stable_at = 0.0
        limit = min(_LAST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**self._attempts)
        self._attempts += 1
        return random.uniform(0, limit)  # noqa: S311 (spreads clients)

    async def _live(self) -> CommandRejected:
        """Keep one connection from its beginning to its end. Returns the reason of its end."""

        async def serve(connection: NativeConnection, tasks: asyncio.TaskGroup) -> None:
            await self._tokens.log_in(connection)
            self._stable_at = time.monotonic() + _STABLE_SECONDS
            self._session = session = Session(connection, self._parts)
            self._is_online.set()
            self._give("state", state="online")
            await session.serve(tasks)

        try:
            await self._connected_for(serve)
        except Unreachable as error:
            return unavailable(str(error), retry_ms=0)
        except CommandRejected as error:
            return error
        finally:
            self._session = None
            self._is_online.clear()
            self._outbox.release()
        raise AssertionError("a session ends only by an exception")

    async def _connected_for(self, work: Work[T]) -> T:
        """Do some work on a separate connection, and return the result. Raises CommandRejected, Unreachable."""
        connection = NativeConnection()
        await connection.open(self._server)
        found: list[CommandRejected] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                watches = [tasks.create_task(connection.until_ended())]
                watches.append(tasks.create_task(connection.ping(self._tokens.note_time)))
                result = await work(connection, tasks)
                for watch in watches:
                    watch.cancel()
                return result
        except* CommandRejected as group:
            found += [error for error in group.exceptions if isinstance(error, CommandRejected)]
        finally:
            connection.abort()
        raise found[0]


def _plain(password: str) -> dict[str, str]:
    return {"scheme": "plain", "value": password}
