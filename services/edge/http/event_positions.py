"""What the reader of a stream of events has: the last index and the last `rev` of each chat, as an opaque text."""

import base64
import binascii
from itertools import accumulate, chain, pairwise
from typing import Annotated

import msgspec

from shared.contract.errors import ErrorCode, RequestError

MAX_CHATS = 1000
"""As many as a `sync` may name. The stream knows those best that have changed last."""
_BAD_CURSOR = "`have` and Last-Event-ID are an id of a stream of events"
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Text = Annotated[str, msgspec.Meta(max_length=1024)]


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`chats`: for each, in order, the difference to the one before, the last index and the last rev."""

    epoch: _Text
    chats: Annotated[list[tuple[_Count, _Count, _Count]], msgspec.Meta(max_length=MAX_CHATS)]


class _Event(msgspec.Struct):
    ev: str
    chat: int = 0
    index: int = 0
    rev: int = 0


class _ResumedChat(msgspec.Struct):
    chat: int
    head: int
    rev: int
    changes_after: int | None = None


class SyncReply(msgspec.Struct):
    """What a stream needs of the reply to `sync`. `before`: there are more chats."""

    epoch: str
    reset: bool
    chats: list[_ResumedChat]
    gone: list[int]
    before: list[int] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.reset or self.chats or self.gone)


class EventPositions:
    """A position moves with the next message or change of its chat alone: what comes beyond a hole comes again."""

    def __init__(self, epoch: str = "") -> None:
        self._epoch = epoch
        self._chats: dict[int, tuple[int, int]] = {}
        """Index and rev by chat; the last changed one is the last."""

    @classmethod
    def parse(cls, text: str) -> "EventPositions":
        """Raises RequestError."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            cursor = msgspec.msgpack.decode(packed, type=_Cursor)
        except (binascii.Error, ValueError) as error:
            raise RequestError(ErrorCode.INVALID, _BAD_CURSOR, "have") from error
        positions = cls(cursor.epoch)
        chats = accumulate(difference for difference, _, _ in cursor.chats)
        positions._chats = {chat: (index, rev) for chat, (_, index, rev) in zip(chats, cursor.chats, strict=True)}
        return positions

    def __len__(self) -> int:
        return len(self._chats)

    def __str__(self) -> str:
        chats = sorted(self._chats)
        differences = [after - before for before, after in pairwise(chain((0,), chats))]
        cursor = _Cursor(
            self._epoch, [(step, *self._chats[chat]) for step, chat in zip(differences, chats, strict=True)]
        )
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()

    def have(self) -> dict[str, object]:
        """The parameters of a sync from here."""
        return {"epoch": self._epoch, "have": {str(chat): place for chat, place in self._chats.items()}}

    def synced(self, reply: SyncReply) -> None:
        """After the events of this reply."""
        self._epoch = reply.epoch or self._epoch
        if reply.reset:
            self._chats.clear()
        for chat in reversed(reply.chats):
            self._move(chat.chat, chat.head, chat.rev if chat.changes_after is None else chat.changes_after)
        for gone in reply.gone:
            self._chats.pop(gone, None)

    def advance(self, encoded: bytes) -> tuple[bool, bool]:
        """Whether the reader lacks this event of native, and whether a position has moved."""
        event = msgspec.json.decode(encoded, type=_Event)
        known = self._chats.get(event.chat)
        index, rev = known or (event.index - 1, 0)
        if event.ev == "message":
            return self._step(event.chat, event.index - index, (event.index, rev))
        if event.ev == "changed" and known:
            return self._step(event.chat, event.rev - rev, (index, event.rev))
        return True, event.ev == "gone" and self._chats.pop(event.chat, None) is not None

    def _step(self, chat: int, steps: int, place: tuple[int, int]) -> tuple[bool, bool]:
        if steps == 1:
            self._move(chat, *place)
        return steps > 0, steps == 1

    def _move(self, chat: int, index: int, rev: int) -> None:
        self._chats.pop(chat, None)
        if len(self._chats) >= MAX_CHATS:
            del self._chats[next(iter(self._chats))]
        self._chats[chat] = index, rev
