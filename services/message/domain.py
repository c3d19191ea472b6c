"""The rules of the message service, as pure functions: permissions to change messages, the index and time of a message,
delivered and read messages, and pages of history.

Within a chat, messages have the indexes 1, 2, 3 …. A range of indexes includes its first and last index. Times are Unix
milliseconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, comparable
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.contract.ids import AccountId, ChatId, DeviceId, Nonce
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
"""The most messages on one page of history."""

MESSAGE_OVERHEAD_BYTES: Final = 64
"""The most bytes that a message takes on NATS in addition to its body."""

UNREAD_OVERHEAD_BYTES = MESSAGE_OVERHEAD_BYTES + 28
"""The overhead of an unread message, which also has the member pair of its chat."""

_CHAT_BYTES = 100
_RANGE_BYTES = 20
_REACTION_BYTES = 16
"""The bytes of a reaction without its emoji. A character of an emoji has 4 bytes at most."""

DEADLINE_PASSED = Failure(ErrorCode.UNAVAILABLE, "the message was not stored in time, please try again")
NOT_A_MEMBER = Failure(ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat", reason=Reason.NOT_MEMBER)
READ_ONLY_CHAT = Failure(
    ErrorCode.FORBIDDEN, "nobody reads what is sent to this chat", "chat", reason=Reason.WRONG_KIND
)
NO_RECIPIENT = Failure(ErrorCode.NOT_FOUND, "this account is deleted", "chat", reason=Reason.GONE)
BLOCKED = Failure(ErrorCode.FORBIDDEN, "this user does not accept your messages", "chat", reason=Reason.BLOCKED)
SILENCED = Failure(ErrorCode.FORBIDDEN, "you are silenced in this chat", "chat", reason=Reason.SILENCED)
NONCE_USED = Failure(
    ErrorCode.CONFLICT, "another message of yours in this chat has this nonce", "nonce", reason=Reason.NONCE_USED
)
_NO_DEADLINE: Final = 2**63
BAD_NONCE = Failure(ErrorCode.INVALID, "a nonce has 63 bits", "nonce")

MessageKey = tuple[ChatId, AccountId, Nonce]
"""Identifies a message before it has an id: chat, sender, nonce."""

IndexRange = tuple[int, int]
"""Lowest and highest index, both included."""


# Posting


Head = tuple[int, int]
"""The index and time of a chat's last message; both are 0 before the first message. It is no named tuple, because
compiled modules create these slowly."""

NewRow = tuple[ChatId, int, AccountId, Nonce, int, bytes]
"""A message to insert: chat, index, sender, nonce, time, body. The database assigns its id."""


class IndexedBatch(NamedTuple):
    """`results` has one entry per draft: the position of the draft's row, or the message that an earlier attempt
    posted. It is None if the draft's deadline has passed. `heads`: the chats' last indexes and times after the batch.
    `deadline`: the earliest deadline of all rows."""

    rows: list[NewRow]
    results: list[int | Message | None]
    heads: dict[ChatId, Head]
    deadline: int


class CommittedMessage:
    """A message to fan out, with the sender's profile summary and the quote that the edge sent with the draft."""

    __slots__ = ("message", "profile", "quote")

    def __init__(self, message: Message, profile: ProfileSummary | None = None, quote: Quote | None = None) -> None:
        self.message = message
        self.profile = profile
        self.quote = quote


def assign_indexes(
    drafts: Iterable[Draft], heads: Mapping[ChatId, Head], posted: Mapping[MessageKey, Message], now: int
) -> IndexedBatch:
    """Assign an index and a time to each new draft. `posted`: messages that already have a draft's key. If the draft
    was posted before, the message is its result even after the draft's deadline."""
    rows: list[NewRow] = []
    results: list[int | Message | None] = []
    last: dict[ChatId, Head] = {}
    """The index and time of each chat's last message after the batch."""
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
    return IndexedBatch(rows, results, last, deadline)


