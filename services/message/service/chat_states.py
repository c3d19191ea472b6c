"""The state of a chat for one account: its delivered and read messages, and numbers that are computed from them. This
module also finds the members that have read a message."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from services.message.domain import (
    NO_SUCH_MESSAGE,
    NOT_A_MEMBER,
    Cursor,
    IndexRange,
    first_undelivered,
    from_joining,
    merge_delivered,
    reader,
    undelivered_ranges,
    unread_range,
)
from services.message.service.member_list import ChatMembers
from services.message.store import Snapshot
from services.message.store.snapshot import Activity
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_DEVICE, AccountId, ChatId, DeviceId
from shared.contract.receipts import FindReaders, Readers
from shared.contract.session import ChatEntry

Span = tuple[ChatId, int, int]
"""A chat, and the first and the last index of a range in it."""


class AccountChat(NamedTuple):
    entry: ChatEntry
    head: int
    cursor: Cursor
    last_time: int
    rev: int

    @property
    def chat(self) -> ChatId:
        return self.entry.chat

    def missed(self, limit: int, sent: Sequence[IndexRange] = ()) -> "MissedSpans":
        """The newest `limit` undelivered messages, including the account's own. `sent`: ranges that count as
        delivered."""
        cursor = merge_delivered(self.cursor, sent, len(self.cursor.above) + len(sent)) if sent else self.cursor
        ranges = undelivered_ranges(cursor, self.head, limit)
        first = first_undelivered(cursor, ranges)
        is_cut = bool(ranges) and first > cursor.delivered_index + 1
        too_old = undelivered_ranges(cursor, first - 1, first) if is_cut else []
        return MissedSpans(first, self._spans(ranges), self._spans(too_old))

    def _spans(self, ranges: Iterable[tuple[int, int]]) -> list[Span]:
        return [(self.chat, low, high) for low, high in ranges]


class MissedSpans(NamedTuple):
    """`first`: the first index of `spans`, or the index after all delivered messages. `too_old`: the range of
    undelivered messages before `spans`."""

    first: int
    spans: list[Span]
    too_old: list[Span]


def unread_spans(states: Iterable[AccountChat], limit: int) -> list[Span]:
    """The newest `limit` unread messages of each chat, including the account's own."""
    spans = [(one.chat, *unread_range(one.cursor, one.head, limit)) for one in states]
    return [span for span in spans if span[1] <= span[2]]


def of_member(cursor: Cursor, entry: ChatEntry) -> Cursor:
    return from_joining(cursor, max(entry.unread_from, entry.first_index), entry.first_index)


def chat_states(
    snapshot: Snapshot,
    lists: Mapping[AccountId, Iterable[ChatEntry]],
    devices: Mapping[AccountId, DeviceId] = MappingProxyType({}),
) -> dict[AccountId, list[AccountChat]]:
    """The state of each chat for each account, or for its device in `devices`."""
    activity = snapshot.activity(entry.chat for entries in lists.values() for entry in entries)
    readers = {account: reader(account, devices.get(account, NO_DEVICE)) for account in lists}
    cursors = snapshot.cursors(
        [(readers[account], entry.chat) for account, entries in lists.items() for entry in entries]
    )

    def state(account: AccountId, entry: ChatEntry) -> AccountChat:
        head, time, rev = activity.get(entry.chat, Activity())
        cursor = of_member(cursors.get((readers[account], entry.chat), Cursor()), entry)
        return AccountChat(entry, head, cursor, time, rev)

    return {account: [state(account, entry) for entry in entries] for account, entries in lists.items()}


_MEMBERS = 500
_PAGE = 100
_TOO_MANY_MEMBERS = Failure(ErrorCode.LIMIT, f"this group has more than {_MEMBERS} members", "chat")


def possible_readers(member_list: ChatMembers, request: FindReaders) -> list[AccountId]:
    """The members that may see the message. Raises RequestError."""
    first, _ = member_list.members.get(request.actor, (0, 0))
    if not first:
        raise RequestError.from_failure(NOT_A_MEMBER)
    if request.index < first:
        raise RequestError.from_failure(NO_SUCH_MESSAGE)
    if len(member_list.members) > _MEMBERS:
        raise RequestError.from_failure(_TOO_MANY_MEMBERS)
    return sorted(account for account, (seen_from, _) in member_list.members.items() if seen_from <= request.index)


def find_readers(snapshot: Snapshot, request: FindReaders, members: list[AccountId]) -> Readers:
    """The members that have read a message. A member that joined after the message counts only if it has read the
    message itself. Raises RequestError."""
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
