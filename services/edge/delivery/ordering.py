"""Keeps the message order of one chat on this node, pure (no I/O). Messages arrive in any order and are released by
index.

`head` is the index of the last released message, or None until this index is known. Messages above `head` wait. Missing
messages are fetched from the message service, for the accounts that may read them.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from shared.contract.edge import Delivery, Heartbeat
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import MemberPair, Message

BROADCAST = "all"
SILENCE_SECONDS = 3.5
PATIENCE_SECONDS = 0.7
FIRST_SECONDS = 1.5
"""Within this time, a heartbeat of every running replica arrives. Broadcasts that a replica sent earlier were not meant
for this node."""


@dataclass(slots=True)
class _Replica:
    last_seen: float
    counters: dict[str, int] = field(default_factory=dict)
    announced: list[tuple[float, int]] = field(default_factory=list)
    """The heartbeats whose counters the broadcasts have not reached yet, each with the time of its arrival."""
    leaving: bool = False


class LossDetector:
    """Detects lost delivery batches by the counters of each replica of the message service, without I/O. `batch`,
    `heartbeat` and `on_timer` report each loss once. The caller then syncs everything.

    A replica counts its delivery batches per subject: the node's own subject, and "all" for broadcasts. After its last
    batch to this node, a replica sends an empty batch. A heartbeat each second contains the counter of broadcasts.
    There are three signs of a loss. A counter is skipped, a replica is silent without having announced its end, or a
    heartbeat has a counter that the broadcasts do not reach soon. Batches may arrive later than the heartbeat. A
    restarted replica counts as a new one."""

    def __init__(self, now: float) -> None:
        self._started = now
        self._replicas: dict[tuple[str, int], _Replica] = {}

    def batch(self, replica: str, epoch: int, subject: str, counter: int, now: float) -> bool:
        """Whether batches of this subject (the node's name or BROADCAST) were lost before this one."""
        sender = self._replica(replica, epoch, counter - 1 if subject == BROADCAST else 0, now)
        before = sender.counters.get(subject, 0)
        sender.counters[subject] = max(before, counter)
        return counter > before + 1

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> bool:
        """Note a heartbeat. Returns whether earlier batches of this replica were lost. Only the timer detects the
        silence of other replicas. After this process was frozen, their heartbeats are still queued and arrive next."""
        counter = heartbeat.counters.get(BROADCAST, 0)
        sender = self._replica(heartbeat.replica, heartbeat.epoch, counter, now)
        sender.leaving = heartbeat.leaving
        if counter > sender.counters.get(BROADCAST, 0):
            sender.announced.append((now, counter))
        return self._has_missed_batches(sender, now)

    def on_timer(self, now: float) -> list[str]:
        """Called about every second. Returns a description of each loss."""
        losses: list[str] = []
        for key, replica in list(self._replicas.items()):
            if self._has_missed_batches(replica, now):
                losses.append(f"delivery batches of {key[0]}")
            if now - replica.last_seen > SILENCE_SECONDS:
                del self._replicas[key]
                if not replica.leaving:
                    losses.append(f"silence of {key[0]}")
        return losses

    def _has_missed_batches(self, replica: _Replica, now: float) -> bool:
        missed = False
        while replica.announced and now - replica.announced[0][0] > PATIENCE_SECONDS:
            _, counter = replica.announced.pop(0)
            if replica.counters.get(BROADCAST, 0) < counter:
                replica.counters[BROADCAST] = counter
                missed = True
        return missed

    def _replica(self, name: str, epoch: int, broadcasts: int, now: float) -> _Replica:
        replica = self._replicas.get((name, epoch))
        if replica is None:
            replica = self._replicas[name, epoch] = _Replica(now)
            if now - self._started < FIRST_SECONDS:
                replica.counters[BROADCAST] = broadcasts
        replica.last_seen = now
        return replica


AFTER_LAST = 2**53
"""An index after every message."""
RECENT_MESSAGES = 256
"""How many messages are kept while a connection reads the chat's missed messages, so that it can change over to live
messages."""
WAITING_MESSAGES = 1024
"""The number of messages that are kept above a gap. Messages above these are fetched later."""
ACCOUNTS_AHEAD = 4096
"""The most accounts that are kept in `_ahead` for one chat."""


class ChatSequencer:
    """`pair`: the members of a private chat. `known_head`: the highest known index. `members`: the local members in
    membership version `version`, with the first index that each may see. The index is 0 if it is unknown. Only
    broadcasts need the members, and a broadcast waits until its version or a later one is known. `latest_version`: the
    highest known version. A reply with an older version is used only for its membership. `forgotten_version`:
    membership changes up to this version may have been forgotten. `rev`: the number of the last change of a message
    that all local members have, or None if it is not known."""

    __slots__ = (
        "_ahead", "_last_first_index", "_readers", "_recent", "expected", "forgotten_version", "head", "known_head",
        "latest_version", "members", "pair", "rev", "version", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.head: int | None = None
        self.pair: MemberPair | None = None
        self.rev: int | None = None
        self.known_head = 0
        self.version = 0
        self.latest_version = 0
        self.forgotten_version = 0
        self.members: dict[AccountId, int] = {}
        self._last_first_index = 0
        """The highest first index of any member so far."""
        self._ahead: dict[AccountId, int] = {}
        """The accounts whose membership is known by a later version than `version`, with that version. Only the latest
        of these accounts are kept. Events and replies from before the forgotten version add no account, so that an
        account that has left is not added again. If a member is missing, it is found before the next broadcast, because
        the broadcast has a later version than `version`."""
        self.waiting: dict[int, Delivery] = {}
        self.expected: dict[int, Callable[[], None]] = {}
        """The callbacks of expected messages. A callback is called when the message with this index, or a later one, is
        released."""
        self._readers = 0
        self._recent: deque[Message] | None = None

    # Messages

    def receive(self, delivery: Delivery) -> list[Delivery]:
        """Accept a message. Returns the messages to release now, in order. `head` is then the last of these indexes."""
        index = delivery.message.index
        if self.delivered(index):
            return []
        if self.deliver_if_next(delivery):
            return [delivery]
        self.known_head = max(self.known_head, index)
        self.latest_version = max(self.latest_version, delivery.version)
        if len(self.waiting) < WAITING_MESSAGES or index == (self.head or 0) + 1:
            self.waiting.setdefault(index, delivery)
        return self.drain()

    def deliver_if_next(self, delivery: Delivery) -> bool:
        """The fast path for most messages: release this message alone if it is the next and no other message waits. If
        this method returns False, the caller must call `receive`."""
        message, version = delivery.message, delivery.version
        index = message.index
        if self.waiting or not self._is_next(delivery, index):
            return False
        if version > self.latest_version:
            self.latest_version = version
        self._advance(message, index)
        if index > self.known_head:
            self.known_head = index
        return True

    def start(self, head: int) -> list[Delivery]:
        """Set the first `head`. Messages that arrived before and follow `head` are then released."""
        self.head = min(head, min(self.waiting, default=head + 1) - 1)
        self.known_head = max(self.known_head, head)
        return self.drain()

    def fill(self, deliveries: Iterable[Delivery], upto: int, version: int) -> list[Delivery]:
        """Insert all existing messages from `head` up to an index, for the members of this version. If a live message
        with the same index names its recipients, or has a later version, that message is kept instead."""
        for delivery in deliveries:
            index = delivery.message.index
            waiting = self.waiting.get(index)
            better = waiting is not None and (waiting.recipients is not None or waiting.version > version)
            if not better and not self.delivered(index):
                self.waiting[index] = delivery
        self.known_head = max(self.known_head, upto)
        released = self.drain()
        while self.head is not None and self.head < upto and self.head + 1 not in self.waiting:
            self.head += 1  # no message of the chat has this index
            released += self.drain()
        return released

    def drain(self) -> list[Delivery]:
        """Release the waiting messages that directly follow `head`."""
        released: list[Delivery] = []
        while (
            self.head is not None
            and (delivery := self.waiting.get(index := self.head + 1)) is not None
            and self._is_next(delivery, index)
        ):
            del self.waiting[index]
            self._advance(delivery.message, index)
            released.append(delivery)
        return released

    def delivered(self, index: int) -> bool:
        return self.head is not None and index <= self.head

    @property
    def behind(self) -> bool:
        """Whether some existing messages have not been released."""
        return self.head is None or self.head < self.known_head

    @property
    def waits_for_membership(self) -> bool:
        """Whether the next message has arrived and waits only for the membership of its version."""
        return self.head is not None and self.head + 1 in self.waiting

    def due_callbacks(self) -> list[Callable[[], None]]:
        """Return the callbacks of expected messages up to `head`. Each callback is returned once."""
        passed = sorted(index for index in self.expected if self.delivered(index))
        return [self.expected.pop(index) for index in passed]

    def _is_next(self, delivery: Delivery, index: int) -> bool:
        """Whether the message with this index directly follows `head` and its recipients are known."""
        if self.head is None or index != self.head + 1:
            return False
        return delivery.recipients is not None or delivery.version <= self.version

    def _advance(self, message: Message, index: int) -> None:
        self.head = index
        if self._recent is not None:
            self._recent.append(message)

    # Members

    def has_members(self, accounts: Collection[AccountId]) -> bool:
        """Whether all these accounts are members."""
        for account in accounts:  # `all` with a generator would take several times as long in C
            if account not in self.members:
                return False
        return True

    def add_member(self, account: AccountId, first: int) -> None:
        """Add a member. `first`: the first index that the account may see, or 0 to keep the index known before."""
        self.members[account] = first or self.members.get(account, 0)
        self._last_first_index = max(self._last_first_index, first)

    def change_member(self, account: AccountId, since: int, version: int, first: int | None) -> bool:
        """Apply a membership change of this version, the only change after version `since`. `first`: the first index
        that the account may see, or None if it has left or is not on this node. Returns False if this change or a later
        change of the account is known already, or may have been forgotten. Several members may leave in one version."""
        leaves_too = version == self.version and first is None and account in self.members
        if version <= self.version and not leaves_too:
            return False
        if first is not None and version < self.forgotten_version:
            return False
        is_outdated = self.known_after(account, version)
        self.know_ahead(account, version)
        if since <= self.version:
            self.advance_membership(version)
        if is_outdated:
            return False
        if first is None:
            self.members.pop(account, None)
        else:
            self.add_member(account, first)
        return True

    def know_ahead(self, account: AccountId, version: int) -> None:
        """Note that the account's membership is known by this version, which may be later than `version`."""
        self.latest_version = max(self.latest_version, version)
        self._ahead[account] = max(version, self._ahead.pop(account, 0))
        if len(self._ahead) > ACCOUNTS_AHEAD:
            forgotten = self._ahead.pop(next(iter(self._ahead)))
            self.forgotten_version = max(self.forgotten_version, forgotten)

    def known_after(self, account: AccountId, version: int) -> bool:
        """Whether the account's membership is known by a version later than this one."""
        return self._ahead.get(account, 0) > version

    def advance_membership(self, version: int) -> None:
        """Note that the membership of all local accounts is known at least by this version."""
        self.version = version
        if self._ahead:
            self._ahead = {account: known for account, known in self._ahead.items() if known > version}

    def visible_to(self, index: int) -> Collection[AccountId]:
        """The local members that may see the message with this index."""
        if self.same_for_all(index):
            return tuple(self.members)
        return [account for account, first in self.members.items() if first <= index]

    def same_for_all(self, index: int) -> bool:
        """Whether every local member may see the message with this index."""
        return index >= self._last_first_index

    # With the following methods, a connection changes from missed messages to pushed ones.

    def begin_reading(self) -> None:
        """Keep recent messages from now on, because a connection starts to read missed messages."""
        self._readers += 1
        if self._recent is None:
            self._recent = deque(maxlen=RECENT_MESSAGES)

    def end_reading(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._recent = None

    def recent_after(self, index: int) -> list[Message] | None:
        """All messages that were released after `index`. None if some of them are no longer kept."""
        if self.head is None or index >= self.head:
            return []
        if not self._recent or self._recent[0].index > index + 1:
            return None
        return [message for message in self._recent if message.index > index]

    @property
    def idle(self) -> bool:
        """Whether the chat has neither local members nor readers."""
        return not self.members and not self._readers


def group_runs(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Group consecutive deliveries that have the same chat, recipients and membership version."""
    run: list[Delivery] = []
    chat, version = ChatId(0), 0
    recipients: list[AccountId] | None = None
    for delivery in deliveries:
        its_chat, its_version, its_recipients = delivery.message.chat, delivery.version, delivery.recipients
        if run and its_chat == chat and its_version == version and its_recipients == recipients:
            run.append(delivery)
            continue
        if run:
            yield run
        run, chat, version, recipients = [delivery], its_chat, its_version, its_recipients
    if run:
        yield run
