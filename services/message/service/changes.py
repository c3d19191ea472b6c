"""Changes of committed messages: checked, committed, then announced to the edges of the members. Also their pages."""

import asyncio
from typing import Protocol
from weakref import WeakValueDictionary

from services.message.domain import NO_SUCH_MESSAGE, NOT_A_MEMBER, Rights, change_size
from services.message.metrics import MessageMetrics
from services.message.service.ports import LookUpVersions, RosterPort
from services.message.service.roster import Roster
from services.message.store import MessageStore, Revised, Snapshot
from shared.clock import now_ms
from shared.contract.edge import ChangeDelivery
from shared.contract.errors import Failure, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import (
    Changed,
    ChangeKind,
    ChangeMessage,
    ChangePage,
    GetChanges,
    MessageChange,
    RecallText,
)
from shared.contract.model import Message
from shared.contract.receipts import MAX_REACTORS, FindReactors, Reactor, Reactors
from shared.contract.session import ChangeTimes
from shared.emoji import canonical_emoji
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_NEVER = 2**63
PAGE_CHANGES = 200
PAGE_BYTES = 256 * 1024


class Announcer(Protocol):
    async def announce(self, message: Message, delivery: ChangeDelivery) -> None:
        """Publish a change of the message to the edges of the members that may see it; the delivery has no recipients
        yet. Does not raise: a lost announcement is made good by syncs."""


class MessageChanges:
    """Each method is one use case. Raises RequestError."""

    def __init__(
        self,
        store: MessageStore,
        rosters: RosterPort,
        versions: LookUpVersions,
        announcer: Announcer,
        metrics: MessageMetrics,
        settings: MessageSettings,
    ) -> None:
        self._store = store
        self._rosters = rosters
        self._versions = versions
        self._announcer = announcer
        self._metrics = metrics
        self._locks = WeakValueDictionary[ChatId, asyncio.Lock]()
        """By chat, while a change is under way."""
        self._edit_ms = int(settings.edit_seconds * 1000)
        self._recall_ms = int(settings.recall_seconds * 1000)

    async def change(self, request: ChangeMessage) -> Changed:
        """The change is committed before the reply, and announced before it, each in the order of `rev`; one that a
        replica may have committed before it died is announced again, and edges know it by its `rev`. A member of a
        group that may not post may recall. A blocked one may not: it would take from the other member what that has
        reported, or will."""
        roster = await self._roster(request.chat, request.actor)
        failure = roster.check_muted(request.actor, now_ms())
        if failure is not None and (roster.pair is not None or not isinstance(request.change, RecallText)):
            raise RequestError.from_failure(failure)
        async with self._locks.setdefault(request.chat, asyncio.Lock()):
            revised = await self._store.change(request, self._rights(roster, request.actor))
            if (change := revised.change or revised.again) is not None:
                await self._announcer.announce(revised.message, ChangeDelivery(change, None, request.origin))
        self._record(request, revised)
        return revised.reply

    def _record(self, request: ChangeMessage, revised: Revised) -> None:
        if revised.change is None:
            return
        self._metrics.changes[revised.change.kind].inc()
        if revised.change.kind is ChangeKind.RECALL and revised.message.sender != request.actor:
            _log.info("message recalled", chat=request.chat, index=request.index, by=request.actor)

    def _rights(self, roster: Roster, actor: AccountId) -> Rights:
        now, is_private = now_ms(), roster.pair is not None
        leads = not is_private and actor in roster.leaders
        first_index, _ = roster.members[actor]
        times = roster.change_times or ChangeTimes()
        edit_from = _changeable_from(now, self._edit_ms, times.edit)
        recall_from = _changeable_from(now, self._recall_ms, times.recall)
        return Rights(first_index, edit_from, recall_from, leads, pins=leads or is_private)

    async def changes(self, request: GetChanges) -> ChangePage:
        first_index, _ = (await self._roster(request.chat, request.actor)).members[request.actor]
        return await self._store.read(lambda snapshot: _page(snapshot, request, first_index))

    async def reactors(self, request: FindReactors) -> Reactors:
        first_index, _ = (await self._roster(request.chat, request.actor)).members[request.actor]
        return await self._store.read(lambda snapshot: _find_reactors(snapshot, request, first_index))

    async def _roster(self, chat: ChatId, actor: AccountId) -> Roster:
        roster = (await self._rosters.load([chat], await self._versions([chat])))[chat]
        if isinstance(roster, Failure):
            raise RequestError.from_failure(roster)
        if actor not in roster.members:
            raise RequestError.from_failure(NOT_A_MEMBER)
        return roster


def _changeable_from(now: int, longest_ms: int, seconds: int | None) -> int:
    """Messages of this time or later may be changed. `seconds`: as the group has set."""
    ms = longest_ms if seconds is None else min(longest_ms, seconds * 1000)
    return now - ms if ms else _NEVER


def _page(snapshot: Snapshot, request: GetChanges, first_index: int) -> ChangePage:
    head = snapshot.heads([request.chat]).get(request.chat, 0)
    rev = snapshot.activity([request.chat])[request.chat].rev if head else 0
    found = snapshot.changes(request.chat, request.after, (first_index, head), request.actor, PAGE_CHANGES)
    fitting = take_changes(found, PAGE_BYTES)
    return ChangePage(fitting, rev, more=len(fitting) < len(found) or len(found) == PAGE_CHANGES)


def take_changes(changes: list[MessageChange], budget: int) -> list[MessageChange]:
    """The first of these changes that fit, at least one."""
    fitting: list[MessageChange] = []
    for change in changes:
        budget -= change_size(change)
        if budget < 0 and fitting:
            break
        fitting.append(change)
    return fitting


def _find_reactors(snapshot: Snapshot, request: FindReactors, first_index: int) -> Reactors:
    """Who has reacted to a message. `first_index`: the first that the actor may see. Raises RequestError."""
    chat, index = request.chat, request.index
    if not first_index <= index <= snapshot.heads([chat]).get(chat, 0):
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    count = min(max(request.count, 1), MAX_REACTORS)
    found = snapshot.reactors((chat, index), canonical_emoji(request.emoji), request.after, count + 1)
    listed = [Reactor(account, emojis) for account, emojis in found]
    return Reactors(listed[:count], more=len(listed) > count)
