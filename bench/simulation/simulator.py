"""Simulates messages on their way through a system: discrete events, deterministic by seed.

The costs are measured ones; sizes of batches, queues and latencies follow. Every process has a core of its own.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from bench.simulation.options import PARTS, RunLength, SimulatedLoad, SimulatedSystem, sliced
from bench.simulation.parts import Broker, Post, PostBatch, Replica, ReplicaPorts, SimulatedDatabase, SimulatedEdge
from bench.simulation.recording import PartUse, SimulationRecorder, SimulationResult
from bench.simulation.stage_costs import StageCost, StageCosts
from bench.simulation.stations import Clock, Station
from shared.contract.ids import ChatId
from shared.partitions import PartitionTable, partition_of

_SIMULATED_RATE = 25_000.0
"""Messages a second of a slice, about."""
_MOST_BACKGROUND = 0.95
"""A process that connections and logins fill completely is simulated as one that has a little time left."""
_LONG_QUEUE_MS = 100.0
_DEFAULT_LENGTH = RunLength()


def simulate(
    costs: StageCosts, system: SimulatedSystem, load: SimulatedLoad, seed: int = 1, length: RunLength = _DEFAULT_LENGTH
) -> SimulationResult:
    """Simulate one slice of a large system: its processes of a kind are alike. As many replicas own chats as the load
    needs, by the rule of the message service: simulate with few, then with those that their use of the processor calls
    for, until it calls for no more."""
    slices = max(1, round(load.rate / _SIMULATED_RATE))
    part, slowness = sliced(system, slices)
    other = background(costs, system, load)
    stages = {name: _slowed(costs.stages[name], slowness[name] / (1 - other[name])) for name in PARTS}
    share = msgspec.structs.replace(load, rate=load.rate / slices)
    seconds = min(length.seconds, length.messages / share.rate)
    owners, needed = 0, _least_owners(part, share, stages["message"])
    while owners < needed:
        owners, chance = needed, random.Random(seed)  # noqa: S311
        found = _Simulation(stages, part, share, owners, chance, length.warm_up * seconds).run(seconds)
        needed = _needed_owners(found, other["message"] - load.others)
    return msgspec.structs.replace(
        found,
        system=system,
        load=load,
        owners=min(system.message, owners * slices),
        offered=found.offered * slices,
        delivered=found.delivered * slices,
        in_flight=found.in_flight * slices,
        uses={name: _beside(use, other[name]) for name, use in found.uses.items()},
        costs={name: cost * (1 - other[name]) / slowness[name] for name, cost in found.costs.items()},
    )


def _least_owners(system: SimulatedSystem, load: SimulatedLoad, cost: StageCost) -> int:
    """As many as the messages by themselves call for, at least one for each database."""
    if not system.owner_cores:
        return system.message
    least = math.ceil(load.rate * cost.message / 1e6 / system.owner_cores)
    return min(system.message, max(least, system.database))


def _needed_owners(found: SimulationResult, background: float) -> int:
    """`background`: the share of each replica's core that logins use. See services.message.service.spares."""
    system = found.system
    if not system.owner_cores:
        return system.message
    cores = (found.uses["message"].mean + background) * system.message
    if found.latencies["queue"].p50 > _LONG_QUEUE_MS:
        cores += system.owner_cores * found.owners
    return min(system.message, math.ceil(cores / system.owner_cores))


@lru_cache(maxsize=16)
def owner_tables(partitions: int, owners: int, databases: int) -> tuple[PartitionTable, ...]:
    """For each database the owners of its partitions."""
    tables = tuple(PartitionTable(partitions) for _ in range(databases))
    for number in range(owners):
        tables[number % databases].add(str(number))
    return tables


def background(costs: StageCosts, system: SimulatedSystem, load: SimulatedLoad) -> dict[str, float]:
    """The share of each part's cores that connections, logins and others use."""
    cores = {
        "edge": system.edge, "message": system.message, "database": system.database * system.database_cores,
        "valkey": system.valkey, "nats": system.nats * system.nats_cores,
    }  # fmt: skip
    used = {part: load.logins * costs.login.get(part, 0.0) for part in PARTS}
    used["edge"] += load.users * costs.idle
    return {part: min(_MOST_BACKGROUND, load.others + used[part] / 1e6 / cores[part]) for part in PARTS}


