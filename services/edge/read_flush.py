"""Read state on its way to message: gathered for a moment, committed together; then presence may be left."""

import asyncio
from collections.abc import Iterable

from redis.exceptions import RedisError

from services.edge.reading import ReadState
from services.edge.residents import Recipient, Residents
from shared.bus import Bus
from shared.contract import subjects
from shared.contract.errors import Refused
from shared.contract.ids import AccountId
from shared.contract.message import MarkRead
from shared.telemetry import log

_log = log(__name__)
_GATHER_SECONDS = 0.15
_AT_ONCE = 4_000
_ATTEMPT_SECONDS = 2.0


class ReadFlush:
    def __init__(self, bus: Bus, residents: Residents, read_state: ReadState) -> None:
        self._bus = bus
        self._residents = residents
        self._read_state = read_state
        self._flushing = asyncio.Lock()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_GATHER_SECONDS)
            if self._read_state or self._residents.departed():
                await self.flush()

    async def flush(self) -> bool:
        """Commit all that is gathered, then leave presence for those who are gone; whether it worked."""
        async with self._flushing:
            departed = self._residents.departed()
            while ranges := self._read_state.take(_AT_ONCE):
                try:
                    await self._bus.ask(subjects.MARK_READ, MarkRead(ranges), seconds=_ATTEMPT_SECONDS, retry=True)
                except Refused as refusal:
                    self._read_state.put_back(ranges)
                    _log.warning("read state not committed, will be repeated", error=str(refusal))
                    return False
            try:
                await self._residents.leave(departed)
            except RedisError as error:
                _log.warning("presence not left, will be repeated", error=repr(error))
                return False
            return True

    async def settle(self, account: AccountId, but: Recipient | None = None) -> None:
        """Find out what the account's connections here have got, and commit it."""
        resident = self._residents.get(account)
        others: Iterable[Recipient] = resident.recipients if resident else ()
        await asyncio.gather(*(recipient.settle() for recipient in others if recipient is not but))
        if account in self._read_state or self._flushing.locked():
            await self.flush()
