"""The command `dragoman top`."""

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Gauge

from dragoman.main import main
from local.data import Run, RunningProcess
from local.exit_status import ExitStatus
from local.ports import free_port
from services.cli.top.command import _screen
from services.cli.top.poller import OpsAddress, ProcessState, addresses_of, poll
from shared.dashboard.history import DashboardData, PanelData, PanelGroupData
from shared.dashboard.panels import Dashboard, PanelGroup, gauge
from tests.unit.shared.test_ops import serving

DASHBOARD = Dashboard("talk", (PanelGroup("Talk", (gauge("People", "people"),)),))


def user_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("people", "People", registry=registry).set(7)
    return registry


def test_addresses_of_all_or_of_wanted_processes() -> None:
    run = Run(
        1, "", True, [RunningProcess("nats", 2), RunningProcess("auth", 3, 4000), RunningProcess("edge-1", 5, 5000, 80)]
    )
    auth, edge = OpsAddress("auth", "http://127.0.0.1:4000"), OpsAddress("edge-1", "http://127.0.0.1:5000")
    assert addresses_of(run, "127.0.0.1", []) == [auth, edge]
    assert addresses_of(run, "127.0.0.1", ["edge-1"]) == [edge]
    assert addresses_of(None, "127.0.0.1", ["http://there:9"]) == [OpsAddress("http://there:9", "http://there:9")]
    with pytest.raises(KeyError):
        addresses_of(run, "127.0.0.1", ["nats"])


async def test_answer_and_error_are_both_results() -> None:
    async with serving({}, user_registry(), DASHBOARD) as ops:
        there, away = f"http://127.0.0.1:{ops.port}", f"http://127.0.0.1:{free_port()}"
        seen = await asyncio.to_thread(poll, [OpsAddress("there", there), OpsAddress("away", away)])
    assert seen[0].dashboard is not None
    assert seen[0].dashboard.service == "talk"
    assert "refused" in seen[1].error


@pytest.mark.parametrize("command", [("top", "--once"), ("dashboard", "--port", "0")])
@pytest.mark.parametrize(
    "address", ["http://there:99999", "http://[::1", "http://a b:9", "http://a..b:9", "https://there:9", "http://:9"]
)
def test_a_wrong_address_is_rejected(command: Sequence[str], address: str) -> None:
    result = CliRunner().invoke(main, [*command, address])
    assert result.exit_code == ExitStatus.WRONG_USE
    assert f"{address!r} is no address of an operations port, such as http://edge:9000" in result.output


async def test_a_process_that_does_not_answer_is_a_failure() -> None:
    async with serving({}, user_registry(), DASHBOARD) as ops:
        there, away = f"http://127.0.0.1:{ops.port}", f"http://127.0.0.1:{free_port()}"
        for addresses, status in (((there,), ExitStatus.DONE), ((there, away), ExitStatus.FAILED)):
            result = await asyncio.to_thread(CliRunner().invoke, main, ["top", *addresses])
            assert result.exit_code == status
            assert there in result.output


async def test_error_for_an_answer_that_is_no_dashboard(tmp_path: Path) -> None:
    async with serving({}) as ops:
        (seen,) = await asyncio.to_thread(poll, [OpsAddress("odd", f"http://127.0.0.1:{ops.port}/")])
        assert seen.dashboard is not None

    async def wrong_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()

    async with await asyncio.start_server(wrong_answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        (seen,) = await asyncio.to_thread(poll, [OpsAddress("rude", f"http://127.0.0.1:{port}")])
    assert "Expected `object`" in seen.error


def test_error_without_processes(tmp_path: Path) -> None:
    for arguments in ([], ["edge-1"]):
        result = CliRunner().invoke(main, ["top", "--once", "--data", str(tmp_path), *arguments])
        assert result.exit_code == 2
        assert "is no data directory of a `dragoman up`" in result.output


async def test_watch_ends_on_interrupt_and_restores_the_terminal() -> None:
    async with serving({}, user_registry(), DASHBOARD) as ops:
        output = await asyncio.to_thread(watch_in_terminal, f"http://127.0.0.1:{ops.port}")
    assert output.startswith("\x1b[?1049h")
    assert output.rstrip().endswith("\x1b[?1049l")


@pytest.mark.parametrize("processes", [1, 5, 8, 12])
def test_every_process_fits_on_a_small_screen(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        PanelData(f"A rather long title of panel {number}", "rate", "/s", False, "", {"": [1e9]}) for number in range(9)
    ]
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((80, 24)))
    states = [
        ProcessState(f"process-{number}", DashboardData("edge", "", {}, [1.0], [PanelGroupData("", rows)]))
        for number in range(processes)
    ]
    lines = (
        _screen(states, colours=False).replace("\x1b[H", "").replace("\x1b[K", "").removesuffix("\x1b[J").split("\n")
    )
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("process-") for line in lines) == processes


def watch_in_terminal(address: str) -> str:
    """Runs `top` in a terminal, and interrupts it after it has shown a number. Returns its output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dragoman.main", "top", address], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # Linux reports an error when the other end is closed
        while part := os.read(ours, 65_536):
            output += part
            if b"People" in output and b"People" not in output[: -len(part)]:
                process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait() == 0
    return output.decode()
