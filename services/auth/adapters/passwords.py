"""Argon2id hashes, computed on their own threads in order of arrival, with a bounded queue."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from secrets import token_hex
from typing import TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from services.auth.adapters.allocator import return_memory
from services.auth.metrics import AuthMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.accounts import AuthSettings

T = TypeVar("T")

_MAX_WAIT_SECONDS = 6.0
"""The longest wait for a hash. Callers stop waiting soon afterwards, so a later hash would be useless."""
_RESTED_SECONDS = 60.0
"""After this time without a hash, the memory of the last ones, 19 MiB each, goes back to the system. It is kept until
then, because a hash in new memory takes half as long again."""


class Argon2Hasher:
    """Implements services.auth.service.ports.PasswordHashing. `hash` and `verify` raise RequestError (`unavailable`)
    when the queue is full or the wait too long."""

    def __init__(self, settings: AuthSettings, metrics: AuthMetrics) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.argon2_iterations, memory_cost=settings.argon2_memory_kib, parallelism=1
        )
        self._dummy_verifier = self._hasher.hash(token_hex(16))
        self._threads = ThreadPoolExecutor(settings.hash_threads, "argon2")
        self._free = asyncio.Semaphore(settings.hash_threads)
        self._queue = settings.hash_queue
        self._waiting = 0
        self._metrics = metrics
        self._returning: asyncio.TimerHandle | None = None

    async def hash(self, texts: Sequence[str]) -> list[str]:
        return await self._run(lambda: [self._hasher.hash(text) for text in texts])

    async def verify(self, verifier: str | None, text: str) -> bool:
        matches = await self._run(lambda: self._matches(verifier or self._dummy_verifier, text))
        return matches and verifier is not None

    def is_outdated(self, verifier: str) -> bool:
        made = extract_parameters(verifier)
        return made.memory_cost < self._hasher.memory_cost or made.time_cost < self._hasher.time_cost

    @property
    def is_busy(self) -> bool:
        return self._waiting > 0

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
        await asyncio.to_thread(self._threads.shutdown)

    def _matches(self, verifier: str, text: str) -> bool:
        try:
            return self._hasher.verify(verifier, text)
        except VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        await self._acquire_thread()
        try:
            with self._metrics.hash_seconds.time():
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._free.release()
            self._return_memory_later()

    def _return_memory_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._returning is not None:
            self._returning.cancel()
        self._returning = loop.call_later(_RESTED_SECONDS, loop.run_in_executor, self._threads, return_memory)

    async def _acquire_thread(self) -> None:
        if self._waiting >= self._queue:
            raise RequestError(ErrorCode.UNAVAILABLE, "too many logins at the moment, please try again")
        self._waiting += 1
        self._metrics.hashes_waiting.set(self._waiting)
        try:
            async with asyncio.timeout(_MAX_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "too many logins at the moment, please try again") from error
        finally:
            self._waiting -= 1
            self._metrics.hashes_waiting.set(self._waiting)


class CommonPasswords:
    """The 30,000 most common passwords, in lower case, from zxcvbn's list. They are one text, because a set of them
    takes 4 MiB. The file of the lists is run by itself, because the package makes dictionaries of all its lists when it
    is imported, which take 10 MiB."""

    def __init__(self) -> None:
        package = find_spec("zxcvbn")
        assert package is not None
        assert package.origin is not None
        lists = run_path(str(Path(package.origin).with_name("frequency_lists.py")))
        self._text = "\n".join(("", *lists["FREQUENCY_LISTS"]["passwords"], ""))

    def __contains__(self, password: object) -> bool:
        return "\n" not in str(password) and f"\n{password}\n" in self._text
