"""Chats with members on this node: their sequencers, their local members, and delivery to connections."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec

from services.edge.canonical.events import ChatJoined, ChatLeft, Departure, MessageChanged
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer, group_runs
from services.edge.dialects.encoded_message import EncodedMessage, to_display_change
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts, Recipient
from services.edge.rpc.remote_clock import RemoteClock
from shared.clock import now_ms
from shared.contract.edge import ChangeDelivery, ChatCreated, Delivery, MembershipChanged, RecentJoins
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import MemberPair, Message, Role
from shared.telemetry import log

_log = log(__name__)
_HEARD_CHATS = 10_000
"""Broadcast chats without members here whose last index is remembered."""


class GapWatcher(Protocol):
    """Fetches the messages that a chat is missing. See services.edge.delivery.gap_filler.GapFiller."""

    def watch(self, chats: "LocalChats", chat: ChatId, sequencer: ChatSequencer) -> None:
        """The sequencer is behind: fetches the messages that do not arrive by themselves."""

    def forget(self, chat: ChatId) -> None:
        """The chat was dropped: stop fetching."""


class LocalChats:
    def __init__(self, accounts: LocalAccounts, gaps: GapWatcher, metrics: EdgeMetrics) -> None:
        self._accounts = accounts
        self._gaps = gaps
        self._metrics = metrics
        self._sequencers: dict[ChatId, ChatSequencer] = {}
        self._heard: dict[ChatId, int] = {}
        """Of chats without a sequencer: the last index that was broadcast. The snapshot by which an account joins the
        chat may be older."""
        self.message_clock = RemoteClock()
        """The clocks of the message service, which messages carry times of."""

    def __len__(self) -> int:
        return len(self._sequencers)

    def sequencer(self, chat: ChatId) -> ChatSequencer | None:
        return self._sequencers.get(chat)

    def pair(self, chat: ChatId) -> MemberPair | None:
        """The members of a private chat, if it is known here."""
        sequencer = self._sequencers.get(chat)
        return sequencer.pair if sequencer else None

    # Members

    def joined(self, local: LocalAccount, chat: ChatId, head: int | None, first: int = 0) -> ChatSequencer | None:
        """Add the account to the chat's local members. Returns None when it has left the chat or the node since. `head`
        comes from a snapshot; it starts a sequencer that has no head yet. `first`: the first index that the account may
        see; 0: not known, or known before."""
        if chat in local.left or self._accounts.get(local.account) is not local:
            return None
        sequencer = self._sequencers.get(chat)
        if sequencer is None:
            sequencer = self._sequencers[chat] = ChatSequencer()
            sequencer.known_head = self._heard.pop(chat, 0)
        local.chats.add(chat)
        sequencer.add_member(local.account, first)
        if head is not None:
            sequencer.known_head = max(sequencer.known_head, head)
        started = sequencer.start(head) if sequencer.head is None and head is not None else []
        self.release(chat, sequencer, started)
        return sequencer

    def left(self, local: LocalAccount, chat: ChatId) -> None:
        """Remove the account from the chat's local members."""
        local.chats.discard(chat)
        sequencer = self._sequencers.get(chat)
        if sequencer is not None:
            sequencer.members.pop(local.account, None)
            self._drop_if_idle(chat, sequencer)

    def account_detached(self, local: LocalAccount) -> None:
        """The account's last connection on this node has closed."""
        for chat in list(local.chats):
            self.left(local, chat)

    def apply_membership(
        self,
        chat: ChatId,
        requested: Iterable[AccountId],
        first_index: Mapping[AccountId, int],
        version: int,
        *,
        for_all: bool,
    ) -> None:
        """Apply a membership reply: by this version, `first_index` has an entry for each member among the requested
        accounts, with the first index that it may see. What is known of an account by a later version stays. `for_all`:
        the reply tells the membership of every local account. Otherwise, notices up to its version still count for the
        others."""
        sequencer = self._sequencers.get(chat)
        if sequencer is None or version < max(sequencer.version, sequencer.forgotten_version):
            return
        for account in requested:
            local = self._accounts.get(account)
            has_left_since = local is not None and local.left.get(chat, 0) > version
            if has_left_since or sequencer.known_after(account, version):
                continue
            if local is not None and account in first_index:
                self._catch_up_if_late(local, chat, first_index[account])
                sequencer.add_member(account, first_index[account])
                local.chats.add(chat)
                local.left.pop(chat, None)
            else:
                sequencer.members.pop(account, None)
                if local is not None and chat in local.chats:
                    local.chats.discard(chat)
                    if for_all:  # its notice, if it is still to come, brings nothing new
                        local.notify(ChatLeft(chat, Departure.UNKNOWN))
            if not for_all:
                sequencer.know_ahead(account, version)
        if for_all:
            sequencer.advance_membership(version)
        self._drop_if_idle(chat, sequencer)

    def on_chat_created(self, notice: ChatCreated) -> None:
        """A new chat has no messages, so its head is 0."""
        head = None if notice.chat in self._sequencers else 0
        for account in notice.members:
            if local := self._accounts.get(account):
                self._join_after_sync(local, notice.chat, head, 1)
                local.notify(ChatJoined(notice.chat, head=0, first=1, rev=0))
        if head == 0 and (sequencer := self._sequencers.get(notice.chat)):
            sequencer.version = sequencer.latest_version = notice.version

    def on_membership_changed(self, notice: MembershipChanged) -> None:
        """An account joined or left a chat, or has a new role there. The chat may have no other members here."""
        self._apply_recent_joins(notice.chat, notice.recent, notice.version - 1)
        local, sequencer = self._accounts.get(notice.account), self._sequencers.get(notice.chat)
        has_new_role = notice.by != NO_ACCOUNT and local is not None and notice.chat in local.chats
        member = notice.role is not Role.LEFT
        first = notice.first_index if member and local is not None else None
        since = notice.since or notice.version - 1
        is_new = sequencer is None or sequencer.change_member(notice.account, since, notice.version, first)
        if local is not None and member:
            if is_new:
                local.left.pop(notice.chat, None)
                if joined := self._join_after_sync(local, notice.chat, None, notice.first_index):
                    joined.know_ahead(notice.account, notice.version)
            if notice.chat in local.chats and not has_new_role:
                local.notify(_joined(notice))
        elif local is not None and is_new:
            local.left[notice.chat] = notice.version
            self.left(local, notice.chat)
            local.notify(ChatLeft(notice.chat, _departure(notice)))
        if sequencer is not None:
            self._drop_if_idle(notice.chat, sequencer)
            self.release(notice.chat, sequencer, sequencer.drain())

    def _apply_recent_joins(self, chat: ChatId, recent: RecentJoins | None, version: int) -> None:
        """Nothing else has changed up to this version. The notices of these joins are still to come."""
        sequencer = self._sequencers.get(chat)
        if recent is not None and sequencer is not None and recent.since <= sequencer.version < version:
            self.apply_membership(chat, recent.joined, recent.joined, version, for_all=True)

    def _join_after_sync(self, local: LocalAccount, chat: ChatId, head: int | None, first: int) -> ChatSequencer | None:
        """Add an account whose sync is over."""
        self._catch_up_if_late(local, chat, first)
        return self.joined(local, chat, head, first)

    def _catch_up_if_late(self, local: LocalAccount, chat: ChatId, first: int) -> None:
        """The account is about to be a local member: it catches up if the sequencer has already passed its first
        index."""
        sequencer = self._sequencers.get(chat)
        if sequencer is not None and sequencer.delivered(first) and chat not in local.chats:
            local.catch_up(chat, AFTER_LAST)

    def recheck_left(self, local: LocalAccount, chat: ChatId) -> None:
        """A reply names a chat that the account has left: either the reply is old, or the account is back and the
        notice was lost."""
        sequencer = self._sequencers.get(chat)
        if sequencer is not None:
            sequencer.version = 0  # the next broadcast requests the members
        else:
            version = local.left.pop(chat)
            if sequencer := self.joined(local, chat, None):
                sequencer.know_ahead(local.account, version)

    @contextmanager
    def reading(self, chat: ChatId, sequencer: ChatSequencer) -> Iterator[None]:
        """While a connection reads the chat's backlog, the sequencer keeps recent messages for the change-over."""
        sequencer.begin_reading()
        try:
            yield
        finally:
            sequencer.end_reading()
            self._drop_if_idle(chat, sequencer)

    def _drop_if_idle(self, chat: ChatId, sequencer: ChatSequencer) -> None:
        if sequencer.idle and self._sequencers.get(chat) is sequencer:
            self.drop(chat)

    def drop(self, chat: ChatId) -> None:
        """Forget the chat on this node. Calls the callbacks of all messages that are still expected."""
        sequencer = self._sequencers.pop(chat, None)
        if sequencer is None:
            return
        self._gaps.forget(chat)
        if sequencer.version:  # there were broadcasts
            self._hear(chat, sequencer.known_head)
        for account in sequencer.members:
            if local := self._accounts.get(account):
                local.chats.discard(chat)
        for callback in list(sequencer.expected.values()):
            callback()

    # Messages

    def receive(self, run: Sequence[Delivery]) -> None:
        """Committed messages of one chat (see `group_runs`), for the named recipients or (None) all local members."""
        first = run[0]
        chat, recipients = first.message.chat, first.recipients
        if first.recent is not None:
            self._apply_recent_joins(chat, first.recent, first.version)
        sequencer = self._sequencers.get(chat)
        if recipients is not None and (sequencer is None or not all(map(sequencer.members.__contains__, recipients))):
            sequencer = self._join_unannounced(chat, recipients, first.message.index, first.version)
        if sequencer is None:
            if recipients is None:
                self._hear(chat, run[-1].message.index)
            return
        if recipients is not None and self._accounts.has_unconfirmed and self._lacks_unconfirmed(sequencer, recipients):
            run, recipients = [msgspec.structs.replace(one, recipients=None) for one in run], None
        if first.pair is not None:
            sequencer.pair = first.pair
        if recipients is not None and first.version < sequencer.latest_version:
            for part in group_runs(_add_later_members(delivery, sequencer) for delivery in run):
                self._put_in_order(part, chat, sequencer)
        else:
            self._put_in_order(run, chat, sequencer)

    def _lacks_unconfirmed(self, sequencer: ChatSequencer, named: Collection[AccountId]) -> bool:
        """Whether an account here that has just logged in may be a member, and is not named: the replica may not know
        yet that it is here. The membership of this version then says who gets the message, as for a broadcast."""
        lacking = sequencer.members.keys() - named
        return any(self._accounts.is_unconfirmed(account) for account in lacking)

    def _hear(self, chat: ChatId, index: int) -> None:
        """The chats that were heard of last are remembered."""
        self._heard[chat] = max(index, self._heard.pop(chat, 0))
        if len(self._heard) > _HEARD_CHATS:
            del self._heard[next(iter(self._heard))]

    def _put_in_order(self, run: Sequence[Delivery], chat: ChatId, sequencer: ChatSequencer) -> None:
        """Delivers the messages that are next in the chat; the others wait for the missing ones."""
        leading = 0
        for delivery in run:
            if not sequencer.deliver_if_next(delivery):
                break
            leading += 1
        if leading:
            self._deliver(run[:leading], sequencer)
            self._after_release(chat, sequencer)
        for delivery in run[leading:]:
            if sequencer.delivered(delivery.message.index):
                self._metrics.duplicates.inc()
            else:
                self.release(chat, sequencer, sequencer.receive(delivery))

    def _join_unannounced(
        self, chat: ChatId, recipients: Iterable[AccountId], index: int, version: int
    ) -> ChatSequencer | None:
        """Add recipients that were not known to be in the chat. Their membership notice is late, or was lost together
        with earlier messages. Which of these they may see is asked for before the next broadcast."""
        sequencer = self._sequencers.get(chat)
        for account in recipients:
            if (local := self._accounts.get(account)) and chat not in local.chats:
                if local.left.get(chat, version) < version:
                    del local.left[chat]
                if sequencer is not None and sequencer.head is not None and chat not in local.left:
                    local.catch_up(chat, index)
                sequencer = self.joined(local, chat, None, index) or sequencer
                if sequencer is not None:
                    sequencer.version = 0
                    sequencer.know_ahead(account, version)
        return sequencer

    def notify_changed(self, delivery: ChangeDelivery, origin: int | None) -> None:
        """Push a change of a message to the connections of its recipients. `origin`: the number of the connection that
        has made it, and gets the reply alone."""
        change = delivery.change
        audience: Iterable[AccountId] = delivery.recipients or ()
        if delivery.recipients is None and (sequencer := self._sequencers.get(change.chat)):
            audience = sequencer.visible_to(change.index)
        event = MessageChanged(to_display_change(change))
        for local in filter(None, map(self._accounts.get, audience)):
            for recipient in local.recipients:
                if recipient.number != origin:
                    recipient.notify(event)

    def expect(self, account: AccountId, chat: ChatId, index: int, callback: Callable[[], None]) -> None:
        """Call `callback` once the chat has released the account's own committed message, which is fetched if it does
        not arrive."""
        sequencer = self._sequencers.get(chat)
        if sequencer is None and (local := self._accounts.get(account)):
            sequencer = self.joined(local, chat, None)
        if sequencer is None or sequencer.delivered(index):
            callback()
            return
        sequencer.expected[index] = callback
        self.raise_head(chat, sequencer, index)

    def raise_head(self, chat: ChatId, sequencer: ChatSequencer, index: int) -> None:
        """The chat has a message with this index: fetches the missing ones up to it."""
        sequencer.known_head = max(sequencer.known_head, index)
        if sequencer.behind:
            self._gaps.watch(self, chat, sequencer)

    def release(self, chat: ChatId, sequencer: ChatSequencer, deliveries: Iterable[Delivery]) -> None:
        """Delivers the messages that a sequencer has released; fetches those that it lacks."""
        for run in group_runs(deliveries):
            self._deliver(run, sequencer)
        self._after_release(chat, sequencer)

    def _after_release(self, chat: ChatId, sequencer: ChatSequencer) -> None:
        if sequencer.expected:
            for callback in sequencer.due_callbacks():
                callback()
        if sequencer.behind:
            self._gaps.watch(self, chat, sequencer)

    def _deliver(self, run: Sequence[Delivery], sequencer: ChatSequencer) -> None:
        """Deliver to every recipient; a failing one does not affect the others. The run counts with the commit time of
        its first message."""
        first, by_account, count = run[0], self._accounts.by_account, 0
        if first.recipients is None and len(run) > 1 and not sequencer.same_for_all(first.message.index):
            for delivery in run:
                self._deliver([delivery], sequencer)
            return
        messages = [EncodedMessage(one.message, sequencer.pair, one.face, one.quote) for one in run]
        audience = sequencer.visible_to(first.message.index) if first.recipients is None else first.recipients
        for account in audience:
            local = by_account.get(account)
            if local is None:
                continue
            for recipient in local.recipients:
                count += 1
                try:
                    recipient.deliver(messages)
                except Exception:
                    _close_failed(recipient, first.message)
        count *= len(messages)
        metrics = self._metrics
        metrics.delivered += count
        for one in messages:
            metrics.encoded += len(one.encoded)
        metrics.delivery_seconds.count(max(0, now_ms() - first.message.time) / 1000, count)


def _joined(notice: MembershipChanged) -> ChatJoined:
    if (known := notice.joined_at) is None:
        return ChatJoined(notice.chat)
    return ChatJoined(notice.chat, known.head, notice.first_index, known.rev)


def _departure(notice: MembershipChanged) -> Departure:
    if notice.disbanded:
        return Departure.DISBANDED
    return Departure.LEFT if notice.by in (NO_ACCOUNT, notice.account) else Departure.KICKED


def _add_later_members(delivery: Delivery, sequencer: ChatSequencer) -> Delivery:
    """The membership by which the recipients were named is older than the one known here: members that have joined
    since may see the message, too."""
    named = delivery.recipients or []
    later = set(sequencer.visible_to(delivery.message.index)).difference(named)
    return msgspec.structs.replace(delivery, recipients=[*named, *later]) if later else delivery


def _close_failed(recipient: Recipient, message: Message) -> None:
    """The client reads the message after its next login."""
    _log.exception("message not delivered", chat=message.chat, index=message.index)
    recipient.close(1011, "internal error")
