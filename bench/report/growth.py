"""Growth as text for a terminal, and as a section of a page."""

from html import escape

from bench.growth.result import Growth, GrowthPoint
from bench.report.plot import PlotLine, logarithmic, plot
from bench.report.table import figure, markdown

_KINDS = ("edge", "message", "session", "auth", "nats", "valkey", "database")
_SHARED = ("requests", "commits", "envelopes")


def growth_table(growth: Growth) -> str:
    """Ends with the summary, which stays visible in a terminal."""
    lines = [f"growth with {growth.axis}: {growth.started}; {growth.machine}", "", *_rows(growth), ""]
    lines += [f"  note, at {point.x:,}: {remark}" for point in _points(growth) for remark in point.remarks]
    lines += [f"  {conclusion}" for conclusion in growth.decisions()]
    return "\n".join([*lines, "", _summary(growth)])


def costs_table(growth: Growth) -> str:
    """A Markdown table of the first curve: µs of a message by kind of process, and what messages share."""
    rows = []
    for point in growth.curves[0].points:
        parts = (figure(point.parts.get(kind, 0.0)) for kind in _KINDS)
        shared = (f"{point.figures.get(f'{name} of a message', 0.0):.2f}" for name in _SHARED)
        rows.append([f"{point.x:,}", figure(point.cost), *parts, *shared])
    return markdown([growth.axis, "all", *_KINDS, *_SHARED], rows)


def growth_section(growth: Growth) -> str:
    kind = "passed" if growth.passed else "failed"
    options = ", ".join(f"{name} {value}" for name, value in growth.options.items())
    conclusions = "".join(f"<li>{escape(conclusion)}</li>" for conclusion in growth.decisions())
    notes = "".join(
        f"<li>at {point.x:,}: {escape(remark)}</li>" for point in _points(growth) for remark in point.remarks
    )
    return (
        f"<h2>growth with {escape(growth.axis)}</h2><p class={kind}>{escape(_summary(growth))}</p>"
        f"<ul>{conclusions}</ul>"
        f"<p><small>{escape(f'{growth.started}; {growth.machine}; {options}')}</small></p>{_plot(growth)}"
        f"<pre>{escape(chr(10).join(_rows(growth)))}</pre><ul>{notes}</ul>"
    )


def _rows(growth: Growth) -> list[str]:
    """Microseconds of a message: of all processes, and of each kind."""
    kinds = sorted({kind for point in _points(growth) for kind in point.parts})
    head = f"  {growth.axis:<24} {'µs/message':>12} " + " ".join(f"{kind:>9}" for kind in kinds)
    rows = []
    for curve in growth.curves:
        rows += [f"  {curve.name}:"] if curve.name else []
        rows += [_row(point, kinds) for point in curve.points]
    return [head, *rows]


def _row(point: GrowthPoint, kinds: list[str]) -> str:
    parts = " ".join(f"{figure(point.parts.get(kind, 0.0)):>9}" for kind in kinds)
    return f"  {point.x:<24,} {figure(point.cost):>12} {parts}"


def _plot(growth: Growth) -> str:
    points = _points(growth)
    across = logarithmic(growth.axis, min(point.x for point in points), max(point.x for point in points))
    up = logarithmic("µs/message", min(point.cost for point in points), max(point.cost for point in points))
    lines = [PlotLine(curve.name or "a message", curve.costs) for curve in growth.curves]
    return plot(f"Processor time of a message, all processes together, by {growth.axis}", across, up, lines)


def _points(growth: Growth) -> list[GrowthPoint]:
    return [point for curve in growth.curves for point in curve.points]


def _summary(growth: Growth) -> str:
    if growth.passed:
        return "PASSED: nothing lost, and no cost grows more than the limit"
    if all(point.passed for point in _points(growth)):
        return "FAILED: the cost grows more than the limit"
    return "FAILED: messages were lost, duplicated or reordered, or nothing was measured"
