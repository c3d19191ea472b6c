"""Outages: faults of servers, or of the connections between processes, that last for a while."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.drills.fleet import Fleet
from tests.drills.links import CLIENTS, FarLinks
from tests.support.proxy import TcpProxy, Toxics
from tests.support.servers import PostgresServer

_RESET_SECONDS = 1.0
FIRST_EDGE = "edge-1"
ALL_EDGES = ("edge-1", "edge-2")

Harm = Callable[[Fleet], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Outage:
    """An outage. `harm` is a context inside which the fault lasts, for `seconds`.

    During the outage, the clients of the edges `unserved` must be without service.
    """

    phase: str
    target: str
    kind: str
    harm: Harm
    seconds: float
    unserved: Sequence[str] = ()


def broker(seconds: float, kills: int = 10) -> list[Outage]:
    """First freezes NATS, then kills it again and again."""
    frozen = Outage("frozen", "nats", "freeze", _frozen("nats"), seconds, ALL_EDGES)
    return [frozen, *[Outage("killed", "nats", "kill", _killed("nats"), 0.0)] * kills]


def database(seconds: float) -> list[Outage]:
    """Restarts PostgreSQL at once, freezes it, uses up its connections, and makes it read-only."""
    server = "postgresql"
    return [
        Outage("restarted", server, "crash", _crashed, 0.0),
        Outage("frozen", server, "freeze", _frozen(server), seconds, ALL_EDGES),
        Outage("exhausted", server, "exhaust", _exhausted, seconds / 2, ALL_EDGES),
        Outage("read-only", server, "forbid", _read_only, seconds / 2, ALL_EDGES),
    ]


def citus(seconds: float) -> list[Outage]:
    """Kills a worker of Citus, freezes it, and restarts the coordinator of Citus."""
    return [
        Outage("killed", "worker-1", "kill", _killed("worker-1"), 0.0),
        Outage("absent", "worker-2", "stop", _killed("worker-2"), seconds, ALL_EDGES),
        Outage("frozen", "worker-1", "freeze", _frozen("worker-1"), seconds, ALL_EDGES),
        Outage("restarted", "postgresql", "crash", _crashed, 0.0),
    ]


def partition(seconds: float) -> list[Outage]:
    """Cuts off one process after another from a server: first in both directions, then in each direction alone."""
    outages = []
    for process, server in ((FIRST_EDGE, "nats"), ("message-1", "postgresql"), (FIRST_EDGE, "valkey")):
        unserved = [process] if server == "nats" else []
        for direction, cut in _CUTS.items():
            target = f"{process}~{server}"
            harm = _on_links(process, server, cut)
            outages.append(Outage(target, target, f"cut {direction}", harm, seconds, unserved))
    for name, processes in (("edge", ("edge",)), ("message", ("message",)), ("all", ("edge", "message"))):
        everywhere = _on_all_links(processes, "valkey", TcpProxy.time_out)
        outages.append(Outage(f"{name}~valkey", f"{name}~valkey", "cut both", everywhere, seconds))
    return outages


def network(seconds: float) -> list[Outage]:
    """First resets the connections of clients, and the connection of one edge to NATS.

    Then makes the connections of clients slow, sliced, narrow and limited. Last, does some of this to the connections
    between processes and servers.
    """
    ways = {
        CLIENTS: (slow(0.2, 0.1), _sliced(1), _narrow(10_000), _limited(20_000)),
        "nats": (slow(0.05, 0.05), _sliced(7)),
        "valkey": (slow(0.1, 0.05), _sliced(1)),
        "postgresql": (slow(0.005, 0.005), _sliced(7)),
    }
    outages = [
        Outage("clients", "edge~clients", "reset", _reset_repeatedly("edge", CLIENTS), seconds),
        Outage("nats", f"{FIRST_EDGE}~nats", "reset", _reset_repeatedly(FIRST_EDGE, "nats"), seconds, [FIRST_EDGE]),
    ]
    for server, harms in ways.items():
        for name, poison in harms:
            processes = ("edge",) if server == CLIENTS else ("message", "edge")
            harm = _on_all_links(processes, server, poison)
            outages.append(Outage(f"{name} {server}", f"edge~{server}", name, harm, seconds))
    return outages


def half_open(seconds: float) -> list[Outage]:
    """Loses all packets between an edge and its clients, so that neither end gets an error."""
    return [Outage("half-open", f"{FIRST_EDGE}~{CLIENTS}", "lose packets", _lost_packets, seconds, [FIRST_EDGE])]


# Toxics

Poison = Callable[[TcpProxy], None]


def _cut_up(proxy: TcpProxy) -> None:
    proxy.up.time_out()


def _cut_down(proxy: TcpProxy) -> None:
    proxy.down.time_out()


_CUTS: dict[str, Poison] = {"both": TcpProxy.time_out, "up": _cut_up, "down": _cut_down}


def _of_both(poison: Callable[[Toxics], None]) -> Poison:
    def applied(proxy: TcpProxy) -> None:
        poison(proxy.up)
        poison(proxy.down)

    return applied


def slow(seconds: float, jitter: float) -> tuple[str, Poison]:
    def poison(toxics: Toxics) -> None:
        toxics.latency_seconds, toxics.jitter_seconds = seconds, jitter

    return "latency", _of_both(poison)


def _sliced(size: int) -> tuple[str, Poison]:
    def poison(toxics: Toxics) -> None:
        toxics.slice_bytes = size

    return "slicer", _of_both(poison)


def _narrow(bytes_per_second: float) -> tuple[str, Poison]:
    def poison(toxics: Toxics) -> None:
        toxics.bytes_per_second = bytes_per_second

    return "bandwidth", _of_both(poison)


def _limited(count: int) -> tuple[str, Poison]:
    def poison(toxics: Toxics) -> None:
        toxics.limit_bytes = count

    return "limit", _of_both(poison)


# Harms


def _on_links(process: str, server: str, poison: Poison) -> Harm:
    return _on_all_links((process,), server, poison)


def _on_all_links(processes: Sequence[str], server: str, poison: Poison) -> Harm:
    @asynccontextmanager
    async def harm(fleet: Fleet) -> AsyncIterator[None]:
        assert fleet.links is not None
        proxies = [proxy for process in processes for proxy in fleet.links.select(process, server)]
        for proxy in proxies:
            poison(proxy)
        try:
            yield
        finally:
            for proxy in proxies:
                proxy.clear()

    return harm


def _reset_repeatedly(process: str, other: str) -> Harm:
    """Resets connections repeatedly. Data are delayed, so that each reset loses some."""

    @asynccontextmanager
    async def harm(fleet: Fleet) -> AsyncIterator[None]:
        assert fleet.links is not None
        proxies = list(fleet.links.select(process, other))

        async def reset() -> None:
            while True:
                for proxy in proxies:
                    await asyncio.sleep(_RESET_SECONDS)
                    proxy.reset_peer()

        async with _on_links(process, other, slow(0.1, 0.05)[1])(fleet):
            resetting = asyncio.create_task(reset())
            try:
                yield
            finally:
                resetting.cancel()

    return harm


@asynccontextmanager
async def _lost_packets(fleet: Fleet) -> AsyncIterator[None]:
    assert isinstance(fleet.links, FarLinks)
    fleet.links.network.lose_packets(True)
    try:
        yield
    finally:
        fleet.links.network.lose_packets(False)


def _frozen(server: str) -> Harm:
    @asynccontextmanager
    async def harm(fleet: Fleet) -> AsyncIterator[None]:
        await asyncio.to_thread(fleet.servers[server].pause)
        try:
            yield
        finally:
            await asyncio.to_thread(fleet.servers[server].resume)

    return harm


def _killed(server: str) -> Harm:
    @asynccontextmanager
    async def harm(fleet: Fleet) -> AsyncIterator[None]:
        await asyncio.to_thread(fleet.servers[server].kill)
        try:
            yield
        finally:
            await asyncio.to_thread(fleet.servers[server].start)

    return harm


@asynccontextmanager
async def _crashed(fleet: Fleet) -> AsyncIterator[None]:
    await asyncio.to_thread(_postgres(fleet).crash)
    yield
    await asyncio.to_thread(_postgres(fleet).start)


@asynccontextmanager
async def _exhausted(fleet: Fleet) -> AsyncIterator[None]:
    exhausted = _postgres(fleet).exhausted()
    await asyncio.to_thread(exhausted.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(exhausted.__exit__, None, None, None)


@asynccontextmanager
async def _read_only(fleet: Fleet) -> AsyncIterator[None]:
    read_only = _postgres(fleet).read_only_everywhere()
    await asyncio.to_thread(read_only.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(read_only.__exit__, None, None, None)


def _postgres(fleet: Fleet) -> PostgresServer:
    assert fleet.postgres is not None
    return fleet.postgres
