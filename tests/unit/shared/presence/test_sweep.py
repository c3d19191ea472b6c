"""Sweeps and repairs of large shards on a real Valkey.

Each step is small, and after each step the marks agree with the entries.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import aclosing
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import SHARDS, Command, checksum, marked_checksum
from shared.presence.store import Presence
from shared.presence.sweep import PAGE_ENTRIES
from tests.support.servers import ValkeyServer

LIVE, DEAD = NodeId("edge-1.live"), NodeId("edge-2.dead")
SHARD = 3
KEY = f"presence:{{{SHARD}}}"
ENTRIES = 200_000
LARGEST_PAGE = 2 * PAGE_ENTRIES
"""A page can be larger than requested, because Valkey scans whole buckets."""


class CountedPresence(Presence):
    """A presence that records the largest number of entries that one command has read, and that one command has
    named."""

    def __init__(self, server: ValkeyServer) -> None:
        super().__init__(server.settings("edge"))
        self.pages = 0
        self.largest_reply = self.largest_command = 0
        self._execute_commands = self._round_trips.execute
        self._round_trips.execute = self._counted  # type: ignore[method-assign]

    async def _counted(self, commands: Iterable[Command]) -> list[Any]:
        questions = list(commands)
        replies = await self._execute_commands(questions)
        for question, reply in zip(questions, replies, strict=True):
            if question[0] == "HSCAN":
                self.pages += 1
                self.largest_reply = max(self.largest_reply, len(reply[1]) // 2)
            assert question[0] != "HGETALL"
            self.largest_command = max(self.largest_command, len(question))
        return replies


@pytest.fixture
async def presence(valkey_server: ValkeyServer) -> AsyncIterator[CountedPresence]:
    opened = CountedPresence(valkey_server)
    yield opened
    await opened.close()


@pytest.fixture
async def keeper(valkey_server: ValkeyServer) -> AsyncIterator["Redis"]:
    async with Redis.from_url(valkey_server.keeper_url, decode_responses=True) as client:
        yield client


def accounts_of_shard(first: int, count: int) -> list[AccountId]:
    return [AccountId(number * SHARDS + SHARD) for number in range(first, first + count)]


async def fill(keeper: "Redis", node: NodeId, accounts: Collection[AccountId]) -> None:
    """Fills presence with accounts of a node, in the form that many joins would leave."""
    count, total = checksum(accounts)
    names = [str(account) for account in accounts]
    for start in range(0, len(names), 10_000):
        await keeper.hset(KEY, mapping=dict.fromkeys(names[start : start + 10_000], node))
    await keeper.hset(KEY, f"@{node}", f"token:{count}:{total}")


async def entries_of(keeper: "Redis", node: NodeId) -> list[AccountId]:
    entries: dict[str, str] = await keeper.hgetall(KEY)  # type: ignore[assignment]
    return [AccountId(int(name)) for name, value in entries.items() if name[0] != "@" and node in value.split(",")]


async def test_a_big_shard_is_swept_in_small_steps(presence: CountedPresence, keeper: "Redis") -> None:
    live = accounts_of_shard(ENTRIES, 1000)
    await presence.beat(LIVE, 60)
    await fill(keeper, DEAD, accounts_of_shard(0, ENTRIES))
    await presence.join(LIVE, live)
    presence.largest_command = 0
    removed = [number async for number in presence.sweep(SHARD)]
    assert sum(removed) == ENTRIES
    assert max(removed) <= presence.largest_reply <= LARGEST_PAGE
    assert presence.largest_command <= LARGEST_PAGE + 10
    assert presence.pages == len(removed) >= ENTRIES / LARGEST_PAGE
    assert sorted(await entries_of(keeper, LIVE)) == live
    assert await keeper.hlen(KEY) == len(live) + 1, "the mark of the dead node is gone, too"


async def test_an_interrupted_sweep_leaves_true_marks(presence: CountedPresence, keeper: "Redis") -> None:
    await fill(keeper, DEAD, accounts_of_shard(0, 5_000))
    async with aclosing(presence.sweep(SHARD)) as pages:  # type: ignore[type-var]
        removed = await anext(pages) + await anext(pages)
    left = await entries_of(keeper, DEAD)
    assert 0 < removed == 5_000 - len(left)
    mark = (await presence.marks(DEAD))[SHARD]
    assert marked_checksum(mark) == checksum(left)
    assert sum([number async for number in presence.sweep(SHARD)]) == len(left)
    assert not await keeper.exists(KEY)


async def test_a_node_that_returns_between_two_pages_keeps_its_accounts(
    presence: CountedPresence, keeper: "Redis"
) -> None:
    accounts = accounts_of_shard(0, 5_000)
    await fill(keeper, DEAD, accounts)
    pages = presence.sweep(SHARD)
    assert await anext(pages) > 0
    await presence.beat(DEAD, 60)
    for start in range(0, len(accounts), 1000):
        await presence.join(DEAD, accounts[start : start + 1000])
    assert sum([number async for number in pages]) == 0
    assert sorted(await entries_of(keeper, DEAD)) == accounts
    assert marked_checksum((await presence.marks(DEAD))[SHARD]) == checksum(accounts)


async def test_two_sweeps_at_once_remove_each_entry_once(presence: CountedPresence, keeper: "Redis") -> None:
    await fill(keeper, DEAD, accounts_of_shard(0, 5_000))
    first, second = presence.sweep(SHARD), presence.sweep(SHARD)
    removed = await anext(first) + await anext(second) + await anext(first)
    removed += sum([number async for number in second]) + sum([number async for number in first])
    assert removed == 5_000
    assert not await keeper.exists(KEY)


async def test_a_repair_reads_a_big_shard_in_pages(presence: CountedPresence, keeper: "Redis") -> None:
    """The shard is large because of other nodes' accounts. A repair reads it in pages."""
    own = accounts_of_shard(0, 300)
    await fill(keeper, LIVE, accounts_of_shard(1_000, 20_000))
    await presence.join(DEAD, own[:200])
    assert await presence.repair(DEAD, SHARD, own) == own[200:]
    assert presence.largest_reply <= LARGEST_PAGE
    assert sorted(await entries_of(keeper, DEAD)) == own
    assert marked_checksum((await presence.marks(DEAD))[SHARD]) == checksum(own)
