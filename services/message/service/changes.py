"""Changes of committed messages. The service checks a change, commits it, and announces it to the edges of the members.
This module also returns pages of changes."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec

from services.message.domain import NO_SUCH_MESSAGE, ChangePermissions, change_size
from services.message.metrics import MessageMetrics
from services.message.service.load_members import load_members, require_member
from services.message.service.member_list import ChatMembers
from services.message.service.ports import LookUpVersions, MemberListPort
from services.message.store import MessageStore, Revised, Snapshot
from shared.clock import now_ms
from shared.contract.edge import ChangeDelivery
from shared.contract.errors import RequestError
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
from shared.emoji import canonical_emoji
from shared.settings.messages import MessageSettings
from shared.telemetry import log

_log = log(__name__)
_NEVER = 2**63
PAGE_CHANGES = 200
PAGE_BYTES = 256 * 1024
_REASON_CHARACTERS = 300
_REMEMBERED_CHANGES = 4_096


class Announcer(Protocol):
    async def announce(self, message: Message, delivery: ChangeDelivery) -> None:
        """Publish a change of the message to the edges of the members that may see it. `delivery` has no recipients
        yet. `announce` does not raise, because edges find a change by a sync if its announcement is lost."""


@dataclass(frozen=True)
class MessageChanges:
    """Each public method is one use case. Raises RequestError."""

    _store: MessageStore
    _member_lists: MemberListPort
    _versions: LookUpVersions
    _announcer: Announcer
    _metrics: MessageMetrics
    _settings: MessageSettings
    _locks: WeakValueDictionary[ChatId, asyncio.Lock] = field(default_factory=WeakValueDictionary, init=False)
    """The lock of each chat while a change of it is under way."""
    _announced: dict[tuple[ChatId, int], None] = field(default_factory=dict, init=False)
    """The chat and `rev` of the changes that this replica has announced last, so that it does not announce them a
    second time."""

    async def change(self, request: ChangeMessage) -> Changed:
        """Commit the change, announce it, and then reply; changes are announced in the order of `rev`.

        A repeated request announces the change again, because another replica may have committed it and died before the
        announcement. A second announcement does no harm, because edges recognise the change by its `rev`."""
        member_list = await self._member_list(request.chat, request.actor)
        async with self._locks.setdefault(request.chat, asyncio.Lock()):
            require_member(member_list, request.actor)  # the actor may have left while the lock was awaited
            revised = await self._store.change(request, self._permissions(member_list, request.actor))
            if (change := revised.change or revised.again) is not None:
                if isinstance(request.change, RecallText) and request.change.reason:
                    change = msgspec.structs.replace(change, reason=request.change.reason[:_REASON_CHARACTERS])
                await self._announce(revised.message, ChangeDelivery(change, None, request.origin, request.face))
        self._record(request, revised)
        return revised.reply

    async def _announce(self, message: Message, delivery: ChangeDelivery) -> None:
        key = delivery.change.chat, delivery.change.rev
        if key in self._announced:
            return
        await self._announcer.announce(message, delivery)
        self._announced[key] = None
        if len(self._announced) > _REMEMBERED_CHANGES:
            del self._announced[next(iter(self._announced))]

    def _record(self, request: ChangeMessage, revised: Revised) -> None:
        if revised.change is None:
            return
        self._metrics.changes[revised.change.kind].inc()
        if revised.change.kind is ChangeKind.RECALL and revised.message.sender != request.actor:
            _log.info("message recalled", chat=request.chat, index=request.index, by=request.actor)

    def _permissions(self, member_list: ChatMembers, actor: AccountId) -> ChangePermissions:
        now, is_private = now_ms(), member_list.pair is not None
        leads = not is_private and actor in member_list.leaders
        first_index, _ = member_list.members[actor]
        times = member_list.change_times
        edit_from = _changeable_from(now, self._settings.edit_seconds, times.edit)
        recall_from = _changeable_from(now, self._settings.recall_seconds, times.recall)
        muted = member_list.check_muted(actor, now)
        return ChangePermissions(first_index, edit_from, recall_from, leads, leads or is_private, muted)

    async def changes(self, request: GetChanges) -> ChangePage:
        first_index, _ = (await self._member_list(request.chat, request.actor)).members[request.actor]
        return await self._store.read(lambda snapshot: _page(snapshot, request, first_index))

    async def reactors(self, request: FindReactors) -> Reactors:
        first_index, _ = (await self._member_list(request.chat, request.actor)).members[request.actor]
        return await self._store.read(lambda snapshot: _find_reactors(snapshot, request, first_index))

    async def _member_list(self, chat: ChatId, actor: AccountId) -> ChatMembers:
        member_list = await load_members(self._member_lists, self._versions, chat)
        require_member(member_list, actor)
        return member_list


def _changeable_from(now: int, longest_seconds: float, seconds: int | None) -> int:
    """The time from which on messages may be changed. `seconds`: the limit that the group has set."""
    ms = int(1000 * (longest_seconds if seconds is None else min(longest_seconds, seconds)))
    return now - ms if ms else _NEVER


def _page(snapshot: Snapshot, request: GetChanges, first_index: int) -> ChangePage:
    head = snapshot.heads([request.chat]).get(request.chat, 0)
    rev = snapshot.activity([request.chat])[request.chat].rev if head else 0
    found = snapshot.changes(request.chat, request.after, (first_index, head), request.actor, PAGE_CHANGES)
    fitting = take_changes(found, PAGE_BYTES)
    return ChangePage(fitting, rev, more=len(fitting) < len(found) or len(found) == PAGE_CHANGES)


def take_changes(changes: list[MessageChange], budget: int) -> list[MessageChange]:
    """The first of these changes that fit into `budget` bytes, at least one."""
    fitting: list[MessageChange] = []
    for change in changes:
        budget -= change_size(change)
        if budget < 0 and fitting:
            break
        fitting.append(change)
    return fitting


def _find_reactors(snapshot: Snapshot, request: FindReactors, first_index: int) -> Reactors:
    """The accounts that have reacted to a message. `first_index`: the first message that the actor may see. Raises
    RequestError."""
    chat, index = request.chat, request.index
    if not first_index <= index <= snapshot.heads([chat]).get(chat, 0):
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    count = min(max(request.count, 1), MAX_REACTORS)
    found = snapshot.reactors((chat, index), canonical_emoji(request.emoji), request.after, count + 1)
    listed = [Reactor(account, emojis) for account, emojis in found]
    return Reactors(listed[:count], more=len(listed) > count)
