"""The command `dragoman`: one process per command, or the whole system with `up`."""

import importlib
import sys
from importlib.metadata import version as distribution_version
from pathlib import Path

import click

from local.options import (
    OperatorError,
    data_option,
    flags_of,
    read_settings,
    require_public_url,
    settings_options,
)
from services.cli.console import CommandGroup, configure_plain_logs

_VERSION = distribution_version("dragoman")
_PLACES = {
    "admin": "services.cli.admin.command:admin",
    "backup": "services.cli.backup.command:backup",
    "bench": "bench.cli:bench",
    "client": "services.cli.client.command:client",
    "dashboard": "services.cli.overview.command:dashboard",
    "doctor": "services.cli.doctor.command:doctor",
    "replay": "services.cli.replay.command:replay",
    "restore": "services.cli.backup.command:restore",
    "top": "services.cli.top.command:top",
}
_HELP = {
    "auth": "Run auth: accounts' secrets, tokens, verification.",
    "session": "Run session: profiles, friends, chats, members.",
    "message": "Run message: order, storage, delivery, history.",
    "search": "Run search: an index of the messages, and its queries.",
    "edge": "Run an edge: the WebSocket server clients connect to.",
}


@click.group(
    cls=CommandGroup,
    places=_PLACES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(_VERSION, prog_name="dragoman")
def main() -> None:
    """A chat backend whose edge speaks every client's own protocol.

    Settings come from flags, the environment (DRAGOMAN_EDGE__PORT=8080), a TOML file and defaults, in this order.
    """


def _add_service(name: str) -> None:
    @main.command(name, help=_HELP[name])
    @settings_options
    def command(file: Path | None, assignments: tuple[str, ...]) -> None:
        from shared.process import limit_memory, run

        settings, _ = read_settings(file, assignments)
        require_public_url(settings)
        limit_memory(settings)
        sys.exit(run(name, settings, importlib.import_module(f"services.{name}.app").serve))


for _name in _HELP:
    _add_service(_name)


@main.command()
@settings_options
@click.option("--edges", type=click.IntRange(1, 64), default=1, show_default=True, help="How many edges.")
@click.option("--replicas", type=click.IntRange(1, 64), help="Replicas of message (default: 2, on SQLite 1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the first edge, the others follow (0: any).")
@click.option("--tcp-port", type=click.IntRange(1, 65535), help="Port of the first edge for plain TCP (default: none).")
@click.option("--host", help="Address the edges listen on.")
@click.option("--data", type=click.Path(path_type=Path), help="Data directory (default .dragoman).")
@click.option("--no-limits", is_flag=True, help="No rate limits, for tests and benchmarks.")
@click.option("--nats", help="Use this NATS server instead of the embedded one.")
@click.option("--redis", help="Use this Redis or Valkey instead of the embedded one.")
@click.option("--database", help="Use this database instead of SQLite files.")
def up(
    file: Path | None,
    assignments: tuple[str, ...],
    edges: int,
    replicas: int | None,
    no_limits: bool,
    **named: object,
) -> None:
    """Run everything on this machine: nats-server, Valkey, SQLite, all services, N edges."""
    flags = flags_of(**named)
    if no_limits:
        flags["limits.rates"] = "false"
    from services.cli.preflight import UpOptions, start

    sys.exit(start(file, assignments, flags, UpOptions(edges, _VERSION, replicas or 0)))


@main.command()
@settings_options
def config(file: Path | None, assignments: tuple[str, ...]) -> None:
    """Show every setting: its value, its source and its meaning."""
    from local.settings_table import rows

    table = rows(*read_settings(file, assignments))
    names, values, sources = (max(len(row[column]) for row in table) for column in range(3))
    for row in table:
        click.echo(f"{row.name:<{names}}  {row.value:<{values}}  {row.source:<{sources}}  {row.description}".rstrip())


@main.command()
@settings_options
@data_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on with databases that do not belong together: what only a lost one had is lost, and no number is given "
    "again.",
)
@click.argument("what", nargs=-1, type=click.Choice(["auth", "session", "message", "streams"]))
def migrate(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, accept_loss: bool, what: tuple[str, ...]
) -> None:
    """Bring databases and event streams to this version (all, or only WHAT). Safe to repeat.

    A new or older database beside others that have been in use is an error: it was lost, or replaced.
    """
    from local.installation import find
    from services.cli.migrations import migrate_all

    configure_plain_logs()
    everything = ("auth", "session", "message", "streams")
    migrate_all(find(file, assignments, flags_of(data=data)), what or everything, accept=accept_loss)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--nats", default="nats://nats:4222", show_default=True, help="How the processes reach NATS.")
@click.option("--valkey", default="valkey:6379", show_default=True, help="How they reach Valkey, host:port.")
@click.option("--postgres", default="postgres:5432", show_default=True, help="How they reach PostgreSQL, host:port.")
@click.option("--database", default="dragoman", show_default=True, help="Name of the PostgreSQL database.")
@click.option("--tls/--no-tls", default=True, show_default=True, help="Whether they reach all three by TLS.")
@click.option(
    "--edges",
    type=click.Choice(["shared", "either", "nodes"]),
    help="How edges log in to NATS: with one user, as nodes that hear nothing of each other, or (during the change) "
    "either. Stays as it was by default; nodes in a new installation.",
)
def secrets(
    directory: Path, nats: str, valkey: str, postgres: str, database: str, tls: bool, edges: str | None
) -> None:
    """Generate the passwords and certificates of an installation: settings for each process, users for each server,
    under DIRECTORY.

    Safe to repeat: issued passwords and certificates stay.
    """
    from local.nats import Edges
    from services.cli.secrets import Addresses, issue

    try:
        issue(directory, Addresses(nats, valkey, postgres, database, tls), Edges(edges) if edges else None)
    except ValueError as error:
        raise OperatorError(f"the secrets in {directory} cannot be used: {error}") from error
    except OSError as error:
        raise OperatorError(f"the directory {directory} cannot be written: {error.strerror}") from error
    click.echo(f"secrets: up to date in {directory}")


if __name__ == "__main__":
    main()
