"""Quotas of stored bytes: of each account and day (UTC), and of all files together."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings import MediaSettings

_TOTAL = ""


class ByteCounters(Protocol):
    """See services.edge.media.counters.MediaCounters."""

    async def add(self, name: str, number: int) -> int: ...

    async def set(self, name: str, number: int) -> None: ...


class MediaQuota:
    """`now`: Unix milliseconds."""

    def __init__(self, counters: ByteCounters, settings: MediaSettings, now: Callable[[], int] = now_ms) -> None:
        self._counters = counters
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._now = now

    async def check(self, account: AccountId) -> None:
        """Before an upload whose size is not known yet. Raises RequestError (LIMIT)."""
        for name, limit, text in self._limits(account):
            if await self._counters.add(name, 0) >= limit:
                raise RequestError(ErrorCode.LIMIT, text)

    async def reserve(self, account: AccountId, size: int) -> None:
        """Before a file is stored. Raises RequestError (LIMIT)."""
        taken: list[str] = []
        for name, limit, text in self._limits(account):
            taken.append(name)
            if await self._counters.add(name, size) > limit:
                for one in taken:
                    await self._counters.add(one, -size)
                raise RequestError(ErrorCode.LIMIT, text)

    async def give_back(self, account: AccountId, size: int) -> None:
        """The file was not stored, or has been removed with the message that should show it."""
        for name, _, _ in self._limits(account):
            await self._counters.add(name, -size)

    async def measured(self, size: int) -> None:
        """The files take so many bytes together."""
        if self._total:
            await self._counters.set(_TOTAL, size)

    def _limits(self, account: AccountId) -> list[tuple[str, int, str]]:
        """Counter, limit, and the error's text."""
        limits: list[tuple[str, int, str]] = []
        if self._total:
            limits.append((_TOTAL, self._total, "this server has no room for more pictures and files"))
        if self._daily and account != NO_ACCOUNT:
            day = datetime.fromtimestamp(self._now() / 1000, UTC).strftime("%Y%m%d")
            text = f"an account may send {self._daily} bytes of pictures and files a day"
            limits.append((f":{day}:{account}", self._daily, text))
        return limits
