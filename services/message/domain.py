"""The rules of message, pure: permission to post and to change, index and time of a message, what is delivered and what
is read, history pages.

Indexes count 1, 2, 3 … within a chat; ranges of them are inclusive. Times are Unix milliseconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shared.contract.body import EXPIRED_BODY, RECALLED_BODY
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import (
    ChangeMessage,
    Draft,
    EditText,
    GetHistory,
    MessageChange,
    PinMessage,
    Reactions,
    RecallText,
)
from shared.contract.model import Message, ProfileSummary, Quote

MAX_HISTORY_COUNT = 200
"""Messages on one page of history, at most."""

MESSAGE_OVERHEAD_BYTES: Final = 64
"""Bytes of a message on the bus beside its body, at most."""

UNREAD_OVERHEAD_BYTES = MESSAGE_OVERHEAD_BYTES + 28
"""The same for an unread message, with the member pair of its chat."""

_CHAT_BYTES = 100
_RANGE_BYTES = 20
_REACTION_BYTES = 16
"""Without the emoji, of which a character has 4 bytes at most."""

DEADLINE_PASSED = Failure(ErrorCode.UNAVAILABLE, "the message was not stored in time, please try again")
NOT_A_MEMBER = Failure(ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat")
READ_ONLY_CHAT = Failure(ErrorCode.FORBIDDEN, "nobody reads what is said in this chat", "chat")
NO_RECIPIENT = Failure(ErrorCode.NOT_FOUND, "this account is deleted", "chat")
BLOCKED = Failure(ErrorCode.FORBIDDEN, "this user does not accept your messages", "chat")
SILENCED = Failure(ErrorCode.FORBIDDEN, "you are silenced in this chat", "chat")
NONCE_USED = Failure(ErrorCode.CONFLICT, "another message of yours in this chat has this nonce", "nonce")
_NO_DEADLINE: Final = 2**63
BAD_NONCE = Failure(ErrorCode.INVALID, "a nonce has 63 bits", "nonce")

MessageKey = tuple[ChatId, AccountId, Nonce]
"""Identifies a message before it has an id: chat, sender, nonce."""

IndexRange = tuple[int, int]
"""Lowest and highest index, both included."""


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


class CommittedMessage:
    """A message to fan out, with the profile summary of its sender and the quote that the edge sent with the draft. No
    named tuple, which is made slowly from compiled modules."""

    __slots__ = ("message", "profile", "quote")

    def __init__(self, message: Message, profile: ProfileSummary | None = None, quote: Quote | None = None) -> None:
        self.message = message
        self.profile = profile
        self.quote = quote


def assign_indexes(
    drafts: Iterable[Draft], heads: Mapping[ChatId, Head], posted: Mapping[MessageKey, Message], now: int
) -> IndexedBatch:
    """Assign index and time to each new draft. `posted`: messages that already have a draft's key; they remain the
    result of that draft even after its deadline."""
    rows: list[NewRow] = []
    results: list[int | Message | None] = []
    last: dict[ChatId, tuple[int, int]] = {}
    """Index and time of the chats' last messages after the batch."""
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
            last_index, last_time = last.get(chat) or heads[chat]
            index, time = last[chat] = last_index + 1, max(now, last_time + 1)
            position = positions[key] = len(rows)
            rows.append((chat, index, sender, nonce, time, draft.body))
            deadline = min(deadline, draft.deadline)
        results.append(position)
    return IndexedBatch(rows, results, {chat: Head(*of_chat) for chat, of_chat in last.items()}, deadline)


def check_repeated(result: Message, draft: Draft, *, was_sent: bool) -> Message | Failure:
    """A repeated draft has the result of the first one; another message may not have its nonce. `was_sent`: the message
    has changed since, and had the body of the draft before."""
    if result.body not in (draft.body, EXPIRED_BODY) and not was_sent:
        return NONCE_USED
    return result


# Changes of messages

MAX_EMOJI, MAX_EDITS, MAX_PINS = 20, 100, 50
"""Of one message; of one message; of one chat."""

NO_SUCH_MESSAGE = Failure(ErrorCode.NOT_FOUND, "there is no such message", "index")
MESSAGE_GONE = Failure(ErrorCode.NOT_FOUND, "this message is recalled, or has expired", "index")
NOT_THE_SENDER = Failure(ErrorCode.FORBIDDEN, "this is the message of another user", "index")
TOO_LATE = Failure(ErrorCode.FORBIDDEN, "this message is too old for that", "index")
NO_PINS = Failure(ErrorCode.FORBIDDEN, "only the owner and the admins may do this", "chat")


class Rights(NamedTuple):
    """Of a member over the messages of its chat. `first_index`: the first that it may see. It may edit and recall its
    own ones that were sent at `edit_from`, `recall_from` or later (Unix ms); a leader recalls any, of a group."""

    first_index: int
    edit_from: int
    recall_from: int
    leads: bool
    pins: bool


