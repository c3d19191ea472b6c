"""Computes the resources for a number of users, and the first limits, from measured costs and habits. Pure.

The model is linear: each kind of process has a cost for each message, delivery, login and connection, and may be busy
for a share of its time. Only the heartbeats grow faster, with the number of process pairs.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from bench.capacity.costs import Costs

KINDS = ("edge", "message", "session", "auth", "nats", "valkey")
_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_HEARTBEAT_BYTES = 140.0
"""Of a replica, each second to each edge and each other replica."""
_EMPTY_ENVELOPE_BYTES = 90.0
"""Of a replica to an edge after its last envelope, at most one a second."""
_MOST_USERS = 1e12
_LITTLE_BYTES = 1e6
"""Bytes a second that are negligible."""


class Habits(NamedTuple):
    """Habits of connected users at the busiest time, and properties of the machines. `recipients`: connected recipients
    of a message beside its sender. `accounts`: accounts for each connected user. `mean`: mean load of a day as a share
    of the busiest time. `busy`: highest use of a core or a link, as a share. `database_rows`: messages a second that
    one database commits. `roster_members`: members in the rosters that one replica of message caches."""

    messages_per_minute: float = 1.0
    recipients: float = 4.0
    logins_per_hour: float = 2.0
    accounts: float = 5.0
    chats: float = 30.0
    mean: float = 1 / 3
    busy: float = 0.6
    edge_connections: float = 15_000
    nats_cores: float = 8
    link_gbit: float = 10.0
    database_rows: float = 50_000
    roster_members: float = 500_000


class Needs(NamedTuple):
    """Rates are a second. `cores` by kind: lowest (full batches, all rosters cached) and highest (each message alone);
    `processes` suffice for the highest. `nats`, `heartbeats`, `clients`: bytes a second over the broker, of heartbeats,
    and between clients and edges."""

    users: float
    messages: float
    deliveries: float
    logins: float
    cores: dict[str, tuple[float, float]]
    processes: dict[str, int]
    edge_memory: float
    nats: float
    heartbeats: float
    clients: float
    databases: int
    message_bytes_a_day: float
    account_bytes: float


class Limit(NamedTuple):
    """A single resource that is full at `users` connected users. `way`: the remedy."""

    what: str
    users: float
    way: str


def needs(costs: Costs, habits: Habits, users: float) -> Needs:
    messages = users * habits.messages_per_minute / _MINUTE
    logins = users * habits.logins_per_hour / _HOUR
    deliveries = messages * habits.recipients
    further = max(0.0, deliveries - messages)

    def cores(kind: str, message: dict[str, float]) -> float:
        login = costs.login.get(kind, 0.0) + (habits.chats - 1) * costs.login_chat.get(kind, 0.0)
        used = messages * message.get(kind, 0.0) + further * costs.delivery.get(kind, 0.0)
        used += logins * login + (users * costs.idle if kind == "edge" else 0.0)
        return used / 1e6

    both = {kind: _ordered(cores(kind, costs.batched), cores(kind, costs.alone)) for kind in KINDS}
    accounts = users * habits.accounts
    replicas = _processes("message", both["message"][1], users, habits)
    missed = messages * _missing_rosters(accounts * habits.chats, replicas * habits.roster_members)
    both["session"] = both["session"][0], both["session"][1] + missed * costs.roster / 1e6
    processes = {kind: _processes(kind, both[kind][1], users, habits) for kind in KINDS}
    # A lookup alone costs a fifth of what was measured at low load, where Valkey wakes up for each message.
    processes["valkey"] = _processes("valkey", both["valkey"][0], users, habits)
    return Needs(
        users, messages, deliveries, logins, both, processes,
        edge_memory=users * costs.kib * 1024,
        nats=messages * costs.nats[0] + further * costs.nats[1],
        heartbeats=_heartbeats(processes["message"], processes["edge"]),
        clients=messages * costs.client[0] + further * costs.client[1],
        databases=max(1, math.ceil(messages / (habits.busy * habits.database_rows))),
        message_bytes_a_day=messages * habits.mean * _DAY * costs.rows["message"],
        account_bytes=accounts * (costs.rows["account"] + habits.chats * costs.rows["membership"]),
    )  # fmt: skip


def limits(costs: Costs, habits: Habits) -> list[Limit]:
    """The limits, lowest first."""

    def full(enough: Callable[[Needs], bool]) -> float:
        return _last(lambda users: enough(needs(costs, habits, users)))

    link = habits.busy * habits.link_gbit * 1e9 / 8
    found = [
        Limit(
            "one replica of message", full(lambda need: need.cores["message"][0] <= habits.busy),
            "more replicas, on PostgreSQL: they share out the chats",
        ),
        Limit(
            "one message database", full(lambda need: need.messages <= habits.busy * habits.database_rows),
            "an engine that distributes tables by chat",
        ),
        Limit(
            "one Valkey", full(lambda need: need.cores["valkey"][0] <= habits.busy),
            "none is built: presence on several servers, by its 16 shards",
        ),
        Limit(
            f"one NATS server of {habits.nats_cores:g} cores",
            full(lambda need: need.cores["nats"][1] <= habits.busy * habits.nats_cores),
            "a cluster: subjects are per edge, so a message crosses at most one route",
        ),
        Limit(
            f"the {habits.link_gbit:g} Gbit/s of one NATS server", full(lambda need: need.nats <= link),
            "a cluster, as above; leaf nodes for zones",
        ),
        Limit(
            "heartbeats, as many bytes as messages",
            full(lambda need: need.heartbeats <= max(need.nats, _LITTLE_BYTES)),
            "fewer and larger processes; not done: a longer time between heartbeats when there are many",
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda limit: limit.users)


def _heartbeats(replicas: int, edges: int) -> float:
    """Bytes a second."""
    return replicas * ((edges + replicas) * _HEARTBEAT_BYTES + edges * _EMPTY_ENVELOPE_BYTES)


def _missing_rosters(memberships: float, cached: float) -> float:
    """The share of messages to chats whose rosters are not cached, if all chats are equally likely."""
    return max(0.0, 1 - cached / memberships)


def _ordered(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


def _processes(kind: str, cores: float, users: float, habits: Habits) -> int:
    """At least two processes, three of NATS, so that one may fail."""
    if kind == "nats":
        return max(3, math.ceil(cores / (habits.busy * habits.nats_cores)))
    connections = math.ceil(users / habits.edge_connections) if kind == "edge" else 0
    return max(2, math.ceil(cores / habits.busy), connections)


def _last(enough: Callable[[float], bool]) -> float:
    """The most users for which `enough` holds, within 1 %; `enough` must be monotonic."""
    low, high = 1.0, _MOST_USERS
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low
