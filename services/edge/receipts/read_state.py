"""What arrived at a client, pure: pushes are confirmed by a pong to a ping sent after them, or at the end."""

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

Ranges = dict[ChatId, list[tuple[int, int]]]


class UnconfirmedPushes:
    """Pushed messages of one connection whose arrival is not known yet. A position is how many bytes had been sent
    when all of a message had been."""

    __slots__ = ("_asked", "_pushed")

    def __init__(self) -> None:
        self._pushed: list[tuple[int, ChatId, int]] = []
        """Position, chat and index, in order."""
        self._asked = 0
        """So many of them had been pushed before the ping."""

    def __bool__(self) -> bool:
        return bool(self._pushed)

    def pushed(self, chat: ChatId, index: int, position: int) -> None:
        self._pushed.append((position, chat, index))

    def pinged(self) -> None:
        """A ping was sent: its pong will confirm everything pushed so far."""
        self._asked = len(self._pushed)

    def ponged(self) -> Ranges:
        """What is confirmed by the pong."""
        return self._take(self._asked)

    def ended(self, position: int) -> Ranges:
        """What is confirmed at the connection's end, of which so many bytes have arrived; the rest stays unread."""
        confirmed = self._take(bisect_right(self._pushed, position, key=itemgetter(0)))
        self._pushed.clear()
        return confirmed

    def _take(self, count: int) -> Ranges:
        taken, self._pushed, self._asked = self._pushed[:count], self._pushed[count:], 0
        ranges: Ranges = {}
        for chat, low, high in _runs(taken):
            spans = ranges.setdefault(chat, [])
            if spans and spans[-1][1] + 1 == low:
                low, _ = spans.pop()
            spans.append((low, high))
        return ranges


class ReadBuffer:
    """Confirmed ranges of this node's accounts, gathered until they are committed together."""

    def __init__(self) -> None:
        self._ranges: dict[AccountId, Ranges] = {}

    def __contains__(self, account: AccountId) -> bool:
        return account in self._ranges

    def __len__(self) -> int:
        return len(self._ranges)

    @property
    def accounts(self) -> frozenset[AccountId]:
        return frozenset(self._ranges)

    def add(self, account: AccountId, confirmed: Ranges) -> None:
        if not confirmed:
            return
        chats = self._ranges.setdefault(account, {})
        for chat, ranges in confirmed.items():
            chats.setdefault(chat, []).extend(ranges)

    def take(self, most: int) -> list[ReadRange]:
        """Ranges of whole accounts, about `most` of them."""
        taken: list[ReadRange] = []
        while self._ranges and len(taken) < most:
            account, chats = self._ranges.popitem()
            taken += [ReadRange(account, chat, *span) for chat, spans in chats.items() for span in joined(spans)]
        return taken

    def put_back(self, ranges: list[ReadRange]) -> None:
        for item in ranges:
            self.add(item.account, {item.chat: [(item.low, item.high)]})


def _runs(pushed: list[tuple[int, ChatId, int]]) -> Iterator[tuple[ChatId, int, int]]:
    """Pushes of successive indexes of one chat, together: the chat, the first and the last index."""
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


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same indexes in as few ranges as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
