"""The order of one chat on this node, pure: messages come in any order and leave in the order of their index.

`head` is the last index delivered here; None until it is known: it is never guessed. What is above it waits; a gap
is filled from the message service, for the accounts that may see it.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from shared.contract.ids import AccountId
from shared.contract.model import Message

RECENT = 256
"""Messages kept while a connection is reading the chat's backlog, so that it can change over to live ones."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A message and the accounts it is for; None: every local member, by the membership of this version."""

    message: Message
    recipients: Collection[AccountId] | None
    version: int = 0


@dataclass(slots=True)
class ChatStream:
    head: int | None = None
    version: int = 0
    """The membership's version that `members` is of; only broadcasts need it, and wait for the right one."""
    members: set[AccountId] = field(default_factory=set)
    waiting: dict[int, Offer] = field(default_factory=dict)
    recent: deque[Message] = field(default_factory=lambda: deque(maxlen=RECENT))
    readers: int = 0
    """Connections that are reading the backlog."""
    catching_up: bool = False

    def offer(self, offer: Offer) -> Iterator[Offer]:
        """Take a message; yields what is deliverable now, in order. The head has passed what was yielded."""
        if self.delivered(offer.message.index):
            return
        if self._follows(offer):
            yield self._pass(offer)
            yield from self.drain()
        else:
            self.waiting.setdefault(offer.message.index, offer)

    def start(self, head: int) -> Iterator[Offer]:
        """The head is known now; yields what waited for it."""
        self.head = head
        self.recent.clear()
        yield from self.drain()

    def drain(self) -> Iterator[Offer]:
        """What waits and follows the head."""
        if not self.waiting or self.head is None:
            return
        for index in [index for index in self.waiting if index <= self.head]:
            del self.waiting[index]
        while (offer := self.waiting.get(self.head + 1)) is not None and self._follows(offer):
            yield self._pass(self.waiting.pop(offer.message.index))

    def delivered(self, index: int) -> bool:
        return self.head is not None and index <= self.head

    @property
    def stale(self) -> bool:
        """A broadcast waits for another version of the membership than the one known here."""
        return any(offer.recipients is None and offer.version != self.version for offer in self.waiting.values())

    def recent_after(self, index: int) -> list[Message] | None:
        """All messages delivered after `index`, or None when they are not all kept."""
        if self.head is None or index >= self.head:
            return []
        if not self.recent or self.recent[0].index > index + 1:
            return None
        return [message for message in self.recent if message.index > index]

    def _follows(self, offer: Offer) -> bool:
        """Whether it is the next one, and for whom is known."""
        if self.head is None or offer.message.index != self.head + 1:
            return False
        return offer.recipients is not None or offer.version == self.version

    def _pass(self, offer: Offer) -> Offer:
        self.head = offer.message.index
        if self.readers:
            self.recent.append(offer.message)
        elif self.recent:
            self.recent.clear()
        return offer