class _Simulation:
    def __init__(
        self,
        stages: Mapping[str, StageCost],
        system: SimulatedSystem,
        load: SimulatedLoad,
        owners: int,
        chance: random.Random,
        start: float,
    ) -> None:
        self._stages, self._system, self._load, self._chance = stages, system, load, chance
        self._owners = owners
        self._clock, self._recorder = Clock(), SimulationRecorder(start)
        self._tables = owner_tables(system.partitions, owners, system.database)
        clock, hop = self._clock, system.hop_ms / 1e3
        machine = Station(clock, system.shared_cores) if system.shared_cores else None
        servers = [Station(clock, system.nats_cores, machine) for _ in range(system.nats)]
        valkeys = [Station(clock, shared=machine) for _ in range(system.valkey)]
        databases = [
            SimulatedDatabase(clock, Station(clock, system.database_cores, machine), system, stages["database"])
            for _ in range(system.database)
        ]
        self._broker = Broker(clock, servers, hop)
        self._edges = [
            SimulatedEdge(number, Station(clock, shared=machine), stages["edge"], (clock, self._recorder), self._send)
            for number in range(system.edge)
        ]
        self._replicas = [
            Replica(number, Station(clock, shared=machine), system, stages["message"], ReplicaPorts(
                clock, self._recorder, databases[number % system.database], valkeys[number % system.valkey],
                stages["valkey"], self._publish,
            ))
            for number in range(system.message)
        ]  # fmt: skip
        self._stations: dict[str, list[Station]] = {
            "edge": [edge.core for edge in self._edges], "message": [replica.core for replica in self._replicas],
            "database": [database.cores for database in databases], "valkey": valkeys, "nats": servers,
        }  # fmt: skip

    def run(self, seconds: float) -> SimulationResult:
        clock, recorder = self._clock, self._recorder
        clock.at(self._chance.expovariate(self._load.rate), self._arrive)
        clock.run(recorder.start)
        before = self._busy()
        clock.run(seconds)
        measured = seconds - recorder.start
        busy = {
            part: [now - then for now, then in zip(after, before[part], strict=True)]
            for part, after in self._busy().items()
        }
        committed = max(1, recorder.counts["committed"])
        return SimulationResult(
            self._system, self._load, self._owners,
            measured, recorder.offered / measured, recorder.delivered / measured,
            recorder.mean_present(seconds), sum(recorder.sojourns) / max(1, len(recorder.sojourns)),
            {part: self._use(part, busy[part], measured) for part in PARTS}, recorder.latencies(), recorder.shares(),
            {part: 1e6 * sum(busy[part]) / committed for part in PARTS},
        )  # fmt: skip

    def _busy(self) -> dict[str, list[float]]:
        return {part: [station.busy() for station in stations] for part, stations in self._stations.items()}

    def _use(self, part: str, busy: Sequence[float], seconds: float) -> PartUse:
        shares = [used / seconds / station.cores for used, station in zip(busy, self._stations[part], strict=True)]
        return PartUse(sum(shares) / len(shares), max(shares))

    # The way of a message

    def _arrive(self) -> None:
        chance, edges, now = self._chance, self._system.edge, self._clock.now
        sender = chance.randrange(edges)
        recipients: dict[int, int] = {}
        for _ in range(self._load.recipients):
            apart = self._load.apart and edges > 1
            edge = (sender + chance.randrange(1, edges)) % edges if apart else chance.randrange(edges)
            recipients[edge] = recipients.get(edge, 0) + 1
        self._recorder.arrived(now)
        self._edges[sender].post(Post(now, sender, self._owner(ChatId(chance.getrandbits(40))), recipients))
        self._clock.at(now + chance.expovariate(self._load.rate), self._arrive)

    def _owner(self, chat: ChatId) -> int:
        partitions = self._system.partitions
        database = partition_of(chat, partitions) * self._system.database // partitions
        return int(self._tables[database].owner(chat))

    def _send(self, owner: int, batch: PostBatch) -> None:
        cost = self._stages["nats"]
        work = (cost.requests + cost.message * len(batch.posts)) / 1e6
        replica = self._replicas[owner]
        self._broker.send(batch.edge, owner, work, self._hop, self._clock.now, replica.receive, batch)

    def _publish(self, replica: int, batches: list[PostBatch], envelopes: dict[int, list[Post]]) -> None:
        """Envelopes, then replies, whose cost is in that of the request."""
        cost, now = self._stages["nats"], self._clock.now
        for edge, posts in envelopes.items():
            here = sum(post.recipients.get(edge, 0) for post in posts)
            work = (cost.envelopes + cost.delivery * here) / 1e6
            self._broker.send(replica, edge, work, self._hop, now, self._edges[edge].deliver, posts)
        for batch in batches:
            self._broker.send(replica, batch.edge, 0.0, self._edges[batch.edge].replied, replica)

    def _hop(self, began: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._recorder.sample("broker", self._clock.now, self._clock.now - began)
        callback(*arguments)


def _slowed(cost: StageCost, factor: float) -> StageCost:
    """The cost on a core that is slower by this factor."""
    return StageCost(**{name: value * factor for name, value in msgspec.structs.asdict(cost).items()})


def _beside(use: PartUse, other: float) -> PartUse:
    """`use` is of what the `other` work leaves."""
    return PartUse(other + (1 - other) * use.mean, other + (1 - other) * use.most)