def check_repeated(result: Message, draft: Draft, *, was_sent: bool) -> Message | Failure:
    """The result of a draft whose nonce was used before. A repeated draft gets the message that the first attempt
    posted. A draft with another body is rejected. `was_sent`: the message was changed later, and had the draft's body
    before."""
    if was_sent or result.body in (draft.body, EXPIRED_BODY) or comparable(result.body) == comparable(draft.body):
        return result
    return NONCE_USED


# Changes of messages

MAX_EMOJI, MAX_EDITS, MAX_PINS = 20, 100, 50
"""The most emoji of a message, edits of a message, and pins of a chat."""

NO_SUCH_MESSAGE = Failure(ErrorCode.NOT_FOUND, "there is no such message", "index")
MESSAGE_GONE = Failure(ErrorCode.NOT_FOUND, "this message was recalled or has expired", "index", reason=Reason.GONE)
NOT_THE_SENDER = Failure(ErrorCode.FORBIDDEN, "this message is of another user", "index", reason=Reason.NOT_SENDER)
TOO_LATE = Failure(ErrorCode.FORBIDDEN, "this message is too old for that", "index", reason=Reason.TOO_OLD)
NO_PINS = Failure(ErrorCode.FORBIDDEN, "only the owner and the admins may do this", "chat", reason=Reason.NOT_ADMIN)


class ChangePermissions(NamedTuple):
    """The changes that a member may make to the messages of its chat. `first_index`: the first message that the member
    may see. The member may edit own messages from `edit_from` on, and recall them from `recall_from` on (Unix ms). The
    owner and the admins of a group may recall any message. `muted`: the reason why the member may not post."""

    first_index: int
    edit_from: int
    recall_from: int
    leads: bool
    pins: bool
    muted: Failure | None = None


def check_change(message: Message, request: ChangeMessage, permissions: ChangePermissions) -> Failure | None:
    """The reason to reject a change that is not made yet; None if it is allowed. An expired message may be unpinned,
    because its pin stays and counts. A member that may not post in a group may still recall messages. A blocked account
    may not, because the member who blocked the account may need the message as evidence."""
    if permissions.muted is not None and (permissions.muted is BLOCKED or not isinstance(request.change, RecallText)):
        return permissions.muted
    if message.body in (EXPIRED_BODY, RECALLED_BODY) and request.change != PinMessage(on=False):
        return MESSAGE_GONE
    is_own = message.sender == request.actor
    match request.change:
        case EditText() if not is_own:
            return NOT_THE_SENDER
        case RecallText() if not (is_own or permissions.leads):
            return NOT_THE_SENDER
        case EditText() if message.time < permissions.edit_from:
            return TOO_LATE
        case RecallText() if message.time < permissions.recall_from and not permissions.leads:
            return TOO_LATE
        case PinMessage() if not permissions.pins:
            return NO_PINS
    return None


# Delivery and read positions


class Cursor(NamedTuple):
    """The read state of one account in one chat. Everything up to `delivered_index` is delivered, and so are the
    ranges in `above`. The ranges ascend and do not touch; below each is an undelivered gap. All messages up to
    `read_index` are read. It may exceed the delivered index: an account that writes in a chat has read the chat.
    `unread_from`: the account has marked all messages from this index on as unread; None if it has marked none."""

    delivered_index: int = 0
    above: tuple[IndexRange, ...] = ()
    read_index: int = 0
    unread_from: int | None = None

    @property
    def first_unread(self) -> int:
        after_read = self.read_index + 1
        return min(after_read, self.unread_from or after_read)

    def covers(self, index: int) -> bool:
        """Whether the message with this index is delivered."""
        return index <= self.delivered_index or any(low <= index <= high for low, high in self.above)


def reader(account: AccountId, device: DeviceId) -> AccountId:
    """The number under which the deliveries to this device are stored or, without a device, those to the account."""
    return AccountId(-device) if device else account


