"""The fork server starts the product's processes as their command would."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.fork_server import COMMAND, ForkedProcess, ForkServer, fork
from local.process_group import ProcessGroup

SECONDS = 60

pytestmark = pytest.mark.skipif(not ForkServer.is_supported(), reason="Linux only")


@pytest.fixture(scope="module")
def server(process_group: ProcessGroup) -> Iterator[ForkServer]:
    server = ForkServer(process_group)
    yield server
    server.close()


async def start(server: ForkServer, *arguments: str, **environment: str) -> ForkedProcess:
    process = await fork(server, "child", [*COMMAND, *arguments], environment)
    assert process is not None
    return process


def file_of(process: ForkedProcess, name: str) -> str:
    return Path(f"/proc/{process.pid}/{name}").read_text()


async def output_of(process: ForkedProcess) -> str:
    async with asyncio.timeout(SECONDS):
        text = (await process.stdout.read()).decode()
        await process.wait()
    return text


async def test_a_process_runs_the_command_in_its_environment(server: ForkServer) -> None:
    process = await start(server, "config", DRAGOMAN_EDGE__PORT="4321", HOME="/nowhere")
    assert "4321" in await output_of(process)
    assert process.returncode == 0


async def test_a_process_fails_as_the_command_does(server: ForkServer) -> None:
    process = await start(server, "message", DRAGOMAN_EDGE__PORT="many")
    assert "edge.port" in await output_of(process)
    assert process.returncode == 2


async def test_processes_share_nothing_that_one_changes(server: ForkServer) -> None:
    first, second = await start(server, "config", DRAGOMAN_EDGE__PORT="4321"), await start(server, "config")
    assert first.pid != second.pid
    assert "4321" in await output_of(first)
    assert "4321" not in await output_of(second)


async def test_a_process_is_a_child_with_a_name_and_a_session_of_its_own(server: ForkServer) -> None:
    process = await start(server, "message", DRAGOMAN_NATS__URL="nats://127.0.0.1:1")
    async with asyncio.timeout(SECONDS):
        await process.stdout.readline()
    assert file_of(process, "comm") == "child\n"
    assert os.getsid(process.pid) == process.pid
    assert f"PPid:\t{os.getpid()}\n" in file_of(process, "status")
    process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(SECONDS):
        assert await process.wait() == -signal.SIGKILL
        await process.stdout.read()
    with pytest.raises(ProcessLookupError):
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_server_that_does_not_answer_is_replaced(server: ForkServer, number: signal.Signals) -> None:
    await output_of(await start(server, "--version"))
    before = server.pid
    os.kill(before, number)
    assert await fork(server, "child", [*COMMAND, "--version"], {}) is None
    assert "dragoman" in await output_of(await start(server, "--version"))
    assert server.pid != before


async def test_it_starts_no_other_program(server: ForkServer) -> None:
    assert await fork(server, "child", [sys.executable, "-c", "print()"], {}) is None


async def test_it_ends_with_the_process_that_started_it(process_group: ProcessGroup) -> None:
    server = ForkServer(process_group)
    process = await start(server, "--version")
    await output_of(process)
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
