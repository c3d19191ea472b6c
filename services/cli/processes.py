"""`dragoman auth`, `session`, `message`, `search` and `edge` each run one process, which uses the servers that the
settings name."""

import importlib
import sys
from pathlib import Path

import click

from local.options import read_settings, require_public_url, settings_options

_ROOT = Path(__file__).parents[2]
_INTERPRETED = {"auth"}
"""The services that are not on the path of a message. They would gain little time from compiled modules."""


def _command(name: str, summary: str) -> click.Command:
    @click.command(name, help=summary, epilog=f"Example: dragoman {name} --config {name}.toml")
    @settings_options
    def command(file: Path | None, assignments: tuple[str, ...]) -> None:
        from shared.process import limit_memory, prefer_sources, run

        settings, _ = read_settings(file, assignments)
        require_public_url(settings)
        limit_memory(settings)
        if name in _INTERPRETED:
            prefer_sources(_ROOT / "services", _ROOT / "shared")
        sys.exit(run(name, settings, importlib.import_module(f"services.{name}.app").serve))

    return command


auth = _command("auth", "Run the auth service: accounts, tokens, verification.")
session = _command("session", "Run the session service: profiles, chats, members.")
message = _command("message", "Run the message service: order, storage, delivery.")
search = _command("search", "Run the search service, which finds messages.")
edge = _command("edge", "Run an edge, the WebSocket server that clients connect to.")
