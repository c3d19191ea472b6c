"""`dragoman top`: shows the dashboards of all processes in a terminal."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from local.data import read_run
from local.options import OperatorError, read_settings, settings_options
from local.probes import reachable
from services.cli.top.poller import OpsAddress, ProcessState, addresses_of, poll
from services.cli.top.render import render, use_colours
from shared.settings import Settings

_EVERY_SECONDS = 2.0
_LEAST_LINES = 4
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@settings_options
@click.option("--data", type=click.Path(path_type=Path), help="Data directory of the `dragoman up` to watch.")
@click.option("--once", is_flag=True, help="Print everything once and exit.")
@click.argument("what", nargs=-1)
def top(file: Path | None, assignments: tuple[str, ...], data: Path | None, once: bool, what: tuple[str, ...]) -> None:
    """Watch processes: throughput, latency, errors.

    WHAT is names of processes of `dragoman up` (edge-1, message), or addresses of operations ports (http://host:9000).
    """
    settings, _ = read_settings(file, assignments, {"data": str(data)} if data else {})

    def states() -> list[ProcessState]:
        return poll(_addresses(settings, what))

    colours = use_colours(os.environ, terminal=sys.stdout.isatty())
    if once or not sys.stdout.isatty():
        width = shutil.get_terminal_size((160, 24)).columns
        click.echo("\n".join(render(states(), width, colours=colours)).rstrip(), color=colours)
    else:
        _watch(states, colours)


def _addresses(settings: Settings, what: tuple[str, ...]) -> list[OpsAddress]:
    """Read on each poll: a restarted process has another port. Raises OperatorError."""
    run = read_run(settings.data)
    if run is None and not any("://" in one for one in what):
        raise OperatorError(f"no `dragoman up` runs with the data directory {settings.data}: give --data, or addresses")
    try:
        return addresses_of(run, reachable(settings.ops.host), what)
    except KeyError as error:
        raise OperatorError(f"there is no process {error.args[0]} in the running `dragoman up`") from error


def _watch(states: Callable[[], list[ProcessState]], colours: bool) -> None:
    """Refresh the screen until Ctrl-C, then restore the terminal."""
    sys.stdout.write(_ENTER)
    try:
        while True:
            sys.stdout.write(_screen(states(), colours))
            sys.stdout.flush()
            time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _screen(states: list[ProcessState], colours: bool) -> str:
    """One screen, which gives each process an equal number of lines. Many have no empty lines between them."""
    size = shutil.get_terminal_size()
    each = (size.lines - 1) // max(1, len(states))
    room, apart = (each - 1, True) if each > _LEAST_LINES else (max(1, each), False)
    lines = render(states, size.columns, room, colours=colours, apart=apart)[: size.lines - 1]
    return _HOME + "\n".join(line + _REST_OF_LINE for line in lines) + _REST
