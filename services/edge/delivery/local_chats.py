"""The chats that have members on this node. This module keeps the order of their messages and their local members, and
delivers messages to connections."""

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
AT_ONCE = 50
"""With more recipients than this on the node, their connections write a message or an event in turns."""
_HEARD_CHATS = 10_000
"""The number of chats without local members whose last index is kept, because a broadcast has named it."""


class GapWatcher(Protocol):
    """Fetches the messages that a chat is missing. See services.edge.delivery.gap_filler.GapFiller."""

    def watch(self, chats: "LocalChats", chat: ChatId, sequencer: ChatSequencer) -> None:
        """Fetch the messages that the sequencer is missing and that do not arrive without a request."""

    def forget(self, chat: ChatId) -> None:
        """Stop fetching for this chat, because this node no longer keeps the chat."""


class LocalChats:
    def __init__(self, accounts: LocalAccounts, gaps: GapWatcher, metrics: EdgeMetrics) -> None:
        self._accounts = accounts
        self._gaps = gaps
        self._metrics = metrics
        self._sequencers: dict[ChatId, ChatSequencer] = {}
        self._heard: dict[ChatId, int] = {}
        """The last index of each chat without a sequencer, as broadcasts have named it. When an account joins such a
        chat, its snapshot of the chat may be older."""
        self.message_clock = RemoteClock()
        """The clocks of the message service, which stamp the messages."""

    def __len__(self) -> int:
        return len(self._sequencers)

    def sequencer(self, chat: ChatId) -> ChatSequencer | None:
        return self._sequencers.get(chat)

    def pair(self, chat: ChatId) -> MemberPair | None:
        """The two members of a private chat. None for a group, or for a chat that this node does not know."""
        sequencer = self._sequencers.get(chat)
        return sequencer.pair if sequencer else None

    # Members

    def joined(self, local: LocalAccount, chat: ChatId, head: int | None, first: int = 0) -> ChatSequencer | None:
        """Add the account to the chat's local members. Returns None if it has left the chat or the node since. `head`:
        the last index in a snapshot. A sequencer without a last index begins with it. `first`: the first index that the
        account may see, or 0 if it is unknown or was already set."""
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
        """Remove an account, whose last connection on this node has closed, from all its chats."""
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
        """Apply a membership reply of this version. `first_index` has an entry for each member among the requested
        accounts: the first index that it may see. If a later version is known for an account, its membership stays.
        `for_all`: whether the reply contains the membership of every local account. If it does not, events up to the
        reply's version still change the other accounts."""
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
                    if for_all:  # the event of this departure may arrive later, and then changes nothing
                        local.notify(ChatLeft(chat, Departure.UNKNOWN))
            if not for_all:
                sequencer.know_ahead(account, version)
        if for_all:
            sequencer.advance_membership(version)
        self._drop_if_idle(chat, sequencer)

    def on_chat_created(self, event: ChatCreated) -> None:
        """Start a new chat. It has no messages, so its last index is 0."""
        head = None if event.chat in self._sequencers else 0
        for account in event.members:
            if local := self._accounts.get(account):
                self._join_after_sync(local, event.chat, head, 1)
                local.notify(ChatJoined(event.chat, head=0, first=1, rev=0))
        if head == 0 and (sequencer := self._sequencers.get(event.chat)):
            sequencer.version = sequencer.latest_version = event.version

    def on_membership_changed(self, event: MembershipChanged) -> None:
        """An account joined or left a chat, or has a new role. The chat may have no other members here."""
        self._apply_recent_joins(event.chat, event.recent, event.version - 1)
        local, sequencer = self._accounts.get(event.account), self._sequencers.get(event.chat)
        has_new_role = event.by != NO_ACCOUNT and local is not None and event.chat in local.chats
        member = event.role is not Role.LEFT
        first = event.first_index if member and local is not None else None
        since = event.since or event.version - 1
        is_new = sequencer is None or sequencer.change_member(event.account, since, event.version, first)
        if local is not None and member:
            if is_new:
                local.left.pop(event.chat, None)
                if joined := self._join_after_sync(local, event.chat, None, event.first_index):
                    joined.know_ahead(event.account, event.version)
            if event.chat in local.chats and not has_new_role:
                local.notify(_joined(event))
        elif local is not None and is_new:
            local.left[event.chat] = event.version
            self.left(local, event.chat)
            local.notify(ChatLeft(event.chat, _departure(event), event.by, event.faces, event.reason, event.time))
        if sequencer is not None:
            self._drop_if_idle(event.chat, sequencer)
            self.release(event.chat, sequencer, sequencer.drain())

    def _apply_recent_joins(self, chat: ChatId, recent: RecentJoins | None, version: int) -> None:
        """Apply the joins that a delivery names. These joins are the only changes of the chat up to this version. Their
        own events will still arrive."""
        sequencer = self._sequencers.get(chat)
        if recent is not None and sequencer is not None and recent.since <= sequencer.version < version:
            self.apply_membership(chat, recent.joined, recent.joined, version, for_all=True)

    def _join_after_sync(self, local: LocalAccount, chat: ChatId, head: int | None, first: int) -> ChatSequencer | None:
        """Add an account whose sync is over."""
        self._catch_up_if_late(local, chat, first)
        return self.joined(local, chat, head, first)

    def _catch_up_if_late(self, local: LocalAccount, chat: ChatId, first: int) -> None:
        """Let the account catch up if the chat's sequencer has already passed the account's first index. The account is
        about to become a local member."""
        sequencer = self._sequencers.get(chat)
        if sequencer is not None and sequencer.delivered(first) and chat not in local.chats:
            local.catch_up(chat, AFTER_LAST)

    def recheck_left(self, local: LocalAccount, chat: ChatId) -> None:
        """Check a chat that the account has left, although a reply names the account as a member. Either the reply is
        old, or the account has joined again and that event was lost."""
        sequencer = self._sequencers.get(chat)
        if sequencer is not None:
            sequencer.version = 0  # with version 0, the edge requests the members at the next broadcast
        else:
            version = local.left.pop(chat)
            if sequencer := self.joined(local, chat, None):
                sequencer.know_ahead(local.account, version)

    @contextmanager
    def reading(self, chat: ChatId, sequencer: ChatSequencer) -> Iterator[None]:
        """While a connection reads the chat's missed messages, the sequencer keeps recent messages. With these, the
        connection changes over to live messages."""
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
        """Forget the chat on this node, and call the callbacks of all messages that are still expected."""
        sequencer = self._sequencers.pop(chat, None)
        if sequencer is None:
            return
        self._gaps.forget(chat)
        if sequencer.version:  # the chat has had broadcasts
            self._hear(chat, sequencer.known_head)
        for account in sequencer.members:
            if local := self._accounts.get(account):
                local.chats.discard(chat)
        for callback in list(sequencer.expected.values()):
            callback()

    # Messages

    def receive(self, run: Sequence[Delivery]) -> None:
        """Handle committed messages of one chat (see `group_runs`). The recipients are the accounts that the deliveries
        name or, with None, all local members."""
        first = run[0]
        chat, recipients = first.message.chat, first.recipients
        if first.recent is not None:
            self._apply_recent_joins(chat, first.recent, first.version)
        sequencer = self._sequencers.get(chat)
        if recipients is not None and (sequencer is None or not sequencer.has_members(recipients)):
            sequencer = self._join_unannounced(chat, recipients, first.message.index, first.version)
        if sequencer is None:
            if recipients is None:
                self._hear(chat, run[-1].message.index)
            return
        if recipients is not None and self._lacks_unconfirmed(sequencer, recipients):
            run, recipients = [msgspec.structs.replace(one, recipients=None) for one in run], None
        if first.pair is not None:
            sequencer.pair = first.pair
        if recipients is not None and first.version < sequencer.latest_version:
            for part in group_runs(_add_later_members(delivery, sequencer) for delivery in run):
                self._put_in_order(part, chat, sequencer)
        else:
            self._put_in_order(run, chat, sequencer)

    def _lacks_unconfirmed(self, sequencer: ChatSequencer, named: Collection[AccountId]) -> bool:
        """Whether some local member, which the delivery does not name, has just logged in here. The message service may
        not know yet that this account is on this node. Then the membership of this version decides which accounts get
        the message, as for a broadcast."""
        if not self._accounts.has_unconfirmed:
            return False
        lacking = sequencer.members.keys() - named
        return any(self._accounts.is_unconfirmed(account) for account in lacking)

    def _hear(self, chat: ChatId, index: int) -> None:
        """Note the last index of the chat. Only the latest `_HEARD_CHATS` chats are kept."""
        self._heard[chat] = max(index, self._heard.pop(chat, 0))
        if len(self._heard) > _HEARD_CHATS:
            del self._heard[next(iter(self._heard))]

    def _put_in_order(self, run: Sequence[Delivery], chat: ChatId, sequencer: ChatSequencer) -> None:
        """Deliver the messages that are next in the chat. Later messages wait for the missing ones."""
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
        """Add recipients that were not known to be in the chat. Their membership event is late, or was lost together
        with earlier messages. Before the next broadcast, the node requests which messages these accounts may see."""
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
        made the change. This connection gets only the reply."""
        change, recipients = delivery.change, delivery.recipients
        audience: Collection[AccountId] = recipients or ()
        if sequencer := self._sequencers.get(change.chat):
            if recipients is None:
                audience = sequencer.visible_to(change.index)
            if recipients is None or not self._lacks_unconfirmed(sequencer, recipients):
                sequencer.rev = max(sequencer.rev or 0, change.rev)
        event = MessageChanged(to_display_change(change, delivery.face))
        for local in filter(None, map(self._accounts.get, audience)):
            for recipient in local.recipients:
                if recipient.number == origin:
                    continue
                if len(audience) > AT_ONCE:
                    recipient.notify_later(event)
                else:
                    recipient.notify(event)

    def expect(self, account: AccountId, chat: ChatId, index: int, callback: Callable[[], None]) -> None:
        """Call `callback` when this message of the account and all earlier messages of the chat have been delivered
        here. The message is fetched if it does not arrive."""
        sequencer = self._sequencers.get(chat)
        if sequencer is None and (local := self._accounts.get(account)):
            sequencer = self.joined(local, chat, None)
        if sequencer is None or sequencer.delivered(index):
            callback()
            return
        sequencer.expected[index] = callback
        self.raise_head(chat, sequencer, index)

    def raise_head(self, chat: ChatId, sequencer: ChatSequencer, index: int) -> None:
        """Note that the chat has a message with this index, and fetch the missing messages up to this index."""
        sequencer.known_head = max(sequencer.known_head, index)
        if sequencer.behind:
            self._gaps.watch(self, chat, sequencer)

    def release(self, chat: ChatId, sequencer: ChatSequencer, deliveries: Iterable[Delivery]) -> None:
        """Deliver the messages that a sequencer has released, and fetch the messages that it lacks."""
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
        """Deliver to every recipient. A failing recipient does not affect the others. The metrics use the commit time
        of the run's first message."""
        first, by_account, count = run[0], self._accounts.by_account, 0
        if first.recipients is None and len(run) > 1 and not sequencer.same_for_all(first.message.index):
            for delivery in run:
                self._deliver([delivery], sequencer)
            return
        messages = [EncodedMessage(one.message, sequencer.pair, one.face, one.quote) for one in run]
        audience = sequencer.visible_to(first.message.index) if first.recipients is None else first.recipients
        is_large = len(audience) > AT_ONCE
        for account in audience:
            local = by_account.get(account)
            if local is None:
                continue
            for recipient in local.recipients:
                count += 1
                try:
                    if is_large:
                        recipient.deliver_later(messages)
                    else:
                        recipient.deliver(messages)
                except Exception:
                    _close_failed(recipient, first.message)
        count *= len(messages)
        metrics = self._metrics
        metrics.delivered += count
        for one in messages:
            metrics.encoded += len(one.encoded)
        metrics.delivery_seconds.observe(max(0, now_ms() - first.message.time) / 1000, count)


def _joined(event: MembershipChanged) -> ChatJoined:
    if (known := event.joined_at) is None:
        return ChatJoined(event.chat)
    return ChatJoined(event.chat, known.head, event.first_index, known.rev)


def _departure(event: MembershipChanged) -> Departure:
    if event.disbanded:
        return Departure.DISBANDED
    return Departure.LEFT if event.by in (NO_ACCOUNT, event.account) else Departure.KICKED


def _add_later_members(delivery: Delivery, sequencer: ChatSequencer) -> Delivery:
    """Add members to the recipients. The message service may have known an older membership than this node knows.
    Members who joined later can see the message, too."""
    named = delivery.recipients or []
    later = set(sequencer.visible_to(delivery.message.index)).difference(named)
    return msgspec.structs.replace(delivery, recipients=[*named, *later]) if later else delivery


def _close_failed(recipient: Recipient, message: Message) -> None:
    """Close the connection, because a message was not delivered. The client reads the message after its next login."""
    _log.exception("message not delivered", chat=message.chat, index=message.index)
    recipient.close(1011, "internal error")
