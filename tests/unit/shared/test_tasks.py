"""Owned tasks."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.tasks import Tasks


async def test_a_failure_is_logged_with_its_name() -> None:
    async def fail() -> None:
        raise ValueError("no")

    tasks = Tasks()
    with capture_logs() as logs:
        task = tasks.start(fail(), "doomed")
        with pytest.raises(ValueError, match="no"):
            await task
        await asyncio.sleep(0)
    assert [(entry["event"], entry["task"]) for entry in logs] == [("task failed", "doomed")]
    assert len(tasks) == 0


async def test_finish_waits_and_then_cancels() -> None:
    ended = []

    async def work(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ended.append("done")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    tasks = Tasks()
    tasks.start(work(0.01), "short")
    tasks.start(work(1000), "long")
    await tasks.finish(0.1)
    assert ended == ["done", "cancelled"]
    assert len(tasks) == 0
