"""Grows a simulated system until it carries its users: finds the part that is full first, then the next one."""

import math
from collections.abc import Callable

import msgspec

from bench.capacity.arithmetic import Habits
from bench.simulation.options import SimulatedLoad, SimulatedSystem
from bench.simulation.recording import SimulationResult
from bench.simulation.simulator import simulate
from bench.simulation.stage_costs import StageCosts

_MESSAGE_BUSY = 0.95
"""The message service may be busy: its batches grow with what waits, until latency says that they are too large."""
_LEAST_DELIVERED = 0.95
_MOST_P99_MS = 100.0
_LEAP = 4
"""Times as many servers of a part that is full, or while most messages wait: how much it lacks cannot be seen."""
_MARGIN = 1.2
"""More than a part's present use demands: more processes make smaller batches, which cost more."""
_MOST_STEPS = 40
_MOST_PARTITIONS = 4096
_PARTITIONS_EACH = 8
"""With fewer partitions for each replica, the busiest one has more than twice its share."""


class GrowthStep(msgspec.Struct, frozen=True):
    """`full`: the part that is full first; empty if none is."""

    result: SimulationResult
    full: str


class SystemGrowth(msgspec.Struct, frozen=True):
    """The steps from one of each part, save edges, to a system that carries its users."""

    users: float
    seed: int
    steps: list[GrowthStep]


def load_of(habits: Habits, users: float) -> SimulatedLoad:
    rate, logins = users * habits.messages_per_minute / 60, users * habits.logins_per_hour / 3600
    return SimulatedLoad(users, rate, max(1, round(habits.recipients)), logins)


def grow(costs: StageCosts, habits: Habits, users: float, seed: int, report: Callable[[str], None]) -> SystemGrowth:
    """Add to the part that is full until none is. Replicas are added when the present ones are full, and so all of them
    own chats. `report` gets a line for each step."""
    edges = math.ceil(users / habits.edge_connections)
    system = SimulatedSystem(edge=edges, nats_cores=round(habits.nats_cores), owner_cores=0)
    steps: list[GrowthStep] = []
    while len(steps) < _MOST_STEPS:
        found = simulate(costs, system, load_of(habits, users), seed)
        steps.append(GrowthStep(found, full_part(found, habits.busy)))
        report(f"{users:,.0f} users, step {len(steps)}: {steps[-1].full or 'nothing'} is full")
        if not steps[-1].full:
            break
        system = grown(found, steps[-1].full, habits.busy)
    return SystemGrowth(users, seed, steps)


def full_part(found: SimulationResult, busy: float) -> str:
    """The part that is busiest beyond its limit; message if no part is, but messages are late; else empty."""
    excess = {part: use.most / (_MESSAGE_BUSY if part == "message" else busy) for part, use in found.uses.items()}
    part = max(excess, key=lambda one: excess[one])
    if excess[part] > 1:
        return part
    late = found.delivered < _LEAST_DELIVERED * found.offered or found.latencies["delivery"].p99 > _MOST_P99_MS
    return "message" if late else ""


def grown(found: SimulationResult, part: str, busy: float) -> SimulatedSystem:
    """The system with more servers of a part: as many as its use demands, or a leap."""
    count: int = getattr(found.system, part)
    use = found.uses[part].most
    few = use >= _MESSAGE_BUSY or found.delivered < found.offered / 2
    factor = _LEAP if few else 2 if part == "message" else _MARGIN * use / busy
    system = msgspec.structs.replace(found.system, **{part: max(count + 1, math.ceil(count * factor))})
    if system.message * _PARTITIONS_EACH > system.partitions:
        system = msgspec.structs.replace(system, partitions=_MOST_PARTITIONS)
    return system
