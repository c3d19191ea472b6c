"""The rules of message, pure: members, permission to post, index and time of a message, read state, history pages.

Indexes count 1, 2, 3 … within a chat; ranges of them are inclusive. Times are Unix milliseconds.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, Nonce
from shared.contract.message import Draft, GetHistory
from shared.contract.model import MemberPair, Message, ProfileSummary, Role
from shared.contract.session import Member

MAX_HISTORY_COUNT = 200
"""Messages on one page of history, at most."""

MESSAGE_OVERHEAD_BYTES = 64
"""Bytes of a message on the bus beside its body, at most."""

UNREAD_OVERHEAD_BYTES = MESSAGE_OVERHEAD_BYTES + 28
"""The same for an unread message, with the member pair of its chat."""

_LOGGED_CHANGES = 2_000
"""Of a roster, at most: about 20 KiB of a reply on the bus."""

_CHAT_BYTES = 72
_RANGE_BYTES = 20
_PROFILE_OVERHEAD_BYTES = 16
_CHARACTER_BYTES = 4

DEADLINE_PASSED = Failure(ErrorCode.UNAVAILABLE, "the message was not stored in time, please try again")
NOT_A_MEMBER = Failure(ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat")
READ_ONLY_CHAT = Failure(ErrorCode.FORBIDDEN, "nobody reads what is said in this chat", "chat")
UNPLACED = Failure(ErrorCode.UNAVAILABLE, "the database of this chat is not known now, please try again")
_NO_DEADLINE = 2**63
_BAD_NONCE = Failure(ErrorCode.INVALID, "a nonce has 63 bits", "nonce")

MessageKey = tuple[ChatId, AccountId, Nonce]
"""Identifies a message before it has an id: chat, sender, nonce."""

IndexRange = tuple[int, int]
"""Lowest and highest index, both included."""


# Members


class Roster:
    """The members of a chat at `version`: the first index each may see, and the first that may be unread for it.
    Reloading changes it in place: do not await while iterating over `members`."""

    __slots__ = (
        "_changes", "_changes_from", "_last_first_index", "checked_at", "confirmed_version", "members", "only_sender",
        "pair", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.version = 0
        self.members: dict[AccountId, tuple[int, int]] = {}
        self.pair: MemberPair | None = None
        """Of a private chat."""
        self.only_sender = NO_ACCOUNT
        """The only member that may post; NO_ACCOUNT: every member may."""
        self.confirmed_version = 0
        """The highest version named by Redis for which session was queried."""
        self.checked_at = 0.0
        """When session was last queried, monotonic seconds."""
        self._last_first_index = 0
        """No member's first index is higher."""
        self._changes: list[tuple[int, AccountId]] = []
        """Version and account of every change after version `_changes_from`."""
        self._changes_from = 0

    def update(self, changes: Iterable[Member], version: int) -> None:
        """Apply the changes since the roster's version, in their order; the roster then has this version."""
        for change in changes:
            self._apply(change)
            if self.version:
                self._changes.append((change.version, change.account))
        if not self.version:
            self._changes_from = version
        elif (extra := len(self._changes) - _LOGGED_CHANGES) > 0:
            self._changes_from = self._changes[extra - 1][0]
            del self._changes[:extra]
        self.version = version

    def changed_since(self, version: int) -> dict[AccountId, int] | None:
        """The accounts that have changed after this version, with the first index that each may see, or 0 for one that
        has left; None if some of the changes are not known."""
        if not self._changes_from <= version <= self.version:
            return None
        changed: dict[AccountId, int] = {}
        for changed_at, account in reversed(self._changes):
            if changed_at <= version:
                break
            changed[account] = self.members.get(account, (0, 0))[0]
        return changed

    def _apply(self, change: Member) -> None:
        """Add, update or (LEFT) remove a member."""
        if change.role is Role.LEFT:
            self.members.pop(change.account, None)
        else:
            first = change.first_index
            self.members[change.account] = (first, max(change.unread_from, first))
            self._last_first_index = max(self._last_first_index, first)

    def joined_after(self, index: int) -> dict[AccountId, int]:
        """Members that may not see the message with this index, and the first index of each."""
        if self._last_first_index <= index:
            return {}
        return {account: first for account, (first, _) in self.members.items() if first > index}


# Posting


class Head(NamedTuple):
    """Index and time of a chat's last message; zeros before the first."""

    last_index: int = 0
    last_time: int = 0


NewRow = tuple[ChatId, int, AccountId, Nonce, int, bytes]
"""A message to insert: chat, index, sender, nonce, time, body. The database assigns its id."""


class IndexedBatch(NamedTuple):
    """`results`, one per draft: the position of its row, the message that an earlier attempt posted, or None if its
    deadline has passed. `heads`: the chats' heads after the batch. `deadline`: the earliest of all rows."""

    rows: list[NewRow]
    results: list[int | Message | None]
    heads: dict[ChatId, Head]
    deadline: int


class CommittedMessage(NamedTuple):
    """A message to fan out, and the profile summary of its sender that the edge sent with the draft."""

    message: Message
    profile: ProfileSummary | None = None


def check_post(
    draft: Draft, members: Container[AccountId] | Failure, now: int, only_sender: AccountId = NO_ACCOUNT
) -> Failure | None:
    """Check a draft before it is committed; returns the reason to reject it, or None. `members`: of its chat, or the
    reason why they are unknown. `only_sender`: the only member that may post, if there is one."""
    if isinstance(members, Failure):
        return members
    if draft.sender not in members:
        return NOT_A_MEMBER
    if only_sender and draft.sender != only_sender:
        return READ_ONLY_CHAT
    if draft.deadline <= now:
        return DEADLINE_PASSED
    return None if 0 <= draft.nonce < 2**63 else _BAD_NONCE


