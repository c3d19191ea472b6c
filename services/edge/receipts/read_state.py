"""Which pushed messages have reached a client, and what accounts have read, pure: a pong confirms all pushes before its
ping."""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from shared.contract.ephemeral import ReadPlace
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange

Ranges = dict[ChatId, list[tuple[int, int]]]


class _PushedRun:
    """Pushes of consecutive messages of one chat."""

    __slots__ = ("chat", "high", "low")

    def __init__(self, chat: ChatId, low: int, high: int) -> None:
        self.chat = chat
        self.low = low
        self.high = high


class UnconfirmedPushes:
    """Pushed messages of one connection that are not confirmed yet. A message's position is the number of bytes sent up
    to its end; times are those of one clock, in seconds. Keeps no object of a message: there are tens of thousands, and
    they would push what the next message needs out of the processor's cache."""

    __slots__ = ("_chat", "_high", "_low", "_older", "_pinged", "_positions", "_times")

    def __init__(self) -> None:
        self._older: list[_PushedRun] = []
        """The runs before the last one, in order."""
        self._chat = ChatId(0)
        self._low, self._high = 1, 0
        """Of the last run, whose fields are here: a push then needs one object less. Empty if none is unconfirmed."""
        self._positions = array("q")
        """Of each push."""
        self._times = array("d")
        """Of each push, if they are timed."""
        self._pinged = 0
        """Number of messages pushed before the ping."""

    def __bool__(self) -> bool:
        return len(self._positions) > 0

    def pushed(self, chat: ChatId, index: int, position: int) -> None:
        if index != self._high + 1 or chat != self._chat:
            if self._low <= self._high:
                self._older.append(_PushedRun(self._chat, self._low, self._high))
            self._chat, self._low = chat, index
        self._high = index
        self._positions.append(position)

    def timed(self, now: float) -> None:
        """The time of the last push. Of one connection, all pushes are timed or none."""
        self._times.append(now)

    def contains(self, chat: ChatId, index: int) -> bool:
        if self._chat == chat and self._low <= index <= self._high:
            return True
        return any(run.chat == chat and run.low <= index <= run.high for run in self._older)

    def pinged(self) -> None:
        """A ping was sent; its pong will confirm everything pushed so far."""
        self._pinged = len(self._positions)

    def ponged(self) -> Ranges:
        """The ranges confirmed by the pong."""
        return self._confirm(self._pinged)

    def ended(self, position: int, until: float | None) -> Ranges:
        """The ranges confirmed at the connection's end, when `position` bytes have arrived. `until`: the client has
        handled no later push, of timed ones. The rest stays undelivered."""
        count = bisect_right(self._positions, position)
        if until is not None:
            count = bisect_right(self._times, until, hi=count)
        confirmed = self._confirm(count)
        self._low = self._high + 1
        del self._older[:], self._positions[:], self._times[:]
        return confirmed

    def _confirm(self, count: int) -> Ranges:
        """The first so many pushes."""
        ranges: Ranges = {}
        left, complete = count, 0
        for run in self._older:
            if left == 0:
                break
            taken = min(left, run.high - run.low + 1)
            _add_span(ranges, run.chat, run.low, run.low + taken - 1)
            run.low += taken
            left -= taken
            complete += run.low > run.high
        if left:
            _add_span(ranges, self._chat, self._low, self._low + left - 1)
            self._low += left
        del self._older[:complete], self._positions[:count], self._times[:count]
        self._pinged = 0
        return ranges


