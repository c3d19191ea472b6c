"""`dragoman top`, as it is typed."""

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Gauge

from services.cli.data import Run, RunningProcess
from services.cli.main import main
from services.cli.ports import free_port
from services.cli.top.poller import OpsAddress, addresses_of, poll
from shared.dashboard.panels import Dashboard, PanelGroup, gauge
from tests.unit.shared.test_ops import serving

BOARD = Dashboard("talk", (PanelGroup("Talk", (gauge("People", "people"),)),))


def crowd() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("people", "People", registry=registry).set(7)
    return registry


def test_all_of_a_run_are_looked_at_or_those_wanted() -> None:
    run = Run(
        1, "", True, [RunningProcess("nats", 2), RunningProcess("auth", 3, 4000), RunningProcess("edge-1", 5, 5000, 80)]
    )
    auth, edge = OpsAddress("auth", "http://127.0.0.1:4000"), OpsAddress("edge-1", "http://127.0.0.1:5000")
    assert addresses_of(run, "127.0.0.1", []) == [auth, edge]
    assert addresses_of(run, "127.0.0.1", ["edge-1"]) == [edge]
    assert addresses_of(None, "127.0.0.1", ["http://there:9"]) == [OpsAddress("http://there:9", "http://there:9")]
    with pytest.raises(KeyError):
        addresses_of(run, "127.0.0.1", ["nats"])


async def test_an_answer_and_silence_stand_side_by_side() -> None:
    async with serving({}, crowd(), BOARD) as ops:
        there, away = f"http://127.0.0.1:{ops.port}", f"http://127.0.0.1:{free_port()}"
        seen = await asyncio.to_thread(poll, [OpsAddress("there", there), OpsAddress("away", away)])
    assert seen[0].dashboard is not None
    assert seen[0].dashboard.service == "talk"
    assert "refused" in seen[1].error


async def test_something_else_that_answers_is_told(tmp_path: Path) -> None:
    async with serving({}) as ops:
        (seen,) = await asyncio.to_thread(poll, [OpsAddress("odd", f"http://127.0.0.1:{ops.port}/")])
        assert seen.dashboard is not None

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()

    async with await asyncio.start_server(rude, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (seen,) = await asyncio.to_thread(poll, [OpsAddress("rude", f"http://127.0.0.1:{port}")])
    assert "Expected `object`" in seen.error


@pytest.mark.parametrize(
    ("arguments", "error"), [([], "no `dragoman up` runs with the data directory"), (["edge-1"], "no `dragoman up`")]
)
def test_without_anything_to_look_at_it_says_so(tmp_path: Path, arguments: list[str], error: str) -> None:
    result = CliRunner().invoke(main, ["top", "--once", "--data", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert error in result.output


async def test_it_watches_until_it_is_interrupted_and_leaves_the_terminal_as_it_was() -> None:
    async with serving({}, crowd(), BOARD) as ops:
        output = await asyncio.to_thread(watched, f"http://127.0.0.1:{ops.port}")
    assert output.startswith("\x1b[?1049h")
    assert output.rstrip().endswith("\x1b[?1049l")


def watched(address: str) -> str:
    """What it writes to a terminal until it has shown the numbers, and is interrupted."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "top", address], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how the other side's end shows on Linux
        while part := os.read(ours, 65_536):
            output += part
            if b"People" in output and b"People" not in output[: -len(part)]:
                process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait() == 0
    return output.decode()
