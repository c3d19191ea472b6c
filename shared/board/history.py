"""The last minutes of a process, kept by itself, so that whoever looks sees at once how it came to be as it is."""

from collections import deque
from collections.abc import Mapping

import msgspec
from prometheus_client import CollectorRegistry

from shared.board.reading import Reading, between, read
from shared.board.rows import Board, Row

PERIOD_SECONDS = 2.0
_KEPT = 90

Moment = dict[Row, dict[str, float | None]]


class ShownRow(msgspec.Struct, frozen=True):
    """`series`: by label (empty without one), as many numbers as there are moments, the latest last."""

    title: str
    kind: str
    unit: str
    bad: bool
    help: str
    series: dict[str, list[float | None]]


class ShownGroup(msgspec.Struct, frozen=True):
    title: str
    rows: list[ShownRow]


class Shown(msgspec.Struct, frozen=True):
    """A process as its page shows it. `wrong`: why it is not ready, by dependency; `moments` are Unix times."""

    service: str
    name: str
    wrong: dict[str, str]
    moments: list[float]
    groups: list[ShownGroup]


class History:
    def __init__(self, board: Board, registry: CollectorRegistry) -> None:
        self._board = board
        self._registry = registry
        self._help: dict[str, str] = {}
        self._last: tuple[float, Mapping[Row, Reading]] | None = None
        self._moments: deque[tuple[float, Moment]] = deque(maxlen=_KEPT)

    def look(self, unix_seconds: float, monotonic_seconds: float) -> None:
        """Take the next sample; rates are measured since the one before."""
        families = {metric.name: metric for metric in self._registry.collect()}
        self._help = {name: metric.documentation for name, metric in families.items()}
        readings = {row: read(row, families) for row in self._board.rows}
        if self._last is not None:
            before, past = self._last
            seconds = monotonic_seconds - before
            moment = {row: between(row, past[row], now, seconds, unix_seconds) for row, now in readings.items()}
            self._moments.append((unix_seconds, moment))
        self._last = monotonic_seconds, readings

    def show(self, wrong: dict[str, str]) -> Shown:
        groups = [ShownGroup(group.title, [self._row(row) for row in group.rows]) for group in self._board.groups]
        return Shown(self._board.service, self._board.name, wrong, [at for at, _ in self._moments], groups)

    def _row(self, row: Row) -> ShownRow:
        labels = dict.fromkeys(label for _, moment in self._moments for label in moment[row])
        series = {label: [_short(moment[row].get(label)) for _, moment in self._moments] for label in labels}
        return ShownRow(row.title, row.kind.value, row.unit.value, row.bad, self._help.get(row.metric, ""), series)


def _short(value: float | None) -> float | None:
    """Four digits are all that anybody can see."""
    return None if value is None else float(f"{value:.4g}")
