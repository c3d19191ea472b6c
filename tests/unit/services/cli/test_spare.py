"""A spare process becomes the next service that is started again."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from services.cli.process_group import ProcessGroup
from services.cli.spare import COMMAND, SpareProcess

SECONDS = 60


@pytest.fixture
def process_group() -> Iterator[ProcessGroup]:
    with ProcessGroup() as group:
        yield group


@pytest.fixture
async def spare(process_group: ProcessGroup) -> AsyncIterator[SpareProcess]:
    spare = SpareProcess(process_group)
    running = asyncio.create_task(spare.run())
    yield spare
    running.cancel()
    await asyncio.wait([running])


async def take(spare: SpareProcess, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    async with asyncio.timeout(SECONDS):
        while (process := await spare.take([*COMMAND, *arguments], environment)) is None:
            await asyncio.sleep(0.02)
    return process


async def pid_of(spare: SpareProcess) -> int:
    async with asyncio.timeout(SECONDS):
        while spare.pid is None:
            await asyncio.sleep(0.01)
    return spare.pid


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def output_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        text = (await process.stdout.read()).decode()
        await process.wait()
    return text


async def test_it_becomes_the_command_in_its_environment(spare: SpareProcess) -> None:
    process = await take(spare, "config", DRAGOMAN_EDGE__PORT="4321", HOME="/nowhere")
    assert "4321" in await output_of(process)
    assert process.returncode == 0


async def test_it_fails_as_the_command_does(spare: SpareProcess) -> None:
    process = await take(spare, "message", DRAGOMAN_EDGE__PORT="many")
    assert "edge.port" in await output_of(process)
    assert process.returncode == 2


async def test_another_one_is_ready_soon(spare: SpareProcess) -> None:
    first = await take(spare, "--version")
    second = await take(spare, "--version")
    assert first.pid != second.pid
    assert "dragoman" in await output_of(first)
    assert "dragoman" in await output_of(second)


async def test_one_that_was_killed_is_replaced(spare: SpareProcess) -> None:
    os.kill(await pid_of(spare), signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        while "dragoman" not in await output_of(await take(spare, "--version")):
            pass


async def test_it_does_not_become_another_program(spare: SpareProcess) -> None:
    assert await spare.take([sys.executable, "-c", "print()"], {}) is None
    await output_of(await take(spare, "--version"))


async def test_it_ends_with_its_keeper(process_group: ProcessGroup) -> None:
    spare = SpareProcess(process_group)
    running = asyncio.create_task(spare.run())
    pid = await pid_of(spare)
    running.cancel()
    await asyncio.wait([running])
    async with asyncio.timeout(SECONDS):
        while exists(pid):
            await asyncio.sleep(0.01)
