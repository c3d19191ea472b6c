"""The fork server starts the product's processes in the same way as their commands would."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.fork_server import COMMAND, ForkedProcess, ForkServer, fork
from local.process_group import ProcessGroup

SECONDS = 60
PROGRAM = """
import os
import sys

from local.fork_server import COMMAND, ForkServer
from local.process_group import ProcessGroup

with ProcessGroup() as group:
    server = ForkServer(group, from_here=True)
    for port in ("4321", "many"):
        pid = server.fork("child", [*COMMAND, "config"], {"DRAGOMAN_EDGE__PORT": port}, 1)
        print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    memory = dict(line.split(":") for line in open(f"/proc/{server.pid}/smaps_rollup").readlines()[1:])
    print("shared", int(memory["Pss"].split()[0]) < 0.75 * int(memory["Rss"].split()[0]), flush=True)
    server.close()
    print("ended", not os.path.exists(f"/proc/{server.pid}"), flush=True)
"""
APART = """
import os

from local.fork_server import apart


def work(failure):
    if failure:
        raise failure
    return ["in another process" if os.getpid() != here else "here"]


here = os.getpid()
for failure in (None, ValueError("a reason"), SystemExit(0)):
    wait = apart(lambda: work(failure), ValueError)
    try:
        print(wait())
    except ValueError as error:
        print(error)
"""

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
    process = await start(server, "message", DRAGOMAN_DATABASE__URL="postgresql+psycopg://127.0.0.1:1/none")
    async with asyncio.timeout(SECONDS):
        await process.stdout.readline()
    assert file_of(process, "comm") == "child\n"
    assert file_of(process, "cmdline").rstrip("\0") == "dragoman: child", "not the arguments of the fork server"
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


async def test_a_fork_of_the_starting_process_is_a_server_that_shares_its_memory() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        lines = (await program.communicate())[0].decode().splitlines()
    assert any("4321" in line for line in lines), lines
    assert [line for line in lines if line.split()[0] in ("status", "shared", "ended")] == [
        "status 0", "status 2", "shared True", "ended True",
    ]  # fmt: skip
    assert any("edge.port" in line for line in lines)


def test_work_in_a_process_of_its_own_gives_its_lines_or_its_failure() -> None:
    result = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert result.stdout.splitlines() == [
        "['in another process']", "a reason", "a process of this system ended before its work was done",
    ]  # fmt: skip
