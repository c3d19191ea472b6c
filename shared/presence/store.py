"""Presence: the nodes of each account and the membership version of each chat. Hints in Redis, never the truth.

Keys (each command touches one key):
`presence:{k}`  hash: account id → names of the nodes that hold its connections, joined by commas; k = id mod 16;
                and `@<node>` → the node's mark: see shared/presence/scripts.py
`presence:state:{k}`  see shared/presence/states.py
`version:{k}`   hash: chat id → version of its membership; k = id mod 16
`node:<id>`     lease of a node, expires by itself
`sweeper`       the node that removes the entries of dead nodes; a lease, too
`generation`    random. While it is missing or new, presence is incomplete and readers must reach all nodes. It expires
                like a lease, so that readers of a former primary, which no edge refreshes, do not trust it for long

Losing Redis degrades the service and heals: lookups return unknown, edges register again. A node that has lost it alone
announces its accounts over NATS, and lookups count it among their nodes until presence is complete again. While
replicas of message cannot read presence, all nodes announce their accounts for them: see shared/presence/incomplete.py.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram
from redis.exceptions import RedisError

from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.presence import scripts, states
from shared.presence.incomplete import IncompleteNodes
from shared.presence.redis_pipelines import RedisPipelines
from shared.presence.scripts import SHARD_KEYS, SHARDS, Command, nodes_of
from shared.presence.states import OFFLINE, GivenState, StoredState
from shared.presence.sweep import read_pages, sweep_shard
from shared.settings import RedisSettings
from shared.telemetry import log

N = TypeVar("N", bound=int)
_log = log(__name__)
_decode_incomplete = msgspec.msgpack.Decoder(PresenceIncomplete).decode
_READ_GENERATION: Command = ("GET", "generation")
_TRUST_SECONDS = 6.0
"""A younger generation may still lack nodes. Two beats of a lease later, each edge has registered its accounts, or
announced that it cannot. A later one re-syncs them when it registers them."""
_BROKEN_SECONDS = 1.0
"""Pause after a failure of Redis, so that not every batch waits for its time-out."""
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class PresenceSnapshot(NamedTuple):
    """`nodes`: the nodes of each online account; None when they are unknown and every node must be notified.
    `versions`: of the requested chats; session knows a missing one."""

    nodes: dict[AccountId, tuple[NodeId, ...]] | None
    versions: dict[ChatId, int]


class LeaseState(NamedTuple):
    held: bool
    """False when the lease had expired: other nodes considered this node dead."""
    generation: str


class Presence:
    """Edges `join`, `leave`, `beat` and read `nodes` (raising RedisError); services `lookup`, which never fails."""

    def __init__(self, settings: RedisSettings, registry: CollectorRegistry | None = None) -> None:
        self._numbers = _PresenceMetrics(registry or CollectorRegistry())
        self._round_trips = RedisPipelines(settings)
        self.losses = 0
        """Times that lookups found the generation lost: the nodes named before may have been wrong."""
        self._generation = ""
        self._generation_since = 0.0
        self._broken_until = 0.0
        self._beaten = ""
        self._met = ""
        """The generation seen by the last call; empty when a call failed."""
        self._whole_from = 0.0
        self._incomplete = IncompleteNodes()

    async def close(self) -> None:
        await self._round_trips.close()

    async def check(self) -> None:
        """A round trip. Raises RedisError."""
        await self._round_trips.execute([_READ_GENERATION])

    # Edges

    async def join(self, node: NodeId, accounts: Collection[AccountId]) -> dict[AccountId, list[NodeId]]:
        """Registers accounts on a node; returns the other nodes of each account."""
        shards, token = _by_shard(accounts), secrets.token_hex(8)
        questions: list[Command] = [
            ("EVAL", scripts.JOIN, 1, SHARD_KEYS[shard], node, token, *members) for shard, members in shards.items()
        ]
        try:
            with self._numbers.call("join"):
                replies = await self._round_trips.execute([*questions, _READ_GENERATION])
        except RedisError:
            self._met = ""
            raise
        *rows, generation = replies
        self._met = generation or ""
        others: dict[AccountId, list[NodeId]] = {account: [] for account in accounts}
        for account, names in _present(shards, rows):
            others[account] = [other for other in nodes_of(names) if other != node]
        return others

    async def nodes(self, accounts: Collection[AccountId]) -> dict[AccountId, tuple[NodeId, ...]]:
        """The registered nodes of each account; they may be incomplete (`has_lost_state`)."""
        shards = _by_shard(accounts)
        with self._numbers.call("homes"):
            rows = await self._round_trips.execute([_hmget(SHARD_KEYS[shard], own) for shard, own in shards.items()])
        return dict.fromkeys(accounts, ()) | {account: nodes_of(names) for account, names in _present(shards, rows)}

    @property
    def has_lost_state(self) -> bool:
        """Redis lost its data, or another node lost Redis: `join` may miss nodes, because not all are registered."""
        if self._incomplete.any(time.monotonic()):
            return True
        return self._beaten != "" and (self._met != self._beaten or time.monotonic() < self._whole_from)

    async def leave(self, node: NodeId, accounts: Collection[AccountId]) -> None:
        shards, token = _by_shard(accounts), secrets.token_hex(8)
        with self._numbers.call("leave"):
            await self._round_trips.execute([
                ("EVAL", scripts.LEAVE, 1, SHARD_KEYS[shard], node, token, *own) for shard, own in shards.items()
            ])  # fmt: skip

    async def beat(self, node: NodeId, lease_seconds: float) -> LeaseState:
        """Refreshes the node's lease and the generation; creates a generation when there is none."""
        life = int(lease_seconds * 1000)
        with self._numbers.call("beat"):
            refresh: Command = ("EVAL", scripts.REFRESH, 1, "generation", secrets.token_hex(8), life)
            [generation] = await self._round_trips.execute([refresh])
            [held] = await self._round_trips.execute([("SET", f"node:{node}", generation, "PX", life, "GET")])
        if self._beaten not in ("", generation):
            self._whole_from = time.monotonic() + _TRUST_SECONDS
        self._beaten = self._met = generation
        return LeaseState(held is not None, generation)

    async def marks(self, node: NodeId) -> list[str | None]:
        """The node's mark in each shard."""
        with self._numbers.call("marks"):
            return await self._round_trips.execute([("HGET", SHARD_KEYS[shard], f"@{node}") for shard in range(SHARDS)])

    async def repair(self, node: NodeId, shard: int, accounts: Collection[AccountId]) -> list[AccountId]:
        """Makes these the node's accounts in the shard; returns those that it lacked. Does nothing if a sweep changes
        the shard meanwhile: the node compares again."""
        with self._numbers.call("repair"):
            [mark] = await self._round_trips.execute([("HGET", SHARD_KEYS[shard], f"@{node}")])
            held = {
                AccountId(int(name))
                async for entries in read_pages(self._round_trips.execute, shard)
                for name, nodes in entries
                if name[0] != "@" and node in nodes_of(nodes)
            }
            lacking, surplus = [one for one in accounts if one not in held], held.difference(accounts)
            change = (*scripts.checksum(accounts), len(lacking), *lacking, *surplus)
            await self._round_trips.execute([
                ("EVAL", scripts.REPAIR, 1, SHARD_KEYS[shard], node, mark or "", secrets.token_hex(8), *change)
            ])  # fmt: skip
        return lacking

    async def change_states(self, commands: Iterable[Command]) -> None:
        """Commands of shared.presence.states."""
        with self._numbers.call("states"):
            await self._round_trips.execute(commands)

    async def states(self, accounts: Collection[AccountId]) -> dict[AccountId, GivenState]:
        """The state of each account, by what presence knows of it."""
        shards = _by_shard(accounts)
        commands = [_hmget(SHARD_KEYS[shard], own) for shard, own in shards.items()]
        commands += [states.read(shard, own) for shard, own in shards.items()]
        with self._numbers.call("availability"):
            rows = await self._round_trips.execute(commands)
        given: dict[AccountId, StoredState] = {}
        for own, row in zip(shards.values(), rows[len(shards) :], strict=True):
            given |= states.stored(own, row)
        online = {
            account: states.state_on(nodes_of(names), given[account])
            for account, names in _present(shards, rows[: len(shards)])
        }
        return dict.fromkeys(accounts, OFFLINE) | online

    async def release_lease(self, node: NodeId) -> None:
        """Deletes the node's lease at an orderly shutdown."""
        await self._round_trips.execute([("DEL", f"node:{node}")])

    async def alive(self, node: NodeId) -> bool:
        [found] = await self._round_trips.execute([("EXISTS", f"node:{node}")])
        return bool(found)

    async def elect_sweeper(self, node: NodeId, seconds: float) -> bool:
        """Whether the node is the one that sweeps, for so long from now on."""
        with self._numbers.call("elect"):
            elect: Command = ("EVAL", scripts.ELECT, 1, "sweeper", node, int(seconds * 1000))
            [elected] = await self._round_trips.execute([elect])
        return bool(elected)

    def sweep(self, shard: int) -> AsyncIterator[int]:
        """See shared.presence.sweep.sweep_shard."""
        return sweep_shard(self._execute_sweep, shard)

    async def _execute_sweep(self, commands: Iterable[Command]) -> list[Any]:
        with self._numbers.call("sweep"):
            return await self._round_trips.execute(commands)

    # Services

    async def publish_versions(self, versions: Mapping[ChatId, int]) -> None:
        """Raises RedisError: the caller must retry until the versions are published."""
        commands: list[Command] = []
        for shard, chats in _by_shard(versions).items():
            pairs = [str(number) for chat in chats for number in (chat, versions[chat])]
            commands.append(("EVAL", scripts.PUBLISH, 1, f"version:{{{shard}}}", *pairs))
        with self._numbers.call("publish_versions"):
            await self._round_trips.execute(commands)

    async def lookup(self, accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()) -> PresenceSnapshot:
        """One round trip for a whole batch."""
        now = time.monotonic()
        if now < self._broken_until:
            return PresenceSnapshot(None, {})
        account_shards, chat_shards = _by_shard(set(accounts)), _by_shard(set(chats))
        questions: list[Command] = [
            *[_hmget(SHARD_KEYS[shard], members) for shard, members in account_shards.items()],
            *[_hmget(f"version:{{{shard}}}", numbers) for shard, numbers in chat_shards.items()],
            _READ_GENERATION,  # last: a loss during the lookup makes its result unknown
        ]
        try:
            with self._numbers.call("look_up"):
                replies = await self._round_trips.execute(questions)
        except RedisError as error:
            _log.warning("presence unknown", error=repr(error))
            self._broken_until = time.monotonic() + _BROKEN_SECONDS
            return PresenceSnapshot(None, {})
        several = len(account_shards)
        *rows, generation = replies
        nodes = {account: nodes_of(names) for account, names in _present(account_shards, rows[:several])}
        versions = {chat: int(version) for chat, version in _present(chat_shards, rows[several:])}
        for members in account_shards.values() if self._incomplete.nodes else ():
            self._incomplete.add_to(nodes, members, now)
        return PresenceSnapshot(nodes if self._trusted(generation, now) else None, versions)

    @property
    def is_unreachable(self) -> bool:
        """The last lookup failed, a moment ago."""
        return time.monotonic() < self._broken_until

    # Nodes that announce their accounts

    def receive_incomplete(self, data: bytes) -> None:
        """A node has announced PresenceIncomplete. Accounts that presence has are of no interest here."""
        announced = _decode_incomplete(data)
        if not announced.registered:
            self._incomplete.receive(announced, time.monotonic())

    def receive_accounts(self, data: bytes) -> None:
        """A node has announced its accounts, whether presence has them or not."""
        self._incomplete.receive(_decode_incomplete(data), time.monotonic())

    @property
    def known_nodes(self) -> dict[NodeId, tuple[int, int]]:
        """The nodes whose accounts are all known without Redis: see IncompleteNodes.known."""
        return self._incomplete.known(time.monotonic()) if self._incomplete.nodes else {}

    def announced_at(self, node: NodeId, accounts: Collection[AccountId]) -> list[AccountId]:
        """Those of the accounts that a node may have, by its announcements."""
        return self._incomplete.accounts_at(node, accounts, time.monotonic())

    async def select_online(self, accounts: Collection[AccountId]) -> Collection[AccountId] | None:
        """None: unknown."""
        nodes = (await self.lookup(accounts)).nodes
        return None if nodes is None or self.has_unnamed_accounts else nodes.keys()

    @property
    def has_unnamed_accounts(self) -> bool:
        """Lookups name nodes that an account may not be on."""
        return self._incomplete.any_unnamed(time.monotonic())

    def _trusted(self, generation: str | None, now: float) -> bool:
        if self._generation not in ("", generation):
            self.losses += 1
        if generation is None:
            self._generation = ""
            return False
        if generation != self._generation:
            self._generation, self._generation_since = generation, now
        return now - self._generation_since >= _TRUST_SECONDS


class _PresenceMetrics:
    """Metrics of the calls of Redis: duration and failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "dragoman_presence_seconds", "Time of a call of Redis", ["call"], buckets=_SECONDS, registry=registry
        )
        self._failures = Counter(
            "dragoman_presence_failures", "Calls that Redis did not answer", ["call"], registry=registry
        )

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        try:
            with self._seconds.labels(name).time():
                yield
        except RedisError:
            self._failures.labels(name).inc()
            raise


def _by_shard(numbers: Iterable[N]) -> dict[int, list[N]]:
    shards: dict[int, list[N]] = defaultdict(list)
    for number in numbers:
        shards[number % SHARDS].append(number)
    return shards


def _hmget(key: str, numbers: Iterable[int]) -> Command:
    return ("HMGET", key, *numbers)


def _present(shards: Mapping[int, list[N]], rows: Iterable[list[str | None]]) -> Iterator[tuple[N, str]]:
    """Each number that its shard has a value for, with the value."""
    for numbers, row in zip(shards.values(), rows, strict=True):
        for number, value in zip(numbers, row, strict=True):
            if value:
                yield number, value
