"""The order of one chat on this node, pure: messages come in any order and leave in the order of their index.

`head` is the last index that left; None until it is known: it is never guessed. What is above it waits; a gap is
filled from the message service, for the accounts that may see it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import MemberPair, Message

AFTER_LAST = 2**53
"""An index after every message."""
RECENT = 256
"""Messages kept while a connection is reading the chat's backlog, so that it can change over to live ones."""
WAITING = 1024
"""Messages kept above a gap; what comes beyond is fetched."""


def group_runs(deliveries: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Deliveries in runs: those that follow each other, of one chat, for the same recipients by the same version."""
    run: list[Delivery] = []
    chat: ChatId | None = None
    for delivery in deliveries:
        if delivery.message.chat == chat and _alike(delivery, run[0]):
            run.append(delivery)
            continue
        if run:
            yield run
        run, chat = [delivery], delivery.message.chat
    if run:
        yield run


def _alike(one: Delivery, other: Delivery) -> bool:
    return one.version == other.version and one.recipients == other.recipients


class ChatSequencer:
    """`pair`: the people of a private chat. `known` is the highest index heard of; `members` are the accounts here that
    are in the chat, by the membership's `version` (only broadcasts need it, and wait for the right one); `heard` is the
    highest version heard of: an answer of an older one is of no use."""

    __slots__ = ("_readers", "_recent", "expected", "head", "heard", "known", "members", "pair", "version", "waiting")

    def __init__(self) -> None:
        self.head: int | None = None
        self.pair: MemberPair | None = None
        self.known = 0
        self.version = 0
        self.heard = 0
        self.members: set[AccountId] = set()
        self.waiting: dict[int, Delivery] = {}
        self.expected: dict[int, Callable[[], None]] = {}
        """To be called when the head has passed this index."""
        self._readers = 0
        self._recent: deque[Message] | None = None

    # Messages

    def offer(self, offer: Delivery) -> list[Delivery]:
        """Take a message; returns what leaves now, in order. The head has passed it."""
        index = offer.message.index
        if self.delivered(index):
            return []
        if self.deliver_if_next(offer):
            return [offer]
        self.known = max(self.known, index)
        self.heard = max(self.heard, offer.version)
        if len(self.waiting) < WAITING or index == (self.head or 0) + 1:
            self.waiting.setdefault(index, offer)
        return self.drain()

    def deliver_if_next(self, offer: Delivery) -> bool:
        """Take a message that leaves at once and alone, as most do: nothing waits, and it is the next one. Any other is
        to be offered."""
        if self.waiting or not self._follows(offer):
            return False
        if offer.version > self.heard:
            self.heard = offer.version
        self._pass(offer)
        if offer.message.index > self.known:
            self.known = offer.message.index
        return True

    def start(self, head: int) -> list[Delivery]:
        """The head is known now, though what came here before that is above it in any case."""
        self.head = min(head, min(self.waiting, default=head + 1) - 1)
        self.known = max(self.known, head)
        return self.drain()

    def fill(self, offers: Iterable[Delivery], upto: int, version: int) -> list[Delivery]:
        """All there is from the head on, up to an index, for the members of this version. Live messages know better
        for whom they are, save for broadcasts."""
        for offer in offers:
            index = offer.message.index
            waiting = self.waiting.get(index)
            better = waiting is not None and (waiting.recipients is not None or waiting.version > version)
            if not better and not self.delivered(index):
                self.waiting[index] = offer
        self.known = max(self.known, upto)
        passed = self.drain()
        while self.head is not None and self.head < upto and self.head + 1 not in self.waiting:
            self.head += 1  # there is no such message (any more)
            passed += self.drain()
        return passed

    def drain(self) -> list[Delivery]:
        """What waits and follows the head."""
        passed: list[Delivery] = []
        while self.head is not None and (offer := self.waiting.get(self.head + 1)) is not None and self._follows(offer):
            del self.waiting[offer.message.index]
            passed.append(self._pass(offer))
        return passed

    def delivered(self, index: int) -> bool:
        return self.head is not None and index <= self.head

    @property
    def behind(self) -> bool:
        """Whether there is more than has left."""
        return self.head is None or self.head < self.known

    @property
    def waits_for_membership(self) -> bool:
        """The next message waits only for the membership of its version."""
        return self.head is not None and self.head + 1 in self.waiting

    def due(self) -> list[Callable[[], None]]:
        """Whom to call, since the head has passed what they expect."""
        passed = sorted(index for index in self.expected if self.delivered(index))
        return [self.expected.pop(index) for index in passed]

    def _follows(self, offer: Delivery) -> bool:
        """Whether it is the next one, and for whom is known."""
        if self.head is None or offer.message.index != self.head + 1:
            return False
        return offer.recipients is not None or offer.version == self.version

    def _pass(self, offer: Delivery) -> Delivery:
        self.head = offer.message.index
        if self._recent is not None:
            self._recent.append(offer.message)
        return offer

    # Members

    def change(self, account: AccountId, version: int, *, member: bool) -> bool:
        """A membership changed with this version; False when that is known already."""
        if version <= self.version:
            return False
        self.heard = max(self.heard, version)
        if version == self.version + 1:
            self.version = version
        if member:
            self.members.add(account)
        else:
            self.members.discard(account)
        return True

    # Changing over from a backlog

    def begin_reading(self) -> None:
        """A connection reads the backlog; from now on recent messages are kept."""
        self._readers += 1
        if self._recent is None:
            self._recent = deque(maxlen=RECENT)

    def end_reading(self) -> None:
        self._readers -= 1
        if not self._readers:
            self._recent = None

    def recent_after(self, index: int) -> list[Message] | None:
        """All messages that left after `index`, or None when they are not all kept."""
        if self.head is None or index >= self.head:
            return []
        if not self._recent or self._recent[0].index > index + 1:
            return None
        return [message for message in self._recent if message.index > index]

    @property
    def idle(self) -> bool:
        """Nobody here needs it."""
        return not self.members and not self._readers
