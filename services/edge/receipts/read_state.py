"""Which pushed messages have reached a client, pure: a pong confirms all pushes before its ping."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

Ranges = dict[ChatId, list[tuple[int, int]]]


class UnconfirmedPushes:
    """Pushed messages of one connection that are not confirmed yet. A message's position is the number of bytes sent up
    to its end; times are those of one clock, in seconds."""

    __slots__ = ("_pinged", "_pushed", "_times")

    def __init__(self) -> None:
        self._pushed: list[tuple[int, ChatId, int]] = []
        """Position, chat and index, in order."""
        self._times: list[float] = []
        """Of the same pushes, if they are timed."""
        self._pinged = 0
        """Number of messages pushed before the ping."""

    def __bool__(self) -> bool:
        return bool(self._pushed)

    def pushed(self, chat: ChatId, index: int, position: int) -> None:
        self._pushed.append((position, chat, index))

    def timed(self, now: float) -> None:
        """The time of the last push. Of one connection, all pushes are timed or none."""
        self._times.append(now)

    def contains(self, chat: ChatId, index: int) -> bool:
        return any(pushed == chat and known == index for _, pushed, known in self._pushed)

    def pinged(self) -> None:
        """A ping was sent; its pong will confirm everything pushed so far."""
        self._pinged = len(self._pushed)

    def ponged(self) -> Ranges:
        """The ranges confirmed by the pong."""
        return self._confirm(self._pinged)

    def ended(self, position: int, until: float | None) -> Ranges:
        """The ranges confirmed at the connection's end, when `position` bytes have arrived. `until`: the client has
        handled no later push, of timed ones. The rest stays unread."""
        count = bisect_right(self._pushed, position, key=itemgetter(0))
        if until is not None:
            count = bisect_right(self._times, until, hi=count)
        confirmed = self._confirm(count)
        self._pushed.clear()
        self._times.clear()
        return confirmed

    def _confirm(self, count: int) -> Ranges:
        confirmed, self._pushed, self._pinged = self._pushed[:count], self._pushed[count:], 0
        del self._times[:count]
        ranges: Ranges = {}
        for chat, low, high in _runs(confirmed):
            spans = ranges.setdefault(chat, [])
            if spans and spans[-1][1] + 1 == low:
                low, _ = spans.pop()
            spans.append((low, high))
        return ranges


class ReadBuffer:
    """Indexes that local accounts have read or posted, collected until they are committed together."""

    def __init__(self) -> None:
        self._ranges: dict[AccountId, Ranges] = {}
        self._read: set[tuple[AccountId, ChatId]] = set()
        """Chats in which the account has read something, and not only posted."""

    def __contains__(self, account: AccountId) -> bool:
        return account in self._ranges

    def __len__(self) -> int:
        return len(self._ranges)

    @property
    def accounts(self) -> frozenset[AccountId]:
        return frozenset(self._ranges)

    def covers(self, account: AccountId, chat: ChatId, index: int) -> bool:
        return any(low <= index <= high for low, high in self._ranges.get(account, {}).get(chat, ()))

    def add(self, account: AccountId, confirmed: Ranges) -> None:
        if not confirmed:
            return
        chats = self._ranges.setdefault(account, {})
        for chat, ranges in confirmed.items():
            chats.setdefault(chat, []).extend(ranges)
            self._read.add((account, chat))

    def add_posted(self, account: AccountId, chat: ChatId, indexes: Iterable[int]) -> None:
        spans = self._ranges.setdefault(account, {}).setdefault(chat, [])
        for index in indexes:
            spans.append((index, index))  # a generator expression is slow when compiled

    def of_read_chats(self, ranges: Iterable[ReadRange]) -> list[ReadRange]:
        """Those of these ranges, of which some may have left the buffer, whose account has read something there."""
        return [one for one in ranges if (one.account, one.chat) in self._read]

    def pop_batch(self, limit: int) -> list[ReadRange]:
        """Remove about `limit` ranges, those of an account together."""
        batch: list[ReadRange] = []
        while self._ranges and len(batch) < limit:
            account, chats = self._ranges.popitem()
            batch += [ReadRange(account, chat, *span) for chat, spans in chats.items() for span in merge_spans(spans)]
        return batch

    def put_back(self, ranges: list[ReadRange]) -> None:
        for item in ranges:
            self.add(item.account, {item.chat: [(item.low, item.high)]})


def _runs(pushed: list[tuple[int, ChatId, int]]) -> Iterator[tuple[ChatId, int, int]]:
    """Group pushes of consecutive indexes of one chat: the chat, the first and the last index."""
    if not pushed:
        return
    _, chat, low = pushed[0]
    high = low - 1
    for _, following, index in pushed:
        if index != high + 1 or following != chat:
            yield chat, low, high
            chat, low = following, index
        high = index
    yield chat, low, high


def merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same indexes in as few ranges as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