def assign_indexes(
    drafts: Iterable[Draft], heads: Mapping[ChatId, Head], posted: Mapping[MessageKey, Message], now: int
) -> IndexedBatch:
    """Assign index and time to each new draft. `posted`: messages that already have a draft's key; they remain the
    result of that draft even after its deadline."""
    rows: list[NewRow] = []
    results: list[int | Message | None] = []
    new_heads: dict[ChatId, Head] = {}
    positions: dict[MessageKey, int] = {}
    deadline = _NO_DEADLINE
    for draft in drafts:
        chat, sender, nonce = draft.chat, draft.sender, draft.nonce
        key = (chat, sender, nonce)
        earlier = posted.get(key)
        if earlier is not None:
            results.append(earlier)
            continue
        position = positions.get(key)
        if position is None:
            if draft.deadline <= now:
                results.append(None)
                continue
            last_index, last_time = new_heads.get(chat) or heads[chat]
            head = new_heads[chat] = Head(last_index + 1, max(now, last_time + 1))
            position = positions[key] = len(rows)
            rows.append((chat, head.last_index, sender, nonce, head.last_time, draft.body))
            deadline = min(deadline, draft.deadline)
        results.append(position)
    return IndexedBatch(rows, results, new_heads, deadline)


# Read state


class ReadState(NamedTuple):
    """Everything up to `read_index` is read, and the ranges in `above`: ascending, neither overlapping nor adjacent,
    each with an unread gap below it."""

    read_index: int = 0
    above: tuple[IndexRange, ...] = ()


def merge_read(state: ReadState, ranges: Iterable[IndexRange], limit: int) -> ReadState:
    """Mark `ranges` as read. A union: the order of the calls and repetitions do not matter.

    At most `limit` ranges stay above the read index; beyond that, the lowest gaps are closed. Each gap has at least
    one unread message, so with the number of unread messages that a login pushes as `limit`, only messages too old to
    be pushed are lost.
    """
    read_index = state.read_index
    merged: list[IndexRange] = []
    for low, high in sorted((*state.above, *ranges)):
        if high < low:
            continue
        if low <= read_index + 1:
            read_index = max(read_index, high)
        elif merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    if (extra := len(merged) - limit) > 0:
        read_index = merged[extra - 1][1]
        del merged[:extra]
    return ReadState(read_index, tuple(merged))


def read_below(state: ReadState, unread_from: int) -> ReadState:
    """The state of a member for which nothing before `unread_from` counts as unread."""
    return merge_read(state, ((1, unread_from - 1),), len(state.above))


def unread_ranges(state: ReadState, head: int, limit: int) -> list[IndexRange]:
    """The newest `limit` unread indexes up to `head`, as ascending ranges."""
    ranges: list[IndexRange] = []
    high = head
    for low, top in reversed(((0, state.read_index), *state.above)):
        start = max(top + 1, high - limit + 1)
        if start <= high:
            ranges.append((start, high))
            limit -= high - start + 1
        high = min(high, low - 1)
    return ranges[::-1]


def first_unread(state: ReadState, ranges: Sequence[IndexRange]) -> int:
    """The first unread index; `ranges` are all unread ones."""
    return ranges[0][0] if ranges else state.read_index + 1


# History


def history_range(request: GetHistory, head: int, first_index: int) -> IndexRange:
    """The requested indexes that the caller may see; an empty range if there are none. Raises RequestError."""
    if not 1 <= request.count <= MAX_HISTORY_COUNT:
        raise RequestError(ErrorCode.INVALID, f"count is between 1 and {MAX_HISTORY_COUNT}", "count")
    start = request.start if request.start >= 0 else head + 1 + request.start
    if start < 1:
        return (1, 0)
    if request.older:
        high = min(start, head)
        return (max(high - request.count + 1, first_index, 1), high)
    low = max(start, first_index, 1)
    return (low, min(low + request.count - 1, head))


# Pages


def chunks(ranges: Iterable[tuple[ChatId, int, int]], rows: int) -> Iterator[list[tuple[ChatId, int, int]]]:
    """Split ranges (chat, low, high) into lists of at most `rows` indexes each, in order."""
    chunk: list[tuple[ChatId, int, int]] = []
    left = rows
    for chat, start, high in ranges:
        low = start
        while low <= high:
            top = min(high, low + left - 1)
            chunk.append((chat, low, top))
            left -= top - low + 1
            low = top + 1
            if not left:
                yield chunk
                chunk, left = [], rows
    if chunk:
        yield chunk


def take_fitting(messages: Iterable[tuple[ChatId, int, int]], budget: int) -> list[tuple[ChatId, int, int]]:
    """The first of these messages (chat, index, bytes of the body) that fit into a reply of `budget` bytes, at least
    one; each as a range (chat, index, index), sorted."""
    ranges: list[tuple[ChatId, int, int]] = []
    for chat, index, size in messages:
        budget -= size + UNREAD_OVERHEAD_BYTES
        if budget < 0 and ranges:
            break
        ranges.append((chat, index, index))
    return sorted(ranges)


def message_size(message: Message) -> int:
    """Bytes on the bus, at most."""
    return len(message.body) + MESSAGE_OVERHEAD_BYTES


def chat_size(ranges: int) -> int:
    """Bytes on the bus of a chat in a sync, at most, without its messages. `ranges`: those above its read index."""
    return _CHAT_BYTES + _RANGE_BYTES * ranges


def profile_size(profile: ProfileSummary | None) -> int:
    """Bytes on the bus, at most."""
    if profile is None:
        return 1
    return _PROFILE_OVERHEAD_BYTES + _CHARACTER_BYTES * (len(profile.nickname) + len(profile.uuid))
