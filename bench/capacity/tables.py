"""Costs, habits, needs and limits as Markdown tables."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec

from bench.capacity.arithmetic import KINDS, Habits, Limit, Needs, limits, needs
from bench.capacity.costs import Costs
from bench.report.table import markdown

USERS = (10_000, 1_000_000, 50_000_000)

_ONES = {
    "edge": "edges", "message": "replicas of message", "session": "replicas of session", "auth": "replicas of auth",
    "nats": "NATS servers", "valkey": "Valkeys",
}  # fmt: skip


def read(file: Path) -> Costs:
    """Read a costs file. Raises click.ClickException."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Costs)
    except (OSError, msgspec.MsgspecError) as error:
        raise click.ClickException(f"{file} is not what `dragoman bench costs` writes: {error}") from error


def supposed(assignments: Sequence[str]) -> Habits:
    """The default habits with these NAME=VALUE replaced. Raises click.ClickException."""
    others: dict[str, float] = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        try:
            others[name] = float(value)
        except ValueError:
            raise click.ClickException(f"--assume takes NAME=NUMBER, not {assignment!r}") from None
        if name not in Habits._fields or not others[name] > 0:
            raise click.ClickException(f"--assume takes a number above 0 for one of {', '.join(Habits._fields)}")
    return Habits()._replace(**others)


def costs_table(costs: Costs) -> str:
    """Microseconds of each kind of process, then bytes."""
    columns = {
        "a message, batched": costs.batched, "a message alone": costs.alone, "a further delivery": costs.delivery,
        "a login": costs.login, "each further chat of it": costs.login_chat,
    }  # fmt: skip
    rows = [[kind, *(_number(column.get(kind, 0.0)) for column in columns.values())] for kind in KINDS]
    others = [
        ["a second of an idle connection, at its edge", f"{_number(costs.idle)} µs"],
        ["memory of a connection, at its edge", f"{_number(costs.kib)} KiB"],
        ["over the broker, read and written, for a message", f"{_number(costs.nats[0])} B"],
        ["and for a further delivery", f"{_number(costs.nats[1])} B"],
        ["between clients and edges, for a message", f"{_number(costs.client[0])} B"],
        ["and for a further delivery", f"{_number(costs.client[1])} B"],
        ["of session, a roster that message has not cached", f"{_number(costs.roster)} µs"],
        *([f"in the databases, a row of {name}", f"{_number(size)} B"] for name, size in costs.rows.items()),
    ]
    head = f"Measured {costs.measured} on: {costs.machine}. Texts of {costs.size} bytes; µs of processor time.\n\n"
    noted = "".join(f"Noted at {remark}.\n\n" for remark in costs.remarks)
    return head + noted + markdown(["µs", *columns], rows) + "\n" + markdown(["what", "how much"], others)


def needs_table(costs: Costs, habits: Habits, users: Sequence[float] = USERS) -> str:
    found = [needs(costs, habits, one) for one in users]
    lines: list[tuple[str, Callable[[Needs], str]]] = [
        ("messages/s", lambda need: _count(need.messages)),
        ("deliveries/s", lambda need: _count(need.deliveries)),
        ("logins/s", lambda need: _count(need.logins)),
        *((f"cores of {kind}", lambda need, kind=kind: _range(need.cores[kind])) for kind in KINDS),
        *((_ONES[kind], lambda need, kind=kind: f"{need.processes[kind]:,}") for kind in KINDS),
        ("message databases", lambda need: f"{need.databases:,}"),
        ("memory for connections", lambda need: _bytes(need.edge_memory)),
        ("over the broker", lambda need: f"{_bytes(need.nats)}/s"),
        ("heartbeats over the broker", lambda need: f"{_bytes(need.heartbeats)}/s"),
        ("to and from clients", lambda need: f"{_bytes(need.clients)}/s"),
        ("messages stored a day", lambda need: _bytes(need.message_bytes_a_day)),
        ("accounts and memberships", lambda need: _bytes(need.account_bytes)),
    ]
    rows = [[name, *map(show, found)] for name, show in lines]
    return markdown(["connected", *(_count(one) for one in users)], rows)


def limits_table(costs: Costs, habits: Habits) -> str:
    rows = [_limit(limit) for limit in limits(costs, habits)]
    return markdown(["one of each", "is full at", "remedy"], rows)


def habits_table(habits: Habits) -> str:
    rows = [
        ["messages a minute of each connected user", f"{habits.messages_per_minute:g}"],
        ["connected recipients of a message", f"{habits.recipients:g}"],
        ["logins an hour of each connected user", f"{habits.logins_per_hour:g}"],
        ["accounts for each connected user", f"{habits.accounts:g}"],
        ["chats of an account", f"{habits.chats:g}"],
        ["mean load of a day, as a share of the busiest time", f"{habits.mean:.2f}"],
        ["highest use of a core or a link, as a share", f"{habits.busy:g}"],
        ["connections of an edge", f"{habits.edge_connections:,.0f}"],
        ["cores of a NATS server", f"{habits.nats_cores:g}"],
        ["link of a NATS server, Gbit/s", f"{habits.link_gbit:g}"],
        ["messages a second that one database commits", f"{habits.database_rows:,.0f}"],
        ["members in the rosters that one replica of message caches", f"{habits.roster_members:,.0f}"],
    ]
    return markdown(["at the busiest time", "value"], rows)


def _limit(limit: Limit) -> list[str]:
    return [limit.what, f"{_count(limit.users)} connected", limit.way]


def _range(cores: tuple[float, float]) -> str:
    least, most = map(_number, cores)
    return least if least == most else f"{least} to {most}"


def _count(value: float) -> str:
    """Three significant digits."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def _number(value: float) -> str:
    return _count(value) if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} PB"