def merge_delivered(cursor: Cursor, ranges: Iterable[IndexRange], limit: int) -> Cursor:
    """Mark `ranges` as delivered. The result is the union of all ranges. So neither the order of the calls nor repeated
    calls matter, unless there are too many ranges.

    At most `limit` ranges above the delivered index are kept. If there are more, the shortest ranges are forgotten. The
    newest range is always kept, because it grows with further messages. The messages of a forgotten range are delivered
    again. No message counts as delivered by mistake.
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
    return cursor._replace(delivered_index=index, above=tuple(merged))


def read_up_to(cursor: Cursor, index: int) -> Cursor:
    """Mark everything up to `index` as read."""
    return cursor._replace(read_index=max(cursor.read_index, index))


def from_joining(cursor: Cursor, unread_from: int, first_index: int = 1) -> Cursor:
    """The read state of a member that joined at `unread_from`: all earlier messages count as delivered and read. The
    member's mark as unread stays, unless the mark is before `first_index`: then the mark is from an earlier
    membership."""
    if cursor.unread_from is not None and cursor.unread_from < first_index:
        cursor = cursor._replace(unread_from=None)
    delivered = merge_delivered(cursor, ((1, unread_from - 1),), len(cursor.above) + 1)
    return read_up_to(delivered, unread_from - 1)


def unread_range(cursor: Cursor, head: int, limit: int) -> IndexRange:
    """The range of the newest `limit` unread indexes up to `head`."""
    return (max(cursor.first_unread, head - limit + 1), head)


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
    """The first index of the undelivered `ranges`. If there are no ranges, this is the index after all delivered
    messages."""
    return ranges[0][0] if ranges else cursor.delivered_index + 1


# History


def history_range(request: GetHistory, head: int, first_index: int) -> IndexRange:
    """The requested indexes that the caller may see; empty if there are none. Raises RequestError."""
    if not 1 <= request.count <= MAX_HISTORY_COUNT:
        raise RequestError(ErrorCode.INVALID, f"count is between 1 and {MAX_HISTORY_COUNT}", "count")
    if request.around:
        low = max(min(request.around, head) - request.count // 2, first_index, 1)
        high = min(low + request.count - 1, head)
        return (max(high - request.count + 1, first_index, 1), high)
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


def take_fitting(
    messages: Iterable[tuple[ChatId, int, int]], budget: int, overhead: int = UNREAD_OVERHEAD_BYTES
) -> list[tuple[ChatId, int, int]]:
    """The first of these messages (chat, index, bytes of the body) that fit into a reply of `budget` bytes, at least
    one. Each message takes `overhead` besides its body, and becomes a range (chat, index, index). The result is
    sorted."""
    ranges: list[tuple[ChatId, int, int]] = []
    for chat, index, size in messages:
        budget -= size + overhead
        if budget < 0 and ranges:
            break
        ranges.append((chat, index, index))
    return sorted(ranges)


def message_size(message: Message) -> int:
    """The most bytes that the message takes on NATS."""
    return len(message.body) + MESSAGE_OVERHEAD_BYTES


def reactions_size(reactions: Reactions | None) -> int:
    """The most bytes that the reactions take on NATS."""
    if not reactions:
        return 0
    return 16 + sum(
        _REACTION_BYTES + 4 * len(emoji) for emojis in (reactions.counts, reactions.mine) for emoji in emojis
    )


def change_size(change: MessageChange) -> int:
    """The most bytes that the change takes on NATS."""
    reactions = Reactions(change.reactions, change.mine or [])
    return len(change.body) + MESSAGE_OVERHEAD_BYTES + reactions_size(reactions)


def chat_size(ranges: int) -> int:
    """The most bytes that a chat takes in the reply to a sync, without its messages. `ranges`: the number of delivered
    ranges above its delivered index."""
    return _CHAT_BYTES + _RANGE_BYTES * ranges
