"""Unit costs: stored form and derivation from measurements. Pure."""

from collections.abc import Mapping

import msgspec

from bench.report.result import by_kind

_PRECISION = 3
_MESSAGE, _LOGIN = "µs of a message in ", "µs of a login in "

ByKind = dict[str, float]
"""By kind of process: edge, message, session, auth, nats, valkey."""


class Costs(msgspec.Struct):
    """CPU time in µs. A message has a text of `size` bytes and one recipient; it is `batched` with many others, or
    `alone` in its batch and envelope (the highest cost). `delivery`: one more connected recipient. `login`: by token.
    `idle`: µs a second of an idle connection. `kib`: memory of a connection. Bytes of a message, then of a further
    delivery: `nats` read and written by its server, `client` between clients and edges. `rows`: database bytes of a row
    and its indexes. `login_chat`: each chat of an account after the first, at its login. `roster`: µs of session for
    the roster of a chat that message has not cached."""

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
    login_chat: ByKind = {}
    roster: float = 0.0
    remarks: list[str] = []
    """Warnings about the figures."""


Figures = Mapping[str, float]


class MeasuredCosts(msgspec.Struct):
    """Figures of the runs with pairs at a high and a low rate, with a group of `members`, with `connections` more
    connections than the pairs have, with accounts of `chats` chats, and with chats whose rosters are not cached."""

    brisk: Figures
    slow: Figures
    group: Figures
    members: int
    many_connections: Figures
    connections: int
    many_chats: Figures
    chats: int
    cold: Figures


def derived(found: MeasuredCosts, rows: dict[str, float], machine: str, measured: str, size: int) -> Costs:
    nats, group_nats = (_through(run, "nats") for run in (found.slow, found.group))
    clients, group_clients = (_between_clients(run) for run in (found.slow, found.group))
    further = found.members - 2
    return Costs(
        machine,
        measured,
        size,
        batched=by_kind(found.brisk, _MESSAGE),
        alone=by_kind(found.slow, _MESSAGE),
        delivery=_each(found.slow, found.group, further),
        login=by_kind(found.many_connections, _LOGIN),
        idle=round(_more(_idle(found.slow), _idle(found.many_connections), found.connections) * 1e6, _PRECISION),
        kib=by_kind(found.many_connections, "KiB of a login in ").get("edge", 0.0),
        nats=(round(nats, 1), round(_more(nats, group_nats, further), 1)),
        client=(round(clients, 1), round(_more(clients, group_clients, further), 1)),
        rows=rows,
        login_chat=_each_login(found.many_connections, found.many_chats, found.chats - 1),
        roster=round(_roster(found.cold), _PRECISION),
    )


def _each(slow: Figures, group: Figures, further: int) -> ByKind:
    few, many = (by_kind(run, _MESSAGE) for run in (slow, group))
    return {kind: round(_more(few.get(kind, 0.0), cost, further), _PRECISION) for kind, cost in many.items()}


def _each_login(one: Figures, many: Figures, further: int) -> ByKind:
    few, more = by_kind(one, _LOGIN), by_kind(many, _LOGIN)
    return {kind: round(_more(few.get(kind, 0.0), cost, further), _PRECISION) for kind, cost in more.items()}


def _through(figures: Figures, kind: str) -> float:
    return sum(by_kind(figures, f"bytes {way} of a message in ").get(kind, 0.0) for way in ("read", "written"))


def _between_clients(figures: Figures) -> float:
    """Bytes between clients and edges: the traffic of the edges without that of the broker. An edge sends or receives
    these bytes once; the broker both reads and writes them."""
    return max(0.0, _through(figures, "edge") - _through(figures, "nats") / 2)


def _idle(figures: Figures) -> float:
    return by_kind(figures, "idle cores of ").get("edge", 0.0)


def _roster(figures: Figures) -> float:
    rosters = figures.get("rosters of a message", 0.0)
    return by_kind(figures, _MESSAGE).get("session", 0.0) / rosters if rosters else 0.0


def _more(less: float, more: float, count: int) -> float:
    return max(0.0, more - less) / count
