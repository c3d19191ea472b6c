"""The rules of message, pure: who may post, index and time of what is posted, what is read and what is not.

Indexes count 1, 2, 3 … within a chat; spans of them are inclusive. Times are Unix milliseconds.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, Nonce
from shared.contract.message import Draft, GetHistory
from shared.contract.model import Message, ProfileSummary

HISTORY_COUNT = 200
"""Messages of one page of history, at most."""

MESSAGE_OVERHEAD_BYTES = 64
"""What a message takes on the bus beside its body, at most."""

WAITING_BYTES = MESSAGE_OVERHEAD_BYTES + 28
"""Of a message beside its body, and what names the pair of its chat."""

_FACE_OVERHEAD_BYTES = 16
_CHARACTER_BYTES = 4

LATE = Failure(ErrorCode.UNAVAILABLE, "the message was not stored in time, please try again")
NOT_A_MEMBER = Failure(ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat")
NOT_READ = Failure(ErrorCode.FORBIDDEN, "nobody reads what is said in this chat", "chat")
_NEVER = 2**63
_BAD_NONCE = Failure(ErrorCode.INVALID, "a nonce has 63 bits", "nonce")

Key = tuple[ChatId, AccountId, Nonce]
"""What names a message before it has an id."""

Span = tuple[int, int]


# Posting


class Head(NamedTuple):
    """The last message of a chat; zeros before the first."""

    last_index: int = 0
    last_time: int = 0


Row = tuple[ChatId, int, AccountId, Nonce, int, bytes]
"""A message to be inserted: chat, index, sender, nonce, time, body; it lacks only its id."""


class Stamped(NamedTuple):
    """`outcomes`, one per draft: the position of its row, the message an earlier attempt has left, or None when its
    deadline has passed. `heads` are those that moved; `deadline` is the earliest of the rows'."""

    rows: list[Row]
    outcomes: list[int | Message | None]
    heads: dict[ChatId, Head]
    deadline: int


def refusal(
    draft: Draft, members: Container[AccountId] | Failure, now: int, speaker: AccountId = NO_ACCOUNT
) -> Failure | None:
    """Why a draft may not be posted; `members` are its chat's, or why they are not known; `speaker`: the only one of
    them who may."""
    if isinstance(members, Failure):
        return members
    if draft.sender not in members:
        return NOT_A_MEMBER
    if speaker and draft.sender != speaker:
        return NOT_READ
    if draft.deadline <= now:
        return LATE
    return None if 0 <= draft.nonce < 2**63 else _BAD_NONCE


def stamp(drafts: Iterable[Draft], heads: Mapping[ChatId, Head], seen: Mapping[Key, Message], now: int) -> Stamped:
    """Give each new draft its index and time; `seen` are the messages that have one of the drafts' keys already.
    What was posted before is so even after its deadline."""
    rows: list[Row] = []
    outcomes: list[int | Message | None] = []
    moved: dict[ChatId, Head] = {}
    positions: dict[Key, int] = {}
    deadline = _NEVER
    for draft in drafts:
        chat, sender, nonce = draft.chat, draft.sender, draft.nonce
        key = (chat, sender, nonce)
        before = seen.get(key)
        if before is not None:
            outcomes.append(before)
            continue
        position = positions.get(key)
        if position is None:
            if draft.deadline <= now:
                outcomes.append(None)
                continue
            last_index, last_time = moved.get(chat) or heads[chat]
            head = moved[chat] = Head(last_index + 1, max(now, last_time + 1))
            position = positions[key] = len(rows)
            rows.append((chat, head.last_index, sender, nonce, head.last_time, draft.body))
            deadline = min(deadline, draft.deadline)
        outcomes.append(position)
    return Stamped(rows, outcomes, moved, deadline)


class Said(NamedTuple):
    """A message to be told, and its sender's face as the edge has sent it along."""

    message: Message
    face: ProfileSummary | None = None


