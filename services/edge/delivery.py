"""Envelopes to connections: in the order of each chat, without repetition, encoded once.

Gaps and chats whose head is not known are filled from message, for the accounts that may see them. Whatever may have
been lost (`losses`, a reconnect of the bus) makes every chat of every account be compared with its head there.
"""

import asyncio
import random
from collections.abc import Iterable

import msgspec

from services.edge.encoding import Encoded
from services.edge.losses import BROADCAST, LossDetector
from services.edge.metrics import Metrics
from services.edge.requests import ChatAppeared
from services.edge.residents import Resident, Residents
from services.edge.streams import ChatStream, Offer
from shared.bus import Bus
from shared.contract import subjects
from shared.contract.edge import ChatCreated, Envelope, Heartbeat, MembershipChanged
from shared.contract.errors import ErrorCode, Refused
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSync, ChatSynced, Sync, SyncChat
from shared.contract.model import Message, Role
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GAP_SECONDS = 0.1
_PAUSE_SECONDS = 0.5
_RESYNCS_AT_ONCE = 8
_JITTER_SECONDS = 0.3
_BEYOND = 2**53
"""An index after every message: asks for the head alone."""

_decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class Delivery:
    def __init__(self, bus: Bus, node: NodeId, residents: Residents, metrics: Metrics) -> None:
        self._bus = bus
        self._node = node
        self._residents = residents
        self._metrics = metrics
        self._losses = LossDetector(node)
        self._streams: dict[ChatId, ChatStream] = {}
        self._tasks = Tasks()
        self._disturbed = asyncio.Event()

    def listen(self) -> None:
        """Before the bus starts."""
        self._bus.listen(subjects.deliver(self._node), lambda data: self._envelope(data, self._node))
        self._bus.listen(subjects.BROADCAST, lambda data: self._envelope(data, BROADCAST))
        self._bus.listen(subjects.HEARTBEAT, self._heartbeat)
        self._bus.on_disturbed = self.disturbed

    def start(self) -> None:
        self._tasks.start(self._resync_forever(), "resync")

    async def stop(self) -> None:
        await self._tasks.close()

    # Streams of chats

    def stream(self, chat: ChatId) -> ChatStream | None:
        return self._streams.get(chat)

    def joined(self, resident: Resident, chat: ChatId, head: int | None) -> ChatStream:
        """The account is in the chat; `head` is what its sync said, unless the stream knows better."""
        resident.chats.add(chat)
        stream = self._streams.get(chat)
        if stream is None:
            stream = self._streams[chat] = ChatStream()
        stream.members.add(resident.account)
        if stream.head is None and head is not None:
            self._deliver(stream.start(head), stream)
            self._look_after(chat, stream)
        return stream

    def left(self, resident: Resident, chat: ChatId) -> None:
        resident.chats.discard(chat)
        stream = self._streams.get(chat)
        if stream is not None:
            stream.members.discard(resident.account)
            if not stream.members and not stream.readers:
                del self._streams[chat]

    def gone(self, resident: Resident) -> None:
        """The account has no connection here any more."""
        for chat in list(resident.chats):
            self.left(resident, chat)

    def expect(self, chat: ChatId, index: int) -> bool:
        """Message `index` is committed; False when it has passed here already. Otherwise it is waited for, or
        fetched."""
        stream = self._streams.get(chat)
        if stream is None or stream.delivered(index):
            return False
        asyncio.get_running_loop().call_later(_GAP_SECONDS, self._overdue, chat, index)
        return True

    def created(self, notice: ChatCreated) -> None:
        for account in notice.members:
            self._appeared(account, notice.chat)

    def changed(self, notice: MembershipChanged) -> None:
        """Somebody joined or left a chat that has members here."""
        stream = self._streams.get(notice.chat)
        if stream is not None and notice.version == stream.version + 1:
            stream.version = notice.version
        if notice.role is not Role.LEFT:
            self._appeared(notice.account, notice.chat)
        elif resident := self._residents.get(notice.account):
            self.left(resident, notice.chat)

    def _appeared(self, account: AccountId, chat: ChatId) -> None:
        if resident := self._residents.get(account):
            self.joined(resident, chat, None)
            for recipient in resident.recipients:
                recipient.tell(ChatAppeared(chat))

    # Envelopes

    def _envelope(self, data: bytes, subject: str) -> None:
        envelope = _decode_envelope(data)
        now = asyncio.get_running_loop().time()
        if self._losses.envelope(envelope.replica, envelope.epoch, subject, envelope.counter, now):
            self.disturbed("an envelope was lost")
        for delivery in envelope.deliveries:
            self._offer(delivery.message, delivery.recipients, delivery.version)

    def _heartbeat(self, data: bytes) -> None:
        self._losses.heartbeat(_decode_heartbeat(data), asyncio.get_running_loop().time())

    def tick(self, now: float) -> None:
        """About every second."""
        for loss in self._losses.tick(now):
            self.disturbed(loss)

    def _offer(self, message: Message, recipients: list[AccountId] | None, version: int) -> None:
        stream = self._streams.get(message.chat)
        if stream is None:
            stream = self._unknown(message.chat, recipients)
            if stream is None:
                return
        if stream.delivered(message.index):
            self._metrics.duplicates.inc()
            return
        self._deliver(stream.offer(Offer(message, recipients, version)), stream)
        if stream.waiting:
            self._look_after(message.chat, stream)

    def _unknown(self, chat: ChatId, recipients: list[AccountId] | None) -> ChatStream | None:
        """A chat that nobody here was known to be in: the membership event is still on its way."""
        stream: ChatStream | None = None
        for account in recipients or ():
            if resident := self._residents.get(account):
                stream = self.joined(resident, chat, None)
        return stream

    def _deliver(self, offers: Iterable[Offer], stream: ChatStream) -> None:
        for offer in offers:
            encoded = Encoded(offer.message)
            recipients = tuple(stream.members) if offer.recipients is None else offer.recipients
            count = 0
            for account in recipients:
                resident = self._residents.get(account)
                if resident is not None:
                    for recipient in resident.recipients:
                        recipient.deliver(encoded)
                        count += 1
            self._metrics.delivered.inc(count)

    # Gaps

    def _look_after(self, chat: ChatId, stream: ChatStream) -> None:
        if stream.catching_up or not stream.waiting:
            return
        if stream.head is None or stream.stale:
            self._catch_up(chat, stream)
        else:
            asyncio.get_running_loop().call_later(_GAP_SECONDS, self._overdue, chat, min(stream.waiting))

    def _overdue(self, chat: ChatId, index: int) -> None:
        """What should have been delivered by now is fetched."""
        stream = self._streams.get(chat)
        if stream is not None and not stream.delivered(index):
            self._catch_up(chat, stream)

    def _catch_up(self, chat: ChatId, stream: ChatStream) -> None:
        if not stream.catching_up:
            stream.catching_up = True
            self._metrics.catch_ups.inc()
            self._tasks.start(self._catch_up_until_head(chat, stream), "catch up")

    async def _catch_up_until_head(self, chat: ChatId, stream: ChatStream) -> None:
        try:
            while self._streams.get(chat) is stream:
                try:
                    if await self._catch_up_page(chat, stream):
                        return
                except Refused as refusal:
                    if refusal.failure.code is not ErrorCode.UNAVAILABLE:
                        _log.warning("chat cannot be read", chat=chat, error=str(refusal))
                        self._streams.pop(chat, None)
                        return
                    await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            stream.catching_up = False

    async def _catch_up_page(self, chat: ChatId, stream: ChatStream) -> bool:
        """Fetch the next page; whether the head is reached."""
        accounts = [resident.account for resident in self._residents.all()] if stream.stale else list(stream.members)
        after = _BEYOND if stream.head is None else stream.head
        reply = await self._bus.ask(subjects.SYNC_CHAT, SyncChat(chat, accounts, after), retry=True)
        self._know_members(chat, stream, accounts, reply)
        if stream.head is None:
            start = min(reply.unread_from.values(), default=reply.head + 1) - 1
            self._deliver(stream.start(min(start, reply.head)), stream)
        else:
            self._fill(stream, reply)
        return stream.head is not None and stream.head >= reply.head and not stream.waiting

    def _know_members(self, chat: ChatId, stream: ChatStream, asked: list[AccountId], reply: ChatSynced) -> None:
        stream.version = reply.version
        stream.members.difference_update(asked)
        for account in asked:
            resident = self._residents.get(account)
            if resident is None:
                continue
            if account in reply.first_index:
                stream.members.add(account)
                resident.chats.add(chat)
            else:
                resident.chats.discard(chat)

    def _fill(self, stream: ChatStream, reply: ChatSynced) -> None:
        for message in reply.messages:
            if not stream.delivered(message.index):
                audience = [account for account, first in reply.first_index.items() if first <= message.index]
                stream.waiting[message.index] = Offer(message, audience)
        self._deliver(stream.drain(), stream)
        if stream.head is not None and stream.head < reply.upto:
            self._deliver(stream.start(reply.upto), stream)

    # Re-sync

    def disturbed(self, reason: str) -> None:
        """Something may have been lost: compare everything, soon."""
        if not self._disturbed.is_set() and len(self._residents):
            _log.info("re-sync", reason=reason)
        self._disturbed.set()

    async def _resync_forever(self) -> None:
        while True:
            await self._disturbed.wait()
            await asyncio.sleep(random.uniform(0, _JITTER_SECONDS))  # noqa: S311
            self._disturbed.clear()
            try:
                await self.resync([resident.account for resident in self._residents.all()])
            except Exception:
                _log.exception("re-sync failed, will be repeated")
                self._disturbed.set()

    async def resync(self, accounts: list[AccountId]) -> None:
        """Compare every chat of these accounts with its head; a few accounts at a time."""
        self._metrics.resyncs.inc(len(accounts))
        queue = iter(accounts)

        async def work() -> None:
            for account in queue:
                await self._resync_account(account)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_RESYNCS_AT_ONCE, len(accounts))):
                group.create_task(work())

    async def _resync_account(self, account: AccountId) -> None:
        resident = self._residents.get(account)
        after, unlisted = ChatId(0), set(resident.chats if resident else ())
        while (resident := self._residents.get(account)) is not None:
            known = list(resident.chats)
            try:
                reply = await self._bus.ask(subjects.SYNC, Sync(account, after, known), retry=True)
            except Refused:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            for entry in reply.chats:
                unlisted.discard(entry.chat)
                self._compare(resident, entry, entry.chat in known)
            if not reply.more:
                break
            after = reply.chats[-1].chat
        if resident is not None:
            for chat in unlisted:
                self.left(resident, chat)

    def _compare(self, resident: Resident, entry: ChatSync, known: bool) -> None:
        stream = self._streams.get(entry.chat)
        if not known:
            for recipient in resident.recipients:
                recipient.tell(ChatAppeared(entry.chat))
                recipient.catch_up(entry)
        elif stream is not None and (stream.head is None or stream.head < entry.head):
            self._catch_up(entry.chat, stream)
