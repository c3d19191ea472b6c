"""`dragoman top` shows the dashboards of all processes in a terminal."""

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import click

from local.data import read_run
from local.exit_status import ExitStatus
from local.installation import not_running
from local.options import FilePath, OperatorError, read_settings, settings_options
from local.probes import reachable
from services.cli.top.poller import OpsAddress, ProcessState, addresses_of, ops_address, poll
from shared.dashboard.history import DashboardData, PanelData
from shared.dashboard.panels import PanelKind, Unit
from shared.settings import Settings

_TITLE, _VALUE, _SPARKLINE = 26, 20, 24
_BLOCKS = " ▁▂▃▄▅▆▇█"
_BOLD, _FAINT, _GOOD, _BAD, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"
_PERIODS = ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (120, 60, "min"))

Numbers = Sequence[float | None]


def render(
    states: Iterable[ProcessState], width: int, room: int | None = None, *, colours: bool, apart: bool = True
) -> list[str]:
    """The lines of the screen: for each process a block of at most `room` lines, and an empty line if `apart`. `width`
    is in characters. Longer lines are cut off."""
    gap = [""] if apart else []
    lines = [line for state in states for line in [*_block(state, width)[:room], *gap]]
    return lines if colours else [_bare(line) for line in lines]


def format_value(value: float | None, unit: str) -> str:
    """A number and its unit."""
    match unit:
        case _ if value is None:
            return "–"
        case Unit.SHARE:
            return f"{_round(value * 100)} %"
        case Unit.SECONDS:
            return _time(value)
        case _:
            return _scaled(value, unit)


def sparkline(numbers: Numbers, width: int) -> str:
    """The last numbers as a line of block characters, scaled from zero to their maximum. A missing number is a
    space."""
    last = numbers[-width:] if width > 0 else ()
    top = max((number for number in last if number), default=0.0)
    steps = (math.ceil(number / top * 8) if top and number else 0 for number in last)
    return "".join(_BLOCKS[min(8, max(0, step))] for step in steps).rjust(width)


def _block(state: ProcessState, width: int) -> list[str]:
    if state.dashboard is None:
        return [f"{_BOLD}{state.name}{_PLAIN}  {_BAD}no answer: {state.error}{_PLAIN}"]
    wrong, degraded = (_reasons(errors) for errors in (state.dashboard.wrong, state.dashboard.degraded))
    ready = f"{_GOOD}ready{_PLAIN}{f', degraded – {degraded}' if degraded else ''}"
    readiness = f"{_BAD}not ready – {wrong}{_PLAIN}" if wrong else ready
    return [f"{_BOLD}{state.name}{_PLAIN}  {readiness}", *_panel_lines(state.dashboard, width)]


