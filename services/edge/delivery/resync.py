"""After a loss, compares the chats of local accounts with the message service, a few accounts at a time."""

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass, field

from services.edge.canonical.events import ChatJoined, ChatLeft, Departure, MessageChanged
from services.edge.delivery.gap_filler import FirstUndelivered
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST
from services.edge.dialects.encoded_message import to_display_change
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from services.edge.rpc.retrying import TEMPORARY, request_until_answered
from shared.bus.client import Bus
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSync, GetChanges, Sync
from shared.telemetry import log

_log = log(__name__)
_WORKERS = 8
_JITTER_SECONDS = 0.3
_PAUSE_SECONDS = 0.5


@dataclass
class Resync:
    _bus: Bus
    _accounts: LocalAccounts
    _chats: LocalChats
    _first_undelivered: FirstUndelivered
    _metrics: EdgeMetrics
    _stale: dict[AccountId, None] = field(default_factory=dict, init=False)
    _working: set[AccountId] = field(default_factory=set, init=False)
    _has_stale: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def mark_stale(self, reason: str, accounts: Collection[AccountId] | None = None) -> None:
        """Compare these accounts soon, or all local accounts if `accounts` is None."""
        stale = self._accounts.by_account if accounts is None else accounts
        if stale and not self._stale:
            _log.info("re-sync", reason=reason, accounts=len(stale))
        self._stale.update(dict.fromkeys(stale))
        if self._stale:
            self._has_stale.set()

    def compares(self, account: AccountId) -> bool:
        """Whether the account is being compared or will be."""
        return account in self._stale or account in self._working

    async def run(self) -> None:
        """Compare until cancelled. If a comparison gets no answer, it begins again after those of the other
        accounts."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._has_stale.wait()
                self._has_stale.clear()
                await asyncio.sleep(random.uniform(0, _JITTER_SECONDS))  # noqa: S311
                for _ in range(min(_WORKERS - len(self._working), len(self._stale))):
                    group.create_task(self._work())

    async def _work(self) -> None:
        while self._stale:
            account = next(iter(self._stale))
            del self._stale[account]
            self._working.add(account)
            try:
                await self._reconcile_all(account)
            except RequestError as error:
                _log.warning("account cannot be synced", account=account, error=str(error))
                if error.failure.code in TEMPORARY:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    self._stale[account] = None
                    continue
            except Exception:
                _log.exception("account not synced", account=account)
            finally:
                self._working.discard(account)
            self._metrics.resyncs.inc()

    async def _reconcile_all(self, account: AccountId) -> None:
        """Compare every chat of the account. Raises RequestError."""
        local = self._accounts.get(account)
        if local is None:
            return
        self._accounts.stale_profiles.add(account)
        after, unlisted, more = ChatId(0), set(local.chats), True
        lost: list[GetChanges] = []
        while more:
            known = [chat for chat in local.chats if chat > after]
            reply = await self._bus.send(Sync(account, after, known), retry=True)
            if self._accounts.get(account) is not local:
                return
            for entry in reply.chats:
                unlisted.discard(entry.chat)
                self.reconcile(local, entry)
                lost += self._lost_changes(local, entry)
            more = reply.more
            after = max(after, reply.last_chat)
        for chat in unlisted & local.chats:
            self._chats.left(local, chat)
            local.notify(ChatLeft(chat, Departure.UNKNOWN))
        for request in lost:  # after the lists of the sync, which would be outdated after these requests
            await self._notify_changes(local, request)

    def reconcile(self, local: LocalAccount, entry: ChatSync) -> None:
        if entry.chat in local.left:
            self._chats.recheck_left(local, entry.chat)
        elif entry.chat not in local.chats:
            self._join_discovered(local, entry)
        sequencer = self._chats.sequencer(entry.chat)
        if sequencer is not None:
            self._chats.raise_head(entry.chat, sequencer, entry.head)

    def _lost_changes(self, local: LocalAccount, entry: ChatSync) -> list[GetChanges]:
        """Return the request for changes of messages whose announcement was lost, if there are any. Without this
        request, the client would see the loss only at the next change."""
        sequencer = self._chats.sequencer(entry.chat)
        if sequencer is None or sequencer.rev is None or entry.rev <= sequencer.rev:
            return []
        return [GetChanges(entry.chat, sequencer.rev, local.account)]

    async def _notify_changes(self, local: LocalAccount, request: GetChanges) -> None:
        """Push the changes that were lost. Each account gets its own list, because it contains the account's own
        reactions."""
        more = True
        while more and self._accounts.get(local.account) is local:
            try:
                page = await request_until_answered(self._bus, request)
            except RequestError as error:
                _log.warning("changes cannot be read", account=local.account, chat=request.chat, error=str(error))
                return
            for change in page.changes:
                request.after = change.rev
                local.notify(MessageChanged(to_display_change(change)))
            more = page.more and bool(page.changes)

    def _join_discovered(self, local: LocalAccount, entry: ChatSync) -> None:
        """Add the account to a chat of which this node did not know that the account is a member. The chat's missed
        messages come from the sequencer or, if the sequencer has passed them, from a catch-up."""
        local.notify(ChatJoined(entry.chat, entry.head, entry.first_index, entry.rev))
        end = entry.head + 1
        missed = self._first_undelivered(local.account, entry.chat, entry.missed_from, end) - 1
        sequencer = self._chats.sequencer(entry.chat)
        if sequencer is None or sequencer.head is None or sequencer.head <= missed:
            self._chats.joined(local, entry.chat, missed if sequencer is None else None)
        else:
            local.catch_up(entry.chat, AFTER_LAST)
