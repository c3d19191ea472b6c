"""The command `dragoman`: one process per command, or the whole system with `up`."""

import importlib
import sys
from pathlib import Path

import click

from local.options import read_settings, require_public_url, settings_options
from services.cli.console import CommandGroup

_PLACES = {
    "admin": "services.cli.admin.command:admin",
    "backup": "services.cli.backup.command:backup",
    "bench": "bench.cli:bench",
    "client": "services.cli.client.command:client",
    "dashboard": "services.cli.overview.command:dashboard",
    "doctor": "services.cli.doctor.command:doctor",
    "migrate": "services.cli.migrations:migrate",
    "replay": "services.cli.replay.command:replay",
    "restore": "services.cli.backup.command:restore",
    "secrets": "services.cli.secrets:secrets_command",
    "top": "services.cli.top.command:top",
    "up": "services.cli.preflight:up_command",
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
@click.version_option(package_name="dragoman", prog_name="dragoman")
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
def config(file: Path | None, assignments: tuple[str, ...]) -> None:
    """Show every setting: its value, its source and its meaning."""
    from local.settings_table import rows

    table = rows(*read_settings(file, assignments))
    names, values, sources = (max(len(row[column]) for row in table) for column in range(3))
    for row in table:
        click.echo(f"{row.name:<{names}}  {row.value:<{values}}  {row.source:<{sources}}  {row.description}".rstrip())


if __name__ == "__main__":
    main()
