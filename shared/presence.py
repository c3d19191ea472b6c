"""Presence: the nodes of each account and the membership version of each chat. Hints in Redis, never the truth.

Keys (each command touches one key, so a cluster may spread them):
`presence:{k}`  hash: account id → names of the nodes that hold its connections, joined by commas; k = id mod 16;
                and `@<node>` → its mark, which is new whenever the node registers an account there
`version:{k}`   hash: chat id → version of its membership; k = id mod 16
`node:<id>`     lease of a node, expires by itself
`generation`    random; while it is missing or new, presence is incomplete and readers must reach all nodes

Losing Redis degrades the service and heals: lookups return unknown, edges register again.
"""

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from hiredis import pack_command
from prometheus_client import CollectorRegistry, Counter, Histogram
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from shared.contract.ids import AccountId, ChatId, NodeId
from shared.settings import RedisSettings
from shared.telemetry import log

N = TypeVar("N", bound=int)
Command = tuple[str | int, ...]
"""A command of Redis."""

_log = log(__name__)
_SHARDS = 16
"""Each shard is one command in every lookup: as many as a big cluster needs to spread them, no more."""
_TRUST_SECONDS = 12.0
"""A younger generation may still lack nodes: the life of a lease and one beat."""
_BROKEN_SECONDS = 1.0
"""Pause after a failure of Redis, so that not every batch waits for its time-out."""
_NO_NOTICES = MaintNotificationsConfig(enabled=False)
"""With maintenance notices enabled, the library does not detect a closed connection: after a restart of Redis, the
next call on each connection would fail."""
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)

# KEYS[1] a presence shard; ARGV: node, mark, then account ids. Returns, per account, the nodes it was on before.
_JOIN = """
local before = {}
redis.call('HSET', KEYS[1], '@' .. ARGV[1], ARGV[2])
for i = 3, #ARGV do
  local nodes = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  before[i - 2] = nodes
  if not string.find(',' .. nodes .. ',', ',' .. ARGV[1] .. ',', 1, true) then
    redis.call('HSET', KEYS[1], ARGV[i], nodes == '' and ARGV[1] or nodes .. ',' .. ARGV[1])
  end
end
return before
"""
# KEYS[1] a presence shard; ARGV: node, then account ids. Returns how many.
_LEAVE = """
for i = 2, #ARGV do
  local left = {}
  for node in string.gmatch(redis.call('HGET', KEYS[1], ARGV[i]) or '', '[^,]+') do
    if node ~= ARGV[1] then left[#left + 1] = node end
  end
  if #left == 0 then redis.call('HDEL', KEYS[1], ARGV[i])
  else redis.call('HSET', KEYS[1], ARGV[i], table.concat(left, ',')) end
end
return #ARGV - 1
"""
# ARGV: node, the mark it had, then account ids. Does nothing if the node has registered an account since.
_SWEEP = f"""
local mark = '@' .. ARGV[1]
if (redis.call('HGET', KEYS[1], mark) or '') ~= table.remove(ARGV, 2) then return 0 end
redis.call('HDEL', KEYS[1], mark)
{_LEAVE}"""

