"""Compares the results of a run with the results in the repository."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

STORED = Path(__file__).with_name("results.json")
_NOTABLE = 1.2
"""The ratio of two times from which a difference is reported."""


class Results(msgspec.Struct):
    """The results: microseconds of each stage."""

    machine: str
    stages: dict[str, float]


def stored(path: Path = STORED) -> Results | None:
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None


def store(results: Results, path: Path = STORED) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def table(now: Results, before: Results | None) -> str:
    lines = [f"{'stage':<36} {'µs':>10} {'before':>10}"]
    old: Mapping[str, float] = before.stages if before else {}
    lines += [_line(name, value, old.get(name)) for name, value in now.stages.items()]
    if before and before.machine != now.machine:
        lines += ["", f"stored on another machine: {before.machine}"]
    return "\n".join(lines)


def _line(name: str, value: float, before: float | None) -> str:
    if before is None:
        return f"{name:<36} {value:>10.2f} {'-':>10}"
    change = value / before
    change_text = "slower" if change >= _NOTABLE else "faster" if change <= 1 / _NOTABLE else ""
    return f"{name:<36} {value:>10.2f} {before:>10.2f}  ×{change:.2f} {change_text}".rstrip()
