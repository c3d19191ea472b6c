"""The message order of one chat on this node, pure: messages arrive in any order and are released by index.

`head` is the index of the last released message; None until it is known, since it is never guessed. Messages above it
wait. A gap is filled from the message service, for the accounts that may read it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator

from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import MemberPair, Message

AFTER_LAST = 2**53
"""An index after every message."""
RECENT_MESSAGES = 256
"""Messages kept while a connection reads the chat's backlog, so that it can change over to live ones."""
WAITING_MESSAGES = 1024
"""Messages kept above a gap; later ones are fetched."""
ACCOUNTS_AHEAD = 4096
"""Accounts of a chat that are remembered with a later version than the chat's."""


class ChatSequencer:
    """`pair`: the members of a private chat. `known_head`: the highest known index. `members`: the local members by the
    membership's `version`, with the first index that each may see, as far as it is known (0: the member's backlog keeps
    older messages from it); only broadcasts need them, and wait for their version or a later one. `latest_version`: the
    highest known version; of a reply with an older one, only the membership is of use. `forgotten_version`: changes of
    versions up to this may have been forgotten."""

    __slots__ = (
        "_ahead", "_last_first_index", "_readers", "_recent", "expected", "forgotten_version", "head", "known_head",
        "latest_version", "members", "pair", "version", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.head: int | None = None
        self.pair: MemberPair | None = None
        self.known_head = 0
        self.version = 0
        self.latest_version = 0
        self.forgotten_version = 0
        self.members: dict[AccountId, int] = {}
        self._last_first_index = 0
        """No member's first index is higher."""
        self._ahead: dict[AccountId, int] = {}
        """Accounts whose membership is known by a later version than `version`, and by which: those that were heard of
        last. Notices from before what is forgotten add nobody, and such replies are of no use. So nobody comes back who
        has left; a member that is missed is found before the next broadcast of its version, as `version` is earlier."""
        self.waiting: dict[int, Delivery] = {}
        self.expected: dict[int, Callable[[], None]] = {}
        """Callbacks to call when the head has passed their index."""
        self._readers = 0
        self._recent: deque[Message] | None = None

    # Messages

    def receive(self, delivery: Delivery) -> list[Delivery]:
        """Accept a message. Returns the messages to release now, in order; the head has passed them."""
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
        """The fast path for most messages: release this one alone if it is the next and none waits. Otherwise returns
        False, and `receive` is to be called."""
        if self.waiting or not self._is_next(delivery):
            return False
        if delivery.version > self.latest_version:
            self.latest_version = delivery.version
        self._advance(delivery)
        if delivery.message.index > self.known_head:
            self.known_head = delivery.message.index
        return True

    def start(self, head: int) -> list[Delivery]:
        """Set the first head. Messages that arrived before stay above it."""
        self.head = min(head, min(self.waiting, default=head + 1) - 1)
        self.known_head = max(self.known_head, head)
        return self.drain()

    def fill(self, deliveries: Iterable[Delivery], upto: int, version: int) -> list[Delivery]:
        """Insert all existing messages from the head up to an index, for the members by this version. A live message
        that names its recipients, or has a later version, is kept instead."""
        for delivery in deliveries:
            index = delivery.message.index
            waiting = self.waiting.get(index)
            better = waiting is not None and (waiting.recipients is not None or waiting.version > version)
            if not better and not self.delivered(index):
                self.waiting[index] = delivery
        self.known_head = max(self.known_head, upto)
        released = self.drain()
        while self.head is not None and self.head < upto and self.head + 1 not in self.waiting:
            self.head += 1  # no message with this index exists (any more)
            released += self.drain()
        return released

    def drain(self) -> list[Delivery]:
        """Release the waiting messages that follow the head."""
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
        """Whether messages exist that have not been released."""
        return self.head is None or self.head < self.known_head

    @property
    def waits_for_membership(self) -> bool:
        """Whether the next message is here and lacks only the membership of its version."""
        return self.head is not None and self.head + 1 in self.waiting

    def due_callbacks(self) -> list[Callable[[], None]]:
        """The callbacks of expected messages that the head has passed, each once."""
        passed = sorted(index for index in self.expected if self.delivered(index))
        return [self.expected.pop(index) for index in passed]

    def _is_next(self, delivery: Delivery) -> bool:
        """Whether the message follows the head and its recipients are known."""
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
        """`first`: the first index that it may see; 0: as known before."""
        self.members[account] = first or self.members.get(account, 0)
        self._last_first_index = max(self._last_first_index, first)

    def change_member(self, account: AccountId, since: int, version: int, first: int | None) -> bool:
        """Apply a membership change of this version, the only one after version `since`. `first`: the first index that
        the account may see; None: it has left, or is not on this node. False when the change is already known, or a
        later one of the account is, or may have been. Several members may leave by one version."""
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
        """The account's membership is known by this version, which may be later than that of the others."""
        self.latest_version = max(self.latest_version, version)
        self._ahead[account] = max(version, self._ahead.pop(account, 0))
        if len(self._ahead) > ACCOUNTS_AHEAD:
            forgotten = self._ahead.pop(next(iter(self._ahead)))
            self.forgotten_version = max(self.forgotten_version, forgotten)

    def known_after(self, account: AccountId, version: int) -> bool:
        """Whether the account's membership is known by a later version than this one."""
        return self._ahead.get(account, 0) > version

    def advance_membership(self, version: int) -> None:
        """The membership of all local accounts is now known by this version, or a later one."""
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

    # Changing over from a backlog

    def begin_reading(self) -> None:
        """A connection starts to read the backlog: keep recent messages from now on."""
        self._readers += 1
        if self._recent is None:
            self._recent = deque(maxlen=RECENT_MESSAGES)

    def end_reading(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._recent = None

    def recent_after(self, index: int) -> list[Message] | None:
        """All messages released after `index`, or None when some of them are no longer kept."""
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
    """Group consecutive deliveries of one chat that have the same recipients and the same membership version."""
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
