"""After a loss: what the accounts of this node have is compared with what message has, a few accounts at a time."""

import asyncio
import random
from collections.abc import Collection

from services.edge.canonical.events import ChatJoined
from services.edge.delivery.gap_filler import GapFiller
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST
from services.edge.metrics import Metrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from services.edge.rpc.retrying import request_until_answered
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSync, Sync
from shared.telemetry import log

_log = log(__name__)
_AT_ONCE = 8
_JITTER_SECONDS = 0.3


class Resync:
    def __init__(
        self, bus: Bus, residents: LocalAccounts, chats: LocalChats, gaps: GapFiller, metrics: Metrics
    ) -> None:
        self._bus = bus
        self._residents = residents
        self._chats = chats
        self._gaps = gaps
        self._metrics = metrics
        self._doubted: dict[AccountId, None] = {}
        self._doubt = asyncio.Event()

    def mark_stale(self, reason: str, accounts: Collection[AccountId] | None = None) -> None:
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
                await self._reconcile_all(account)
            except RequestError as refusal:
                _log.warning("account cannot be synced", account=account, error=str(refusal))
            except Exception:
                _log.exception("account not synced", account=account)
            self._metrics.resyncs.inc()

    async def _reconcile_all(self, account: AccountId) -> None:
        """Every chat of the account. Raises Refused."""
        resident = self._residents.get(account)
        if resident is None:
            return
        self._residents.stale_profiles.add(account)
        after, unlisted, more = ChatId(0), set(resident.chats), True
        while more:
            known = [chat for chat in resident.chats if chat > after]
            reply = await request_until_answered(self._bus, subjects.SYNC, Sync(account, after, known))
            if self._residents.get(account) is not resident:
                return
            for entry in reply.chats:
                unlisted.discard(entry.chat)
                self.reconcile(resident, entry)
            more = reply.more
            after = reply.chats[-1].chat if reply.chats else after
        for chat in unlisted:
            self._chats.left(resident, chat)

    def reconcile(self, resident: LocalAccount, entry: ChatSync) -> None:
        if entry.chat in resident.left:
            self._chats.recheck_left(resident, entry.chat)
        elif entry.chat not in resident.chats:
            self._turned_up(resident, entry)
        stream = self._chats.stream(entry.chat)
        if stream is not None:
            stream.known = max(stream.known, entry.head)
            if stream.behind:
                self._gaps.watch(entry.chat, stream)

    def _turned_up(self, resident: LocalAccount, entry: ChatSync) -> None:
        """The account is in a chat that it was not known to be in. What it missed comes from the stream, unless that
        has passed it already."""
        resident.notify(ChatJoined(entry.chat))
        missed = min(entry.unread_from - 1, entry.head)
        stream = self._chats.stream(entry.chat)
        if stream is None or stream.head is None or stream.head <= missed:
            self._chats.joined(resident, entry.chat, missed if stream is None else None)
        else:
            resident.catch_up(entry.chat, AFTER_LAST)
