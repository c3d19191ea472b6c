"""From the command line to a verdict: find or start a system, let a scenario run on it, write down what came of it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
import msgspec

from bench.errors import BenchError
from bench.growth.outcome import Growth
from bench.measurement import cpu_affinity
from bench.measurement.progress import ProgressLine
from bench.measurement.result import Result
from bench.measurement.system import MeasuredSystem, own_system
from bench.report.growth import growth_table
from bench.report.page import Report, page
from bench.report.table import table
from clients.errors import ClientError
from services.cli.data import read_run
from services.cli.options import OperatorError

T = TypeVar("T")

Scenario = Callable[[MeasuredSystem, ProgressLine], Awaitable[Result]]


class TargetSpec(NamedTuple):
    """`addresses` of edges that run already, or `data`, the directory of a `dragoman up`, or both (the latter then
    tells the processes behind the former). With neither, a system with so many `edges` and these `settings` is
    started; `apart`: not on the core of the load."""

    addresses: tuple[str, ...]
    data: Path | None
    edges: int
    settings: tuple[str, ...]
    apart: bool = False


class OutputPaths(NamedTuple):
    """Where the result is written, beside standard output."""

    json: Path | None
    html: Path | None


def run(where: TargetSpec, papers: OutputPaths, scenario: Scenario) -> int:
    """As `conclude`."""

    async def work(show: ProgressLine) -> list[Report]:
        async with _target(where, show) as target:
            return [await scenario(target, show)]

    return run_and_report(papers, work)


def run_and_report(papers: OutputPaths, work: Callable[[ProgressLine], Awaitable[Sequence[Report]]]) -> int:
    """The exit status: 0 when all is good, 1 when there were faults. Raises click.ClickException, click.Abort."""
    reports = complete(work)
    for report in reports:
        click.echo(growth_table(report) if isinstance(report, Growth) else table(report))
    write(papers, reports)
    return 0 if all(report.passed for report in reports) else 1


def write(papers: OutputPaths, reports: Sequence[Report]) -> None:
    """Raises click.ClickException."""
    try:
        if papers.json:
            papers.json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)) + b"\n")
        if papers.html:
            papers.html.write_text(page(reports))
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
    """SIGTERM ends it in order, as Ctrl-C does."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    return await work(ProgressLine())


@contextlib.asynccontextmanager
async def _target(where: TargetSpec, show: ProgressLine) -> AsyncIterator[MeasuredSystem]:
    if where.addresses or where.data is not None:
        yield MeasuredSystem(where.addresses or _edges_in(where.data), where.data)
        return
    async with contextlib.AsyncExitStack() as stack:
        with cpu_affinity.for_the_system() if where.apart else contextlib.nullcontext():
            target = await stack.enter_async_context(own_system(where.edges, where.settings, show.print))
        stack.enter_context(cpu_affinity.for_the_load() if where.apart else contextlib.nullcontext())
        yield target


def _edges_in(data: Path | None) -> list[str]:
    """Of the `dragoman up` there. Raises Refusal."""
    system = read_run(data) if data else None
    if system is None:
        raise OperatorError(f"no `dragoman up` is running in {data}")
    return [f"ws://127.0.0.1:{one.port}" for one in system.processes if one.port]
