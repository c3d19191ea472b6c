"""Prints the combined log of `dragoman up`: the lines of many processes, each with the name of its process. A slow
reader of the log does not delay the processes."""

import errno
import queue
import sys
import threading
from typing import BinaryIO

_LINES = 10_000
_FLUSH_SECONDS = 2.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Output:
    """Prints lines on a thread of its own, so that a stalled reader cannot block the supervisor. If the queue is full,
    lines are dropped, and the log shows how many."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._queue: queue.Queue[bytes | None] = queue.Queue(_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="output", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        self._put(f"{text}\n".encode(errors="replace"))

    def of(self, name: str, line: bytes) -> None:
        """Write a line of the process of this name."""
        self._put(f"{name:<8} | ".encode() + line.rstrip() + b"\n")

    def close(self) -> None:
        """Write the queued lines. If the reader does not read, give up after some time."""
        try:
            self._queue.put(None, timeout=_FLUSH_SECONDS)
        except queue.Full:
            return
        self._thread.join(_FLUSH_SECONDS)

    def _put(self, line: bytes) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line = f"({dropped} lines dropped: the reader is too slow, or its disk is full)\n".encode() + line
            try:
                self._stream.write(line)
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError) as error:
                if getattr(error, "errno", 0) in _DISK_FULL:
                    self._dropped += dropped + 1
                    continue
                return self._discard()

    def _discard(self) -> None:
        """Drop all lines, because the reader has closed the stream. The servers keep running."""
        while self._queue.get() is not None:
            pass
