"""Gaps in the chats of this node: what does not come is fetched from message, for the accounts that may see it.

A missing message, and the membership that a broadcast needs, are waited for briefly: mostly they are on their way. A
head that is not known is asked for at once.
"""

import asyncio
from collections.abc import Collection, Mapping
from itertools import islice

from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer
from services.edge.metrics import Metrics
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from services.edge.rpc.retrying import request_until_answered
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.edge import Delivery
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSynced, SyncChat
from shared.contract.model import Message, ProfileSummary
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GAP_SECONDS = 0.1
_PAUSE_SECONDS = 0.5
_FACES_SECONDS = 2.0
_ACCOUNTS = 4_000
"""Asked for in one request: the answer names each twice."""


class GapFiller:
    def __init__(self, bus: Bus, residents: LocalAccounts, chats: LocalChats, metrics: Metrics) -> None:
        self._bus = bus
        self._residents = residents
        self._chats = chats
        self._metrics = metrics
        self._tasks = Tasks()
        self._filling: dict[ChatId, asyncio.Task[None]] = {}
        self._timers: dict[ChatId, asyncio.TimerHandle] = {}
        chats.on_behind = self.watch
        chats.on_dropped = self._forget

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._tasks.close()

    def watch(self, chat: ChatId, stream: ChatSequencer) -> None:
        """See to it that the stream gets what it is behind with."""
        if chat in self._filling or self._chats.stream(chat) is not stream:
            return
        if stream.head is None:
            self._fill(chat, stream)
        elif chat not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[chat] = loop.call_later(_GAP_SECONDS, self._overdue, chat, stream, stream.head)

    def _overdue(self, chat: ChatId, stream: ChatSequencer, head: int) -> None:
        del self._timers[chat]
        if stream.head == head and stream.behind:
            self._fill(chat, stream)
        elif stream.behind:
            self.watch(chat, stream)

    def _forget(self, chat: ChatId) -> None:
        if (timer := self._timers.pop(chat, None)) is not None:
            timer.cancel()
        if (task := self._filling.pop(chat, None)) is not None:
            task.cancel()

    def _fill(self, chat: ChatId, stream: ChatSequencer) -> None:
        self._metrics.catch_ups.inc()
        self._filling[chat] = self._tasks.start(self._fill_all(chat, stream), "fill a gap")

    async def _fill_all(self, chat: ChatId, stream: ChatSequencer) -> None:
        """Fetch all that the stream lacks."""
        try:
            while stream.behind:
                if not await self._fill_on(chat, stream):
                    await asyncio.sleep(_PAUSE_SECONDS)
        except RequestError as refusal:
            _log.warning("chat cannot be read", chat=chat, error=str(refusal))
            self._chats.drop(chat)
        finally:
            if self._filling.get(chat) is asyncio.current_task():
                del self._filling[chat]

    async def _fill_on(self, chat: ChatId, stream: ChatSequencer) -> bool:
        """A page; whether it is worth asking on at once. Raises Refused."""
        wanted = set(self._residents.by_account if stream.waits_for_membership else stream.members)
        after = AFTER_LAST if stream.head is None else stream.head  # beyond all: asks for the head alone
        reply = await self._ask(chat, stream, after, wanted)
        if reply is None:
            return True
        faces = await self._faces(stream, reply.messages)
        if not stream.members <= wanted:
            return True  # somebody has come meanwhile: what is theirs of it is not known
        if reply.version < stream.heard:
            return False
        before = stream.head
        self._chats.apply_membership(chat, wanted, reply.first_index, reply.version)
        if self._chats.stream(chat) is not stream:
            return True  # nobody here is in it
        stream.known = max(stream.known, reply.head)
        stream.pair = reply.pair or stream.pair
        if after != AFTER_LAST:
            offers = _offers(reply, stream.members, faces)
            self._chats.release(chat, stream, stream.fill(offers, reply.upto, reply.version))
        elif stream.head is None:
            start = min(reply.unread_from.values(), default=reply.head + 1) - 1
            self._chats.release(chat, stream, stream.start(min(start, reply.head)))
        return stream.head != before

    async def _faces(self, stream: ChatSequencer, messages: Collection[Message]) -> Mapping[AccountId, ProfileSummary]:
        """Of the senders, if anybody here is shown them; a gap is not left open for want of them."""
        if not messages or not any(self._residents.names_senders(account) for account in stream.members):
            return {}
        try:
            return await fetch_summaries(self._bus, {message.sender for message in messages}, _FACES_SECONDS)
        except RequestError as refusal:
            _log.warning("senders' faces not known", error=str(refusal))
            return {}

    async def _ask(self, chat: ChatId, stream: ChatSequencer, after: int, wanted: set[AccountId]) -> ChatSynced | None:
        """One page of messages and everything about the accounts wanted, and those that come to the chat meanwhile;
        None when the membership has changed in between."""
        reply, asked = None, set[AccountId]()
        while reply is None or not wanted <= asked:
            some = list(islice(wanted - asked, _ACCOUNTS))
            page = await request_until_answered(
                self._bus, subjects.SYNC_CHAT, SyncChat(chat, some, AFTER_LAST if reply else after)
            )
            asked.update(some)
            wanted |= stream.members
            if reply is None:
                reply = page
            elif page.version != reply.version:
                return None
            reply.first_index.update(page.first_index)
            reply.unread_from.update(page.unread_from)
        return reply


def _offers(
    reply: ChatSynced, members: Collection[AccountId], faces: Mapping[AccountId, ProfileSummary]
) -> list[Delivery]:
    first_index = {account: first for account, first in reply.first_index.items() if account in members}
    everybody, latest = list(first_index), max(first_index.values(), default=0)

    def audience(message: Message) -> list[AccountId]:
        if latest <= message.index:
            return everybody
        return [account for account, first in first_index.items() if first <= message.index]

    return [Delivery(message, audience(message), 0, face=faces.get(message.sender)) for message in reply.messages]
