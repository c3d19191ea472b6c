"""`dragoman bench`: its commands and options."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from bench.capacity.cost_measurement import CostOptions, measure_costs
from bench.capacity.tables import USERS, costs_table, habits_table, limits_table, needs_table, read, supposed
from bench.command_runner import Measurement, OutputPaths, TargetSpec, complete, run, run_and_report
from bench.growth.measurement import GrowthPlan, RunOptions, run_growth
from bench.load.plan import Load
from bench.measurements import changes, connect, history, idle, mixed, overload, pairs, reconnect_storm
from bench.system.system import SystemSize

F = TypeVar("F", bound=Callable[..., Any])

_POSITIVE = click.IntRange(1)
_SECONDS = click.FloatRange(0.1)
_AXES = ("chat-size", "connections", "chats", "edges", "history", "accounts", "rate")
_POSTGRESQL_AXES = ("replicas", "scale")
_DIALECTS = click.Choice(["v2", "service", "pipe", "v1", "v0", "native"])


@click.group()
def bench() -> None:
    """Measure a system under load, and check that nothing is lost, duplicated or reordered.

    Starts a system of its own, unless --edge or --data names one. The exit status is 1 when messages were lost,
    duplicated or reordered, whatever the speed.
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
    click.option("--json", type=click.Path(path_type=Path, dir_okay=False), help="Write the result here, too."),
    click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots here."),
)
_replicas = click.option(
    "--replicas", type=click.IntRange(0, 64), default=0, show_default=True,
    help="Replicas of message, on a PostgreSQL that is started unless database.url is set (0: one, on SQLite).",
)  # fmt: skip
_common = _options(
    click.option("--edge", "addresses", multiple=True, metavar="URL", help="Measure this edge; repeatable."),
    click.option("--data", type=click.Path(path_type=Path), help="Data directory of the `dragoman up` to measure."),
    click.option(
        "--edges", type=click.IntRange(1, 64), default=2, show_default=True, help="Edges of the started system."
    ),
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


def _run(measurement: Measurement, given: dict[str, Any]) -> None:
    spec = TargetSpec(given["addresses"], given["data"], _size(given), given["settings"])
    sys.exit(run(spec, OutputPaths(given["json"], given["html"]), measurement))


def _run_chosen(measurement: Any, choice: Any, given: dict[str, Any]) -> None:
    """`choice`: the options tuple of the measurement; its fields are names of command options."""
    chosen = choice(**{name: given[name] for name in choice._fields})
    _run(lambda target, show: measurement(target, show, chosen), given)


@bench.command("pairs")
@_common
@_time
@_talk
@_dialects("v2")
@click.option("--people", type=click.IntRange(2), default=200, show_default=True, help="Users in pairs, on two edges.")
@click.option(
    "--window", type=_POSITIVE, default=8, show_default=True, help="Messages in flight by user (closed loop)."
)
def _pairs(**given: Any) -> None:
    """Users send messages in pairs."""
    users = given["people"] // 2 * 2
    options = pairs.ConversationOptions(users, given["dialects"], given["processes"], rest=given["rest"])
    _run(lambda target, show: pairs.pairs(target, show, options, _load(given)), given)


@bench.command()
@_common
@_time
@_talk
@_dialects("v2")
@click.option("--people", type=click.IntRange(2), default=500, show_default=True, help="Members of the group.")
@click.option("--speakers", type=_POSITIVE, default=50, show_default=True, help="Members that send.")
@click.option("--window", type=_POSITIVE, default=2, show_default=True, help="Messages in flight (closed loop).")
def group(**given: Any) -> None:
    """Some members of a group send; all receive."""
    options = pairs.ConversationOptions(
        given["people"], given["dialects"], given["processes"], given["speakers"], given["rest"]
    )
    _run(lambda target, show: pairs.group(target, show, options, _load(given)), given)


@bench.command("connect")
@_common
@_time
@_dialects("service", "pipe")
@click.option("--people", type=click.IntRange(2), default=200, show_default=True, help="Accounts, in turn.")
@click.option("--at-once", type=_POSITIVE, default=64, show_default=True, help="Logins in flight.")
@click.option("--rate", type=click.FloatRange(0), default=0.0, help="Logins a second (open loop).")
def _connect(**given: Any) -> None:
    """Clients log in and disconnect: by token in service and pipe, by password in the others."""
    _run_chosen(connect.connect, connect.ConnectOptions, given)


@bench.command("idle")
@_common
@_dialects("service", "pipe")
@click.option("--connections", type=_POSITIVE, default=1_000, show_default=True, help="Logged in, on all edges.")
@click.option("--people", type=click.IntRange(2), default=100, show_default=True, help="Accounts of the connections.")
@click.option("--at-once", type=_POSITIVE, default=32, show_default=True, help="Logins in flight.")
@click.option(
    "--seconds", type=_SECONDS, default=10.0, show_default=True, help="Seconds until memory is measured again."
)
def _idle(**given: Any) -> None:
    """Idle connections: memory of the edges for each."""
    _run_chosen(idle.idle, idle.IdleOptions, given)


@bench.command("changes")
@_common
@_time
@click.option("--people", type=click.IntRange(2), default=40, show_default=True, help="Users in pairs.")
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
def _changes(**given: Any) -> None:
    """Native users in pairs send, edit, react and read, each for the measured seconds."""
    _run_chosen(changes.changes, changes.ChangesOptions, given)


@bench.command("history")
@_common
@_time
@click.option("--dialect", type=click.Choice(["service", "native"]), default="service", show_default=True)
@click.option("--messages", type=click.IntRange(100), help="In the long chat (default: 1,000,000, or 20,000).")
@click.option("--chats", type=click.IntRange(3), help="Chats of each account (default: 10,000, or 50).")
@click.option("--size", type=click.IntRange(1, 200), default=50, show_default=True, help="Messages of a page.")
def _history(**given: Any) -> None:
    """Pages of history: from the only chat, from a long one, from the last of many.

    In its own system, messages are written straight into the databases. In another, they are sent, so the default is
    lower.
    """
    own = not given["addresses"] and given["data"] is None
    given["messages"] = given["messages"] or (1_000_000 if own else 20_000)
    given["chats"] = given["chats"] or (10_000 if own else 50)
    _run_chosen(history.history, history.HistoryOptions, given)


@bench.command("reconnect-storm")
@_common
@_dialects("service", "pipe")
@click.option("--people", type=click.IntRange(2), default=500, show_default=True, help="Users on the edge that dies.")
@click.option("--at-once", type=_POSITIVE, default=32, show_default=True, help="First logins in flight.")
@click.option(
    "--seconds", type=_SECONDS, default=60.0, show_default=True, help="Seconds within which all must reconnect."
)
@click.option("--all-edges", is_flag=True, help="All edges are killed at once, and the users are on all of them.")
def _reconnect_storm(**given: Any) -> None:
    """An edge, or all, are killed; their clients reconnect and fetch the missed messages."""
    _run_chosen(reconnect_storm.reconnect_storm, reconnect_storm.ReconnectStormOptions, given)


@bench.command("mixed")
@_common
@_time
@click.option("--people", type=click.IntRange(2), default=200, show_default=True, help="Users of all dialects.")
@click.option("--chats", type=_POSITIVE, default=200, show_default=True, help="Chats; most are small.")
@click.option("--rate", type=click.FloatRange(0.1), default=100.0, show_default=True, help="Messages a second.")
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
@click.option(
    "--leaves-per-minute", type=click.FloatRange(0), default=1.0, show_default=True, help="Disconnects by user."
)
@click.option(
    "--away", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Seconds disconnected, on average."
)
def _mixed(**given: Any) -> None:
    """A realistic mix: all dialects, groups of all sizes, users that disconnect and reconnect."""
    _run_chosen(mixed.mixed, mixed.MixedOptions, given)


@bench.command("overload")
@_replicas
@_own
@_dialects("pipe")
@click.option("--edges", type=click.IntRange(1, 64), default=2, show_default=True, help="Edges of the started system.")
@click.option(
    "--people", type=click.IntRange(4), default=1_000, show_default=True, help="Users in pairs across two edges."
)
@click.option(
    "--window", type=_POSITIVE, default=4, show_default=True, help="Messages in flight by user at saturation."
)
@click.option(
    "--factor", type=click.FloatRange(1), default=2.0, show_default=True, help="Offered load / saturated rate."
)
@click.option("--seconds", type=_SECONDS, default=15.0, show_default=True, help="Seconds of the overload.")
@click.option("--calm", type=click.FloatRange(2), default=15.0, show_default=True, help="Seconds before and after.")
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
def _overload(**given: Any) -> None:
    """Offer twice the saturated rate: the system must keep its goodput, answer all messages and recover.

    Starts its own system on all cores but the last, which is for the load.
    """
    options = overload.OverloadOptions(**{name: given[name] for name in overload.OverloadOptions._fields})
    settings = (f"edge.max_connections={overload.max_connections(options, given['edges'])}", *given["settings"])
    spec = TargetSpec((), None, _size(given), settings, apart=True)
    outputs = OutputPaths(given["json"], given["html"])
    sys.exit(run(spec, outputs, lambda target, show: overload.overload(target, show, options)))


@bench.command()
@_own
@_dialects("pipe")
@click.option(
    "--axis", "axes", type=click.Choice([*_AXES, *_POSTGRESQL_AXES]), multiple=True,
    help="What grows (default: each, except on PostgreSQL); repeatable.",
)  # fmt: skip
@_replicas
@click.option("--value", "values", type=_POSITIVE, multiple=True, help="In place of the axis's own; repeatable.")
@click.option(
    "--edges", type=click.IntRange(1, 64), default=2, show_default=True, help="Edges, unless they are the axis."
)
@click.option("--compare", multiple=True, metavar="NAME=VALUE", help="A curve with this setting; repeatable.")
@click.option("--seconds", type=_SECONDS, default=8.0, show_default=True, help="Measured seconds of each point.")
@click.option("--rate", type=click.FloatRange(1), default=500.0, show_default=True, help="Messages a second, at most.")
@click.option(
    "--deliveries", type=click.FloatRange(1), default=20_000.0, show_default=True, help="Most deliveries a second."
)
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
@click.option("--quick", is_flag=True, help="A few small points, as a smoke test.")
def growth(**given: Any) -> None:
    """How the cost of a message grows with chats, connections, edges, histories, accounts.

    Starts its own systems, with accounts written straight into the databases.
    """
    seconds = 1.0 if given["quick"] else given["seconds"]
    run_options = RunOptions(
        seconds, seconds / 4, seconds / 2, given["rate"], given["deliveries"], given["size"], given["processes"],
        given["dialects"],
    )  # fmt: skip
    plan = GrowthPlan(
        _size(given), given["settings"], given["compare"], sorted(given["values"]), given["quick"], run_options
    )
    sys.exit(
        run_and_report(
            OutputPaths(given["json"], given["html"]), lambda show: run_growth(given["axes"] or _AXES, plan, show)
        )
    )


@bench.command("costs")
@_dialects("pipe")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the started system.")
@click.option("--processes", type=_POSITIVE, default=1, show_default=True, help="Worker processes of the load.")
@click.option("--slow", type=click.FloatRange(1), default=50.0, show_default=True, help="Messages/s, one by batch.")
@click.option("--brisk", type=click.FloatRange(1), default=5_000.0, show_default=True, help="Messages/s, in batches.")
@click.option(
    "--deliveries",
    type=click.FloatRange(1),
    default=10_000.0,
    show_default=True,
    help="Deliveries a second in a group.",
)
@click.option("--members", type=click.IntRange(3), default=400, show_default=True, help="Members of the group.")
@click.option("--connections", type=click.IntRange(200), default=5_000, show_default=True, help="Idle connections.")
@click.option("--logins", type=click.IntRange(100), default=1_000, show_default=True, help="Accounts with 30 chats.")
@click.option("--cold", type=click.IntRange(2), default=4_000, show_default=True, help="Senders to fresh chats.")
@click.option("--seconds", type=_SECONDS, default=15.0, show_default=True, help="Measured seconds of each run.")
@click.option(
    "--rest", type=_SECONDS, default=5.0, show_default=True, help="Seconds without messages before the measurement."
)
@click.option("--size", type=click.IntRange(64, 16_384), default=150, show_default=True, help="Bytes of a text.")
def costs(**given: Any) -> None:
    """Measure the cost of a message, delivery, login and connection; write it to FILE for `bench capacity`."""
    cost_options = CostOptions(**{name: given[name] for name in CostOptions._fields})
    costs = complete(lambda show: measure_costs(cost_options, given["settings"], given["processes"], show))
    click.echo(costs_table(costs))
    given["file"].write_bytes(msgspec.json.format(msgspec.json.encode(costs)) + b"\n")


@bench.command("capacity")
@click.option("--costs", "file", type=click.Path(path_type=Path, dir_okay=False), default="bench/costs.json",
              show_default=True, help="File written by `bench costs`.")  # fmt: skip
@click.option("--users", type=_POSITIVE, multiple=True, help="Connected users (default: 10 k, 1 M, 50 M); repeatable.")
@click.option(
    "--assume", multiple=True, metavar="NAME=VALUE", help="Replace a habit, e.g. messages_per_minute=2; repeatable."
)
def capacity(file: Path, users: tuple[int, ...], assume: tuple[str, ...]) -> None:
    """Resources for a number of users, and the first limits, computed from measured costs."""
    costs, habits = read(file), supposed(assume)
    for table in (habits_table(habits), needs_table(costs, habits, users or USERS), limits_table(costs, habits)):
        click.echo(table)


def _size(given: dict[str, Any]) -> SystemSize:
    return SystemSize(given["edges"], given["replicas"])


def _load(given: dict[str, Any]) -> Load:
    return Load(given["size"], given["warm_up"], given["seconds"], given["rate"], given["window"])
