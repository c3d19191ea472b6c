"""Read state on its way to message: gathered for a moment, committed together; then presence may be left."""

import asyncio
import sys
from collections.abc import Collection, Coroutine, Sequence
from typing import Any

from redis.exceptions import RedisError

from services.edge.presence.local_accounts import LocalAccounts
from services.edge.receipts.read_state import Ranges, ReadBuffer
from shared.bus.client import Bus, NoResponders
from shared.contract import subjects
from shared.contract.edge import FlushReadState, ReadStateFlushed
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, NodeId
from shared.contract.message import MarkRead, ReadRange
from shared.telemetry import log

_log = log(__name__)
_GATHER_SECONDS = 0.4
_DEPARTURE_SECONDS = 0.1
"""Who leaves may be on another node soon, which asks for what was got here; unless presence was lost just now."""
_FORGOTTEN_SECONDS = 0.5
"""Then, a node is given so long to commit unasked what those who have left it had got."""
_AT_ONCE = 4_000
_ATTEMPT_SECONDS = 2.0
_PAUSE_SECONDS = 0.2
_GONE_SECONDS = 0.25
"""A node that was not there is not asked again so soon: when one dies, thousands may come from it."""


class ReadStateFlusher:
    def __init__(self, bus: Bus, node: NodeId, residents: LocalAccounts) -> None:
        self._bus = bus
        self._node = node
        self._residents = residents
        self._gathered = ReadBuffer()
        self._committing: frozenset[AccountId] = frozenset()
        self._flushing = asyncio.Lock()
        self._gone: dict[NodeId, float] = {}
        """Nodes that were not there, and until when that is believed."""

    def serve(self) -> None:
        """Before the bus starts."""
        self._bus.serve(subjects.flush(self._node), self._asked)

    async def run(self) -> None:
        due = _now()
        while True:
            await asyncio.sleep(_DEPARTURE_SECONDS)
            if self._residents.awaiting_leave() or (self._gathered and due <= _now()):
                await self.flush()
                due = _now() + _GATHER_SECONDS

    def read(self, account: AccountId, ranges: Ranges) -> None:
        """The account has got these messages."""
        self._gathered.add(account, ranges)

    async def flush(self) -> bool:
        """Commit all that is gathered, then leave presence for those who are gone; whether it worked."""
        async with self._flushing:
            departed = self._residents.awaiting_leave()
            if not await self._commit_gathered():
                return False
            try:
                await self._residents.leave(departed)
            except RedisError as error:
                _log.warning("presence not left, will be repeated", error=repr(error))
                return False
            return True

    async def _commit_gathered(self) -> bool:
        """What comes meanwhile waits for the next time. What is not known to be committed is told again, also when
        whoever flushes does not wait for the answer."""
        waiting, self._gathered = self._gathered, ReadBuffer()
        self._committing = waiting.accounts
        ranges: list[ReadRange] = []
        try:
            while ranges := waiting.take(_AT_ONCE):
                await self._bus.request(subjects.MARK_READ, MarkRead(ranges), seconds=_ATTEMPT_SECONDS, retry=True)
            return True
        except RequestError as refusal:
            _log.warning("read state not committed, will be repeated", error=str(refusal))
            return False
        finally:
            self._gathered.put_back(ranges)
            self._gathered.put_back(waiting.take(sys.maxsize))
            self._committing = frozenset()

    # What connections of the account have got must be known before its unread messages are looked for.

    async def flush_account(self, account: AccountId, others: Collection[NodeId]) -> None:
        """Find out what the account's connections have got, here and on other nodes, and commit it, however long that
        takes: while it cannot be committed, nothing unread can be asked for either. Nodes that presence has
        forgotten do so unasked."""
        if self._residents.presence_unknown:
            await asyncio.sleep(_FORGOTTEN_SECONDS)
        await _all([self._settle_here(account), *(self._settle_there(account, node) for node in others)])

    async def _settle_here(self, account: AccountId) -> None:
        resident = self._residents.get(account)
        await _all([recipient.confirm_all() for recipient in (resident.recipients if resident else ())])
        while account in self._gathered or account in self._committing:
            if await self.flush():
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _settle_there(self, account: AccountId, node: NodeId) -> None:
        """Until it has answered or is gone: a node that is frozen loses its place on the bus within seconds."""
        while self._gone.get(node, 0.0) < _now():
            try:
                await self._bus.request(
                    subjects.flush(node), FlushReadState(account), seconds=_ATTEMPT_SECONDS, wait_for_service=False
                )
                return
            except NoResponders:
                self._gone = {other: until for other, until in self._gone.items() if until > _now()}
                self._gone[node] = _now() + _GONE_SECONDS
                return
            except RequestError as refusal:
                _log.info("other node did not flush yet", other=node, error=str(refusal))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _asked(self, request: FlushReadState) -> ReadStateFlushed:
        await self._settle_here(request.account)
        return ReadStateFlushed(self._node, self._residents.get(request.account) is not None)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _all(steps: Sequence[Coroutine[Any, Any, None]]) -> None:
    """At the same time. Mostly there is one or none, which costs no task."""
    if len(steps) == 1:
        await steps[0]
    else:
        await asyncio.gather(*steps)
