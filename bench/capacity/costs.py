"""What one of everything costs, as it is measured, stored and reckoned with. Pure."""

from collections.abc import Mapping

import msgspec

_PRECISION = 3

ByKind = dict[str, float]
"""By kind of process: edge, message, session, auth, nats, valkey."""


class Costs(msgspec.Struct):
    """Processor time in µs. A message is one said by one of two people to the other, texts being of `size` bytes;
    `batched` with many others, or `alone` in its batch and its envelope, which is the most that it can cost. A
    `delivery` is one more recipient who is connected, a `login` one by token. `idle`: µs a second of a connection on
    which nothing is said. `kib`: memory of a connection. Bytes: `nats` what its server reads and writes, `client` what
    clients and edges send each other; of a message, then of a delivery. `rows`: bytes of the databases for each row and
    its indexes."""

    machine: str
    measured: str
    size: int
    batched: ByKind
    alone: ByKind
    delivery: ByKind
    login: ByKind
    idle: float
    kib: float
    nats: tuple[float, float]
    client: tuple[float, float]
    rows: dict[str, float]
    remarks: list[str] = []
    """What a reader must know before believing them."""


Figures = Mapping[str, float]


class MeasuredCosts(msgspec.Struct):
    """The figures of runs with pairs at a brisk rate and a slow one, with a group of `members`, and with so many more
    connections than the pairs have."""

    brisk: Figures
    slow: Figures
    group: Figures
    members: int
    many_connections: Figures
    connections: int


def derived(found: MeasuredCosts, rows: dict[str, float], machine: str, measured: str, size: int) -> Costs:
    nats, group_nats = (_through(run, "nats") for run in (found.slow, found.group))
    clients, group_clients = (_between_clients(run) for run in (found.slow, found.group))
    further = found.members - 2
    return Costs(
        machine,
        measured,
        size,
        batched=by_kind(found.brisk, "µs of a message in "),
        alone=by_kind(found.slow, "µs of a message in "),
        delivery=_each(found.slow, found.group, further),
        login=by_kind(found.many_connections, "µs of a login in "),
        idle=round(_more(_idle(found.slow), _idle(found.many_connections), found.connections) * 1e6, _PRECISION),
        kib=by_kind(found.many_connections, "KiB of a login in ").get("edge", 0.0),
        nats=(round(nats, 1), round(_more(nats, group_nats, further), 1)),
        client=(round(clients, 1), round(_more(clients, group_clients, further), 1)),
        rows=rows,
    )


def by_kind(figures: Figures, prefix: str) -> ByKind:
    """Processes of a kind added up."""
    kinds: ByKind = {}
    for name, value in figures.items():
        if name.startswith(prefix):
            kind = name.removeprefix(prefix).partition("-")[0]
            kinds[kind] = round(kinds.get(kind, 0.0) + value, _PRECISION)
    return kinds


def _each(slow: Figures, group: Figures, further: int) -> ByKind:
    few, many = (by_kind(run, "µs of a message in ") for run in (slow, group))
    return {kind: round(_more(few.get(kind, 0.0), cost, further), _PRECISION) for kind, cost in many.items()}


def _through(figures: Figures, kind: str) -> float:
    return sum(by_kind(figures, f"bytes {way} of a message in ").get(kind, 0.0) for way in ("read", "written"))


def _between_clients(figures: Figures) -> float:
    """Whatever goes over the broker, which reads and writes it, has an edge at one of its ends. The rest of what edges
    read and write is the clients'."""
    return max(0.0, _through(figures, "edge") - _through(figures, "nats") / 2)


def _idle(figures: Figures) -> float:
    return by_kind(figures, "idle cores of ").get("edge", 0.0)


def _more(less: float, more: float, count: int) -> float:
    return max(0.0, more - less) / count
