"""The combined log, with fast, stalled and closed readers."""

import os
import threading

from services.cli.output import Output


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
