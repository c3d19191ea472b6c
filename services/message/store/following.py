"""What search reads to follow the messages: the positions of all chats, and what is new since some of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.message.domain import message_size
from services.message.store.snapshot import Activity, Slot, Snapshot
from shared.contract.following import ChatNews, HeadPosition, News, PositionPage
from shared.contract.ids import ChatId
from shared.contract.model import Message

_PAGE = 5_000
_MESSAGES = 1_000
"""Of a reply."""
_CHANGES = 100
"""Of a chat, in a reply."""

_POSITIONS = sa.text("SELECT chat_id, last_index, rev FROM heads WHERE chat_id > :after ORDER BY chat_id LIMIT :limit")
_CHANGED = sa.text("""
    SELECT "index", rev FROM revisions
    WHERE chat_id = :chat AND rev > :after AND slot = :slot AND "index" <= :last ORDER BY rev LIMIT :limit""")


def list_positions(connection: sa.Connection, after: ChatId) -> PositionPage:
    """A page of the chats after `after`."""
    rows = connection.execute(_POSITIONS, {"after": after, "limit": _PAGE})
    positions = [HeadPosition(ChatId(chat), index, rev) for chat, index, rev in rows]
    return PositionPage(positions, Snapshot(connection).epoch(), more=len(positions) == _PAGE)


class _Behind(NamedTuple):
    """A chat with news. `upto`: the last index of its new messages in this reply."""

    known: HeadPosition
    head: Activity
    upto: int


def read_news(connection: sa.Connection, positions: Sequence[HeadPosition], budget: int) -> News:
    """As many as fit into `budget` bytes, at least one message."""
    snapshot = Snapshot(connection)
    heads = snapshot.activity(one.chat for one in positions)
    behind, left = list[_Behind](), _MESSAGES
    for known in sorted(positions, key=lambda one: one.chat):
        head = heads.get(known.chat, Activity())
        if left > 0 and (head.last_index > known.index or head.rev > known.rev):
            upto = max(known.index, min(head.last_index, known.index + left))
            behind.append(_Behind(known, head, upto))
            left -= 1 + upto - known.index
    page = _NewsPage(snapshot, budget)
    spans = [(one.known.chat, one.known.index + 1, one.upto) for one in behind if one.upto > one.known.index]
    messages = _Lookahead(snapshot.messages(spans))
    chats = [page.of(one, _changes(connection, one), messages) for one in behind if page.budget > 0]
    return News(chats, more=left <= 0 or page.budget <= 0)


def _changes(connection: sa.Connection, behind: _Behind) -> list[tuple[int, int]]:
    """Index and `rev` of the known messages whose text has changed."""
    known = behind.known
    if behind.head.rev <= known.rev or not known.index:
        return []
    span = {"chat": known.chat, "after": known.rev, "last": known.index, "slot": Slot.TEXT, "limit": _CHANGES}
    return [(index, rev) for index, rev in connection.execute(_CHANGED, span)]


class _Lookahead:
    """Messages in ascending order, of which the next one can be put off."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = iter(messages)
        self.next = next(self._messages, None)

    def advance(self) -> None:
        self.next = next(self._messages, None)


class _NewsPage:
    """Takes what fits into `budget` bytes."""

    def __init__(self, snapshot: Snapshot, budget: int) -> None:
        self._snapshot = snapshot
        self.budget = budget

    def of(self, behind: _Behind, changes: Sequence[tuple[int, int]], messages: _Lookahead) -> ChatNews:
        known, head, _ = behind
        changed, rev = self._changed(known.chat, changes)
        if len(changed) == len(changes) < _CHANGES:
            rev = head.rev
        taken = list[Message]()
        while self.budget > 0 and (one := messages.next) is not None and one.chat == known.chat:
            self.budget -= message_size(one)
            taken.append(one)
            messages.advance()
        index = taken[-1].index if taken else known.index
        position = HeadPosition(known.chat, index, max(rev, known.rev))
        return ChatNews(position, taken, changed, more=index < head.last_index or position.rev < head.rev)

    def _changed(self, chat: ChatId, changes: Sequence[tuple[int, int]]) -> tuple[list[Message], int]:
        """The messages, and the `rev` of the last of them."""
        found = {one.index: one for one in self._snapshot.messages(sorted((chat, at, at) for at, _ in changes))}
        taken, last = list[Message](), 0
        for index, rev in changes:
            if self.budget <= 0:
                break
            self.budget -= message_size(found[index])
            taken.append(found[index])
            last = rev
        return taken, last
