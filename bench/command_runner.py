"""Runs a measurement for the command line: finds or starts a system, measures, writes the result, returns the exit
status. Linux only: with the load on the last CPU core, and the system on the others."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import click
import msgspec

from bench.errors import BenchError
from bench.growth.result import Growth
from bench.report.growth import growth_table
from bench.report.page import Report, page
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.report.table import table
from bench.system.system import MeasuredSystem, SystemSize, own_system
from clients.errors import ClientError
from local.data import read_run
from local.options import OperatorError


@contextlib.contextmanager
def for_the_system() -> Iterator[None]:
    """Processes started inside the block run on all cores but the last."""
    with _on(_system()):
        yield


@contextlib.contextmanager
def for_the_load() -> Iterator[None]:
    """Processes started inside the block run on the last core."""
    with _on(_all() - _system()):
        yield


@contextlib.contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    before = _all()
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, before)


def _all() -> set[int]:
    """The cores of this process; empty on platforms without CPU affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _system() -> set[int]:
    return set(sorted(_all())[:-1])


T = TypeVar("T")

Measurement = Callable[[MeasuredSystem, ProgressLine], Awaitable[Result]]


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


def run(spec: TargetSpec, outputs: OutputPaths, measurement: Measurement) -> int:
    """Run one measurement on a system; see `run_and_report`."""

    async def work(show: ProgressLine) -> list[Report]:
        async with _target(spec, show) as target:
            return [await measurement(target, show)]

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
        with for_the_system() if spec.apart else contextlib.nullcontext():
            target = await stack.enter_async_context(own_system(spec.size, spec.settings, show.print))
        stack.enter_context(for_the_load() if spec.apart else contextlib.nullcontext())
        yield target


def _edges_in(data: Path | None) -> list[str]:
    """Edge addresses of the `dragoman up` in `data`. Raises OperatorError."""
    system = read_run(data) if data else None
    if system is None:
        raise OperatorError(f"no `dragoman up` is running in {data}")
    return [f"ws://127.0.0.1:{one.port}" for one in system.processes if one.port]
