"""The chats that have members on this node: each one's stream, and who here is in it; messages go to connections."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from services.edge.canonical.events import ChatJoined
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer, group_runs
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.metrics import Metrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from shared.clock import now_ms
from shared.contract.edge import ChatCreated, Delivery, MembershipChanged
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message, Role
from shared.telemetry import log

_log = log(__name__)


class LocalChats:
    """`on_behind` is called for a stream that may need to be filled, `on_dropped` for one that nobody needs."""

    def __init__(self, residents: LocalAccounts, metrics: Metrics) -> None:
        self._residents = residents
        self._metrics = metrics
        self._streams: dict[ChatId, ChatSequencer] = {}
        self.on_behind: Callable[[ChatId, ChatSequencer], None] = lambda chat, stream: None
        self.on_dropped: Callable[[ChatId], None] = lambda chat: None

    def __len__(self) -> int:
        return len(self._streams)

    def stream(self, chat: ChatId) -> ChatSequencer | None:
        return self._streams.get(chat)

    # Members

    def joined(self, resident: LocalAccount, chat: ChatId, head: int | None) -> ChatSequencer | None:
        """The account is in the chat, or was when it was asked for: None when it has left since, or is gone. `head` is
        what a snapshot said, unless the stream knows better."""
        if chat in resident.left or self._residents.get(resident.account) is not resident:
            return None
        stream = self._streams.get(chat)
        if stream is None:
            stream = self._streams[chat] = ChatSequencer()
        resident.chats.add(chat)
        stream.members.add(resident.account)
        if head is not None:
            stream.known = max(stream.known, head)
        started = stream.start(head) if stream.head is None and head is not None else []
        self.release(chat, stream, started)
        return stream

    def left(self, resident: LocalAccount, chat: ChatId) -> None:
        """The account is not in the chat (any more)."""
        resident.chats.discard(chat)
        stream = self._streams.get(chat)
        if stream is not None:
            stream.members.discard(resident.account)
            self._drop_if_idle(chat, stream)

    def account_detached(self, resident: LocalAccount) -> None:
        """The account has no connection here any more."""
        for chat in list(resident.chats):
            self.left(resident, chat)

    def apply_membership(
        self, chat: ChatId, asked: Iterable[AccountId], members: Collection[AccountId], version: int
    ) -> None:
        """Of those asked for, these are the members by this version."""
        stream = self._streams.get(chat)
        if stream is None or version < stream.version:
            return
        stream.version = version
        for account in asked:
            resident = self._residents.get(account)
            if resident is not None and account in members:
                stream.members.add(account)
                resident.chats.add(chat)
                resident.left.pop(chat, None)
            else:
                stream.members.discard(account)
                if resident is not None:
                    resident.chats.discard(chat)
        self._drop_if_idle(chat, stream)

    def on_chat_created(self, notice: ChatCreated) -> None:
        """Nothing was said in it before, so nothing can have been missed."""
        head = None if notice.chat in self._streams else 0
        for account in notice.members:
            if resident := self._residents.get(account):
                self._appeared(resident, notice.chat, head, 1)
                resident.notify(ChatJoined(notice.chat))
        if head == 0 and (stream := self._streams.get(notice.chat)):
            stream.version = stream.heard = notice.version

    def on_membership_changed(self, notice: MembershipChanged) -> None:
        """Somebody joined or left a chat that has members here, or joins as the first one here."""
        resident, stream = self._residents.get(notice.account), self._streams.get(notice.chat)
        member = notice.role is not Role.LEFT
        news = stream is None or stream.change(notice.account, notice.version, member=member and resident is not None)
        if resident is not None and member:
            resident.left.pop(notice.chat, None)
            if news and (joined := self._appeared(resident, notice.chat, None, notice.first_index)):
                joined.heard = max(joined.heard, notice.version)
            if notice.chat in resident.chats:
                resident.notify(ChatJoined(notice.chat))
        elif resident is not None and news:
            resident.left[notice.chat] = notice.version
            self.left(resident, notice.chat)
        if stream is not None:
            self._drop_if_idle(notice.chat, stream)
            self.release(notice.chat, stream, stream.drain())

    def _appeared(self, resident: LocalAccount, chat: ChatId, head: int | None, first: int) -> ChatSequencer | None:
        """An account that is past its sync is in the chat, and may have missed what the stream has passed from index
        `first` on."""
        stream, known = self._streams.get(chat), chat in resident.chats
        if stream is not None and stream.delivered(first) and not known:
            resident.catch_up(chat, AFTER_LAST)
        return self.joined(resident, chat, head)

    def recheck_left(self, resident: LocalAccount, chat: ChatId) -> None:
        """An answer names a chat that the account has left: an old answer, or it is back and no notice came."""
        stream = self._streams.get(chat)
        if stream is not None:
            stream.version = 0  # the next broadcast asks for the members
        else:
            version = resident.left.pop(chat)
            if stream := self.joined(resident, chat, None):
                stream.heard = version

    @contextmanager
    def reading(self, chat: ChatId, stream: ChatSequencer) -> Iterator[None]:
        """While a connection reads the backlog: recent messages are kept for the change-over."""
        stream.begin_reading()
        try:
            yield
        finally:
            stream.end_reading()
            self._drop_if_idle(chat, stream)

    def _drop_if_idle(self, chat: ChatId, stream: ChatSequencer) -> None:
        if stream.idle and self._streams.get(chat) is stream:
            self.drop(chat)

    def drop(self, chat: ChatId) -> None:
        """Forget the chat here. Who expects a message of it need not wait any more."""
        stream = self._streams.pop(chat, None)
        if stream is None:
            return
        self.on_dropped(chat)
        for account in stream.members:
            if resident := self._residents.get(account):
                resident.chats.discard(chat)
        for call in list(stream.expected.values()):
            call()

    # Messages

    def receive(self, run: Sequence[Delivery]) -> None:
        """Committed messages (see `together`), for some accounts or (None) all local members."""
        first = run[0]
        chat, recipients = first.message.chat, first.recipients
        stream = self._streams.get(chat)
        if recipients is not None and (stream is None or not stream.members.issuperset(recipients)):
            stream = self._meet(chat, recipients, first.message.index, first.version)
        if stream is None:
            return
        if first.pair is not None:
            stream.pair = first.pair
        leading = 0
        for delivery in run:
            if not stream.deliver_if_next(delivery):
                break
            leading += 1
        if leading:
            self._deliver(run[:leading], stream)
            self._passed(chat, stream)
        for delivery in run[leading:]:
            if stream.delivered(delivery.message.index):
                self._metrics.duplicates.inc()
            else:
                self.release(chat, stream, stream.offer(delivery))

    def _meet(self, chat: ChatId, recipients: Iterable[AccountId], index: int, version: int) -> ChatSequencer | None:
        """Accounts here that were not known to be in the chat: the membership event is still on its way, or lost with
        messages before this one."""
        stream = self._streams.get(chat)
        for account in recipients:
            if (resident := self._residents.get(account)) and chat not in resident.chats:
                if resident.left.get(chat, version) < version:
                    del resident.left[chat]
                if stream is not None and stream.head is not None and chat not in resident.left:
                    resident.catch_up(chat, index)
                stream = self.joined(resident, chat, None) or stream
        return stream

    def expect(self, account: AccountId, chat: ChatId, index: int, call: Callable[[], None]) -> None:
        """The account's own message is committed: call when its turn in the chat has come here. It is fetched when it
        does not come."""
        stream = self._streams.get(chat)
        if stream is None and (resident := self._residents.get(account)):
            stream = self.joined(resident, chat, None)
        if stream is None or stream.delivered(index):
            call()
            return
        stream.expected[index] = call
        stream.known = max(stream.known, index)
        self.on_behind(chat, stream)

    def release(self, chat: ChatId, stream: ChatSequencer, offers: Iterable[Delivery]) -> None:
        """Hand out what has left a stream, and see to what has not."""
        for run in group_runs(offers):
            self._deliver(run, stream)
        self._passed(chat, stream)

    def _passed(self, chat: ChatId, stream: ChatSequencer) -> None:
        if stream.expected:
            for call in stream.due():
                call()
        if stream.behind:
            self.on_behind(chat, stream)

    def _deliver(self, run: Sequence[Delivery], stream: ChatSequencer) -> None:
        """To everybody it is for, whatever happens to one of them. (They were committed at once, as far as their times
        are counted.)"""
        first, residents, count = run[0], self._residents.by_account, 0
        said = [EncodedMessage(offer.message, stream.pair, offer.face) for offer in run]
        for account in tuple(stream.members) if first.recipients is None else first.recipients:
            resident = residents.get(account)
            if resident is None:
                continue
            for recipient in resident.recipients:
                count += 1
                try:
                    recipient.deliver(said)
                except Exception:
                    _fail(recipient, first.message)
        count *= len(said)
        metrics = self._metrics
        metrics.delivered += count
        for encoded in said:
            metrics.encoded += encoded.variants
        metrics.delivery_seconds.count(max(0, now_ms() - first.message.time) / 1000, count)


def _fail(recipient: Recipient, message: Message) -> None:
    """It will read what it missed when it is back."""
    _log.exception("message not delivered", chat=message.chat, index=message.index)
    recipient.close(1011, "internal error")
