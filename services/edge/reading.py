"""What arrived at a client, pure: pushes are confirmed by a pong to a ping sent after them, or at the end."""

from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

Ranges = dict[ChatId, list[tuple[int, int]]]


class Unconfirmed:
    """Pushed messages of one connection whose arrival is not known yet."""

    __slots__ = ("_fresh", "_pinged")

    def __init__(self) -> None:
        self._fresh: Ranges = {}
        self._pinged: Ranges = {}

    def __bool__(self) -> bool:
        return bool(self._fresh) or bool(self._pinged)

    def pushed(self, chat: ChatId, index: int) -> None:
        """Indexes of a chat mostly follow each other, and then cost one tuple."""
        ranges = self._fresh.get(chat)
        if ranges is None:
            self._fresh[chat] = [(index, index)]
        elif ranges[-1][1] + 1 == index:
            ranges[-1] = (ranges[-1][0], index)
        else:
            ranges.append((index, index))

    def pinged(self) -> None:
        """A ping was sent: its pong will confirm everything pushed so far."""
        for chat, ranges in self._fresh.items():
            self._pinged.setdefault(chat, []).extend(ranges)
        self._fresh = {}

    def ponged(self) -> Ranges:
        """What is confirmed by the pong."""
        confirmed, self._pinged = self._pinged, {}
        return confirmed

    def ended(self, everything_arrived: bool) -> Ranges:
        """What is confirmed at the connection's end: all or nothing; the rest stays unread."""
        self.pinged()
        confirmed = self.ponged()
        return confirmed if everything_arrived else {}


class ReadState:
    """Confirmed ranges of this node's accounts, gathered until they are committed together."""

    def __init__(self) -> None:
        self._ranges: dict[AccountId, Ranges] = {}

    def __contains__(self, account: AccountId) -> bool:
        return account in self._ranges

    def __len__(self) -> int:
        return len(self._ranges)

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


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same indexes in as few ranges as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
