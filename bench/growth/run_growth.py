"""Measures the curves of an axis, each on its own systems."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

from bench.growth.axes import AXES, GrowthAxis, GrowthStack, RunOptions
from bench.growth.result import Curve, Growth, GrowthPoint, point
from bench.measurement.progress import ProgressLine
from bench.measurement.run import machine
from bench.measurement.system import SystemSize, own_system
from bench.population.seeding import Seeder

_CHEAP_PASSWORDS = ("auth.argon2_memory_kib=8", "auth.argon2_iterations=1")


class GrowthPlan(NamedTuple):
    """`size` and `settings` (NAME=VALUE) hold for all curves; each setting in `compare` makes a curve.
    `values` replace those of the axis; `quick`: a few small points."""

    size: SystemSize
    settings: Sequence[str]
    compare: Sequence[str]
    values: Sequence[int]
    quick: bool
    run_options: RunOptions


async def run_growth(names: Sequence[str], plan: GrowthPlan, show: ProgressLine) -> list[Growth]:
    """Measure the named axes. Raises BenchError, ClientError."""
    return [await _grow(name, AXES[name], plan, show) for name in names]


async def _grow(name: str, axis: GrowthAxis, plan: GrowthPlan, show: ProgressLine) -> Growth:
    started = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    curves = [Curve(one, await _points(axis, plan, one, show)) for one in plan.compare or ("",)]
    options = {**plan.run_options._asdict(), **plan.size._asdict(), "settings": list(plan.settings)}
    return Growth(name, axis.title, started, machine(), options, curves, None if plan.quick else axis.limit)


async def _points(axis: GrowthAxis, plan: GrowthPlan, compared: str, show: ProgressLine) -> list[GrowthPoint]:
    values = plan.values or (axis.quick if plan.quick else axis.values)
    settings = (*plan.settings, *([compared] if compared else ()))
    if axis.size is None:
        async with stack_of(plan.size, settings, plan.run_options, show) as stack:
            return [point(x, await stack.measure(axis, x)) for x in values]
    points = []
    for x in values:
        async with stack_of(axis.size(plan.size, x), settings, plan.run_options, show) as stack:
            points.append(point(x, await stack.measure(axis, x)))
    return points


@asynccontextmanager
async def stack_of(
    size: SystemSize, settings: Sequence[str], run_options: RunOptions, show: ProgressLine
) -> AsyncIterator[GrowthStack]:
    """Start a system, by default with cheap password hashes. Raises BenchError, ClientError."""
    async with own_system(size, (*_CHEAP_PASSWORDS, *settings), show.print) as target:
        assert target.installation is not None
        seeder = await asyncio.to_thread(Seeder, target.installation)
        yield GrowthStack(target, seeder, show, run_options)
