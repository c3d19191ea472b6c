"""What arrived, against what was said: nothing lost, nothing twice, nothing out of order, nothing to strangers."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from bench.load.message_tag import Tag


class SentCounts(msgspec.Struct):
    """What voices have said: each its numbers 1 to `sent`, of which the server refused some."""

    sent: dict[int, int] = {}
    refused: dict[int, set[int]] = {}

    def merge(self, other: "SentCounts") -> None:
        """Of another process: no voice is in both."""
        self.sent.update(other.sent)
        self.refused.update(other.refused)


class Faults(msgspec.Struct):
    """Counts; a run is good when all are 0."""

    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    misrouted: int = 0
    """Heard by somebody who is not in the chat."""
    unanswered: int = 0
    """Neither acknowledged nor refused."""
    answered_wrongly: int = 0
    """An echo of something else than the oldest unanswered message."""
    closed: int = 0
    """Connections that the server ended."""

    def merge(self, other: "Faults") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def any(self) -> bool:
        return any(msgspec.structs.astuple(self))


def faults_of_page(start: int, size: int, found: Sequence[int]) -> Faults:
    """Of so many messages of a history from the index `start` towards older ones."""
    wanted = set(range(start, start - size, -1))
    return Faults(
        lost=len(wanted.difference(found)),
        doubled=len(found) - len(set(found)),
        reordered=int(list(found) != sorted(found, reverse=True)),
        misrouted=len(set(found) - wanted),
    )


class Inbox:
    """What one account has heard. `chat_of` places every voice of the run; `position` is where the server put a
    message in its chat, by any measure that never falls (an index, a time)."""

    __slots__ = ("_chat_of", "_chats", "_faults", "_holes", "_next", "_positions", "_read")

    def __init__(self, chats: Collection[int], chat_of: Mapping[int, int], faults: Faults) -> None:
        self._chats = chats
        self._chat_of = chat_of
        self._faults = faults
        self._next: dict[int, int] = {}
        self._holes: dict[int, set[int]] = {}
        self._positions: dict[int, int] = {}
        self._read: set[tuple[int, int]] = set()

    def receive(self, mark: Tag, position: int) -> bool:
        """Something that was told unasked; whether it is news."""
        chat = self._chat_of.get(mark.voice)
        if chat is None or chat not in self._chats:
            self._faults.misrouted += 1
            return False
        expected = self._next.get(mark.voice, 1)
        if mark.number < expected and not self._fills_hole(mark):
            self._faults.doubled += not self._was_read(mark)
            return False
        if mark.number >= expected:
            self._skip(mark.voice, expected, mark.number)
        in_order = mark.number >= expected and position >= self._positions.get(chat, position)
        if in_order:
            self._positions[chat] = position
        else:
            self._faults.reordered += 1
        return True

    def read(self, mark: Tag, position: int) -> bool:
        """Something that stands in a history, which may well be known already, and may still be told once; whether it
        is news."""
        expected = self._next.get(mark.voice, 1)
        if mark.number < expected and not self._fills_hole(mark):
            return False
        if mark.number >= expected:
            self._skip(mark.voice, expected, mark.number)
        chat = self._chat_of[mark.voice]
        self._positions[chat] = max(position, self.position(chat))
        self._read.add((mark.voice, mark.number))
        return True

    @property
    def is_empty(self) -> bool:
        return not self._next

    def position(self, chat: int) -> int:
        """Of the last message of a chat that was heard or read; 0 before the first."""
        return self._positions.get(chat, 0)

    def lost(self, voices: Collection[int], spoken: SentCounts) -> int:
        """How many messages of these voices should be here and are not."""
        return sum(
            len(self._missing(voice, spoken.sent.get(voice, 0)) - spoken.refused.get(voice, set()))
            for voice in voices
        )  # fmt: skip

    def _missing(self, voice: int, sent: int) -> set[int]:
        return self._holes.get(voice, set()) | set(range(self._next.get(voice, 1), sent + 1))

    def _was_read(self, mark: Tag) -> bool:
        """Forgiven once."""
        known = (mark.voice, mark.number) in self._read
        self._read.discard((mark.voice, mark.number))
        return known

    def _skip(self, voice: int, expected: int, number: int) -> None:
        self._next[voice] = number + 1
        if number > expected:
            self._holes.setdefault(voice, set()).update(range(expected, number))

    def _fills_hole(self, mark: Tag) -> bool:
        holes = self._holes.get(mark.voice, set())
        if mark.number not in holes:
            return False
        holes.remove(mark.number)
        return True
