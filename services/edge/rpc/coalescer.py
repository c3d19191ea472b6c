"""Coalesces lookups of one kind into batched requests (the DataLoader pattern).

All lookups of one event-loop iteration share a request, and so do all lookups that are made while two requests are in
flight. So very many logins at once need few requests, which are answered in order. While replies take long, requests
get smaller, because a request that takes longer than its time limit would never be answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from shared.contract.errors import ErrorCode, RequestError
from shared.tasks import Tasks

K = TypeVar("K")
V = TypeVar("V")

_CONCURRENT_REQUESTS = 2
_LEAST_KEYS = 16
_QUICK_SECONDS, _SLOW_SECONDS = 0.5, 1.0

FetchMany = Callable[[Sequence[K]], Awaitable[Mapping[K, V | RequestError]]]
"""Returns the values of at least one of the keys. For a key without a value, it returns the error."""


class RequestCoalescer(Generic[K, V]):
    """A request has at most `limit` keys. The number of waiting keys is not limited, because the number of callers
    (connections) is."""

    def __init__(self, name: str, fetch: FetchMany[K, V], limit: int) -> None:
        self._name = name
        self._fetch = fetch
        self._limit = self._size = limit
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        """For each key, a future of each caller. One caller may give up alone."""
        self._in_flight = 0
        self._scheduled = False
        self._tasks = Tasks()

    async def get(self, key: K, seconds: float | None = None) -> V:
        """Return the key's value, as it is after this call. Raises RequestError after `seconds`, and the exceptions of
        `fetch`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[V] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        self._schedule()
        if seconds is None:
            return await future
        timer = loop.call_later(seconds, _time_out, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self) -> None:
        while self._waiting:
            _cancel(self._waiting.popitem()[1])
        await self._tasks.close()

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled and self._in_flight < _CONCURRENT_REQUESTS:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_next)

    def _start_next(self) -> None:
        self._scheduled = False
        batch = dict(islice(self._waiting.items(), self._size))
        for key in batch:
            del self._waiting[key]
        self._in_flight += 1
        self._tasks.start(self._resolve(batch), self._name)
        self._schedule()

    async def _resolve(self, batch: dict[K, "list[asyncio.Future[V]]"]) -> None:
        try:
            while batch:
                for key, value in (await self._timed_fetch(list(batch))).items():
                    if isinstance(value, RequestError):
                        _fail(batch.pop(key), value)
                    else:
                        _set_result(batch.pop(key), value)
        except Exception as error:
            while batch:
                _fail(batch.popitem()[1], error)
        finally:
            for futures in batch.values():
                _cancel(futures)
            self._in_flight -= 1
            self._schedule()

    async def _timed_fetch(self, keys: Sequence[K]) -> Mapping[K, V | RequestError]:
        """Fetch the values, and adapt the size of later requests to the time that this takes."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            return await self._fetch(keys)
        finally:
            seconds = clock() - started
            if seconds > _SLOW_SECONDS:
                self._size = max(min(self._limit, _LEAST_KEYS), min(self._size, len(keys) // 2))
            elif seconds < _QUICK_SECONDS and len(keys) >= self._size:
                self._size = min(self._limit, 2 * self._size)


def _set_result(futures: "list[asyncio.Future[V]]", value: V) -> None:
    for future in futures:
        if not future.done():
            future.set_result(value)


def _fail(futures: "list[asyncio.Future[V]]", error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _cancel(futures: "list[asyncio.Future[V]]") -> None:
    for future in futures:
        future.cancel()


def _time_out(future: "asyncio.Future[V]") -> None:
    if not future.done():
        text = "there are too many requests at the moment, please try again"
        future.set_exception(RequestError(ErrorCode.UNAVAILABLE, text))
