"""Remembers recent events of messages on this node, for the audit and for operators who look for a message. The journal
is bounded and contains no texts."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Final, Generic, TypeVar

import msgspec

from shared.clock import unix_ms_at
from shared.contract.audit import Acceptance, Arrival, Confirmation
from shared.contract.ids import AccountId, ChatId, Nonce

_PAGE_ENTRIES: Final = 250
_PAGES = 20
"""The most full pages that are kept. Each has 5,000 entries."""

_RECORDED = 10_000
_encode: Final = msgspec.msgpack.Encoder().encode
EntryT = TypeVar("EntryT")
Ranges = Mapping[ChatId, Sequence[tuple[int, int]]]
Confirmed = Mapping[ChatId, Sequence[tuple[int, int, int]]]
"""For each chat: the first index and the last index of a range of messages, and when the client had them (Unix
milliseconds)."""


class DeliveryRecord:
    """The messages that one connection gets while the connection is audited. They are pushes, or replies to its own
    posts. A full record counts as if it contained every message."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: set[tuple[ChatId, int]] = set()

    def add(self, chat: ChatId, index: int) -> None:
        if len(self._messages) < _RECORDED:
            self._messages.add((chat, index))

    def contains(self, chat: ChatId, index: int) -> bool:
        return (chat, index) in self._messages or len(self._messages) >= _RECORDED


class RecentEntries(Generic[EntryT]):
    """The last 5,000 entries or some more, in order. Full pages are stored as MessagePack, because thousands of Python
    objects would displace the data of messages from the CPU's cache. `form`: the type of a page, for msgspec."""

    __slots__ = ("_began", "_decoder", "_page", "_pages")

    def __init__(self, form: type[list[EntryT]]) -> None:
        self._decoder = msgspec.msgpack.Decoder(form)
        self._pages: deque[tuple[float, bytes]] = deque(maxlen=_PAGES)
        """The full pages, each with the time from which it contains all entries."""
        self._began = monotonic()
        """The time from which the present page contains all entries."""
        self._page: list[EntryT] = []

    def __iter__(self) -> Iterator[EntryT]:
        for _, page in self._pages:
            yield from self._decoder.decode(page)
        yield from self._page

    @property
    def remembers_from(self) -> float:
        return self._pages[0][0] if self._pages else self._began

    def append(self, entry: EntryT) -> None:
        """Append an entry, which must not be changed any more."""
        if len(self._page) == _PAGE_ENTRIES:
            self._pages.append((self._began, _encode(self._page)))
            self._began, self._page = monotonic(), []
        self._page.append(entry)


class MessageJournal:
    """The entries begin with their time in monotonic seconds. The results of queries have Unix milliseconds."""

    __slots__ = ("_acknowledged", "_arrivals", "_confirmations", "_requests")

    def __init__(self) -> None:
        self._requests = RecentEntries(list[tuple[float, str, list[Nonce]]])
        self._acknowledged = RecentEntries(list[tuple[float, float, AccountId, str, ChatId, list[int]]])
        self._arrivals = RecentEntries(list[tuple[float, str, int, ChatId, int, int]])
        self._confirmations = RecentEntries(list[tuple[float, AccountId, str, Ranges]])

    # Events

    def requested(self, trace: str, nonces: list[Nonce]) -> None:
        """Note a request to the message service."""
        self._requests.append((monotonic(), trace, nonces))

    def acknowledged(self, account: AccountId, dialect: str, chat: ChatId, indexes: list[int], seconds: float) -> None:
        """Note that the sender's client gets the replies. `seconds`: the time since the first of the frames arrived."""
        self._acknowledged.append((monotonic(), seconds, account, dialect, chat, indexes))

    def arrived(self, replica: str, counter: int, chat: ChatId, low: int, high: int) -> None:
        """Note messages in a delivery batch of this replica with this counter. If `replica` is empty, the edge itself
        has fetched the messages."""
        self._arrivals.append((monotonic(), replica, counter, chat, low, high))

    def confirmed(self, account: AccountId, dialect: str, ranges: Ranges) -> None:
        """Note that pushes have arrived at a client."""
        if ranges:
            self._confirmations.append((monotonic(), account, dialect, ranges))

    # Questions

    @property
    def remembers_from(self) -> int:
        """The time from which all events are remembered."""
        lists = (self._requests, self._acknowledged, self._arrivals, self._confirmations)
        return unix_ms_at(max(entries.remembers_from for entries in lists))

    def nonces_of(self, trace: str) -> list[Nonce]:
        return [nonce for _, known, nonces in self._requests if known == trace for nonce in nonces]

    def traces_of(self, nonce: Nonce) -> list[str]:
        return [trace for _, trace, nonces in self._requests if nonce in nonces]

    def acceptance_of(self, chat: ChatId, index: int) -> Acceptance | None:
        for at, seconds, account, dialect, posted, indexes in self._acknowledged:
            if posted == chat and index in indexes:
                return Acceptance(unix_ms_at(at - seconds), unix_ms_at(at), account, dialect)
        return None

    def arrivals_of(self, chat: ChatId, index: int) -> list[Arrival]:
        return [
            Arrival(unix_ms_at(at), replica, counter)
            for at, replica, counter, arrived, low, high in self._arrivals
            if arrived == chat and low <= index <= high
        ]

    def confirmations_of(self, chat: ChatId, index: int) -> list[Confirmation]:
        return [
            Confirmation(unix_ms_at(at), account, dialect)
            for at, account, dialect, ranges in self._confirmations
            if any(low <= index <= high for low, high in ranges.get(chat, ()))
        ]

    def confirmations_by(self, account: AccountId) -> Confirmed:
        confirmed: dict[ChatId, list[tuple[int, int, int]]] = {}
        for at, known, _, ranges in self._confirmations:
            if known == account:
                unix_ms = unix_ms_at(at)
                for chat, spans in ranges.items():
                    confirmed.setdefault(chat, []).extend((low, high, unix_ms) for low, high in spans)
        return confirmed
