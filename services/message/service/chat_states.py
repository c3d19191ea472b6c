"""The state of a chat for one account: what is delivered to it, what it has read, and what follows from both; who has
read a message."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.message.domain import (
    NO_SUCH_MESSAGE,
    NOT_A_MEMBER,
    Cursor,
    first_undelivered,
    from_joining,
    undelivered_ranges,
    unread_range,
)
from services.message.service.roster import Roster
from services.message.store import Snapshot
from services.message.store.snapshot import Activity
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.receipts import FindReaders, Readers
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


_MEMBERS = 500
_PAGE = 100
_TOO_MANY_MEMBERS = Failure(ErrorCode.LIMIT, f"this group has more than {_MEMBERS} members", "chat")


def possible_readers(roster: Roster, request: FindReaders) -> list[AccountId]:
    """The members that may see the message. Raises RequestError."""
    first, _ = roster.members.get(request.actor, (0, 0))
    if not first:
        raise RequestError.from_failure(NOT_A_MEMBER)
    if request.index < first:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    if len(roster.members) > _MEMBERS:
        raise RequestError.from_failure(_TOO_MANY_MEMBERS)
    return sorted(account for account, (seen_from, _) in roster.members.items() if seen_from <= request.index)


def find_readers(snapshot: Snapshot, request: FindReaders, members: list[AccountId]) -> Readers:
    """Members that joined later count only if they have read the message themselves. Raises RequestError."""
    chat, index = request.chat, request.index
    message = next(snapshot.messages([(chat, index, index)]), None)
    if message is None:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    cursors = snapshot.cursors([(account, chat) for account in members])
    readers = [
        account
        for account in members
        if account != message.sender
        and (cursor := cursors.get((account, chat))) is not None
        and cursor.read_index >= index
    ]
    left = [account for account in readers if account > request.after]
    return Readers(len(readers), left[:_PAGE], more=len(left) > _PAGE)
