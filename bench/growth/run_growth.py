"""From an axis to its curves, each on systems of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from bench.growth.axes import AXES, Axis, Effort, Place
from bench.growth.outcome import Curve, Growth, Point, point
from bench.measurement.progress import Show
from bench.measurement.run import machine
from bench.measurement.system import own_system
from bench.population.seeding import Seedbed

_CHEAP_PASSWORDS = ("auth.argon2_memory_kib=8", "auth.argon2_iterations=1")


class Plan(NamedTuple):
    """`edges` and `settings` (NAME=VALUE) hold for all; each of `compare` makes a curve. `values` in place of an axis's
    own; `quick`: as little as shows that it works."""

    edges: int
    settings: Sequence[str]
    compare: Sequence[str]
    values: Sequence[int]
    quick: bool
    effort: Effort


async def grow(names: Sequence[str], plan: Plan, show: Show) -> list[Growth]:
    """Raises BenchError, ClientError."""
    return [await _grow(name, AXES[name], plan, show) for name in names]


async def _grow(name: str, axis: Axis, plan: Plan, show: Show) -> Growth:
    started = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    curves = [Curve(one, await _points(axis, plan, one, show)) for one in plan.compare or ("",)]
    options = {**plan.effort._asdict(), "edges": plan.edges, "settings": list(plan.settings)}
    return Growth(name, axis.title, started, machine(), options, curves, None if plan.quick else axis.limit)


async def _points(axis: Axis, plan: Plan, compared: str, show: Show) -> list[Point]:
    values = plan.values or (axis.quick if plan.quick else axis.values)
    settings = (*plan.settings, *([compared] if compared else ()))
    if not axis.by_edges:
        async with place_of(plan.edges, settings, plan.effort, show) as place:
            return [point(x, await place.measure(axis, x)) for x in values]
    points = []
    for x in values:
        async with place_of(x, settings, plan.effort, show) as place:
            points.append(point(x, await place.measure(axis, x)))
    return points


@asynccontextmanager
async def place_of(edges: int, settings: Sequence[str], effort: Effort, show: Show) -> AsyncIterator[Place]:
    """A system of its own, with cheap passwords unless the settings say otherwise. Raises BenchError, ClientError."""
    async with own_system(edges, (*_CHEAP_PASSWORDS, *settings), show.say) as target:
        assert target.installation is not None
        seedbed = await asyncio.to_thread(Seedbed, target.installation)
        yield Place(target, seedbed, show, effort)