# KEYS[1] a shard of versions; ARGV: chat, version, chat, version … A version never goes back: two changes may be
# published in the wrong order.
_PUBLISH = """
for i = 1, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return redis.status_reply('OK')
"""


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
        self._redis = aioredis.Redis.from_url(
            settings.url.get_secret_value(),
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=_NO_NOTICES,
            decode_responses=True,
        )
        self._round_trips = _PipelineClient(settings)
        self._sweep = self._redis.register_script(_SWEEP)
        self._generation = ""
        self._generation_since = 0.0
        self._broken_until = 0.0
        self._beaten = ""
        self._met = ""
        """The generation seen by the last call; empty when a call failed."""
        self._whole_from = 0.0

    async def close(self) -> None:
        await self._redis.aclose()
        await self._round_trips.close()

    async def check(self) -> None:
        await self._redis.ping()

    # Edges

    async def join(self, node: NodeId, accounts: Collection[AccountId]) -> dict[AccountId, list[NodeId]]:
        """Registers accounts on a node; returns the other nodes of each account."""
        shards, mark = _by_shard(accounts), secrets.token_hex(8)
        questions: list[Command] = [
            ("EVAL", _JOIN, 1, f"presence:{{{shard}}}", node, mark, *members) for shard, members in shards.items()
        ]
        try:
            with self._numbers.call("join"):
                *rows, generation = await self._round_trips.execute([*questions, ("GET", "generation")])
        except RedisError:
            self._met = ""
            raise
        self._met = generation or ""
        others: dict[AccountId, list[NodeId]] = {account: [] for account in accounts}
        for account, names in _present(shards, rows):
            others[account] = [other for other in _nodes_of(names) if other != node]
        return others

    async def nodes(self, account: AccountId) -> tuple[NodeId, ...]:
        """The registered nodes of an account; the list may be incomplete (`has_lost_state`)."""
        with self._numbers.call("homes"):
            [[names]] = await self._round_trips.execute([_hmget(f"presence:{{{account % _SHARDS}}}", [account])])
        return _nodes_of(names) if names else ()

    @property
    def has_lost_state(self) -> bool:
        """Redis lost its data: `join` may miss nodes, because not all have registered again."""
        return self._beaten != "" and (self._met != self._beaten or time.monotonic() < self._whole_from)

    async def leave(self, node: NodeId, accounts: Collection[AccountId]) -> None:
        shards = _by_shard(accounts)
        with self._numbers.call("leave"):
            await self._round_trips.execute([
                ("EVAL", _LEAVE, 1, f"presence:{{{shard}}}", node, *members) for shard, members in shards.items()
            ])  # fmt: skip

    async def beat(self, node: NodeId, lease_seconds: float) -> LeaseState:
        """Refreshes the node's lease; creates a generation when there is none."""
        with self._numbers.call("beat"):
            make: Command = ("SET", "generation", secrets.token_hex(8), "NX")
            generation = str((await self._round_trips.execute([make, ("GET", "generation")]))[1] or "")
            refresh = ("SET", f"node:{node}", generation, "PX", int(lease_seconds * 1000), "GET")
            [held] = await self._round_trips.execute([refresh])
        if self._beaten not in ("", generation):
            self._whole_from = time.monotonic() + _TRUST_SECONDS
        self._beaten = self._met = generation
        return LeaseState(held is not None, generation)

    async def release_lease(self, node: NodeId) -> None:
        """Deletes the node's lease at an orderly shutdown."""
        await self._redis.delete(f"node:{node}")

    async def alive(self, node: NodeId) -> bool:
        return bool(await self._redis.exists(f"node:{node}"))

    async def sweep(self, shard: int) -> int:
        """Removes entries of dead nodes from one shard (0 … 15), except of nodes that return meanwhile; returns their
        number."""
        key = f"presence:{{{shard % _SHARDS}}}"
        entries = {str(name): str(value) for name, value in (await self._redis.hgetall(key)).items()}
        marks = {name[1:]: entries.pop(name) for name in list(entries) if name.startswith("@")}
        accounts: dict[str, list[str]] = {node: [] for node in marks}
        for account, nodes in entries.items():
            for node in nodes.split(","):
                accounts.setdefault(node, []).append(account)
        dead = [node for node in accounts if not await self.alive(NodeId(node))]
        return sum([await self._sweep([key], [node, marks.get(node, ""), *accounts[node]]) for node in dead])

    # Services

    async def publish_versions(self, versions: Mapping[ChatId, int]) -> None:
        """Raises RedisError: the caller must retry until the versions are published."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for shard, chats in _by_shard(versions).items():
                pairs = [str(number) for chat in chats for number in (chat, versions[chat])]
                pipeline.eval(_PUBLISH, 1, f"version:{{{shard}}}", *pairs)
            with self._numbers.call("publish_versions"):
                await pipeline.execute()

    async def lookup(self, accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()) -> PresenceSnapshot:
        """One round trip for a whole batch."""
        now = time.monotonic()
        if now < self._broken_until:
            return PresenceSnapshot(None, {})
        account_shards, chat_shards = _by_shard(set(accounts)), _by_shard(set(chats))
        questions: list[Command] = [
            *[_hmget(f"presence:{{{shard}}}", members) for shard, members in account_shards.items()],
            *[_hmget(f"version:{{{shard}}}", numbers) for shard, numbers in chat_shards.items()],
            ("GET", "generation"),  # last: a loss during the lookup makes its result unknown
        ]
        try:
            with self._numbers.call("look_up"):
                *rows, generation = await self._round_trips.execute(questions)
        except RedisError as error:
            _log.warning("presence unknown", error=repr(error))
            self._broken_until = time.monotonic() + _BROKEN_SECONDS
            return PresenceSnapshot(None, {})
        several = len(account_shards)
        nodes = {account: _nodes_of(names) for account, names in _present(account_shards, rows[:several])}
        versions = {chat: int(version) for chat, version in _present(chat_shards, rows[several:])}
        return PresenceSnapshot(nodes if self._trusted(generation, now) else None, versions)

    def _trusted(self, generation: str | None, now: float) -> bool:
        if generation is None:
            self._generation = ""
            return False
        if generation != self._generation:
            self._generation, self._generation_since = generation, now
        return now - self._generation_since >= _TRUST_SECONDS


class _PipelineClient:
    """Executes many commands in one round trip, without the cost of the library's pipeline for each: a timer, hooks,
    packing in Python."""

    def __init__(self, settings: RedisSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._pool = aioredis.ConnectionPool.from_url(
            settings.url.get_secret_value(),
            socket_timeout=None,  # one time-out covers all commands
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=_NO_NOTICES,
            decode_responses=True,
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def execute(self, questions: Iterable[Command]) -> list[Any]:
        """The reply to each. Raises RedisError."""
        packed = [pack_command(question) for question in questions]  # type: ignore[arg-type] # it takes any length
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
                try:
                    await connection.send_packed_command(b"".join(packed))
                    return [await connection.read_response() for _ in packed]
                except BaseException:
                    await connection.disconnect(nowait=True)  # a late reply must not answer another command
                    raise
                finally:
                    await self._pool.release(connection)
        except TimeoutError as error:
            raise RedisTimeoutError("no reply in time") from error


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
        shards[number % _SHARDS].append(number)
    return shards


def _hmget(key: str, numbers: Iterable[int]) -> Command:
    return ("HMGET", key, *numbers)


def _present(shards: Mapping[int, list[N]], rows: Iterable[list[str | None]]) -> Iterator[tuple[N, str]]:
    """Each number that its shard has a value for, with the value."""
    for numbers, row in zip(shards.values(), rows, strict=True):
        for number, value in zip(numbers, row, strict=True):
            if value:
                yield number, value


@lru_cache(4096)
def _nodes_of(names: str) -> tuple[NodeId, ...]:
    """Cached: many accounts share the same nodes."""
    return tuple([NodeId(name) for name in names.split(",")])
