"""After a loss: what the accounts of this node have is compared with what message has, a few accounts at a time."""

import asyncio
import random
from collections.abc import Collection

from services.edge.canonical.events import ChatAppeared
from services.edge.delivery.gap_filler import Gaps
from services.edge.delivery.local_chats import Chats
from services.edge.delivery.ordering import BEYOND
from services.edge.metrics import Metrics
from services.edge.presence.local_accounts import Resident, Residents
from services.edge.rpc.retrying import insist
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.errors import Refused
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSync, Sync
from shared.telemetry import log

_log = log(__name__)
_AT_ONCE = 8
_JITTER_SECONDS = 0.3


class Resync:
    def __init__(self, bus: Bus, residents: Residents, chats: Chats, gaps: Gaps, metrics: Metrics) -> None:
        self._bus = bus
        self._residents = residents
        self._chats = chats
        self._gaps = gaps
        self._metrics = metrics
        self._doubted: dict[AccountId, None] = {}
        self._doubt = asyncio.Event()

    def doubt(self, reason: str, accounts: Collection[AccountId] | None = None) -> None:
        """What these accounts have got, or everybody here, is to be compared, soon."""
        doubted = self._residents.by_account if accounts is None else accounts
        if doubted and not self._doubted:
            _log.info("re-sync", reason=reason, accounts=len(doubted))
        self._doubted.update(dict.fromkeys(doubted))
        if self._doubted:
            self._doubt.set()

    async def run(self) -> None:
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            await asyncio.sleep(random.uniform(0, _JITTER_SECONDS))  # noqa: S311
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(self._doubted))):
                    group.create_task(self._work())

    async def _work(self) -> None:
        while self._doubted:
            account = next(iter(self._doubted))
            del self._doubted[account]
            try:
                await self._compare_all(account)
            except Refused as refusal:
                _log.warning("account cannot be synced", account=account, error=str(refusal))
            except Exception:
                _log.exception("account not synced", account=account)
            self._metrics.resyncs.inc()

    async def _compare_all(self, account: AccountId) -> None:
        """Every chat of the account. Raises Refused."""
        resident = self._residents.get(account)
        if resident is None:
            return
        self._residents.faces_due.add(account)
        after, unlisted, more = ChatId(0), set(resident.chats), True
        while more:
            known = [chat for chat in resident.chats if chat > after]
            reply = await insist(self._bus, subjects.SYNC, Sync(account, after, known))
            if self._residents.get(account) is not resident:
                return
            for entry in reply.chats:
                unlisted.discard(entry.chat)
                self._compare(resident, entry)
            more = reply.more
            after = reply.chats[-1].chat if reply.chats else after
        for chat in unlisted:
            self._chats.left(resident, chat)

    def _compare(self, resident: Resident, entry: ChatSync) -> None:
        if entry.chat in resident.left:
            self._chats.doubt_left(resident, entry.chat)
        elif entry.chat not in resident.chats:
            self._turned_up(resident, entry)
        stream = self._chats.stream(entry.chat)
        if stream is not None:
            stream.known = max(stream.known, entry.head)
            if stream.behind:
                self._gaps.look_after(entry.chat, stream)

    def _turned_up(self, resident: Resident, entry: ChatSync) -> None:
        """The account is in a chat that it was not known to be in. What it missed comes from the stream, unless that
        has passed it already."""
        resident.tell(ChatAppeared(entry.chat))
        missed = min(entry.unread_from - 1, entry.head)
        stream = self._chats.stream(entry.chat)
        if stream is None or stream.head is None or stream.head <= missed:
            self._chats.joined(resident, entry.chat, missed if stream is None else None)
        else:
            resident.catch_up(entry.chat, BEYOND)
