"""A login whose connection comes back: sync, order of each chat, outbox."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from clients.errors import Unreachable
from clients.nonces import NonceSource
from clients.resuming.connection import (
    RETRY_MS,
    CommandLost,
    CommandRejected,
    Members,
    NativeConnection,
    is_integer,
    unavailable,
)
from clients.resuming.ordering import ChatOrder, Positions
from clients.resuming.outbox import Draft, MemoryStorage, Outbox, OutboxStorage

_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 0.5, 30.0
_STABLE_SECONDS = 10.0
"""A login that lasts so long ends the growth of delays."""
_PING_SECONDS = 20.0
_AWAY_SECONDS = 5.0
_WINDOW = 100
_MOST_CHATS = 1000
"""Chats that one `sync` may name."""
_MAKES = ("create", "link", "create_hook", "create_outgoing_hook", "create_bot", "create_bot_token")
_REPEAT_SECONDS = 30.0
"""What makes something is repeated for so long, under one nonce."""
_CHANGES = ("edit", "recall", "react", "unreact", "pin", "unpin")
_REACH, _SYNC = "client_reach", "client_sync"
"""Events of the client itself: messages and changes that the server does not push here; another sync is due."""


class ResumingClient:
    """`give` gets the server's events, and the client's own: `gap`, `reset`, `head`, `synced`, `state`, `storage` with
    what the storage raised, and the `outcome` of each message of the outbox. What it raises ends `run`. `positions`: of
    a former client, whose messages the caller still has. `timeline`: so many of the newest messages of a chat are given
    after an absence, at most 100."""

    def __init__(
        self,
        server: str,
        token: str,
        give: Callable[[Members], None],
        storage: OutboxStorage | None = None,
        positions: Positions | None = None,
        timeline: int = 20,
        outbox_limit: int = 1000,
    ) -> None:
        self.positions = positions or Positions()
        """Where a later client goes on."""
        self._server = server
        self._token = token
        self._give = give
        self._timeline = timeline
        self._outbox = Outbox(storage or MemoryStorage(), outbox_limit, self._storage_failed)
        self._nonces = NonceSource()
        self._connection: NativeConnection | None = None
        self._has_ended = False
        self._attempts = 0
        self._stable_at = 0.0

    @property
    def account(self) -> int:
        """0 before the first login."""
        return self._outbox.account

    async def run(self) -> None:
        """Until the task is cancelled, or the server ends or rejects the login. Raises CommandRejected."""
        try:
            while True:
                self._give({"ev": "state", "state": "connecting"})
                end = await self._live()
                if end.retry_ms is None and end.code != "internal":
                    raise end
                self._give({"ev": "state", "state": "waiting"})
                await asyncio.sleep((end.retry_ms or 0) / 1000 + self._next_delay())
        finally:
            self._has_ended = True
            self._outbox.abandon(unavailable("the client has ended", unknown=True))
            self._give({"ev": "state", "state": "ended"})

    async def send(self, **draft: Any) -> Members:
        """Puts a message (`chat` or `to`, `text` or `segments`, `reply_to`) into the outbox. The reply comes when the
        server has stored it, after any number of connections; a caller that gives up does not take the message back.
        Raises CommandRejected, OutboxFull."""
        return await asyncio.shield(self._outbox.add(draft))

    async def call(self, op: str, **members: Any) -> Members:
        """Any operation; without a connection it fails at once. What makes something is repeated until its result is
        known, also on the next connection, for half a minute. Raises CommandRejected."""
        connection = self._connection
        if connection is None:
            raise unavailable("there is no connection")
        if op in _MAKES:
            return await self._make(
                connection, op, {**members, "nonce": members.get("nonce") or self._nonces.new_nonce()}
            )
        reply = await connection.request(op, members, lambda reply: _note_own(connection, op, members, reply))
        if op in ("token", "refresh", "password") and reply.get("account") == self.account:
            self._token = reply.get("token") or members.get("token") or self._token
        return reply

    async def _make(self, first: NativeConnection, op: str, members: Members) -> Members:
        connection: NativeConnection | None = first
        lost: CommandRejected | None = None
        end = time.monotonic() + _REPEAT_SECONDS
        while True:
            try:
                if connection is not None:
                    return await connection.request(op, members)
            except CommandRejected as error:
                if not error.unknown and (lost is None or not _may_succeed_later(error)):
                    raise
                lost = lost or error
            if lost is not None and (self._has_ended or time.monotonic() > end):
                raise lost
            await asyncio.sleep(RETRY_MS / 1000 * random.uniform(1, 2))  # noqa: S311 (spreads clients)
            connection = self._connection

    def _storage_failed(self, error: Exception) -> None:
        self._give({"ev": "storage", "error": error})

    # One connection

    def _next_delay(self) -> float:
        if self._stable_at and time.monotonic() >= self._stable_at:
            self._attempts = 0
        self._stable_at = 0.0
        limit = min(_LAST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**self._attempts)
        self._attempts += 1
        return random.uniform(0, limit)  # noqa: S311 (spreads clients)

    async def _live(self) -> CommandRejected:
        """A connection from its beginning to its end. Returns why it has ended."""
        connection = NativeConnection()
        try:
            await connection.open(self._server)
        except Unreachable as error:
            return unavailable(str(error), retry_ms=0)
        found: list[CommandRejected] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.until_ended())
                await self._log_in(connection)
                tasks.create_task(self._post(connection))
                tasks.create_task(_ping(connection))
                await self._receive(connection)
        except* CommandRejected as group:
            found += [error for error in group.exceptions if isinstance(error, CommandRejected)]
        finally:
            self._connection = None
            connection.abort()
        return found[0]

    async def _log_in(self, connection: NativeConnection) -> None:
        reply = await connection.request("token", {"token": self._token})
        if self._outbox.account != reply["account"]:
            if self._outbox.account:
                raise CommandRejected("conflict", "this client is another account's")
            self._outbox.bind(reply["account"])
        self._stable_at = time.monotonic() + _STABLE_SECONDS
        self._connection = connection
        self._give({"ev": "state", "state": "online"})

    async def _receive(self, connection: NativeConnection) -> None:
        """Gives events until the connection ends."""
        order = ChatOrder(self.positions, self._give, partial(_fetch, connection), self._timeline)
        await self._sync(connection, order)
        while True:
            event = await connection.events.get()
            if event["ev"] == _SYNC:
                await self._sync(connection, order)
            elif event["ev"] == _REACH:
                await order.reach(event["chat"], event["index"], event["rev"])
            else:
                await order.take(event)

    async def _sync(self, connection: NativeConnection, order: ChatOrder) -> None:
        positions = self.positions
        names: Members = {
            "epoch": positions.epoch,
            "have": positions.have(_MOST_CHATS),
            "states": positions.states(_MOST_CHATS),
        }
        pages, early, counts = list[Members](), list[Members](), dict[str, Any]()
        before: object = None
        while True:
            page = await _repeat(connection, "sync", {
                **names, "window": _WINDOW, "timeline": self._timeline, **({"before": before} if before else {}),
            })  # fmt: skip
            while (counts := await connection.events.get())["ev"] != "synced":
                early.append(counts)
            if page["reset"]:
                names |= {"have": {}, "states": {}}
                positions.clear()
                self._give({"ev": "reset", "epoch": page["epoch"]})
            positions.epoch = page["epoch"]
            for head in page["chats"]:
                order.take_head(head, had=str(head["chat"]) in names["have"])
            pages.append(page)
            if (before := page.get("before")) is None:
                break
        await order.take_early(early)
        for page in pages:
            for chat in page["gone"]:
                await order.take({"ev": "gone", "chat": chat, "why": "unknown"})
            for head in page["chats"]:
                await order.reach(head["chat"], head["head"], head["rev"])
        if any(page["away"] for page in pages):
            asyncio.get_running_loop().call_later(_AWAY_SECONDS, connection.events.put_nowait, {"ev": _SYNC})
        self._give(counts)

    async def _post(self, connection: NativeConnection) -> None:
        """Sends the outbox, one message after the other."""
        while True:
            draft = await self._outbox.first()
            note = partial(self._note_sent, connection, draft)
            try:
                reply = await _repeat(connection, "send", draft, note)
            except CommandLost:
                raise
            except CommandRejected as error:
                if error.code == "unauthenticated":  # the next login sends it
                    await asyncio.sleep(RETRY_MS / 1000)
                    return connection.abort()
                self._outbox.complete(draft, error)
                self._give({"ev": "outcome", "draft": draft, "error": error})
            else:
                self._outbox.complete(draft, reply)
                self._give({"ev": "outcome", "draft": draft, "reply": reply})

    def _note_sent(self, connection: NativeConnection, draft: Draft, reply: Members) -> None:
        """This connection gets no event of it. What is not shown as it was sent is fetched."""
        if not _has_place(reply):
            return None
        segments = draft.get("segments") or [{"t": "text", "text": draft.get("text", "")}]
        if reply.get("again") or any(one["t"] in ("image", "file") for one in segments):
            return _note_own(connection, "send", draft, reply)
        place = {name: reply.get(name) for name in ("chat", "index", "id", "time")}
        replied = {"reply_to": draft["reply_to"]} if draft.get("reply_to") else {}
        event = {"ev": "message", **place, "sender": self._outbox.account, "segments": segments, **replied}
        return connection.events.put_nowait(event)


def _may_succeed_later(error: CommandRejected) -> bool:
    return isinstance(error, CommandLost) or error.retry_ms is not None


def _has_place(stored: Mapping[str, Any]) -> bool:
    return is_integer(stored.get("chat")) and is_integer(stored.get("index"))


def _note_own(connection: NativeConnection, op: str, members: Mapping[str, Any], reply: Members) -> None:
    """The connection that sends or changes a message gets no event of it."""
    sent = [reply] if op == "send" else reply.get("results", []) if op == "forward" else []
    for one in sent:
        if _has_place(one):
            connection.events.put_nowait({"ev": _REACH, "chat": one["chat"], "index": one["index"], "rev": 0})
    if op in _CHANGES and is_integer(reply.get("rev")):
        place = {"chat": members["chat"], "index": members["index"], "rev": reply["rev"]}
        connection.events.put_nowait({"ev": _REACH, **place})


async def _repeat(
    connection: NativeConnection,
    op: str,
    members: Mapping[str, Any],
    process: Callable[[Members], None] = lambda _: None,
) -> Members:
    """Sends a command as long as the server lets it be repeated. Raises CommandRejected."""
    while True:
        try:
            return await connection.request(op, members, process)
        except CommandLost:
            raise
        except CommandRejected as error:
            retry_ms = RETRY_MS if error.retry_ms is None and error.unknown else error.retry_ms
            if retry_ms is None:
                raise
        await asyncio.sleep(retry_ms / 1000 * random.uniform(1, 2))  # noqa: S311 (spreads clients)


async def _fetch(connection: NativeConnection, op: str, members: Mapping[str, Any]) -> Members:
    """A page of a chat; an empty one if the server gives none. Raises CommandLost."""
    try:
        return await _repeat(connection, op, members)
    except CommandLost:
        raise
    except CommandRejected:
        return {}


async def _ping(connection: NativeConnection) -> None:
    """A connection on which nothing comes counts as ended."""
    while True:
        await asyncio.sleep(_PING_SECONDS)
        connection.is_heard = False
        connection.count_ping()
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await connection.request("ping", {})
        except TimeoutError:
            if not connection.is_heard:
                connection.abort()
