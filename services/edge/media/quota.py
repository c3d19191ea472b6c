"""Quotas of stored bytes: of each account and day (UTC), and of all files together."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings import MediaSettings

_TOTAL = ""
_FULL = "this server has no room for more pictures and files"


class ByteCounters(Protocol):
    """See services.edge.media.counters.MediaCounters."""

    async def add(self, name: str, number: int) -> int: ...

    async def set(self, name: str, number: int) -> None: ...


class UnfinishedUploads:
    """The bytes of this edge's uploads that are not stored yet: of an account no more than its quota of a day, of all
    no more than that of all files, or uploads that never end would fill the disk. Pure."""

    def __init__(self, settings: MediaSettings) -> None:
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._sizes = Counter[AccountId]()

    def add(self, account: AccountId, size: int) -> None:
        """Raises RequestError (LIMIT), and adds nothing then."""
        if self._total and self._sizes.total() + size > self._total:
            raise RequestError(ErrorCode.LIMIT, _FULL)
        if self._daily and account != NO_ACCOUNT and self._sizes[account] + size > self._daily:
            raise RequestError(ErrorCode.LIMIT, _daily_text(self._daily))
        self._sizes[account] += size

    def remove(self, account: AccountId, size: int) -> None:
        self._sizes[account] -= size
        if not self._sizes[account]:
            del self._sizes[account]


class MediaQuota:
    """`now`: Unix milliseconds."""

    def __init__(self, counters: ByteCounters, settings: MediaSettings, now: Callable[[], int] = now_ms) -> None:
        self._counters = counters
        self._daily = settings.account_bytes_per_day
        self._total = settings.total_bytes
        self._now = now

    async def check(self, account: AccountId, size: int = 1) -> None:
        """Before an upload of at least so many bytes. Raises RequestError (LIMIT)."""
        for name, limit, text in self._limits(account):
            if await self._counters.add(name, 0) + size > limit:
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
            limits.append((_TOTAL, self._total, _FULL))
        if self._daily and account != NO_ACCOUNT:
            day = datetime.fromtimestamp(self._now() / 1000, UTC).strftime("%Y%m%d")
            limits.append((f":{day}:{account}", self._daily, _daily_text(self._daily)))
        return limits


def _daily_text(limit: int) -> str:
    return f"an account may send {limit} bytes of pictures and files a day"
