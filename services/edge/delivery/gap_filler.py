"""Fills gaps in the chats of this node. It fetches missing messages from the message service, for the accounts that may
read them.

A missing message usually arrives without a request, and so does the membership version that a broadcast needs. So the
node fetches a missing message only after 0.1 s, and a missing version only after 0.03 s. An unknown last index is
fetched at once.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer
from services.edge.delivery.quotes import QuoteReader, Quotes
from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from services.edge.rpc.retrying import request_until_answered
from shared.bus.client import Bus
from shared.contract.edge import Delivery
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSynced, SyncChat
from shared.contract.model import Message, ProfileSummary
from shared.tasks import Tasks, growing_pauses
from shared.telemetry import log

_log = log(__name__)
_GAP_SECONDS = 0.1
_MEMBERSHIP_SECONDS = 0.03
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.03, 0.5
"""The pause after a request whose reply had nothing new. The pause doubles each time. While many accounts join a chat,
replies are often slightly too old."""
_SUMMARY_SECONDS = 2.0
_ACCOUNTS_PER_REQUEST = 4_000
"""The most accounts in one request. The reply contains each account twice."""

FirstUndelivered = Callable[[AccountId, ChatId, int, int], int]
"""See ReadStateFlusher.first_undelivered."""


@dataclass
class GapFiller:
    """See services.edge.delivery.local_chats.GapWatcher."""

    _bus: Bus
    _accounts: LocalAccounts
    _first_undelivered: FirstUndelivered
    _quotes: QuoteReader
    _metrics: EdgeMetrics
    _journal: MessageJournal
    _tasks: Tasks = field(default_factory=Tasks, init=False)
    _filling: dict[ChatId, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _timers: dict[ChatId, asyncio.TimerHandle] = field(default_factory=dict, init=False)

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._tasks.close()

    def watch(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> None:
        if chat in self._filling or chats.sequencer(chat) is not sequencer:
            return
        if sequencer.head is None:
            self._start(chats, chat, sequencer)
        elif chat not in self._timers:
            loop = asyncio.get_running_loop()
            seconds = _MEMBERSHIP_SECONDS if sequencer.waits_for_membership else _GAP_SECONDS
            self._timers[chat] = loop.call_later(seconds, self._overdue, chats, chat, sequencer, sequencer.head)

    def forget(self, chat: ChatId) -> None:
        if (timer := self._timers.pop(chat, None)) is not None:
            timer.cancel()
        if (task := self._filling.pop(chat, None)) is not None:
            task.cancel()

    def _overdue(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer, head: int) -> None:
        del self._timers[chat]
        if sequencer.head == head and sequencer.behind:
            self._start(chats, chat, sequencer)
        elif sequencer.behind:
            self.watch(chats, chat, sequencer)

    def _start(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> None:
        self._metrics.catch_ups.inc()
        self._filling[chat] = self._tasks.start(self._fill(chats, chat, sequencer), "fill a gap")

    async def _fill(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> None:
        """Fetch all messages and membership changes that the sequencer is missing."""
        pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        try:
            while sequencer.behind:
                if await self._fill_page(chats, chat, sequencer):
                    pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
                else:
                    await asyncio.sleep(next(pauses))
        except RequestError as error:
            _log.warning("chat cannot be read", chat=chat, error=str(error))
            chats.drop(chat)
        finally:
            if self._filling.get(chat) is asyncio.current_task():
                del self._filling[chat]

    async def _fill_page(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> bool:
        """Fetch one page. Returns whether the next page can be requested without a pause. Raises RequestError."""
        after = AFTER_LAST if sequencer.head is None else sequencer.head  # AFTER_LAST requests only the last index
        page = await self._request_changes(chat, sequencer, after)
        if page is None:
            page = await self._request_page(chat, sequencer, after, for_all=sequencer.waits_for_membership)
        if page is None:
            return False
        reply = page.reply
        summaries = await self._sender_summaries(sequencer, reply.messages)
        quotes = await self._quotes.of(reply.messages)
        if page.requested is not None and not sequencer.members.keys() <= page.requested:
            # an account has joined since the request, and the reply does not say which messages it may read
            return True
        before = sequencer.head
        chats.apply_membership(chat, page.concerned, page.first_index, reply.version, for_all=page.for_all)
        if chats.sequencer(chat) is not sequencer:
            return True  # the chat no longer has local members
        if reply.version < sequencer.latest_version:  # its messages may need a later member list
            chats.release(chat, sequencer, sequencer.drain())
            return sequencer.head != before
        sequencer.known_head = max(sequencer.known_head, reply.head)
        sequencer.pair = reply.pair or sequencer.pair
        if after != AFTER_LAST:
            self._journal.arrived("", 0, chat, after + 1, reply.upto)
            deliveries = _to_deliveries(reply, sequencer, summaries, quotes)
            chats.release(chat, sequencer, sequencer.fill(deliveries, reply.upto, reply.version))
        elif sequencer.head is None:
            end = reply.head + 1
            first = (self._first_undelivered(account, chat, index, end) for account, index in reply.unread_from.items())
            chats.release(chat, sequencer, sequencer.start(min(first, default=end) - 1))
        return sequencer.head != before

    async def _sender_summaries(
        self, sequencer: ChatSequencer, messages: Collection[Message]
    ) -> Mapping[AccountId, ProfileSummary]:
        """The senders' profile summaries, if a local member's client shows them. A gap is filled even if the summaries
        cannot be fetched."""
        if not messages or not any(self._accounts.names_senders(account) for account in sequencer.members):
            return {}
        try:
            return await fetch_summaries(self._bus, {message.sender for message in messages}, _SUMMARY_SECONDS)
        except RequestError as error:
            _log.warning("senders' profile summaries unavailable", error=str(error))
            return {}

    async def _request_changes(self, chat: ChatId, sequencer: ChatSequencer, after: int) -> "_Page | None":
        """Request one page of messages, with the membership changes since the version that this node knows. None if the
        message service no longer has these changes."""
        since = sequencer.version
        if not since or after == AFTER_LAST:
            return None
        reply = await request_until_answered(self._bus, SyncChat(chat, [], after, since))
        if reply.changed is None or sequencer.version < since:
            return None
        first_index = {account: first for account, first in reply.changed.items() if first}
        return _Page(reply, None, reply.changed, first_index, for_all=True)

    async def _request_page(
        self, chat: ChatId, sequencer: ChatSequencer, after: int, *, for_all: bool
    ) -> "_Page | None":
        """Request one page of messages, with the membership of the local members, or of all local accounts. Accounts
        that join meanwhile are included. The result is None if the membership changed between the requests and the
        changes are not known."""
        wanted = set(self._accounts.by_account if for_all else sequencer.members)
        reply, requested = None, set[AccountId]()
        while reply is None or not wanted <= requested:
            some = list(islice(wanted - requested, _ACCOUNTS_PER_REQUEST))
            request = SyncChat(chat, some, AFTER_LAST if reply else after, reply.version if reply else 0)
            page = await request_until_answered(self._bus, request)
            requested.update(some)
            wanted.update(sequencer.members)
            if reply is None:
                reply = page
                continue
            if page.version != reply.version:
                if page.changed is None:
                    return None
                requested.update(page.changed)
                _apply_changes(reply.first_index, page.changed)
                reply = msgspec.structs.replace(reply, version=page.version)
            reply.first_index.update(page.first_index)
            reply.unread_from.update(page.unread_from)
        return _Page(reply, requested, requested, reply.first_index, for_all)


class _Page(NamedTuple):
    """A reply with messages and membership. `requested`: the accounts of the request, or None if only changes were
    requested. `concerned`: the accounts whose membership the page contains. `first_index`: the first visible index of
    each account that is a member. `for_all`: whether the membership of all other local accounts is unchanged."""

    reply: ChatSynced
    requested: set[AccountId] | None
    concerned: Collection[AccountId]
    first_index: Mapping[AccountId, int]
    for_all: bool


def _apply_changes(first_index: dict[AccountId, int], changed: Mapping[AccountId, int]) -> None:
    for account, first in changed.items():
        if first:
            first_index[account] = first
        else:
            first_index.pop(account, None)


def _to_deliveries(
    reply: ChatSynced, sequencer: ChatSequencer, summaries: Mapping[AccountId, ProfileSummary], quotes: Quotes
) -> list[Delivery]:
    everyone = list(sequencer.members)

    def recipients(message: Message) -> list[AccountId]:
        return everyone if sequencer.same_for_all(message.index) else list(sequencer.visible_to(message.index))

    return [
        Delivery(
            message,
            recipients(message),
            0,
            face=summaries.get(message.sender),
            quote=quotes.get((message.chat, message.index)),
        )
        for message in reply.messages
    ]
