"""Compares the simulation with a measured run of pairs, on the cores that all processes shared. Pure."""

import msgspec

from bench.capacity.costs import by_kind
from bench.measurement.result import Result
from bench.simulation.options import PARTS, SimulatedLoad, SimulatedSystem
from bench.simulation.simulator import simulate
from bench.simulation.stage_costs import SHARED, StageCosts, shares_of

_LOCAL_HOP_MS = 0.03
_OF_A_MESSAGE = "µs of a message in "


class Comparison(msgspec.Struct, frozen=True):
    """`values`: measured and simulated, by name: µs of a message by part, what it shares, and latencies in ms."""

    run: str
    others: float
    values: dict[str, tuple[float, float]]


def compared(result: Result, costs: StageCosts, cores: int, seed: int) -> Comparison:
    """`result`: of `bench pairs --rate … --rest … --replicas …`. Raises ValueError for another one, and for one that
    failed or whose system rejected messages."""
    measured_shares, measured = shares_of(result.figures), by_kind(result.figures, _OF_A_MESSAGE)
    if not all(measured_shares.values()) or not set(PARTS) <= measured.keys():
        raise ValueError("not a run of pairs on PostgreSQL with the cost of a message")
    if not result.passed or result.refusals:
        raise ValueError("a run in which messages were lost or rejected")
    others = (result.figures.get("cores used by others", 0.0) + sum(result.generator)) / cores
    replicas = sum(name.startswith(f"{_OF_A_MESSAGE}message") for name in result.figures)
    edges = sum(name.startswith(f"{_OF_A_MESSAGE}edge") for name in result.figures)
    rate = result.figures["acknowledged/s"]
    system = SimulatedSystem(edge=edges, message=replicas, hop_ms=_LOCAL_HOP_MS, shared_cores=cores)
    found = simulate(costs, system, SimulatedLoad(0.0, rate, apart=True, others=others), seed)
    values = {f"µs in {part}": (measured[part], found.costs[part]) for part in PARTS}
    values["µs in all of these"] = (sum(measured[part] for part in PARTS), sum(found.costs.values()))
    values |= {f"{name} of a message": (measured_shares[name], found.shares[name]) for name in SHARED}
    delivery, latency = result.measures["delivery"], found.latencies["delivery"]
    values |= {"delivery p50, ms": (delivery.p50 / 1e3, latency.p50), "p99, ms": (delivery.p99 / 1e3, latency.p99)}
    return Comparison(f"{rate:,.0f} messages/s, {edges} edges, {replicas} of message", others, values)
