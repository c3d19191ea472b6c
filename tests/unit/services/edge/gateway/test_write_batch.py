"""Sockets are written at the end of the tick, but those of a very big group part by part."""

import asyncio

from services.edge.gateway import write_batch
from services.edge.gateway.write_batch import BatchWriter, WriteBatch

MOST = write_batch._MAX_WRITERS


class RecordedWriter(BatchWriter):
    def __init__(self, number: int, flushed: list[int]) -> None:
        self._number = number
        self._flushed = flushed

    def flush(self) -> None:
        self._flushed.append(self._number)


async def test_writers_are_flushed_once_and_in_order_and_never_too_many_wait() -> None:
    flushed: list[int] = []
    batch = WriteBatch(asyncio.get_running_loop())
    for number in range(2 * MOST + 1):
        batch.flush_later(RecordedWriter(number, flushed))
        assert len(flushed) == number // MOST * MOST
    await asyncio.sleep(0)
    assert flushed == list(range(2 * MOST + 1))


async def test_frames_are_framed_again_for_the_next_part() -> None:
    """The cache holds nothing of a part that is written."""
    flushed: list[int] = []
    batch = WriteBatch(asyncio.get_running_loop())
    frames = (b"hello",)
    wire = batch.frame_messages(frames)
    for number in range(MOST + 1):
        batch.flush_later(RecordedWriter(number, flushed))
    assert not batch.framed_cache
    assert batch.frame_messages(frames) == wire
