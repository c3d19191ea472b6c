"""Presence: the nodes of each account, and the membership version of each chat. The data in Redis may be outdated, and
no correctness depends on them.

Keys (each command touches one key):
`presence:{k}`  hash: account id → names of the nodes that have its connections, joined by commas; k = id mod 16;
                and `@<node>` → the node's mark: see shared/presence/scripts.py
`presence:state:{k}`  see shared/presence/states.py
`version:{k}`   hash: chat id → version of its membership; k = id mod 16
`node:<id>`     lease of a node, which expires by itself
`sweeper`       the node that removes the entries of dead nodes; also a lease
`generation`    random. While it is missing or new, presence is incomplete, and readers must reach all nodes. It expires
                like a lease. So readers of a previous primary, where no edge renews it, do not trust it for long.

While Redis is unavailable, the system works with restrictions: lookups return that presence is unknown. Afterwards,
edges register their accounts again. If only one node cannot reach Redis, it announces its accounts over NATS, and
lookups include this node until presence is complete again.
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from hiredis import pack_command
from prometheus_client import CollectorRegistry, Counter
from redis import asyncio as aioredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.plain_histogram import PlainHistogram
from shared.presence import scripts, states
from shared.presence.scripts import SHARD_KEYS, SHARDS, Command, nodes_of
from shared.presence.states import OFFLINE, GivenState, StoredState
from shared.presence.sweep import read_pages, sweep_shard
from shared.redis_server import LOST_CONNECTION
from shared.settings.servers import RedisSettings
from shared.telemetry import log
from shared.tls import redis_options


class IncompleteNodes:
    """The nodes that announce their accounts over NATS, because they cannot reach Redis. Times are monotonic seconds.
    An announcement adds accounts to those of earlier announcements. Each account is valid for its own time. An account
    takes about 70 bytes. A later announcement removes no account, so an account may seem to be on a node that it has
    left."""

    def __init__(self) -> None:
        self._nodes: dict[NodeId, _IncompleteNode] = {}
        """Usually there are none."""

    def receive(self, state: PresenceIncomplete, now: float) -> None:
        if state.milliseconds <= 0:
            self._nodes.pop(state.node, None)
        else:
            until = now + state.milliseconds / 1000
            self._nodes.setdefault(state.node, _IncompleteNode()).announce(state.accounts or (), now, until)

    def any(self, now: float) -> bool:
        """Whether presence may lack accounts of some node."""
        if self._nodes:
            self._nodes = {name: node for name, node in self._nodes.items() if node.until > now}
        return bool(self._nodes)

    def add_to(self, nodes: dict[AccountId, tuple[NodeId, ...]], accounts: Collection[AccountId], now: float) -> None:
        """Adds, in `nodes`, each node to the accounts that are possibly on it."""
        if self.any(now):
            for name, node in self._nodes.items():
                for account in node.may_have(accounts, now):
                    known = nodes.get(account, ())
                    if name not in known:
                        nodes[account] = (*known, name)


class _IncompleteNode:
    def __init__(self) -> None:
        self.until = 0.0
        """The time until which the last announcement is valid."""
        self._named: dict[AccountId, float] = {}
        """For each account, the time until which it may be on this node."""

    def announce(self, accounts: Collection[AccountId], now: float, until: float) -> None:
        self.until = max(self.until, until)
        # removing expired entries costs no more than adding the new list
        if 2 * len(accounts) >= len(self._named):
            self._named = {account: end for account, end in self._named.items() if end > now}
        self._named.update(dict.fromkeys(accounts, until))

    def may_have(self, accounts: Iterable[AccountId], now: float) -> list[AccountId]:
        return [account for account in accounts if self._named.get(account, 0.0) > now]


_NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)
"""With maintenance notifications enabled, the library does not detect closed connections. After a restart of Redis, the
next call on each connection would then fail."""
_MOST_CONNECTIONS = 100


class RedisPipelines:
    """Executes many commands in one round trip, in order. It replaces the library's pipeline and pool, which are
    slower: for each command they need a timer, hooks, packing in Python and metrics."""

    def __init__(self, settings: RedisSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._is_closed = False
        self._pool = aioredis.ConnectionPool.from_url(
            settings.url.get_secret_value(),
            socket_timeout=None,  # one time limit covers all commands
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=_NO_NOTIFICATIONS,
            decode_responses=True,
            **redis_options(settings),
        )
        """The pool only makes connections. It never keeps one."""
        self._connections: list[AbstractConnection] = []
        self._idle: list[AbstractConnection] = []

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.gather(*[connection.disconnect() for connection in self._connections])

    async def execute(self, commands: Iterable[Command]) -> list[Any]:
        """Returns the reply to each command. The first call connects. Raises RedisError, also after `close`."""
        if self._is_closed:
            raise RedisConnectionError("the client is closed")
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # it takes any length
        if not packed:
            return []  # with empty data, asyncio of Python 3.12 and later would try to write for ever
        connection = self._idle.pop() if self._idle else self._make_connection()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(connection, packed)
        except TimeoutError as error:
            raise RedisTimeoutError("no reply in time") from error
        except LOST_CONNECTION as error:
            raise RedisConnectionError("the connection is lost") from error
        finally:
            self._idle.append(connection)

    async def _exchange(self, connection: AbstractConnection, packed: Sequence[bytes]) -> list[Any]:
        try:
            if not connection.is_connected or await connection.can_read():  # the connection has ended
                await self._pool.ensure_connection(connection)
            await connection.send_packed_command(b"".join(packed))
            return [await connection.read_response() for _ in packed]
        except BaseException:
            await connection.disconnect(nowait=True)  # otherwise, a late reply could be taken for another command's
            raise

    def _make_connection(self) -> AbstractConnection:
        if len(self._connections) >= _MOST_CONNECTIONS:
            raise RedisConnectionError("too many calls at once")
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connections.append(connection)
        return connection


N = TypeVar("N", bound=int)
_log = log(__name__)
_decode_incomplete = msgspec.msgpack.Decoder(PresenceIncomplete).decode
_READ_GENERATION: Command = ("GET", "generation")
_TRUST_SECONDS = 6.0
"""A new generation counts as incomplete for this time, because nodes may be missing in it. After two heartbeats, each
edge has registered its accounts or announced that it cannot. An edge that registers later syncs its accounts again."""
_BROKEN_SECONDS = 1.0
"""After a failure, Redis is not used for this time. Otherwise every batch would wait for the time limit."""
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class PresenceSnapshot(NamedTuple):
    """The result of a lookup. `nodes`: the nodes of each online account; None if they are unknown, so that every node
    must be notified. `versions`: the versions of the requested chats. A missing version can be requested from the
    session service."""

    nodes: dict[AccountId, tuple[NodeId, ...]] | None
    versions: dict[ChatId, int]


class LeaseState(NamedTuple):
    held: bool
    """False if the lease had expired, so that other nodes took this node for dead."""
    generation: str


class Presence:
    """Reads and changes presence. Edges call `join`, `leave`, `beat` and `nodes`, which raise RedisError. Services call
    `lookup`, which never fails."""

    def __init__(self, settings: RedisSettings, registry: CollectorRegistry | None = None) -> None:
        self._numbers = _PresenceMetrics(registry or CollectorRegistry())
        self._round_trips = RedisPipelines(settings)
        self.losses = 0
        """The number of lookups that found that the generation was lost. The results of earlier lookups may have been
        wrong."""
        self._generation = ""
        self._generation_since = 0.0
        self._broken_until = 0.0
        self._beaten = ""
        self._met = ""
        """The generation that the last call found; empty if a call failed."""
        self._whole_from = 0.0
        self._incomplete = IncompleteNodes()

    async def close(self) -> None:
        await self._round_trips.close()

    async def check(self) -> None:
        """Makes a round trip to Redis. Raises RedisError."""
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
        questions = [_hmget(SHARD_KEYS[shard], own) for shard, own in shards.items()]
        try:
            with self._numbers.call("homes"):
                rows = await self._round_trips.execute(questions)
        except RedisError:
            self._met = ""
            raise
        return dict.fromkeys(accounts, ()) | {account: nodes_of(names) for account, names in _present(shards, rows)}

    @property
    def has_lost_state(self) -> bool:
        """Whether registrations can be missing, because Redis has lost its data or a node cannot reach Redis. `join`
        may then return too few nodes."""
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
        """Renews the node's lease and the generation. Creates a generation if there is none."""
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
        """Makes `accounts` the node's accounts in the shard. Returns the accounts that the shard lacked. If a sweep
        changes the shard meanwhile, nothing is changed, and the node must compare again."""
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
        """Executes commands of shared.presence.states."""
        with self._numbers.call("states"):
            await self._round_trips.execute(commands)

    async def states(self, accounts: Collection[AccountId]) -> dict[AccountId, GivenState]:
        """The states of those accounts that presence has."""
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
        """Try to elect this node as the sweeper for the next `seconds`. Returns whether it was elected."""
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
        """Publishes the versions of chats. After RedisError, the caller must try again until they are published."""
        commands: list[Command] = []
        for shard, chats in _by_shard(versions).items():
            pairs = [str(number) for chat in chats for number in (chat, versions[chat])]
            commands.append(("EVAL", scripts.PUBLISH, 1, f"version:{{{shard}}}", *pairs))
        with self._numbers.call("publish_versions"):
            await self._round_trips.execute(commands)

    async def lookup(self, accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()) -> PresenceSnapshot:
        """Looks up the nodes of accounts and the versions of chats, all in one round trip."""
        now = time.monotonic()
        if now < self._broken_until:
            return PresenceSnapshot(None, {})
        account_shards, chat_shards = _by_shard(set(accounts)), _by_shard(set(chats))
        questions: list[Command] = [
            *[_hmget(SHARD_KEYS[shard], members) for shard, members in account_shards.items()],
            *[_hmget(f"version:{{{shard}}}", numbers) for shard, numbers in chat_shards.items()],
            _READ_GENERATION,  # the generation is read last, so that it shows whether Redis lost data during the lookup
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
        for members in account_shards.values():
            self._incomplete.add_to(nodes, members, now)
        return PresenceSnapshot(nodes if self._trusted(generation, now) else None, versions)

    def receive_incomplete(self, data: bytes) -> None:
        """Receive a node's announcement PresenceIncomplete. Edges of the previous version also announce accounts that
        are registered in presence. These announcements are ignored."""
        announced = _decode_incomplete(data)
        if not announced.registered:
            self._incomplete.receive(announced, time.monotonic())

    async def select_online(self, accounts: Collection[AccountId]) -> Collection[AccountId] | None:
        """The accounts among `accounts` that are online; None if this is unknown."""
        nodes = (await self.lookup(accounts)).nodes
        return None if nodes is None else nodes.keys()

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
    """Metrics of calls to Redis: their duration and failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = PlainHistogram(
            "dragoman_presence_seconds", "Time of a call to Redis", _SECONDS, registry, ("call",)
        )
        self.failures = Counter(
            "dragoman_presence_failures", "Calls that Redis did not answer", ["call"], registry=registry
        )

    def call(self, name: str) -> "_TimedCall":
        return _TimedCall(self, name)


class _TimedCall:
    def __init__(self, metrics: _PresenceMetrics, name: str) -> None:
        self._metrics = metrics
        self._name = name
        self._started = time.perf_counter()

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._metrics.seconds.observe(time.perf_counter() - self._started, of=(self._name,))
        if isinstance(error, RedisError):
            self._metrics.failures.labels(self._name).inc()


def _by_shard(numbers: Iterable[N]) -> dict[int, list[N]]:
    shards: dict[int, list[N]] = defaultdict(list)
    for number in numbers:
        shards[number % SHARDS].append(number)
    return shards


def _hmget(key: str, numbers: Iterable[int]) -> Command:
    return ("HMGET", key, *numbers)


def _present(shards: Mapping[int, list[N]], rows: Iterable[list[str | None]]) -> Iterator[tuple[N, str]]:
    """Yields the numbers that have a value in their shard, each with the value."""
    for numbers, row in zip(shards.values(), rows, strict=True):
        for number, value in zip(numbers, row, strict=True):
            if value:
                yield number, value
