"""Shows the progress on standard error. On a terminal, it is one line that is redrawn. Elsewhere, it is a line for each
step."""

import sys
import time
from typing import TextIO

from bench.load.protocol import Progress

_BAR = 24
_REDRAW_SECONDS = 0.1


class ProgressLine:
    """Writes the progress to standard error, because standard output is for the result."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lively = self._stream.isatty()
        self._drawn = 0.0
        self._last = (0.0, 0)

    def print(self, text: str) -> None:
        self._write(text, end="\n")

    def step(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps are done."""
        if done == total:
            self._write(f"{what}: {total}", end="\n")
        else:
            self._draw(f"{_bar(done / total)} {what} {done:,}/{total:,}")

    def progress(self, what: str, share: float, progress: Progress) -> None:
        """Show the progress of a load. `share`: the share of its time that has passed."""
        at, done = self._last
        now = time.monotonic()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        rate = max(0.0, (progress.done - done) / (now - at)) if at else 0.0
        self._last = (now, progress.done)
        in_flight = progress.expected - progress.delivered
        self._draw(f"{_bar(share)} {what} {rate:,.0f}/s, {in_flight:,} in flight")

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if self._lively and now - self._drawn >= _REDRAW_SECONDS:
            self._drawn = now
            self._write(text, end="")

    def _write(self, text: str, end: str) -> None:
        self._stream.write(f"\r\033[K{text}{end}" if self._lively else f"{text}{end}")
        self._stream.flush()


def _bar(share: float) -> str:
    full = round(min(max(share, 0.0), 1.0) * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"
