"""native: what an operation is, and how often each kind may be sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from services.edge.canonical.commands import Command
from services.edge.dialects.native import parameters
from services.edge.dialects.native.requests import Caller
from shared.contract.bots import TokenScope


class RateClass(StrEnum):
    """How often a connection may send commands of one kind; see RATES. All of them count for the limits of frames."""

    ENTRANCE = "entrance"
    READ = "read"
    WRITE = "write"
    EXPENSIVE = "expensive"
    EPHEMERAL = "ephemeral"
    LOCAL = "local"


RATES: Mapping[RateClass, tuple[float, int]] = {
    RateClass.ENTRANCE: (1.0, 20),
    RateClass.EXPENSIVE: (2.0, 20),
    RateClass.EPHEMERAL: (2.0, 10),
}
"""Commands each second and at once. The others are limited as frames alone (`limits.requests_per_second`)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`scopes`: what the token of a bot needs; None: no bot may. `request` makes the command of the parameters, or the
    result itself where no service is needed."""

    name: str
    text: str
    rate: RateClass
    scopes: frozenset[TokenScope] | None
    parameters: type[parameters.Parameters]
    result: type[msgspec.Struct]
    request: Callable[[Any, Caller], Command | msgspec.Struct]
    needs_login: bool = True

    def rejection(self, held: frozenset[TokenScope] | None) -> str:
        """Why a token does not permit the operation; empty if it does. `held`: its scopes, None of a user's."""
        if held is None:
            return ""
        if self.scopes is None:
            return "no token of a bot permits this"
        missing = " ".join(sorted(self.scopes - held))
        return f"the token lacks the scope {missing}" if missing else ""


USERS = None
"""Scopes of an operation that is for users alone, and no bot."""
ANY = frozenset[TokenScope]()
SENDS, READS, REACTS, MANAGES = (frozenset({scope}) for scope in TokenScope)
