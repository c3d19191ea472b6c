"""Tests tasks that have an owner."""

import asyncio

import pytest
from structlog.testing import capture_logs

from shared.tasks import Tasks, run_beside


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


async def test_loops_run_beside_a_context_and_end_with_it() -> None:
    running = set[str]()

    async def loop(name: str) -> None:
        running.add(name)
        try:
            await asyncio.Event().wait()
        finally:
            running.discard(name)

    async with run_beside([loop("a"), loop("b")]) as group:
        other = group.create_task(asyncio.sleep(0.01, "done"))
        await asyncio.sleep(0)
        assert running == {"a", "b"}
    assert running == set()
    assert other.result() == "done"


async def test_a_loop_that_fails_ends_the_context() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ExceptionGroup) as failed:
        async with run_beside([fail()]):
            await asyncio.Event().wait()
    assert failed.group_contains(ValueError, match="no")
