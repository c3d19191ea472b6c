"""What this node remembers of recent messages, for an operator's question where one is and for the audit: bounded, no
texts."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from shared.clock import now_ms
from shared.contract.audit import Acceptance, Arrival, Confirmation
from shared.contract.ids import AccountId, ChatId, Nonce

_ENTRIES = 5_000
"""Of each list."""

_RECORDED = 10_000
Ranges = Mapping[ChatId, Sequence[tuple[int, int]]]
Confirmed = Mapping[ChatId, Sequence[tuple[int, int, int]]]
"""By chat: first and last index, and when the client had the messages, Unix milliseconds."""


class DeliveryRecord:
    """The messages that one connection gets while it is audited, as pushes or as replies to its own posts. A full
    record contains every message."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: set[tuple[ChatId, int]] = set()

    def add(self, chat: ChatId, index: int) -> None:
        if len(self._messages) < _RECORDED:
            self._messages.add((chat, index))

    def contains(self, chat: ChatId, index: int) -> bool:
        return (chat, index) in self._messages or len(self._messages) >= _RECORDED


class MessageJournal:
    """Entries begin with their time, Unix milliseconds."""

    __slots__ = ("_acknowledged", "_arrivals", "_confirmations", "_requests", "_started")

    def __init__(self) -> None:
        self._started = now_ms()
        self._requests: deque[tuple[int, str, list[Nonce]]] = deque(maxlen=_ENTRIES)
        self._acknowledged: deque[tuple[int, float, AccountId, str, ChatId, Collection[int]]] = deque(maxlen=_ENTRIES)
        self._arrivals: deque[tuple[int, str, int, ChatId, int, int]] = deque(maxlen=_ENTRIES)
        self._confirmations: deque[tuple[int, AccountId, str, Ranges]] = deque(maxlen=_ENTRIES)

    # Events

    def requested(self, trace: str, nonces: list[Nonce]) -> None:
        """A request to the message service."""
        self._requests.append((now_ms(), trace, nonces))

    def acknowledged(
        self, account: AccountId, dialect: str, chat: ChatId, indexes: Collection[int], seconds: float
    ) -> None:
        """The sender's client gets the replies. `seconds`: since the first of the frames arrived."""
        self._acknowledged.append((now_ms(), seconds, account, dialect, chat, indexes))

    def arrived(self, replica: str, counter: int, chat: ChatId, low: int, high: int) -> None:
        """In an envelope of this replica with this counter; without a replica: fetched."""
        self._arrivals.append((now_ms(), replica, counter, chat, low, high))

    def confirmed(self, account: AccountId, dialect: str, ranges: Ranges) -> None:
        """Pushes have arrived at a client."""
        if ranges:
            self._confirmations.append((now_ms(), account, dialect, ranges))

    # Questions

    @property
    def remembers_from(self) -> int:
        """Nothing from before is known."""
        lists = (self._requests, self._acknowledged, self._arrivals, self._confirmations)
        return max([self._started, *(entries[0][0] for entries in lists if len(entries) == _ENTRIES)])

    def nonces_of(self, trace: str) -> list[Nonce]:
        return [nonce for _, known, nonces in self._requests if known == trace for nonce in nonces]

    def traces_of(self, nonce: Nonce) -> list[str]:
        return [trace for _, trace, nonces in self._requests if nonce in nonces]

    def acceptance_of(self, chat: ChatId, index: int) -> Acceptance | None:
        for at, seconds, account, dialect, posted, indexes in self._acknowledged:
            if posted == chat and index in indexes:
                return Acceptance(at - round(seconds * 1000), at, account, dialect)
        return None

    def arrivals_of(self, chat: ChatId, index: int) -> list[Arrival]:
        return [
            Arrival(at, replica, counter)
            for at, replica, counter, arrived, low, high in self._arrivals
            if arrived == chat and low <= index <= high
        ]

    def confirmations_of(self, chat: ChatId, index: int) -> list[Confirmation]:
        return [
            Confirmation(at, account, dialect)
            for at, account, dialect, ranges in self._confirmations
            if any(low <= index <= high for low, high in ranges.get(chat, ()))
        ]

    def confirmations_by(self, account: AccountId) -> Confirmed:
        confirmed: dict[ChatId, list[tuple[int, int, int]]] = {}
        for at, known, _, ranges in self._confirmations:
            if known == account:
                for chat, spans in ranges.items():
                    confirmed.setdefault(chat, []).extend((low, high, at) for low, high in spans)
        return confirmed
