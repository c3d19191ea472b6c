"""Sweeps shards of presence page by page, and removes the accounts of dead nodes.

A shard has the accounts of all nodes. Reading a whole shard at once would block the event loop and exceed the time
limit of a call. So a sweep reads pages with a limited number of entries. After each step, the marks agree with the
entries. So a sweep may end after any page, and two sweeps may run at the same time.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from shared.contract.ids import NodeId
from shared.presence.scripts import SHARD_KEYS, SWEEP, Command, mark_token, nodes_of

PAGE_ENTRIES = 500
"""One command returns about this number of entries, and removes at most this number of accounts."""

Execute = Callable[[Iterable[Command]], Awaitable[list[Any]]]
"""Executes commands in one round trip, in the given order. Raises RedisError."""


async def read_pages(execute: Execute, shard: int) -> AsyncIterator[list[tuple[str, str]]]:
    """The entries of a shard. An entry that exists during the whole call is returned at least once. Raises
    RedisError."""
    cursor = "0"
    while True:
        [[cursor, page]] = await execute([("HSCAN", SHARD_KEYS[shard], cursor, "COUNT", PAGE_ENTRIES)])
        yield list(zip(page[::2], page[1::2], strict=True))
        if cursor == "0":
            return


async def sweep_shard(execute: Execute, shard: int) -> AsyncIterator[int]:
    """Removes the accounts of dead nodes. If a node returns meanwhile, its accounts stay. Yields the number of removed
    accounts after each page. Raises RedisError."""
    key, tokens = SHARD_KEYS[shard], dict[NodeId, str | None]()
    async for entries in read_pages(execute, shard):
        accounts = _by_node(entries)
        tokens |= await _tokens_of_dead(execute, key, [node for node in accounts if node not in tokens])
        yield sum(await _sweep(execute, key, tokens, {node: found for node, found in accounts.items() if found}))
    await _sweep(execute, key, tokens, {node: [] for node in tokens})


def _by_node(entries: Iterable[tuple[str, str]]) -> dict[NodeId, list[str]]:
    """The accounts of each node that the entries name."""
    accounts: dict[NodeId, list[str]] = defaultdict(list)
    for name, value in entries:
        if name.startswith("@"):
            accounts[NodeId(name[1:])].extend(())
        else:
            for node in nodes_of(value):
                accounts[node].append(name)
    return accounts


async def _tokens_of_dead(execute: Execute, key: str, nodes: list[NodeId]) -> dict[NodeId, str | None]:
    """The token in the mark of each dead node; None for a live node. The marks are fetched before the leases. So if a
    node returns in between, its mark gets another token."""
    if not nodes:
        return {}
    marks = [("HGET", key, f"@{node}") for node in nodes]
    replies = await execute([*marks, *[("EXISTS", f"node:{node}") for node in nodes]])
    half = len(nodes)
    return {
        node: None if alive else mark_token(mark)
        for node, mark, alive in zip(nodes, replies[:half], replies[half:], strict=True)
    }


async def _sweep(
    execute: Execute, key: str, tokens: Mapping[NodeId, str | None], accounts: Mapping[NodeId, list[str]]
) -> list[int]:
    """Removes these accounts of each dead node, or its mark if there are no accounts."""
    commands: list[Command] = [
        ("EVAL", SWEEP, 1, key, node, token, *accounts[node])
        for node in accounts
        if (token := tokens[node]) is not None
    ]
    return await execute(commands) if commands else []