class ReadBuffer:
    """What has arrived at local accounts, and what they have read and posted, collected until it is committed
    together."""

    def __init__(self) -> None:
        self._ranges: dict[AccountId, Ranges] = {}
        self._posted_since: dict[AccountId, float] = {}
        """When accounts have posted first, in seconds."""
        self._confirmed: set[AccountId] = set()
        """Accounts at which something has arrived, or that have read something, and not only posted."""
        self._reads: dict[tuple[AccountId, ChatId], tuple[int, int]] = {}
        """Up to where they have read, by `read` or by a message of their own, and the connection."""

    def __contains__(self, account: AccountId) -> bool:
        return account in self._ranges

    def __len__(self) -> int:
        return len(self._ranges)

    @property
    def accounts(self) -> frozenset[AccountId]:
        return frozenset(self._ranges)

    def covers(self, account: AccountId, chat: ChatId, index: int) -> bool:
        """Whether this message has arrived."""
        return any(low <= index <= high for low, high in self._ranges.get(account, {}).get(chat, ()))

    def first_undelivered(self, account: AccountId, chat: ChatId, stored: int, end: int) -> int:
        """The account's first undelivered index; at most `end`. `stored`: the same without what is in this buffer."""
        first = stored
        for low, high in merge_spans(self._ranges.get(account, {}).get(chat, [])):
            if low <= first <= high:
                first = high + 1
        return min(first, end)

    def add(self, account: AccountId, confirmed: Ranges) -> None:
        """These messages have arrived."""
        if not confirmed:
            return
        chats = self._ranges.setdefault(account, {})
        for chat, ranges in confirmed.items():
            chats.setdefault(chat, []).extend(ranges)
        self._confirmed.add(account)

    def add_read(self, place: ReadPlace) -> None:
        """Everything up to there is read, and so has arrived."""
        self.add(place.account, {place.chat: [(1, place.index)]})
        self._read_up_to((place.account, place.chat), (place.index, place.connection))

    def add_posted(
        self, account: AccountId, chat: ChatId, indexes: Sequence[int], now: float, connection: int = 0
    ) -> None:
        """At least one index. Those of one batch are mostly consecutive; a message sent again has an earlier one.
        Who writes has read everything before, which need not have arrived at each of its clients."""
        self._posted_since.setdefault(account, now)
        chats = self._ranges.setdefault(account, {})
        low = high = indexes[0]
        for index in indexes[1:]:
            if index != high + 1:
                _add_span(chats, chat, low, high)
                low = index
            high = index
        _add_span(chats, chat, low, high)
        self._read_up_to((account, chat), (max(indexes), connection))

    def _read_up_to(self, key: tuple[AccountId, ChatId], read: tuple[int, int]) -> None:
        known = self._reads.get(key)
        if known is None or known[0] <= read[0]:
            self._reads[key] = read

    def take(self, posted_until: float, accounts: Collection[AccountId] = ()) -> "ReadBuffer":
        """Moves these accounts to another buffer, and all others at which something has arrived, or that have read
        something, or have posted by then. Of an account that receives and posts in turn, either alone would be many
        ranges."""
        posted = [account for account, since in self._posted_since.items() if since <= posted_until]
        taken = ReadBuffer()
        confirmed, self._confirmed = self._confirmed, set()
        for account in {*accounts, *posted, *confirmed}:
            if (chats := self._ranges.pop(account, None)) is not None:
                taken._ranges[account] = chats
                self._posted_since.pop(account, None)
                for chat in chats:
                    if (read := self._reads.pop((account, chat), None)) is not None:
                        taken._reads[account, chat] = read
        return taken

    def reads_of(self, ranges: Iterable[ReadRange]) -> list[ReadPlace]:
        """What is read by these ranges, which may have left the buffer."""
        reads = ((one, self._reads.get((one.account, one.chat))) for one in ranges if one.read)
        return [ReadPlace(one.account, one.chat, *read) for one, read in reads if read is not None]

    def pop_batch(self, limit: int) -> list[ReadRange]:
        """Remove about `limit` ranges, those of an account together. What is read of a chat is in its first one."""
        batch: list[ReadRange] = []
        while self._ranges and len(batch) < limit:
            account, chats = self._ranges.popitem()
            for chat, spans in chats.items():
                read, _ = self._reads.get((account, chat), (0, 0))
                for low, high in merge_spans(spans):
                    batch.append(ReadRange(account, chat, low, high, read))
                    read = 0
        return batch

    def put_back(self, ranges: Iterable[ReadRange], taken: "ReadBuffer") -> None:
        """Ranges of another buffer."""
        ranges = list(ranges)
        for one in ranges:
            self.add(one.account, {one.chat: [(one.low, one.high)]})
        for place in taken.reads_of(ranges):
            self._read_up_to((place.account, place.chat), (place.index, place.connection))


def _add_span(ranges: Ranges, chat: ChatId, low: int, high: int) -> None:
    spans = ranges.setdefault(chat, [])
    if spans and spans[-1][1] + 1 == low:
        low, _ = spans.pop()
    spans.append((low, high))


def merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same indexes in as few ranges as possible, sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
