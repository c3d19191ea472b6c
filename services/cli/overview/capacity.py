"""Capacity that is left, from the costs that `bench costs` has measured. Pure."""

from collections.abc import Mapping
from importlib.resources import files

import msgspec

KINDS = ("edge", "message", "session", "auth")
BUSY = 0.6
"""Highest use of a core, as a share: what docs/capacity.md computes with."""
_RECIPIENTS = 4.0
"""Of a message, while there are too few to tell."""


class CostsOfMessages(msgspec.Struct, frozen=True):
    """Microseconds of processor time by kind of process: of a message in full batches, of one by itself, and of each
    further delivery."""

    batched: dict[str, float]
    alone: dict[str, float]
    delivery: dict[str, float]
    machine: str = ""


class KindCapacity(msgspec.Struct, frozen=True):
    """`used`: cores in use now, of `budget`. `least` and `most`: messages a second beyond the present ones, one at a
    time and in full batches; None for a kind that messages cost nothing."""

    kind: str
    processes: int
    used: float
    budget: float
    least: float | None = None
    most: float | None = None


def read_costs() -> CostsOfMessages:
    return msgspec.json.decode(files("bench").joinpath("costs.json").read_bytes(), type=CostsOfMessages)


def capacity_left(
    costs: CostsOfMessages, processes: Mapping[str, int], used: Mapping[str, float], recipients: float | None
) -> list[KindCapacity]:
    """By kind of process. `recipients`: deliveries of a message now, None if there are no messages."""
    further = max(0.0, (recipients or _RECIPIENTS) - 1)

    def cost(kind: str, each: Mapping[str, float]) -> float:
        """Microseconds."""
        return each.get(kind, 0.0) + further * costs.delivery.get(kind, 0.0)

    found = []
    for kind in KINDS:
        if number := processes.get(kind, 0):
            budget, busy = BUSY * number, used.get(kind, 0.0)
            free = max(0.0, budget - busy)
            highest, lowest = cost(kind, costs.alone), cost(kind, costs.batched)
            ends = (free * 1e6 / highest, free * 1e6 / lowest) if min(highest, lowest) >= 1 else (None, None)
            found.append(KindCapacity(kind, number, busy, budget, *ends))
    return found
