"""Compares received with sent messages, and finds lost, duplicate, reordered and misrouted messages."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from bench.load.message_tag import Tag


class SentCounts(msgspec.Struct):
    """For each sender, the number of `sent` messages, which are numbered from 1, and the numbers of the rejected
    messages."""

    sent: dict[int, int] = {}
    rejected: dict[int, set[int]] = {}

    def merge(self, other: "SentCounts") -> None:
        """Add the counts of another process, which has other senders."""
        self.sent.update(other.sent)
        self.rejected.update(other.rejected)


class Faults(msgspec.Struct):
    """Counts of faults. A run is without fault when all counts are 0."""

    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    misrouted: int = 0
    """The number of messages that an account outside the chat has received."""
    unanswered: int = 0
    """The number of messages that were neither acknowledged nor rejected."""
    answered_wrongly: int = 0
    """The number of replies that do not belong to the oldest message without a reply."""
    closed: int = 0
    """The number of connections that the server has closed."""

    def merge(self, other: "Faults") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def any(self) -> bool:
        return any(msgspec.structs.astuple(self))


def faults_of_page(start: int, size: int, found: Sequence[int]) -> Faults:
    """The faults of a page. It should contain `size` messages, from the index `start` towards older messages. `found`:
    the indexes that were received."""
    wanted = set(range(start, start - size, -1))
    return Faults(
        lost=len(wanted.difference(found)),
        doubled=len(found) - len(set(found)),
        reordered=int(list(found) != sorted(found, reverse=True)),
        misrouted=len(set(found) - wanted),
    )


class Inbox:
    """The messages that one seat has received. `chat_of`: the chat of every sender of the run. `position`: the place of
    a message in its chat, as an index, a time, or another number that never decreases."""

    __slots__ = ("_chat_of", "_chats", "_faults", "_holes", "_next", "_positions", "_read")

    def __init__(self, chats: Collection[int], chat_of: Mapping[int, int], faults: Faults) -> None:
        self._chats = chats
        self._chat_of = chat_of
        self._faults = faults
        self._next: dict[int, int] = {}
        self._holes: dict[int, set[int]] = {}
        self._positions: dict[int, int] = {}
        self._read: set[tuple[int, int]] = set()

    def receive(self, tag: Tag, position: int) -> bool:
        """Record a pushed message. Returns False if it is a duplicate or misrouted."""
        chat = self._chat_of.get(tag.sender)
        if chat is None or chat not in self._chats:
            self._faults.misrouted += 1
            return False
        expected = self._next.get(tag.sender, 1)
        if tag.number < expected and not self._fills_hole(tag):
            self._faults.doubled += not self._was_read(tag)
            return False
        if tag.number >= expected:
            self._skip(tag.sender, expected, tag.number)
        in_order = tag.number >= expected and position >= self._positions.get(chat, position)
        if in_order:
            self._positions[chat] = position
        else:
            self._faults.reordered += 1
        return True

    def read(self, tag: Tag, position: int) -> bool:
        """Record a message from a page of history. Returns False if it was known. If such a message is pushed once
        afterwards, that push is no duplicate."""
        expected = self._next.get(tag.sender, 1)
        if tag.number < expected and not self._fills_hole(tag):
            return False
        if tag.number >= expected:
            self._skip(tag.sender, expected, tag.number)
        chat = self._chat_of[tag.sender]
        self._positions[chat] = max(position, self.position(chat))
        self._read.add((tag.sender, tag.number))
        return True

    @property
    def is_empty(self) -> bool:
        return not self._next

    def position(self, chat: int) -> int:
        """The position of the last message of a chat that was pushed or read, or 0 if there is none."""
        return self._positions.get(chat, 0)

    def lost(self, senders: Collection[int], sent_counts: SentCounts) -> int:
        """The number of missing messages of these senders, except rejected messages."""
        return sum(
            len(self._missing(sender, sent_counts.sent.get(sender, 0)) - sent_counts.rejected.get(sender, set()))
            for sender in senders
        )  # fmt: skip

    def _missing(self, sender: int, sent: int) -> set[int]:
        return self._holes.get(sender, set()) | set(range(self._next.get(sender, 1), sent + 1))

    def _was_read(self, tag: Tag) -> bool:
        """Whether the message was read from a history. The result is true only once for each message."""
        known = (tag.sender, tag.number) in self._read
        self._read.discard((tag.sender, tag.number))
        return known

    def _skip(self, sender: int, expected: int, number: int) -> None:
        self._next[sender] = number + 1
        if number > expected:
            self._holes.setdefault(sender, set()).update(range(expected, number))

    def _fills_hole(self, tag: Tag) -> bool:
        holes = self._holes.get(tag.sender, set())
        if tag.number not in holes:
            return False
        holes.remove(tag.number)
        return True
