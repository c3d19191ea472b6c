"""The state of a chat for one account: what is delivered to it, what it has read, and what follows from both."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.message.domain import Cursor, first_undelivered, from_joining, undelivered_ranges, unread_range
from services.message.store import Snapshot
from services.message.store.snapshot import Activity
from shared.contract.ids import AccountId, ChatId
from shared.contract.session import ChatEntry

Span = tuple[ChatId, int, int]
"""A chat, the first and the last of some of its indexes."""


class AccountChat(NamedTuple):
    entry: ChatEntry
    head: int
    cursor: Cursor
    last_time: int
    rev: int

    @property
    def chat(self) -> ChatId:
        return self.entry.chat

    def missed(self, limit: int) -> "MissedMessages":
        """The newest `limit` undelivered messages, the account's own ones among them."""
        ranges = undelivered_ranges(self.cursor, self.head, limit)
        first = first_undelivered(self.cursor, ranges)
        is_cut = bool(ranges) and first > self.cursor.delivered_index + 1
        too_old = undelivered_ranges(self.cursor, first - 1, first) if is_cut else []
        return MissedMessages(first, self._spans(ranges), self._spans(too_old))

    def _spans(self, ranges: Iterable[tuple[int, int]]) -> list[Span]:
        return [(self.chat, low, high) for low, high in ranges]


class MissedMessages(NamedTuple):
    """`first`: the first of `spans`, or what follows all that is delivered. `too_old`: before them, and undelivered."""

    first: int
    spans: list[Span]
    too_old: list[Span]


def unread_spans(states: Iterable[AccountChat], limit: int) -> list[Span]:
    """The newest `limit` messages of each chat that are not read, the account's own ones among them."""
    spans = [(one.chat, *unread_range(one.cursor, one.head, limit)) for one in states]
    return [span for span in spans if span[1] <= span[2]]


def chat_states(
    snapshot: Snapshot, lists: Mapping[AccountId, Iterable[ChatEntry]]
) -> dict[AccountId, list[AccountChat]]:
    """The state of each chat for each account."""
    activity = snapshot.activity(entry.chat for entries in lists.values() for entry in entries)
    cursors = snapshot.cursors([(account, entry.chat) for account, entries in lists.items() for entry in entries])

    def state(account: AccountId, entry: ChatEntry) -> AccountChat:
        head, time, rev = activity.get(entry.chat, Activity())
        cursor = from_joining(cursors.get((account, entry.chat), Cursor()), max(entry.unread_from, entry.first_index))
        return AccountChat(entry, head, cursor, time, rev)

    return {account: [state(account, entry) for entry in entries] for account, entries in lists.items()}
