"""Messages that the server has not acknowledged yet, oldest first; a storage keeps them over restarts."""

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import msgspec

from clients.errors import ClientError
from clients.nonces import NonceSource

Draft = dict[str, Any]
"""The members of a `send`, with its nonce."""


class OutboxFull(ClientError):
    """Too many messages wait for the server."""


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
    def __init__(self, storage: OutboxStorage, limit: int) -> None:
        self._storage = storage
        self._limit = limit
        self._nonces = NonceSource()
        self._drafts: deque[Draft] = deque(msgspec.json.decode(storage.load() or b"[]"))
        self._results: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._filled = asyncio.Event()

    def add(self, draft: Draft) -> "asyncio.Future[dict[str, Any]]":
        """The future has the reply, or raises CommandRejected. Raises OutboxFull."""
        if len(self._drafts) >= self._limit:
            raise OutboxFull("the outbox is full")
        named = {"nonce": self._nonces.new_nonce(), **draft}
        self._drafts.append(named)
        self._store()
        self._filled.set()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._results[named["nonce"]] = future
        return future

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
        else:
            future.set_result(result)

    def abandon(self, error: ClientError) -> None:
        """Nobody waits for results any more; the messages stay in the storage."""
        for future in self._results.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # a caller that has given up is no error
        self._results.clear()

    def _store(self) -> None:
        self._storage.store(msgspec.json.encode(list(self._drafts)))
