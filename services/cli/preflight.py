"""`dragoman up`, and the checks of settings, data and ports before it starts a process. A failure is printed as one
sentence."""

import asyncio
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from local.credentials import Credentials, load_or_make
from local.data import USE_ANOTHER, locked, prepare
from local.fork_server import ForkServer, apart
from local.installation import find
from local.options import FilePath, OperatorError, flags_of, require_public_url, settings_options
from local.output import Output
from local.ports import NoFreePort, free_port, reserve, try_to_bind
from local.process_group import ProcessGroup
from local.supervisor import CrashLoop
from local.up_plan import SERVICES, PlannedProcess, UpPlan, authority
from services.cli.console import default_option
from shared.process import limit_memory
from shared.settings import Settings
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from shared.version import VERSION


class UpOptions(NamedTuple):
    """The options of the command that are not settings. `replicas`: the number of replicas of the message service. 0
    means one replica on SQLite, and otherwise two."""

    edges: int
    version: str
    replicas: int = 0


@click.command("up", epilog="Example: dragoman up --port 8080 --edges 2 --data /srv/chat")
@settings_options
@default_option("--edges", 1, "Number of edges.", click.IntRange(1, 64))
@click.option("--replicas", type=click.IntRange(1, 64), help="Replicas of the message service (2, on SQLite 1).")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port of the first edge; the others get the next ones (0: any)."
)
@click.option(
    "--tcp-port",
    type=click.IntRange(1, 65535),
    help="Port of the first edge for plain TCP; the others get the next ones (default: no plain TCP).",
)
@click.option("--host", help="Address on which the edges listen.")
@click.option("--data", type=FilePath(), help="Data directory (default .dragoman).")
@click.option("--no-limits", is_flag=True, help="Switch rate limits off, for tests and benchmarks.")
@click.option("--nats", help="Use this NATS server instead of the embedded one.")
@click.option("--redis", help="Use this Redis or Valkey instead of the embedded one.")
@click.option("--database", help="Use this database instead of SQLite files.")
def up_command(
    file: Path | None, assignments: tuple[str, ...], edges: int, replicas: int | None, no_limits: bool, **named: object
) -> None:
    """Run everything on this machine until Ctrl-C.

    Everything is nats-server, Valkey, SQLite, all services, and one edge or several. The command prints an address that
    a browser can open. Exit status 1: a part could not be started.
    """
    flags = flags_of(**named)
    if no_limits:
        flags["limits.rates"] = "false"
    sys.exit(_start(file, assignments, flags, UpOptions(edges, VERSION, replicas or 0)))


def _start(file: Path | None, assignments: tuple[str, ...], flags: Mapping[str, str], options: UpOptions) -> int:
    """Run until a signal arrives; returns the exit status. Raises OperatorError."""
    found = find(file, assignments, flags)
    settings, sources = found.settings, found.sources
    require_public_url(settings)
    if "{service}" not in settings.database_url("{service}"):
        raise OperatorError(
            "database.url names one SQLite file, but each service needs a file of its own",
            "Write {service} in its name",
        )
    prepare(settings.data, "nats", "valkey")
    configure_logging(LogSettings(level="warning", json_lines=False), "up")
    with locked(settings.data) as lock:
        plan = _plan(settings, sources, options)
        os.umask(0o077)
        limit_memory(settings)
        with ProcessGroup((lock,)) as family:
            fork_server = ForkServer(family, from_here=True) if ForkServer.is_supported() else None
            from services.cli import up  # imported after the checks, because its libraries load slowly

            work = partial(up.migrate, settings)
            migrated = apart(work, CrashLoop) if fork_server is not None else work
            output = Output()
            try:
                return asyncio.run(up.run(plan, family, fork_server, output, options.version, migrated))
            finally:
                output.close()


def _plan(settings: Settings, sources: Mapping[str, str], options: UpOptions) -> UpPlan:
    try:
        credentials = load_or_make(settings.data / "credentials.json")
    except OSError as error:
        raise OperatorError(
            f"the data directory {settings.data} cannot be written: {error.strerror}", USE_ANOTHER
        ) from error
    try:
        return _with_ports(settings, sources, options, credentials)
    except NoFreePort as error:
        raise OperatorError(str(error), "End the programs that use these ports, or choose other ports") from error


def _with_ports(settings: Settings, sources: Mapping[str, str], options: UpOptions, credentials: Credentials) -> UpPlan:
    """The plan of all processes with their ports. Raises NoFreePort."""
    # the edges come first, because they reserve the ports that the user has chosen
    edges = _edges(settings, options.edges)
    services = [PlannedProcess(name, name, free_port()) for name in SERVICES if name != "message"]
    services += message_replicas(settings, options.replicas)
    services += [PlannedProcess("search", "search", free_port())] if settings.search.enabled else []
    return UpPlan(
        settings,
        credentials,
        nats_port=0 if "nats.url" in sources else free_port(),
        valkey_port=0 if "redis.url" in sources else free_port(),
        processes=(*services, *edges),
        control_port=free_port(),
        dashboard_port=free_port(),
    )


def message_replicas(settings: Settings, count: int) -> list[PlannedProcess]:
    """The planned replicas of the message service. If `count` is 0, there is one on SQLite, and otherwise there are
    two. Raises OperatorError."""
    sqlite = settings.database_url("message").startswith("sqlite")
    if sqlite and count > 1:
        raise OperatorError(
            "several replicas of the message service need a database other than SQLite",
            "Leave out --replicas, or give --database postgresql+psycopg:…",
        )
    # The system accepts messages even while one of the two replicas is unavailable.
    names = ["message", *(f"message-{number}" for number in range(2, (count or (1 if sqlite else 2)) + 1))]
    return [PlannedProcess(name, "message", free_port()) for name in names]


def _edges(settings: Settings, count: int) -> list[PlannedProcess]:
    edge = settings.edge
    ports = _ports(edge.port, count) if edge.port else [free_port() for _ in range(count)]
    tcp_ports = _ports(edge.tcp_port, count) if edge.tcp_port else [0] * count
    if both := set(ports) & set(tcp_ports):
        raise OperatorError(
            f"port {min(both)} cannot be used for WebSocket and for plain TCP", "Move --port and --tcp-port apart"
        )
    for port in filter(None, ports + tcp_ports):
        _try_port(edge.host, port, "Give another port by --port (0: any), or another address by --host")
    irc, taken = settings.irc, [*ports, *tcp_ports]
    for setting, host, first in (("irc.port", irc.host, irc.port), ("irc.tls_port", edge.host, irc.tls_port)):
        advice = f"Give another port by --set {setting}"
        for port in _ports(first, count) if first else ():
            if port in taken:
                raise OperatorError(f"port {port} cannot be used for IRC alone", advice)
            _try_port(host, port, advice)
            taken.append(port)
    numbered = enumerate(zip(ports, tcp_ports, strict=True), 1)
    return [PlannedProcess(f"edge-{number}", "edge", free_port(), *own) for number, own in numbered]


def _try_port(host: str, port: int, advice: str) -> None:
    """Reserve this port. Raises OperatorError if the system cannot listen there."""
    try:
        try_to_bind(host, port)
    except OSError as error:
        raise OperatorError(f"cannot listen on {authority(host, port)}: {error.strerror or error}", advice) from error
    reserve(port)


def _ports(first: int, count: int) -> list[int]:
    if first + count - 1 > 65_535:
        raise OperatorError(
            f"{count} edges from port {first} on exceed the last port, 65535", "Begin with a lower port"
        )
    return list(range(first, first + count))
