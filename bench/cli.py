"""`dragoman bench`: its commands, their common options, and the run of a measurement."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from bench.errors import BenchError
from bench.growth.result import Growth, growth_table
from bench.load.plan import Load
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.report.table import table
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.errors import ClientError
from local.atomic_file import write_output
from local.data import read_run
from local.installation import not_running
from local.options import CommandFailed, FilePath
from services.cli.console import LazyGroup, default_option


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
    """The cores of this process. The set is empty on platforms without CPU affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _system() -> set[int]:
    return set(sorted(_all())[:-1])


Report = Result | Growth
Measurement = Callable[[MeasuredSystem, ProgressLine], Awaitable[Result]]


class TargetSpec(NamedTuple):
    """Names the system to measure. A running system is named by the `addresses` of its edges, by the `data` directory
    of its `dragoman up`, or by both. With both, `data` is used only to find the processes. Without both, a system of
    this `size` with `settings` is started. `apart`: on other cores than the load."""

    addresses: tuple[str, ...]
    data: Path | None
    size: SystemSize
    settings: tuple[str, ...]
    apart: bool = False


def run(spec: TargetSpec, output: Path | None, measurement: Measurement) -> int:
    """Run one measurement on a system. See `run_and_report`."""

    async def work(show: ProgressLine) -> list[Report]:
        async with _target(spec, show) as target:
            return [await measurement(target, show)]

    return run_and_report(output, work)


def run_and_report(output: Path | None, work: Callable[[ProgressLine], Coroutine[Any, Any, Sequence[Report]]]) -> int:
    """Do the work, print its reports, and write them to a JSON file. Returns the exit status, which is 0 if all passed
    and 1 otherwise. Raises CommandFailed, KeyboardInterrupt."""
    try:
        reports = asyncio.run(work(ProgressLine()))
    except (BenchError, ClientError) as error:
        raise CommandFailed(
            str(error), "Repeat it with less load, or name a running system by --data or --edge"
        ) from error
    for report in reports:
        click.echo(growth_table(report) if isinstance(report, Growth) else table(report))
    if output:
        write_output(output, msgspec.json.format(msgspec.json.encode(reports)) + b"\n")
    return 0 if all(report.passed for report in reports) else 1


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
    """The addresses of the edges that the `dragoman up` in `data` has started. Raises OperatorError."""
    system = read_run(data) if data else None
    if system is None:
        raise not_running(data or Path(), "edges by --edge")
    return [f"ws://127.0.0.1:{one.port}" for one in system.processes if one.port]


F = TypeVar("F", bound=Callable[..., Any])

POSITIVE = click.IntRange(1)
SECONDS = click.FloatRange(0.1)
_DIALECTS = click.Choice(["ourchat-v2", "service", "pipe", "ourchat-v1", "ourchat-v0", "native", "irc", "irc-labels"])


@click.group(
    cls=LazyGroup,
    sections={
        "Commands": {
            "connect": "bench.measurements.connections:connect_command",
            "group": "bench.measurements.conversations:group_command",
            "growth": "bench.growth.measurement:growth_command",
            "history": "bench.measurements.conversations:history_command",
            "idle": "bench.measurements.connections:idle_command",
            "overload": "bench.measurements.overload:overload_command",
            "pairs": "bench.measurements.conversations:pairs_command",
            "reconnect-storm": "bench.measurements.connections:reconnect_storm_command",
        }
    },
)
def bench() -> None:
    """Measure a system under load, and check that messages arrive.

    Each message must arrive once and in order. The command starts a system of its own, unless --edge or --data names
    one. At any speed, the exit status is 1 if messages were lost, duplicated or reordered.
    """


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


own_options = _options(
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the started system."),
    default_option("--processes", 1, "Worker processes of the load.", POSITIVE),
    click.option("--json", type=FilePath(dir_okay=False), help="Also write the result to this JSON file."),
)
edges_option = default_option("--edges", 2, "Edges of the started system.", click.IntRange(1, 64))
replicas_option = default_option(
    "--replicas",
    0,
    "Replicas of the message service, on a PostgreSQL that is started unless database.url is set (0: one, on SQLite).",
    click.IntRange(0, 64),
)
system_options = _options(
    click.option("--edge", "addresses", multiple=True, metavar="URL", help="Measure this edge; repeatable."),
    click.option("--data", type=FilePath(), help="Data directory of the `dragoman up` to measure."),
    edges_option,
    replicas_option,
    own_options,
)
time_options = _options(
    default_option("--seconds", 10.0, "Measured seconds.", SECONDS),
    default_option("--warm-up", 2.0, "Seconds before the measurement.", click.FloatRange(0)),
)
load_options = _options(
    click.option("--rate", type=click.FloatRange(0), default=0.0, help="Messages a second (open loop)."),
    default_option("--size", 150, "Bytes of a text.", click.IntRange(64, 16_384)),
    default_option(
        "--rest", 0.0, "Seconds without messages before; above 0, the cost of a message is reported, too.",
        click.FloatRange(0),
    ),
)  # fmt: skip


def dialects_option(*default: str) -> Callable[[F], F]:
    return click.option(
        "--dialect", "dialects", type=_DIALECTS, multiple=True, default=default, show_default=True,
        help="Dialects of the clients, in turn; repeatable.",
    )  # fmt: skip


def run_measurement(measurement: Measurement, given: dict[str, Any]) -> None:
    spec = TargetSpec(given.get("addresses", ()), given.get("data"), size_of(given), given["settings"])
    sys.exit(run(spec, given["json"], measurement))


def run_chosen(measurement: Any, choice: Any, given: dict[str, Any]) -> None:
    """Run the measurement with its options. `choice`: the class of these options, whose fields have the names of
    command options."""
    chosen = choice(**{name: given[name] for name in choice._fields})
    run_measurement(lambda target, show: measurement(target, show, chosen), given)


def size_of(given: dict[str, Any]) -> SystemSize:
    return SystemSize(given["edges"], given["replicas"])


def load_of(given: dict[str, Any]) -> Load:
    return Load(given["size"], given["warm_up"], given["seconds"], given["rate"], given["window"])