# Reading


class ReadState(NamedTuple):
    """Everything up to `read_index` is read, and the spans in `above`: ascending, neither overlapping nor adjacent,
    each leaving a hole below it."""

    read_index: int = 0
    above: tuple[Span, ...] = ()


def read_on(state: ReadState, spans: Iterable[Span], most: int) -> ReadState:
    """Everything in `spans` is read, too: the union, in whatever order and however often it is told.

    More than `most` spans above are not kept: the lowest holes are closed. Each hole has an unread message at least,
    so with `most` the number of unread messages that a login pushes, what is closed here was too old for any.
    """
    read_index = state.read_index
    merged: list[Span] = []
    for low, high in sorted((*state.above, *spans)):
        if high < low:
            continue
        if low <= read_index + 1:
            read_index = max(read_index, high)
        elif merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    if (extra := len(merged) - most) > 0:
        read_index = merged[extra - 1][1]
        del merged[:extra]
    return ReadState(read_index, tuple(merged))


def since_joining(state: ReadState, unread_from: int) -> ReadState:
    """What lies before `unread_from` was never unread."""
    return read_on(state, ((1, unread_from - 1),), len(state.above))


def unread(state: ReadState, head: int, most: int) -> list[Span]:
    """The holes up to `head`, ascending: of the unread messages the newest `most`."""
    spans: list[Span] = []
    high = head
    for low, top in reversed(((0, state.read_index), *state.above)):
        start = max(top + 1, high - most + 1)
        if start <= high:
            spans.append((start, high))
            most -= high - start + 1
        high = min(high, low - 1)
    return spans[::-1]


def unread_from(state: ReadState, spans: Sequence[Span]) -> int:
    """The first index that counts as unread, `spans` being all that does."""
    return spans[0][0] if spans else state.read_index + 1


# History


def history_span(request: GetHistory, head: int, first_index: int) -> Span:
    """The indexes that are asked for and may be seen; an empty span when there are none. Raises Refused."""
    if not 1 <= request.count <= HISTORY_COUNT:
        raise RequestError(ErrorCode.INVALID, f"count is between 1 and {HISTORY_COUNT}", "count")
    start = request.start if request.start >= 0 else head + 1 + request.start
    if start < 1:
        return (1, 0)
    if request.older:
        high = min(start, head)
        return (max(high - request.count + 1, first_index, 1), high)
    low = max(start, first_index, 1)
    return (low, min(low + request.count - 1, head))


# Pages


def portions(spans: Iterable[tuple[ChatId, int, int]], rows: int) -> Iterator[list[tuple[ChatId, int, int]]]:
    """The same indexes in the same order, in lists of at most so many."""
    portion: list[tuple[ChatId, int, int]] = []
    room = rows
    for chat, start, high in spans:
        low = start
        while low <= high:
            top = min(high, low + room - 1)
            portion.append((chat, low, top))
            room -= top - low + 1
            low = top + 1
            if not room:
                yield portion
                portion, room = [], rows
    if portion:
        yield portion


def fitting(messages: Iterable[tuple[ChatId, int, int]], room: int) -> list[tuple[ChatId, int, int]]:
    """Of these messages (chat, index, bytes of the body) as many as a reply has room for, one at least; each as the
    span of its own, in order."""
    spans: list[tuple[ChatId, int, int]] = []
    for chat, index, size in messages:
        room -= size + WAITING_BYTES
        if room < 0 and spans:
            break
        spans.append((chat, index, index))
    return sorted(spans)


def size_of(message: Message) -> int:
    """Bytes on the bus, at most."""
    return len(message.body) + MESSAGE_OVERHEAD_BYTES


def size_of_face(face: ProfileSummary | None) -> int:
    """The same."""
    if face is None:
        return 1
    return _FACE_OVERHEAD_BYTES + _CHARACTER_BYTES * (len(face.nickname) + len(face.uuid))
