"""The dialect native: the definition of an operation, and the rates at which operations may be requested."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Generic, TypeVar

import msgspec

from services.edge.canonical.commands import Command
from services.edge.canonical.replies import Reply
from services.edge.dialects.base import ServerInfo
from services.edge.dialects.native.shapes import Parameters
from services.edge.rate_limit import TokenBucket
from shared.contract.bots import TokenScope
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings.limits import LimitsSettings


class RateClass(StrEnum):
    """The rate at which a connection may send commands of one kind (see RATES). Each command also counts as a frame."""

    ENTRANCE = "entrance"
    READ = "read"
    WRITE = "write"
    EXPENSIVE = "expensive"
    EPHEMERAL = "ephemeral"
    LOCAL = "local"


ENTRANCE, READ, WRITE = RateClass.ENTRANCE, RateClass.READ, RateClass.WRITE
EXPENSIVE, EPHEMERAL, LOCAL = RateClass.EXPENSIVE, RateClass.EPHEMERAL, RateClass.LOCAL

RATES: Mapping[RateClass, tuple[float, int]] = {ENTRANCE: (1.0, 20), EXPENSIVE: (2.0, 20), EPHEMERAL: (2.0, 10)}
"""The commands each second, and the largest burst, for each kind of command. Commands of other kinds are limited only
like all frames (`limits.requests_per_second`)."""
_LONGEST_RETRY_SECONDS = 60.0
"""The longest wait that a rejection names. Each rejection names a later time than the one before. Without this limit, a
client that repeats at once would get times further and further away."""

USERS = None
"""The scopes of an operation that bots may not use."""
ANY = frozenset[TokenScope]()
SENDS, READS, REACTS, MANAGES = (frozenset({scope}) for scope in TokenScope)


@dataclass(slots=True)
class Caller:
    """The connection that sends a command. `sid`: the id of its login. `unix_ms`: the wall clock."""

    limits: LimitsSettings
    base_url: str
    ping_ms: int
    unix_ms: Callable[[], int]
    server: ServerInfo
    account: AccountId = NO_ACCOUNT
    sid: str = ""


P = TypeVar("P", bound=Parameters)
R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[P, R]):
    """One operation. `scopes`: a bot's token must have all these scopes. With None, no bot may use the operation.
    `request` makes the command from the parameters, or the result itself if no service is needed. It raises
    DecodeError. `encode` makes the result from the reply. Without it, the result takes the reply's attributes with the
    same names."""

    name: str
    text: str
    rate: RateClass
    scopes: frozenset[TokenScope] | None
    parameters: type[P]
    result: type[R]
    request: Callable[[P, Caller], Command | R]
    encode: Callable[[Any, Caller], R] | None = None
    needs_login: bool = True

    def rejection(self, held: frozenset[TokenScope] | None) -> str:
        """The reason why a token does not permit the operation. The text is empty if the token permits it. `held`: the
        token's scopes, or None for a user."""
        if held is None:
            return ""
        if self.scopes is None:
            return "a bot's token never permits this"
        missing = " ".join(sorted(self.scopes - held))
        return f"the token lacks the scope {missing}" if missing else ""

    def result_of(self, reply: Reply, caller: Caller) -> R:
        if self.encode is not None:
            return self.encode(reply, caller)
        return msgspec.convert(reply, self.result, from_attributes=True)


AnyOperation = Operation[Any, Any]


class CommandRates:
    """Limits the commands of one connection."""

    __slots__ = ("_buckets", "_promised")

    def __init__(self) -> None:
        self._buckets: dict[RateClass, TokenBucket] = {}
        self._promised: dict[RateClass, float] = {}
        """The time at which the last rejected command of each rate may be repeated."""

    def retry_ms(self, rate: RateClass, now: float) -> int:
        """Count a command against its rate in RATES. Returns 0 if the command is admitted. For a rejected command, the
        result is the time in milliseconds after which a repetition will be admitted. Each rejected command gets a
        different time, within a minute."""
        per_second, burst = RATES[rate]
        bucket = self._buckets.get(rate)
        if bucket is None:
            bucket = self._buckets[rate] = TokenBucket(per_second, burst, now)
        if bucket.take(now):
            return 0
        turn = max(bucket.next_at(), self._promised.get(rate, 0.0) + 1 / per_second)
        at = self._promised[rate] = min(turn, now + _LONGEST_RETRY_SECONDS)
        return ceil((at - now) * 1000)
