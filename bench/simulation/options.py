"""What is simulated: the size of a system, and the load on it."""

from typing import NamedTuple

import msgspec

from shared.settings.messages import MessageSettings

PARTS = ("edge", "message", "database", "valkey", "nats")


class SimulatedSystem(msgspec.Struct, frozen=True):
    """Numbers of processes and servers. A `nats` server and a `database` server have several cores; every other process
    has one, unless all share `shared_cores`. `sync_ms`: of a database's log; `hop_ms`: the network, one way.
    `owner_cores`: see `message.owner_cores`."""

    edge: int = 1
    message: int = 1
    database: int = 1
    nats: int = 1
    valkey: int = 1
    nats_cores: int = 8
    database_cores: int = 16
    sync_ms: float = 0.5
    hop_ms: float = 0.1
    partitions: int = 256
    batch_rows: int = 512
    shared_cores: int = 0
    owner_cores: float = MessageSettings().owner_cores


class SystemSlice(NamedTuple):
    """One of `slices` equal parts of a system, and by part the factor by which a server of the slice is slower: a part
    with fewer servers than slices, or not a multiple, has as much to do in the slice as in the whole."""

    system: SimulatedSystem
    slowness: dict[str, float]


def sliced(system: SimulatedSystem, slices: int) -> SystemSlice:
    counts = {part: getattr(system, part) for part in PARTS}
    fewer = {part: max(1, round(count / slices)) for part, count in counts.items()}
    partitions = max(fewer["message"], round(system.partitions / slices))
    slowness = {part: fewer[part] * slices / count for part, count in counts.items()}
    return SystemSlice(msgspec.structs.replace(system, **fewer, partitions=partitions), slowness)


class SimulatedLoad(msgspec.Struct, frozen=True):
    """Of `users`, `rate` messages a second come at random times, each to `recipients` connected users besides its
    sender; `logins` a second. Users are on random edges, or recipients on edges other than the sender's (`apart`).
    `others`: the share of all cores that is used by what is not simulated."""

    users: float
    rate: float
    recipients: int = 1
    logins: float = 0.0
    apart: bool = False
    others: float = 0.0


class RunLength(NamedTuple):
    """About so many `messages` are simulated, in `seconds` at most; the first share, `warm_up`, is not measured."""

    messages: int = 10_000
    seconds: float = 10.0
    warm_up: float = 0.3
