"""How a service declares what is worth watching: names of metrics and how to read them, nothing else."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    NOW = "now"
    """A gauge, as it is."""
    RATE = "rate"
    """A counter per second."""
    COUNT = "count"
    """What a histogram has counted, per second."""
    SPREAD = "spread"
    """A histogram's median and 99th percentile."""
    MEAN = "mean"
    """A histogram's mean."""
    SHARE = "share"
    """How much of what the counter `of` counts, the counter `metric` counts."""
    AGE = "age"
    """Seconds since the Unix time that a gauge holds."""


class Unit(StrEnum):
    NUMBER = ""
    PER_SECOND = "/s"
    SECONDS = "s"
    BYTES = "B"
    BYTES_PER_SECOND = "B/s"
    SHARE = "%"
    """From 0 to 1."""


@dataclass(frozen=True)
class Row:
    """One row, of one metric by the name its family has in a scrape, without `_total`. `by`: the label whose values are
    shown apart, without the value `but`. `bad`: anything but zero is worth a look."""

    title: str
    metric: str
    kind: Kind
    unit: Unit = Unit.NUMBER
    by: str = ""
    but: str = ""
    of: str = ""
    bad: bool = False


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Board:
    """Of one process; `name` tells it from others of the same service, if it has one."""

    service: str
    groups: tuple[Group, ...] = ()
    name: str = ""

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for group in self.groups for row in group.rows)


def now(title: str, metric: str, unit: Unit = Unit.NUMBER, *, by: str = "", bad: bool = False) -> Row:
    return Row(title, metric, Kind.NOW, unit, by, bad=bad)


def rate(
    title: str, metric: str, unit: Unit = Unit.PER_SECOND, *, by: str = "", but: str = "", bad: bool = False
) -> Row:
    return Row(title, metric, Kind.RATE, unit, by, but, bad=bad)


def count(title: str, metric: str, *, by: str = "", but: str = "", bad: bool = False) -> Row:
    return Row(title, metric, Kind.COUNT, Unit.PER_SECOND, by, but, bad=bad)


def spread(title: str, metric: str, unit: Unit = Unit.SECONDS) -> Row:
    return Row(title, metric, Kind.SPREAD, unit)


def mean(title: str, metric: str, unit: Unit = Unit.NUMBER) -> Row:
    return Row(title, metric, Kind.MEAN, unit)


def share(title: str, metric: str, of: str) -> Row:
    return Row(title, metric, Kind.SHARE, Unit.SHARE, of=of)
