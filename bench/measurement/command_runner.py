"""Runs a scenario for the command line: finds or starts a system, runs, writes the result, returns the exit status."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
import msgspec

from bench.errors import BenchError
from bench.growth.result import Growth
from bench.measurement import cpu_affinity
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.system import MeasuredSystem, SystemSize, own_system
from bench.report.growth import growth_table
from bench.report.page import Report, page
from bench.report.table import table
from clients.errors import ClientError
from local.data import read_run
from local.options import OperatorError

T = TypeVar("T")

Scenario = Callable[[MeasuredSystem, ProgressLine], Awaitable[Result]]


class TargetSpec(NamedTuple):
    """A running system by the `addresses` of its edges, the `data` directory of its `dragoman up`, or both (`data` then
    identifies the processes). With neither, a system of this `size` with `settings` is started; `apart`: on other cores
    than the load."""

    addresses: tuple[str, ...]
    data: Path | None
    size: SystemSize
    settings: tuple[str, ...]
    apart: bool = False


class OutputPaths(NamedTuple):
    """Files for the result, in addition to standard output."""

    json: Path | None
    html: Path | None


def run(spec: TargetSpec, outputs: OutputPaths, scenario: Scenario) -> int:
    """Run one scenario on a system; see `run_and_report`."""

    async def work(show: ProgressLine) -> list[Report]:
        async with _target(spec, show) as target:
            return [await scenario(target, show)]

    return run_and_report(outputs, work)


def run_and_report(outputs: OutputPaths, work: Callable[[ProgressLine], Awaitable[Sequence[Report]]]) -> int:
    """Print and write the reports. Returns the exit status: 0 if all passed, 1 otherwise. Raises click.ClickException,
    click.Abort."""
    reports = complete(work)
    for report in reports:
        click.echo(growth_table(report) if isinstance(report, Growth) else table(report))
    write(outputs, reports)
    return 0 if all(report.passed for report in reports) else 1


def write(outputs: OutputPaths, reports: Sequence[Report]) -> None:
    """Raises click.ClickException."""
    try:
        if outputs.json:
            outputs.json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)) + b"\n")
        if outputs.html:
            outputs.html.write_text(page(reports))
    except OSError as error:
        raise click.ClickException(f"the result cannot be written: {error}") from error


def complete(work: Callable[[ProgressLine], Awaitable[T]]) -> T:
    """Raises click.ClickException, click.Abort."""
    try:
        return asyncio.run(_run(work))
    except asyncio.CancelledError:
        raise click.Abort from None
    except (BenchError, ClientError) as error:
        raise click.ClickException(str(error)) from error


async def _run(work: Callable[[ProgressLine], Awaitable[T]]) -> T:
    """SIGTERM cancels the work, as Ctrl-C does."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    return await work(ProgressLine())


@contextlib.asynccontextmanager
async def _target(spec: TargetSpec, show: ProgressLine) -> AsyncIterator[MeasuredSystem]:
    if spec.addresses or spec.data is not None:
        yield MeasuredSystem(spec.addresses or _edges_in(spec.data), spec.data)
        return
    async with contextlib.AsyncExitStack() as stack:
        with cpu_affinity.for_the_system() if spec.apart else contextlib.nullcontext():
            target = await stack.enter_async_context(own_system(spec.size, spec.settings, show.print))
        stack.enter_context(cpu_affinity.for_the_load() if spec.apart else contextlib.nullcontext())
        yield target


def _edges_in(data: Path | None) -> list[str]:
    """Edge addresses of the `dragoman up` in `data`. Raises OperatorError."""
    system = read_run(data) if data else None
    if system is None:
        raise OperatorError(f"no `dragoman up` is running in {data}")
    return [f"ws://127.0.0.1:{one.port}" for one in system.processes if one.port]
