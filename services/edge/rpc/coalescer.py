"""Questions of one kind, many of them in one request: who asks in one turn of the event loop, or while enough requests
are under way, goes along with the next one. So a storm of logins makes few requests, and is answered in its order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from shared.contract.errors import ErrorCode, RequestError
from shared.tasks import Tasks

K = TypeVar("K")
V = TypeVar("V")

_AT_ONCE = 2

Ask = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
"""Answers one of the questions at least."""


class RequestCoalescer(Generic[K, V]):
    """At most `most` questions in a request. Those that wait are as many as those who ask: connections are limited."""

    def __init__(self, name: str, ask: Ask[K, V], most: int) -> None:
        self._name = name
        self._ask = ask
        self._most = most
        self._waiting: dict[K, asyncio.Future[V]] = {}
        self._under_way = 0
        self._planned = False
        self._tasks = Tasks()

    async def get(self, key: K, seconds: float | None = None) -> V:
        """The answer to this question, asked after this moment. Raises Refused when that takes longer; what `ask`
        raises."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._queued(key))
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "too much is asked at the moment, please try again") from error

    async def close(self) -> None:
        while self._waiting:
            self._waiting.popitem()[1].cancel()
        await self._tasks.close()

    def _queued(self, key: K) -> asyncio.Future[V]:
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._plan()
        return answer

    def _plan(self) -> None:
        if self._waiting and not self._planned and self._under_way < _AT_ONCE:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        self._planned = False
        some = dict(islice(self._waiting.items(), self._most))
        for key in some:
            del self._waiting[key]
        self._under_way += 1
        self._tasks.start(self._answer(some), self._name)
        self._plan()

    async def _answer(self, waiting: dict[K, "asyncio.Future[V]"]) -> None:
        try:
            while waiting:
                for key, value in (await self._ask(list(waiting))).items():
                    waiting.pop(key).set_result(value)
        except Exception as error:
            for answer in waiting.values():
                answer.set_exception(error)
                answer.exception()  # nobody may be waiting any more
        finally:
            for answer in waiting.values():
                answer.cancel()
            self._under_way -= 1
            self._plan()
