"""The combined log of all processes, with readers that are fast, that stall, or that have closed the pipe."""

import os
import threading
import time
from pathlib import Path

from local.output import Output
from tests.support.small_disk import small_disk


def test_each_line_carries_its_name() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        output = Output(stream)
        output.line("ready ws://127.0.0.1:8080")
        output.of("auth", b"begun\r")
        output.close()
    with os.fdopen(reading, "rb") as log:
        assert log.read() == b"ready ws://127.0.0.1:8080\nauth     | begun\n"


def test_stalled_reader_never_blocks_and_sees_the_number_of_dropped_lines() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        output = Output(stream)
        for number in range(20_000):
            output.of("edge-1", b"%d " % number + b"x" * 100)
        received: list[bytes] = []
        with os.fdopen(reading, "rb") as log:
            reader = threading.Thread(target=lambda: received.extend(log))
            reader.start()
            while not any(b"lines dropped: the reader is too slow" in line for line in received):
                output.line("more")
            output.close()
            stream.close()
            reader.join()
    assert received[0].startswith(b"edge-1   | 0 x")


def test_closed_reader_is_ignored() -> None:
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "wb", buffering=0)
    output = Output(stream)
    os.close(reading)
    for _ in range(30_000):
        output.line("still here")
    output.close()
    stream.close()


def test_a_full_disk_drops_lines_until_it_has_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        log = disk.path / "log"
        with log.open("wb", buffering=0) as stream:
            output = Output(stream)
            output.line("before")
            while not log.read_bytes():  # waits until the thread has written the output
                time.sleep(0.01)
            disk.fill()
            for _ in range(20_000):
                output.line("x" * 100)
                time.sleep(0)
            time.sleep(0.2)
            disk.free()
            output.line("after")
            output.close()
        lines = log.read_bytes().splitlines()
    assert lines[0] == b"before"
    assert lines[-1] == b"after"
    assert any(b"its disk is full" in line for line in lines)
