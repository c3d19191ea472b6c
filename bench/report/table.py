"""Shows a result as text for a terminal."""

from collections.abc import Mapping

import msgspec

from bench.report.result import Measure, Result

_BAR = 50
_COLUMNS = ("p50", "p90", "p99", "p99.9", "max")


def table(result: Result) -> str:
    """The result as text. It ends with the summary, which is then visible in a terminal."""
    lines = [f"{result.measurement}: {result.started}; {result.machine}", _options(result), ""]
    lines += [f"  {name:<24} {figure(value):>14}" for name, value in result.figures.items()]
    lines += ["", f"  {'milliseconds':<24} {'count':>10} " + " ".join(f"{name:>9}" for name in _COLUMNS)]
    lines += [_row(name, measure) for name, measure in result.measures.items()]
    lines += _stages(result.stages)
    lines += ["", f"  generator: {', '.join(f'{share:.2f}' for share in result.generator)} of a core"]
    lines += [f"  note: {remark}" for remark in result.remarks]
    return "\n".join([*lines, "", summary(result)])


def summary(result: Result) -> str:
    found = [
        f"{name.replace('_', ' ')} {count}" for name, count in msgspec.structs.asdict(result.faults).items() if count
    ]
    if result.passed:
        return "PASSED: no message lost, duplicated or reordered"
    return "FAILED: " + (", ".join(found) or "see the notes")


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3f}"


def milliseconds(microseconds: int) -> str:
    return figure(microseconds / 1000)


def _row(name: str, measure: Measure) -> str:
    values = (measure.p50, measure.p90, measure.p99, measure.p999, measure.highest)
    return f"  {name:<24} {measure.count:>10,} " + " ".join(f"{milliseconds(value):>9}" for value in values)


def _stages(stages: Mapping[str, float]) -> list[str]:
    """A bar for each stage of a message. Each bar begins where the previous one ends."""
    if not stages:
        return []
    whole, lines, before = sum(stages.values()), ["", f"  {'milliseconds, on average':<24}"], 0.0
    for name, mean in stages.items():
        left, right = (round(share / whole * _BAR) for share in (before, before + mean))
        lines.append(f"  {name:<24} {figure(mean):>10} |{' ' * left}{'#' * (right - left):<{_BAR - left}}|")
        before += mean
    return [*lines, f"  {'all':<24} {figure(whole):>10}"]


def _options(result: Result) -> str:
    return "  " + ", ".join(f"{name} {value}" for name, value in result.options.items())
