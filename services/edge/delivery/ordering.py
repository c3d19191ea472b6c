"""The message order of one chat on this node, pure. Messages arrive in any order and are released by index.

`head` is the index of the last released message. `head` is None until it is known, because it is never guessed.
Messages above it wait. A gap is filled from the message service, for the accounts that may read it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from shared.contract.edge import Delivery, Heartbeat
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message

# Detects lost delivery batches by the counters of each replica of the message service. Pure.
#
# A replica counts its delivery batches per subject: the node's own subject, and "all" for broadcasts. An empty batch
# follows the last one to this node. A heartbeat each second repeats the counter of broadcasts. (A replica of the
# previous version repeats this node's counter, too.) Three signs reveal a loss: a skipped counter, a heartbeat's
# counter that is not reached soon after the heartbeat (heartbeats and batches travel apart), and the silence of a
# replica that did not announce its end. A restarted replica counts as a new one.
#
# A replica that knows this node by its announcements repeats broadcasts on the node's subject, and the node may not
# receive broadcasts. The counter of broadcasts then proves nothing, until a heartbeat shows that the replica no longer
# repeats them.

BROADCAST = "all"
SILENCE_SECONDS = 3.5
PATIENCE_SECONDS = 0.7
FIRST_SECONDS = 1.5
"""Every running replica is heard within this time. Broadcasts of a replica before it is heard were not meant for this
node."""


@dataclass(slots=True)
class _Replica:
    last_seen: float
    counters: dict[str, int] = field(default_factory=dict)
    announced: list[tuple[float, str, int]] = field(default_factory=list)
    """Heartbeats that are ahead of the delivery batches: the time of arrival, the subject and the counter of each."""
    leaving: bool = False
    knows_node: bool = False


class LossDetector:
    """`batch`, `heartbeat` and `on_timer` report each loss once; the caller then syncs everything."""

    def __init__(self, node: NodeId, now: float) -> None:
        self._node = node
        self._started = now
        self._replicas: dict[tuple[str, int], _Replica] = {}

    def batch(self, replica: str, epoch: int, subject: str, counter: int, now: float) -> bool:
        """Whether batches of this subject (the node's name or BROADCAST) were lost before this one."""
        sender = self._replica(replica, epoch, counter - 1 if subject == BROADCAST else 0, now)
        before = sender.counters.get(subject, 0)
        sender.counters[subject] = max(before, counter)
        return counter > before + 1 and not (subject == BROADCAST and sender.knows_node)

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> bool:
        """Whether batches of this replica were lost before. The timer, not this method, detects the silence of other
        replicas: if this process was frozen, their heartbeats come next."""
        sender = self._replica(heartbeat.replica, heartbeat.epoch, heartbeat.counters.get(BROADCAST, 0), now)
        sender.leaving = heartbeat.leaving
        knew_node, sender.knows_node = sender.knows_node, self._node in heartbeat.known_nodes
        if knew_node or sender.knows_node:
            sender.counters[BROADCAST] = max(sender.counters.get(BROADCAST, 0), heartbeat.counters.get(BROADCAST, 0))
            sender.announced = [one for one in sender.announced if one[1] != BROADCAST]
        for subject in (self._node, BROADCAST):
            counter = heartbeat.counters.get(subject, 0)
            if counter > sender.counters.get(subject, 0):
                sender.announced.append((now, subject, counter))
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
            _, subject, counter = replica.announced.pop(0)
            if replica.counters.get(subject, 0) < counter:
                replica.counters[subject] = counter
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
ones."""
WAITING_MESSAGES = 1024
"""How many messages are kept above a gap. Later ones are fetched."""
ACCOUNTS_AHEAD = 4096
"""The number of accounts of a chat whose version is later than the chat's, and which are kept."""


class ChatSequencer:
    """`pair`: the members of a private chat. `known_head`: the highest known index. `members`: the local members in
    membership version `version`, with the first index that each may see, as far as known (0: the reading of missed
    messages keeps older messages from the member). Only broadcasts need the members, and a broadcast waits for its
    version or a later one. `latest_version`: the highest known version. A reply with an older version is used only for
    its membership. `forgotten_version`: changes up to this version may have been forgotten. `rev`: of the
    last change of a message that all local members have; None: not known."""

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
        """No member has a higher first index."""
        self._ahead: dict[AccountId, int] = {}
        """The accounts whose membership is known by a version later than `version`, with that version. Only the latest
        of these accounts are kept. Events and replies from before the forgotten version add no account, so no account
        that has left comes back. A member that is missed is found before the next broadcast of its version, because
        `version` is earlier."""
        self.waiting: dict[int, Delivery] = {}
        self.expected: dict[int, Callable[[], None]] = {}
        """The callbacks to call when the last released index has passed their index."""
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
        """The fast path for most messages: release this message alone if it is the next and none waits. If it returns
        False, the caller must call `receive`."""
        if self.waiting or not self._is_next(delivery):
            return False
        if delivery.version > self.latest_version:
            self.latest_version = delivery.version
        self._advance(delivery)
        if delivery.message.index > self.known_head:
            self.known_head = delivery.message.index
        return True

    def start(self, head: int) -> list[Delivery]:
        """Set the first `head`. Messages that arrived before stay above it."""
        self.head = min(head, min(self.waiting, default=head + 1) - 1)
        self.known_head = max(self.known_head, head)
        return self.drain()

    def fill(self, deliveries: Iterable[Delivery], upto: int, version: int) -> list[Delivery]:
        """Insert all existing messages from `head` up to an index, for the members of this version. A live message that
        names its recipients, or has a later version, is kept instead."""
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
            and (delivery := self.waiting.get(self.head + 1)) is not None
            and self._is_next(delivery)
        ):
            del self.waiting[delivery.message.index]
            released.append(self._advance(delivery))
        return released

    def delivered(self, index: int) -> bool:
        return self.head is not None and index <= self.head

    @property
    def behind(self) -> bool:
        """Whether some existing messages have not been released."""
        return self.head is None or self.head < self.known_head

    @property
    def waits_for_membership(self) -> bool:
        """Whether the next message is here and lacks only the membership of its version."""
        return self.head is not None and self.head + 1 in self.waiting

    def due_callbacks(self) -> list[Callable[[], None]]:
        """The callbacks of expected messages that `head` has passed, each once."""
        passed = sorted(index for index in self.expected if self.delivered(index))
        return [self.expected.pop(index) for index in passed]

    def _is_next(self, delivery: Delivery) -> bool:
        """Whether the message directly follows `head` and its recipients are known."""
        if self.head is None or delivery.message.index != self.head + 1:
            return False
        return delivery.recipients is not None or delivery.version <= self.version

    def _advance(self, delivery: Delivery) -> Delivery:
        self.head = delivery.message.index
        if self._recent is not None:
            self._recent.append(delivery.message)
        return delivery

    # Members

    def add_member(self, account: AccountId, first: int) -> None:
        """`first`: the first index that the account may see; 0: the index known before."""
        self.members[account] = first or self.members.get(account, 0)
        self._last_first_index = max(self._last_first_index, first)

    def change_member(self, account: AccountId, since: int, version: int, first: int | None) -> bool:
        """Apply a membership change of this version, the only change after version `since`. `first`: the first index
        that the account may see; None if it has left or is not on this node. Returns False if the change, or a later
        one of the account, is known or may have been. Several members may leave in one version."""
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
        """Note that the account's membership is known by this version, which may be later than the other accounts'
        version."""
        self.latest_version = max(self.latest_version, version)
        self._ahead[account] = max(version, self._ahead.pop(account, 0))
        if len(self._ahead) > ACCOUNTS_AHEAD:
            forgotten = self._ahead.pop(next(iter(self._ahead)))
            self.forgotten_version = max(self.forgotten_version, forgotten)

    def known_after(self, account: AccountId, version: int) -> bool:
        """Whether the account's membership is known by a version later than this one."""
        return self._ahead.get(account, 0) > version

    def advance_membership(self, version: int) -> None:
        """Note that the membership of all local accounts is known by this version or a later one."""
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

    # The methods below change from missed messages to pushed ones.

    def begin_reading(self) -> None:
        """A connection starts to read missed messages: keep recent messages from now on."""
        self._readers += 1
        if self._recent is None:
            self._recent = deque(maxlen=RECENT_MESSAGES)

    def end_reading(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._recent = None

    def recent_after(self, index: int) -> list[Message] | None:
        """All messages released after `index`; None if some of them are no longer kept."""
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
    chat: ChatId | None = None
    for delivery in deliveries:
        if delivery.message.chat == chat and _same_audience(delivery, run[0]):
            run.append(delivery)
            continue
        if run:
            yield run
        run, chat = [delivery], delivery.message.chat
    if run:
        yield run


def _same_audience(one: Delivery, other: Delivery) -> bool:
    return one.version == other.version and one.recipients == other.recipients
