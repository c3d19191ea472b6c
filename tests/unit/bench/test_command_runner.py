"""Tests the command as a process: its output and its end."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.report.result import Result
from bench.system.system import SystemSize, own_system
from tests.support.commands import DRAGOMAN, start
from tests.support.forked import ForkedService
from tests.support.processes import until_gone
from tests.unit.bench.faulty_server import Spoil, faulty_server, honest
from tests.unit.bench.test_faults import losing

_BENCH = (sys.executable, "-P", "-m", "dragoman.main", "bench")
_PIPE = asyncio.subprocess.PIPE


async def _bench(log: Path, *arguments: str) -> tuple[int, str]:
    status = await asyncio.to_thread(_started(log, *arguments).wait)
    return status, await asyncio.to_thread(log.read_text)


def _started(log: Path, *arguments: str) -> ForkedService | subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return start([*DRAGOMAN, "bench", *arguments], output.fileno())


@pytest.mark.parametrize(("spoil", "status", "result_word"), [(honest, 0, "PASSED"), (losing, 1, "FAILED: lost 3")])
async def test_the_exit_status_is_the_result(tmp_path: Path, spoil: Spoil, status: int, result_word: str) -> None:
    json = tmp_path / "result.json"
    what = "group --people 4 --processes 1 --rate 100 --seconds 0.6 --warm-up 0 --size 64".split()
    async with faulty_server(spoil) as address:
        done = await _bench(tmp_path / "log", *what, "--edge", address, "--json", str(json))
    assert (done[0], result_word in done[1]) == (status, True), done
    (result,) = msgspec.json.decode(json.read_bytes(), type=list[Result])
    assert result.passed == (status == 0)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_and_all_its_processes_at_once(number: signal.Signals) -> None:
    async with faulty_server(honest) as address:
        process = await asyncio.create_subprocess_exec(
            *_BENCH, "pairs", "--people", "4", "--processes", "2", "--seconds", "60", "--edge", address,
            stdout=_PIPE, stderr=_PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        while b"connections in 2 processes" not in await process.stderr.readline():
            pass
        children = _children(process.pid)
        assert [os.sched_getscheduler(child) for child in children] == [os.SCHED_BATCH] * 2
        os.kill(process.pid, number)
        _, error = await process.communicate()
        assert process.returncode == 130
        assert error.decode().strip() == ""
        until_gone(children)


async def test_without_a_system_it_prints_one_line(tmp_path: Path) -> None:
    status, output = await _bench(tmp_path / "log", "pairs", "--data", str(tmp_path))
    assert (status, output.strip()) == (
        2,
        f"Error: {tmp_path} is no data directory of a `dragoman up`. Start a system, or name another data directory by "
        "--data, or edges by --edge",
    )


async def test_a_system_of_its_own_is_gone_afterwards() -> None:
    notes: list[str] = []
    async with own_system(SystemSize(2), ["auth.argon2_iterations=1"], notes.append) as target:
        assert len(target.edges) == 2
        assert {one.name for one in target.processes} >= {"edge-1", "edge-2", "message"}
        assert target.cpu().keys() == {one.name for one in target.processes}
        pids, data = [one.pid for one in target.processes], target.data
    until_gone(pids)
    assert data is not None
    assert not data.exists()
    assert notes == ["starting a system with 2 edges"]
