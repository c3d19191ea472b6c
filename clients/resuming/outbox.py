"""Messages that the server has not acknowledged yet, oldest first; a storage keeps them over restarts."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from clients.errors import ClientError
from clients.nonces import NonceSource
from clients.resuming.connection import CommandRejected

_DRAFT_BYTES = 65_000
"""The server rejects larger frames."""

Draft = dict[str, Any]
"""The members of a `send`, with its nonce."""


class OutboxFull(ClientError):
    """Too many messages wait for the server."""


class _StoredOutbox(msgspec.Struct):
    """`account`: the sender's; 0 before the first login."""

    account: int = 0
    drafts: list[Draft] = []


class OutboxStorage(Protocol):
    """Where an outbox is kept. Clients that run at the same time need different ones."""

    def load(self) -> bytes:
        """Empty at first."""

    def store(self, content: bytes) -> None: ...


class MemoryStorage:
    """Messages end with the program."""

    def load(self) -> bytes:
        return b""

    def store(self, content: bytes) -> None:
        return


class FileStorage:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""

    def store(self, content: bytes) -> None:
        """The file has the former content or this one, also after a crash."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


class Outbox:
    """Of one account: its messages must not be sent as those of another one. `failed` gets what a storage raises:
    messages that it does not keep are sent all the same."""

    def __init__(self, storage: OutboxStorage, limit: int, failed: Callable[[Exception], None]) -> None:
        stored = msgspec.json.decode(storage.load() or b"{}", type=_StoredOutbox)
        self.account = stored.account
        self._end: ClientError | None = None
        self._storage = storage
        self._failed = failed
        self._limit = limit
        self._nonces = NonceSource()
        self._drafts = deque(stored.drafts)
        self._results: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._filled = asyncio.Event()

    def bind(self, account: int) -> None:
        self.account = account
        self._store()

    def add(self, draft: Draft) -> "asyncio.Future[dict[str, Any]]":
        """The future has the reply, or raises CommandRejected; a message that waits already has one result. Raises
        OutboxFull, the error of `abandon`, and CommandRejected for what is not taken."""
        if self._end is not None:
            raise self._end
        named = self._named(draft)
        known = next((one for one in self._drafts if one["nonce"] == named["nonce"]), None)
        if known is None:
            if len(self._drafts) >= self._limit:
                raise OutboxFull("the outbox is full")
            self._drafts.append(named)
            self._store()
            self._filled.set()
        elif known != named:
            raise CommandRejected("conflict", "another message of the outbox has this nonce", "nonce")
        future = self._results.get(named["nonce"])
        if future is None:
            future = self._results[named["nonce"]] = asyncio.get_running_loop().create_future()
        return future

    def _named(self, draft: Draft) -> Draft:
        """As it is sent, with a nonce: the caller may go on to change its own."""
        try:
            content = msgspec.json.encode({**draft, "nonce": draft.get("nonce") or self._nonces.new_nonce()})
        except (TypeError, ValueError, RecursionError) as error:
            raise CommandRejected("invalid", f"the message is no JSON: {error}") from error
        if len(content) > _DRAFT_BYTES:
            raise CommandRejected("too_large", "the message is too long")
        named: Draft = msgspec.json.decode(content)
        if not isinstance(named["nonce"], str):
            raise CommandRejected("invalid", "a nonce is a text", "nonce")
        return named

    async def first(self) -> Draft:
        """Waits for one."""
        while not self._drafts:
            self._filled.clear()
            await self._filled.wait()
        return self._drafts[0]

    def complete(self, draft: Draft, result: dict[str, Any] | ClientError) -> None:
        """The server has stored or rejected it."""
        self._drafts.remove(draft)
        self._store()
        future = self._results.pop(draft["nonce"], None)
        if future is None or future.done():
            return
        if isinstance(result, ClientError):
            future.set_exception(result)
            future.exception()  # a caller that has given up is no error
        else:
            future.set_result(result)

    def abandon(self, error: ClientError) -> None:
        """No message will be sent any more; those that wait stay in the storage."""
        self._end = error
        for future in self._results.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # a caller that has given up is no error
        self._results.clear()

    def _store(self) -> None:
        try:
            self._storage.store(msgspec.json.encode(_StoredOutbox(self.account, list(self._drafts))))
        except Exception as error:
            self._failed(error)
