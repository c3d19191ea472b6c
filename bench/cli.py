"""`dragoman bench`: its commands and options."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from bench.errors import BenchError
from bench.growth.measurement import GrowthPlan, RunOptions, run_growth
from bench.growth.result import Growth, growth_table
from bench.load.plan import Load
from bench.measurements import connections, conversations, overload
from bench.measurements.stages import receiving
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.report.table import table
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.errors import ClientError
from local.data import read_run
from local.installation import not_running
from local.options import CommandFailed


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


T = TypeVar("T")

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


def run_and_report(output: Path | None, work: Callable[[ProgressLine], Awaitable[Sequence[Report]]]) -> int:
    """Print the reports, and write them to a JSON file. Returns the exit status, which is 0 if all passed and 1
    otherwise. Raises CommandFailed, KeyboardInterrupt."""
    reports = complete(work)
    for report in reports:
        click.echo(growth_table(report) if isinstance(report, Growth) else table(report))
    if output:
        write(output, reports)
    return 0 if all(report.passed for report in reports) else 1


def write(output: Path, reports: Sequence[Report]) -> None:
    """Write the reports to a file. Raises CommandFailed."""
    try:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(reports)) + b"\n")
    except OSError as error:
        raise CommandFailed(f"the result cannot be written: {error}", "Name another file by --json") from error


def complete(work: Callable[[ProgressLine], Awaitable[T]]) -> T:
    """Do the work in an event loop. Raises CommandFailed, KeyboardInterrupt."""
    try:
        return asyncio.run(_run(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except (BenchError, ClientError) as error:
        raise CommandFailed(
            str(error), "Repeat it with less load, or name a running system by --data or --edge"
        ) from error


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
    """The addresses of the edges that the `dragoman up` in `data` has started. Raises OperatorError."""
    system = read_run(data) if data else None
    if system is None:
        raise not_running(data or Path(), "edges by --edge")
    return [f"ws://127.0.0.1:{one.port}" for one in system.processes if one.port]


F = TypeVar("F", bound=Callable[..., Any])

_POSITIVE = click.IntRange(1)
_SECONDS = click.FloatRange(0.1)
_AXES = ("chat-size", "connections", "chats", "edges", "history", "accounts", "rate")
_POSTGRESQL_AXES = ("replicas", "scale")
_DIALECTS = click.Choice(["ourchat-v2", "service", "pipe", "ourchat-v1", "ourchat-v0", "native", "irc", "irc-labels"])


@click.group()
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


_own = _options(
    click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the started system."),
    click.option("--processes", type=_POSITIVE, default=1, show_default=True, help="Worker processes of the load."),
    click.option(
        "--json", type=click.Path(path_type=Path, dir_okay=False), help="Also write the result to this JSON file."
    ),
)
_edges = click.option(
    "--edges", type=click.IntRange(1, 64), default=2, show_default=True, help="Edges of the started system."
)
_replicas = click.option(
    "--replicas", type=click.IntRange(0, 64), default=0, show_default=True,
    help="Replicas of the message service, on a PostgreSQL that is started unless database.url is set (0: one, on "
    "SQLite).",
)  # fmt: skip
_common = _options(
    click.option("--edge", "addresses", multiple=True, metavar="URL", help="Measure this edge; repeatable."),
    click.option("--data", type=click.Path(path_type=Path), help="Data directory of the `dragoman up` to measure."),
    _edges,
    _replicas,
    _own,
)
_time = _options(
    click.option("--seconds", type=_SECONDS, default=10.0, show_default=True, help="Measured seconds."),
    click.option(
        "--warm-up", type=click.FloatRange(0), default=2.0, show_default=True, help="Seconds before the measurement."
    ),
)
_talk = _options(
    click.option("--rate", type=click.FloatRange(0), default=0.0, help="Messages a second (open loop)."),
    click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text."),
    click.option(
        "--rest", type=click.FloatRange(0), default=0.0, show_default=True,
        help="Seconds without messages before; above 0, the cost of a message is reported, too.",
    ),
)  # fmt: skip


def _dialects(*default: str) -> Callable[[F], F]:
    return click.option(
        "--dialect", "dialects", type=_DIALECTS, multiple=True, default=default, show_default=True,
        help="Dialects of the clients, in turn; repeatable.",
    )  # fmt: skip


def _run_measurement(measurement: Measurement, given: dict[str, Any]) -> None:
    spec = TargetSpec(given.get("addresses", ()), given.get("data"), _size(given), given["settings"])
    sys.exit(run(spec, given["json"], measurement))


def _run_chosen(measurement: Any, choice: Any, given: dict[str, Any]) -> None:
    """Run the measurement with its options. `choice`: the class of these options, whose fields have the names of
    command options."""
    chosen = choice(**{name: given[name] for name in choice._fields})
    _run_measurement(lambda target, show: measurement(target, show, chosen), given)


@bench.command("pairs", epilog="Example: dragoman bench pairs --people 200 --seconds 10")
@_common
@_time
@_talk
@_dialects("ourchat-v2")
@click.option(
    "--people",
    type=click.IntRange(2),
    default=200,
    show_default=True,
    help="Users, who write in pairs across two edges.",
)
@click.option(
    "--window",
    type=_POSITIVE,
    default=8,
    show_default=True,
    help="Messages of each user in flight at once (closed loop).",
)
@click.option(
    "--stages", type=click.FloatRange(0, 1), default=0.0,
    help="Share of requests that are traced, to show where a message waits; starts a system of its own.",
)  # fmt: skip
def _pairs(**given: Any) -> None:
    """Users send messages in pairs."""
    users = given["people"] // 2 * 2
    options = conversations.ConversationOptions(users, given["dialects"], given["processes"], rest=given["rest"])
    if not given["stages"]:
        _run_measurement(lambda target, show: conversations.pairs(target, show, options, _load(given)), given)
    if given["addresses"] or given["data"]:
        raise click.UsageError("--stages needs a system of its own: leave --edge and --data out")
    with receiving() as receiver:
        traced = (f"tracing.endpoint={receiver.endpoint}", f"tracing.sample_ratio={given['stages']}")
        given["settings"] += traced
        _run_measurement(
            lambda target, show: conversations.traced_pairs(target, show, options, _load(given), receiver), given
        )


@bench.command("group", epilog="Example: dragoman bench group --people 500 --speakers 50")
@_common
@_time
@_talk
@_dialects("ourchat-v2")
@click.option("--people", type=click.IntRange(2), default=500, show_default=True, help="Members of the group.")
@click.option("--speakers", type=_POSITIVE, default=50, show_default=True, help="Members that send.")
@click.option(
    "--window", type=_POSITIVE, default=2, show_default=True, help="Messages in flight at once (closed loop)."
)
def group(**given: Any) -> None:
    """Some members of a group send; all receive."""
    options = conversations.ConversationOptions(
        given["people"], given["dialects"], given["processes"], given["speakers"], given["rest"]
    )
    _run_measurement(lambda target, show: conversations.group(target, show, options, _load(given)), given)


@bench.command("connect", epilog="Example: dragoman bench connect --dialect native --rate 50")
@_common
@_time
@_dialects("service", "pipe")
@click.option("--people", type=click.IntRange(2), default=200, show_default=True, help="Accounts, in turn.")
@click.option("--at-once", type=_POSITIVE, default=64, show_default=True, help="Logins in flight.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Logins a second (open loop).")
def _connect(**given: Any) -> None:
    """Clients log in and disconnect.

    Clients log in by token in service and pipe, by password in the other protocols.
    """
    _run_chosen(connections.connect, connections.ConnectOptions, given)


@bench.command("idle", epilog="Example: dragoman bench idle --connections 5000")
@_common
@_dialects("service", "pipe")
@click.option("--connections", type=_POSITIVE, default=1_000, show_default=True, help="Logged-in connections in all.")
@click.option("--people", type=click.IntRange(2), default=100, show_default=True, help="Accounts of the connections.")
@click.option("--at-once", type=_POSITIVE, default=32, show_default=True, help="Logins in flight.")
@click.option(
    "--seconds", type=_SECONDS, default=10.0, show_default=True, help="Seconds until memory is measured again."
)
def _idle(**given: Any) -> None:
    """Measure an idle system: memory and CPU time."""
    _run_chosen(connections.idle, connections.IdleOptions, given)


@bench.command("history", epilog="Example: dragoman bench history --messages 20000 --chats 50")
@_edges
@_replicas
@_own
@_time
@click.option("--dialect", type=click.Choice(["service", "native"]), default="service", show_default=True)
@click.option(
    "--messages", type=click.IntRange(100), default=1_000_000, show_default=True, help="Messages of the long chat."
)
@click.option("--chats", type=click.IntRange(3), default=10_000, show_default=True, help="Chats of each account.")
@click.option("--size", type=click.IntRange(1, 200), default=50, show_default=True, help="Messages of a page.")
def _history(**given: Any) -> None:
    """Clients read pages of history.

    Clients request pages of the only chat, of a long one, and of the last of many. The command starts a system of its
    own, and writes the messages straight into its databases.
    """
    _run_chosen(conversations.history, conversations.HistoryOptions, given)


@bench.command("reconnect-storm", epilog="Example: dragoman bench reconnect-storm --people 500 --all-edges")
@_common
@_dialects("service", "pipe")
@click.option("--people", type=click.IntRange(2), default=500, show_default=True, help="Users on the edge that dies.")
@click.option("--at-once", type=_POSITIVE, default=32, show_default=True, help="First logins in flight.")
@click.option(
    "--seconds", type=_SECONDS, default=60.0, show_default=True, help="Seconds within which all must reconnect."
)
@click.option("--all-edges", is_flag=True, help="Put the users on all edges, and kill all edges at once.")
def _reconnect_storm(**given: Any) -> None:
    """An edge is killed, and its clients come back.

    The clients reconnect, and fetch the messages that they have missed. With --all-edges, all edges are killed.
    """
    _run_chosen(connections.reconnect_storm, connections.ReconnectStormOptions, given)


@bench.command("overload", epilog="Example: dragoman bench overload --people 1000")
@_replicas
@_own
@_dialects("pipe")
@_edges
@click.option(
    "--people",
    type=click.IntRange(4),
    default=1_000,
    show_default=True,
    help="Users, who write in pairs across two edges.",
)
@click.option(
    "--window",
    type=_POSITIVE,
    default=4,
    show_default=True,
    help="Messages of each user in flight at once, at saturation.",
)
@click.option(
    "--factor", type=click.FloatRange(1), default=2.0, show_default=True, help="Offered load / saturated rate."
)
@click.option("--seconds", type=_SECONDS, default=15.0, show_default=True, help="Seconds of the overload.")
@click.option("--calm", type=click.FloatRange(2), default=15.0, show_default=True, help="Seconds before and after.")
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
def _overload(**given: Any) -> None:
    """Offer more than the system can take.

    At twice the saturated rate the system must keep its goodput, answer all messages and recover. The command starts a
    system on all cores but the last, which is for the load.
    """
    options = overload.OverloadOptions(**{name: given[name] for name in overload.OverloadOptions._fields})
    settings = (f"edge.max_connections={overload.max_connections(options, given['edges'])}", *given["settings"])
    spec = TargetSpec((), None, _size(given), settings, apart=True)
    sys.exit(run(spec, given["json"], lambda target, show: overload.overload(target, show, options)))


@bench.command("growth", epilog="Example: dragoman bench growth --axis chats --quick")
@_own
@_dialects("pipe")
@click.option(
    "--axis", "axes", type=click.Choice([*_AXES, *_POSTGRESQL_AXES]), multiple=True,
    help="What grows (default: each, except on PostgreSQL); repeatable.",
)  # fmt: skip
@_replicas
@click.option("--value", "values", type=_POSITIVE, multiple=True, help="In place of the axis's own; repeatable.")
@click.option(
    "--edges", type=click.IntRange(1, 64), default=2, show_default=True, help="Number of edges, unless --axis is edges."
)
@click.option("--seconds", type=_SECONDS, default=8.0, show_default=True, help="Measured seconds of each point.")
@click.option("--rate", type=click.FloatRange(1), default=500.0, show_default=True, help="Messages a second, at most.")
@click.option(
    "--deliveries", type=click.FloatRange(1), default=20_000.0, show_default=True, help="Most deliveries a second."
)
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
@click.option("--quick", is_flag=True, help="Measure a few small sizes only, as a smoke test.")
def growth(**given: Any) -> None:
    """Measure how the cost of a message grows with the system.

    The command measures growth with chats, connections, edges, histories and accounts. The command starts systems of
    its own, with accounts written straight into the databases.
    """
    seconds = 1.0 if given["quick"] else given["seconds"]
    run_options = RunOptions(
        seconds, seconds / 4, seconds / 2, given["rate"], given["deliveries"], given["size"], given["processes"],
        given["dialects"],
    )  # fmt: skip
    plan = GrowthPlan(_size(given), given["settings"], sorted(given["values"]), given["quick"], run_options)
    sys.exit(run_and_report(given["json"], lambda show: run_growth(given["axes"] or _AXES, plan, show)))


def _size(given: dict[str, Any]) -> SystemSize:
    return SystemSize(given["edges"], given["replicas"])


def _load(given: dict[str, Any]) -> Load:
    return Load(given["size"], given["warm_up"], given["seconds"], given["rate"], given["window"])
