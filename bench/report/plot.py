"""Line plots as inline SVG, without dependencies."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 260, 64, 34, 14
_COLOURS = ("#1f6feb", "#d1495b", "#2e933c", "#8a4fff", "#b8860b")
_STEPS = 5


class PlotLine(NamedTuple):
    """Points (x, y), ordered by x."""

    name: str
    points: Sequence[tuple[float, float]]


class PlotAxis(NamedTuple):
    """`show` formats a value. On a logarithmic axis the ticks are powers of ten."""

    title: str
    show: Callable[[float], str]
    ticks: Sequence[float]
    place: Callable[[float], float]
    """Maps a value to a share of the axis."""


def linear(title: str, highest: float, show: Callable[[float], str]) -> PlotAxis:
    step = _round_step(highest / _STEPS)
    top = max(step, math.ceil(highest / step) * step)
    return PlotAxis(title, show, [step * number for number in range(round(top / step) + 1)], lambda value: value / top)


def logarithmic(title: str, lowest: float, highest: float) -> PlotAxis:
    """An axis between powers of ten."""
    first = math.floor(math.log10(lowest))
    last = max(first + 1, math.ceil(math.log10(highest)))

    def place(value: float) -> float:
        return (math.log10(value) - first) / (last - first)

    ticks = [10.0**power for power in range(first, last + 1)]
    return PlotAxis(title, lambda value: f"{value:,.6g}", ticks, place)


def percentiles(title: str) -> PlotAxis:
    """An axis of shares on which each further nine has the same width."""
    ticks = (0.0, 0.9, 0.99, 0.999, 0.9999)

    def place(share: float) -> float:
        return min(1.0, -math.log10(max(1 - share, 1e-4)) / 4)

    return PlotAxis(title, lambda share: f"{share * 100:g} %", ticks, place)


def plot(title: str, across: PlotAxis, up: PlotAxis, lines: Sequence[PlotLine]) -> str:
    body = [_grid(across, up)]
    for line, colour in zip(lines, _COLOURS, strict=False):
        points = " ".join(f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in line.points)
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    body += [_legend(number, line.name) for number, line in enumerate(lines[: len(_COLOURS)])]
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
    drawn = f'<svg {size} role="img">{"".join(body)}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>"


def _grid(across: PlotAxis, up: PlotAxis) -> str:
    parts = [_text(_LEFT, 10, up.title), _text(_WIDTH - 8, _HEIGHT - 2, across.title, "end")]
    for tick in up.ticks:
        y = _y(up, tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, up.show(tick), "end"))
    parts += [_text(_x(across, tick), _HEIGHT - _BOTTOM + 14, across.show(tick), "middle") for tick in across.ticks]
    return "".join(parts)


def _legend(number: int, name: str) -> str:
    return _text(_WIDTH - 12, _TOP + 16 + 15 * number, name, "end", _COLOURS[number])


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#555") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _x(axis: PlotAxis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - 8)


def _y(axis: PlotAxis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _BOTTOM - _TOP)


def _round_step(step: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `step`."""
    if step <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))
