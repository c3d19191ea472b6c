"""Results as one self-contained HTML page: figures, summaries, latency over time and by percentile."""

from collections.abc import Sequence
from html import escape

from bench.growth.result import Growth
from bench.report.growth import growth_section
from bench.report.plot import PlotAxis, PlotLine, linear, percentiles, plot
from bench.report.result import Measure, Result
from bench.report.table import figure, milliseconds, summary

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .15rem .8rem .15rem 0; text-align: right }
td:first-child, th:first-child { text-align: left } figure { margin: 1.5rem 0 } svg { max-width: 100%; height: auto }
svg text { font: 11px system-ui, sans-serif } .passed { color: #1a7f37 } .failed { color: #b3261e; font-weight: bold }
small { color: #666 }
"""

Report = Result | Growth


def page(reports: Sequence[Report]) -> str:
    return document("".join(growth_section(one) if isinstance(one, Growth) else _section(one) for one in reports))


def document(body: str) -> str:
    head = f'<meta charset="utf-8"><title>dragoman bench</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>dragoman bench</h1>{body}</body></html>\n'


def _section(result: Result) -> str:
    options = ", ".join(f"{name} {value}" for name, value in result.options.items())
    kind = "passed" if result.passed else "failed"
    figures = _rows([[name, figure(value)] for name, value in result.figures.items()])
    notes = "".join(f"<li>{escape(remark)}</li>" for remark in result.remarks)
    shares = ", ".join(f"{share:.2f}" for share in result.generator)
    return (
        f"<h2>{escape(result.measurement)}</h2><p class={kind}>{escape(summary(result))}</p>"
        f"<p><small>{escape(f'{result.started}; {result.machine}; {options}')}</small></p>"
        f"<table>{figures}</table>{_latencies(result)}{_plots(result)}"
        f"<p><small>The generator used {shares} of a core.</small></p><ul>{notes}</ul>"
    )


def _latencies(result: Result) -> str:
    head = ["milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"]
    return f"<table>{_rows([head, *(_row(name, one) for name, one in result.measures.items())])}</table>"


def _row(name: str, measure: Measure) -> list[str]:
    values = (measure.p50, measure.p90, measure.p99, measure.p999, measure.highest)
    return [name, f"{measure.count:,}", *map(milliseconds, values)]


def _rows(rows: Sequence[Sequence[str]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)


def _plots(result: Result) -> str:
    drawn = [one for one in result.measures.items() if one[1].points]
    if not drawn:
        return ""
    seconds = 1.0 * max(point.second for _, measure in drawn for point in measure.points)
    over_time = [_over_time(name, measure, seconds) for name, measure in drawn]
    highest = max(value for _, measure in drawn for _, value in measure.curve) / 1000
    by_share = [PlotLine(name, [(share, value / 1000) for share, value in one.curve]) for name, one in drawn]
    curve = plot("Latency by percentile", percentiles("share"), _ms(highest), by_share)
    return curve + "".join(over_time)


def _over_time(name: str, measure: Measure, seconds: float) -> str:
    p50 = PlotLine(f"{name} p50", [(point.second, point.p50 / 1000) for point in measure.points])
    p99 = PlotLine(f"{name} p99", [(point.second, point.p99 / 1000) for point in measure.points])
    highest = max(value for _, value in p99.points)
    return plot(f"Latency of {name} over time", linear("seconds", seconds, _plain), _ms(highest), [p50, p99])


def _ms(highest: float) -> PlotAxis:
    return linear("ms", highest, _plain)


def _plain(value: float) -> str:
    return f"{value:,.6g}"