def _reasons(errors: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {error}" for name, error in errors.items())


def _panel_lines(dashboard: DashboardData, width: int) -> list[str]:
    if not dashboard.moments:
        return ["  no numbers yet"]
    panels = [panel for group in dashboard.groups for panel in group.rows]
    return [
        _panel_line(panel, width)
        for panel in panels
        if any(any(numbers[-_SPARKLINE:]) for numbers in panel.series.values())
    ]


def _panel_line(panel: PanelData, width: int) -> str:
    numbers = panel.series.get("p99") or _total(panel.series.values())
    value = format_value(numbers[-1], panel.unit)
    if panel.kind == PanelKind.PERCENTILES:
        value = f"{value} · {format_value(panel.series['p50'][-1], panel.unit)}"
    plain = f"  {panel.title:<{_TITLE}.{_TITLE}} {value:>{_VALUE}}  "
    plain += sparkline(numbers, min(_SPARKLINE, width - len(plain)))
    detail = f"  {_detail(panel)}"[: max(0, width - len(plain))].rstrip()
    colour = _BAD if panel.bad and numbers[-1] else ""
    return f"{colour}{plain[:width]}{_PLAIN if colour else ''}{_FAINT}{detail}{_PLAIN}"


def _detail(panel: PanelData) -> str:
    if panel.kind == PanelKind.PERCENTILES:
        return "p99 · p50"
    latest = {label: numbers[-1] for label, numbers in panel.series.items() if label and numbers[-1]}
    biggest = sorted(latest, key=lambda label: -(latest[label] or 0))
    return "  ".join(f"{label} {format_value(latest[label], panel.unit)}" for label in biggest)


def _total(series: Iterable[Numbers]) -> Numbers:
    return [
        sum(known) if (known := [one for one in at if one is not None]) else None for at in zip(*series, strict=True)
    ]


def _round(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) < 0.01:
        return "<0.01"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def _time(seconds: float) -> str:
    for least, size, word in _PERIODS:
        if seconds >= least:
            return f"{seconds // size:.0f} {word}"
    if seconds >= 1 or seconds == 0:
        return f"{_round(seconds)} s"
    return f"{_round(seconds * 1e3)} ms" if seconds >= 1e-3 else f"{_round(seconds * 1e6)} µs"


def _scaled(value: float, unit: str) -> str:
    step, names = (1024, ("", "Ki", "Mi", "Gi")) if unit.startswith("B") else (1000, ("", "k", "M", "G"))
    power = 0
    while abs(value) >= (10_000 if step == 1000 and not power else step) and power < 3:
        value, power = value / step, power + 1
    return f"{_round(value)} {names[power]}{unit}".rstrip()


def _bare(line: str) -> str:
    for colour in (_BOLD, _FAINT, _GOOD, _BAD, _PLAIN):
        line = line.replace(colour, "")
    return line.rstrip()


def use_colours(environment: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether to use colours. Colours are used only on a terminal, and only if NO_COLOR is not set."""
    return terminal and not environment.get("NO_COLOR")


_EVERY_SECONDS = 2.0
_LEAST_LINES = 4
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@settings_options
@click.option("--data", type=FilePath(), help="Data directory of the `dragoman up` to watch.")
@click.option("--once", is_flag=True, help="Print everything once and exit.")
@click.argument("what", nargs=-1, type=lambda one: ops_address(one) if "://" in one else one)
def top(file: Path | None, assignments: tuple[str, ...], data: Path | None, once: bool, what: tuple[str, ...]) -> None:
    """Watch throughput, latency and errors in a terminal.

    WHAT: names of processes of `dragoman up` (edge-1, message), or addresses of operations ports (http://host:9000).
    """
    settings, _ = read_settings(file, assignments, {"data": str(data)} if data else {})

    def states() -> list[ProcessState]:
        return poll(_addresses(settings, what))

    colours = use_colours(os.environ, terminal=sys.stdout.isatty())
    if once or not sys.stdout.isatty():
        width = shutil.get_terminal_size((160, 24)).columns
        found = states()
        click.echo("\n".join(render(found, width, colours=colours)).rstrip(), color=colours)
        if any(state.dashboard is None for state in found):
            sys.exit(ExitStatus.FAILED)
    else:
        _watch(states, colours)


def _addresses(settings: Settings, what: tuple[str, ...]) -> list[OpsAddress]:
    """The addresses of the processes. They are read again for each poll, because a restarted process has another port.
    Raises OperatorError."""
    run = read_run(settings.data)
    if run is None and not any("://" in one for one in what):
        raise not_running(settings.data, "addresses of operations ports")
    try:
        return addresses_of(run, reachable(settings.ops.host), what)
    except KeyError as error:
        raise OperatorError(
            f"there is no process {error.args[0]} in the running `dragoman up`", "`dragoman top --once` names them"
        ) from error


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
    """The text of the screen, with an equal number of lines for each process. If there are many processes, the empty
    lines between them are left out."""
    size = shutil.get_terminal_size()
    each = (size.lines - 1) // max(1, len(states))
    room, apart = (each - 1, True) if each > _LEAST_LINES else (max(1, each), False)
    lines = render(states, size.columns, room, colours=colours, apart=apart)[: size.lines - 1]
    return _HOME + "\n".join(line + _REST_OF_LINE for line in lines) + _REST