def check_change(message: Message, request: ChangeMessage, rights: Rights) -> Failure | None:
    """The reason to reject a change that is not made yet, or None."""
    if message.body in (EXPIRED_BODY, RECALLED_BODY):
        return MESSAGE_GONE
    is_own = message.sender == request.actor
    match request.change:
        case EditText() if not is_own:
            return NOT_THE_SENDER
        case RecallText() if not (is_own or rights.leads):
            return NOT_THE_SENDER
        case EditText() if message.time < rights.edit_from:
            return TOO_LATE
        case RecallText() if message.time < rights.recall_from and not rights.leads:
            return TOO_LATE
        case PinMessage() if not rights.pins:
            return NO_PINS
    return None


# What is delivered, and what is read


class Cursor(NamedTuple):
    """Of one account in one chat. Everything up to `delivered_index` is delivered, and the ranges in `above`:
    ascending, neither overlapping nor adjacent, each with an undelivered gap below it. `marked`: everything up to it is
    read; None: what is read is what is delivered, as in the version before, which wrote the cursor."""

    delivered_index: int = 0
    above: tuple[IndexRange, ...] = ()
    marked: int | None = None

    @property
    def read_index(self) -> int:
        """Everything up to it is read. It may be above what is delivered: who writes in a chat has read it."""
        return self.delivered_index if self.marked is None else self.marked

    def covers(self, index: int) -> bool:
        """Whether the message with this index is delivered."""
        return index <= self.delivered_index or any(low <= index <= high for low, high in self.above)


def merge_delivered(cursor: Cursor, ranges: Iterable[IndexRange], limit: int) -> Cursor:
    """Mark `ranges` as delivered. A union: the order of the calls and repetitions do not matter, as long as there are
    not too many ranges.

    At most `limit` ranges stay above the delivered index. Of more, the shortest are forgotten, but never the newest,
    which grows: their messages are delivered again, and none counts as delivered that was not.
    """
    index = cursor.delivered_index
    merged: list[IndexRange] = []
    for low, high in sorted((*cursor.above, *ranges)):
        if high < low:
            continue
        if low <= index + 1:
            index = max(index, high)
        elif merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    if len(merged) > limit:
        longest = sorted(merged[:-1], key=lambda span: span[1] - span[0])[len(merged) - limit :]
        merged = [*sorted(longest), merged[-1]]
    return Cursor(index, tuple(merged), cursor.marked)


def read_up_to(cursor: Cursor, index: int) -> Cursor:
    """Everything up to `index` is read; with 0, what is read is only told apart from what is delivered."""
    if cursor.marked is not None and index <= cursor.marked:
        return cursor
    return Cursor(cursor.delivered_index, cursor.above, max(cursor.read_index, index))


def from_joining(cursor: Cursor, unread_from: int) -> Cursor:
    """The cursor of a member for which nothing before `unread_from` counts as undelivered or unread."""
    delivered = merge_delivered(cursor, ((1, unread_from - 1),), len(cursor.above) + 1)
    return delivered if cursor.marked is None else read_up_to(delivered, unread_from - 1)


def unread_range(cursor: Cursor, head: int, limit: int) -> IndexRange:
    """The newest `limit` unread indexes up to `head`."""
    return (max(cursor.read_index + 1, head - limit + 1), head)


def undelivered_ranges(cursor: Cursor, head: int, limit: int) -> list[IndexRange]:
    """The newest `limit` undelivered indexes up to `head`, as ascending ranges."""
    ranges: list[IndexRange] = []
    high = head
    for low, top in reversed(((0, cursor.delivered_index), *cursor.above)):
        start = max(top + 1, high - limit + 1)
        if start <= high:
            ranges.append((start, high))
            limit -= high - start + 1
        high = min(high, low - 1)
    return ranges[::-1]


def first_undelivered(cursor: Cursor, ranges: Sequence[IndexRange]) -> int:
    """The first of the undelivered `ranges`, or the one after all that is delivered."""
    return ranges[0][0] if ranges else cursor.delivered_index + 1


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


def reactions_size(reactions: Reactions | None) -> int:
    """Bytes on the bus, at most."""
    if not reactions:
        return 0
    return 16 + sum(
        _REACTION_BYTES + 4 * len(emoji) for emojis in (reactions.counts, reactions.mine) for emoji in emojis
    )


def change_size(change: MessageChange) -> int:
    """Bytes on the bus, at most."""
    reactions = Reactions(change.reactions, change.mine or [])
    return len(change.body) + MESSAGE_OVERHEAD_BYTES + reactions_size(reactions)


def chat_size(ranges: int) -> int:
    """Bytes on the bus of a chat in a sync, at most, without its messages. `ranges`: the delivered ones above its
    delivered index."""
    return _CHAT_BYTES + _RANGE_BYTES * ranges
