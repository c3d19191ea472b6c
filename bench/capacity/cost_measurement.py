"""Measures unit costs on this machine: runs on a system of its own, and rows in separate databases."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr

from bench.capacity.costs import Costs, MeasuredCosts, derived
from bench.errors import BenchError
from bench.growth.measurement import AXES, Accounts, GrowthAxis, GrowthStack, RunOptions, stack_of
from bench.growth.result import FLAT
from bench.measurements.measured import machine
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.seeding import Seeder
from bench.system.system import SystemSize
from local.installation import Installation
from shared.database import make_engine
from shared.migrate import upgrade
from shared.settings import AuthSettings, DatabaseSettings, Settings

_SENDERS = 100
"""Senders of the axis `edges`, in pairs."""
_EDGES = 2
_CHATS = 30
_ROWS = 10_000
_SERVICES = ("auth", "session", "message")


class CostOptions(NamedTuple):
    """Pairs send at the rates `slow` and `brisk` (messages a second), a group of `members` receives `deliveries` a
    second, `connections` are idle, `logins` accounts have many chats, and `cold` accounts send to chats that nobody has
    sent to before."""

    slow: float
    brisk: float
    deliveries: float
    members: int
    connections: int
    logins: int
    cold: int
    seconds: float
    rest: float
    size: int
    dialects: Sequence[str]


def _logins(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(x)
    return Accounts(accounts, stack.seeder.chats(accounts, 2, each=_CHATS), _SENDERS, _CHATS)


def _cold(stack: GrowthStack, x: int) -> Accounts:
    accounts = stack.add_accounts(x)
    # Each chat gets about two messages.
    rate = max(stack.run_options.rate, x / stack.run_options.seconds)
    return Accounts(accounts, stack.seeder.chats(accounts, 2), x, rate=rate)


_AXES = {
    **AXES,
    "logins": GrowthAxis("accounts with many chats", (), (), FLAT, _logins),
    "cold": GrowthAxis("accounts in chats without messages", (), (), FLAT, _cold),
}


async def measure_costs(
    cost_options: CostOptions, settings: Sequence[str], processes: int, show: ProgressLine
) -> Costs:
    """Measure all unit costs. Raises BenchError."""
    rows = await asyncio.to_thread(row_bytes)
    run_options = RunOptions(
        cost_options.seconds, cost_options.rest, cost_options.rest, cost_options.slow, cost_options.deliveries,
        cost_options.size, processes, cost_options.dialects,
    )  # fmt: skip
    async with stack_of(SystemSize(_EDGES), settings, run_options, show) as stack:
        # First: memory can only be measured on fresh edges.
        many_connections = await _run(stack, "connections", cost_options.connections)
        slow = await _run(stack, "edges", _EDGES)
        brisk = await _run(replace(stack, run_options=run_options._replace(rate=cost_options.brisk)), "edges", _EDGES)
        group = await _run(stack, "chat-size", cost_options.members)
        many_chats = await _run(stack, "logins", cost_options.logins)
        cold = await _run(replace(stack, run_options=run_options._replace(warm_up=0.0)), "cold", cost_options.cold)
    found = MeasuredCosts(
        brisk.figures,
        slow.figures,
        group.figures,
        cost_options.members,
        many_connections.figures,
        cost_options.connections - _SENDERS,
        many_chats.figures,
        _CHATS,
        cold.figures,
    )
    costs = derived(found, rows, machine(), f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", cost_options.size)
    runs = (many_connections, slow, brisk, group, many_chats, cold)
    costs.remarks = [f"{run.measurement}: {remark}" for run in runs for remark in run.remarks]
    return costs


async def _run(stack: GrowthStack, axis: str, x: int) -> Result:
    result = await stack.measure(_AXES[axis], x)
    if not result.passed:
        raise BenchError(f"{result.measurement}: {result.faults}")
    return result


def row_bytes() -> dict[str, float]:
    """Bytes of SQLite files for a row and its indexes, with texts of 150 bytes and one password by account."""
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as directory:
        stack = DatabaseSettings(url=SecretStr(f"sqlite:///{directory}/{{service}}.db"))
        settings = Settings(database=stack, auth=AuthSettings(keys=Path(directory) / "keys"))
        for service in _SERVICES:
            upgrade(service, settings.database_url(service))
        seeder = Seeder(Installation(settings, {}))
        sizes = [_size(settings)]
        accounts = seeder.accounts(_ROWS)
        sizes.append(_size(settings))
        chats = seeder.chats(accounts[:100], 100, each=_ROWS // 100)
        sizes.append(_size(settings))
        seeder.history(chats[:1], _ROWS, accounts[0])
        sizes.append(_size(settings))
    grown = [round((after - before) / _ROWS, 1) for before, after in pairwise(sizes)]
    return dict(zip(("account", "membership", "message"), grown, strict=True))


def _size(settings: Settings) -> int:
    """Bytes of all databases, the write-ahead log included."""
    total = 0
    for service in _SERVICES:
        engine = make_engine(settings.database_url(service))
        with engine.connect() as connection:
            pages, size = (connection.scalar(sa.text(f"PRAGMA {name}")) for name in ("page_count", "page_size"))
            total += int(pages or 0) * int(size or 0)
        engine.dispose()
    return total
