"""Tests `dragoman up` as a process, with real servers and fake services."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from local.data import Run, read_run
from local.ports import free_port, free_ports
from tests.support.commands import FORKING, PYTHON_MODULE, ROOT, start
from tests.support.processes import until_gone

_COMMAND = (*PYTHON_MODULE, "tests.unit.services.cli.fake_processes")
_NAMES = ["nats", "valkey", "edge-1", "edge-2", "auth", "session", "message", "search"]


class UpProcess:
    """A running `dragoman up` and its output. `close` kills it."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.arguments = arguments
        self.lines: list[str] = []
        output, end = os.pipe()
        command = (*_COMMAND, "up", "--edges", "2", "--port", "0", "--data", str(data), *arguments)
        self.process = start(command, end) if FORKING in os.environ else spawn(command, end)
        os.close(end)
        self._output = os.fdopen(output)

    def until(self, text: str) -> str:
        for line in self._output:
            self.lines.append(line.rstrip())
            if text in line:
                return self.lines[-1]
        raise AssertionError("\n".join(self.lines))

    def rest(self) -> list[str]:
        return [line.rstrip() for line in self._output]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._output.close()

    @property
    def run(self) -> Run:
        run = read_run(self.data)
        assert run is not None
        return run

    def pids(self) -> dict[str, int]:
        return {one.name: one.pid for one in self.run.processes}


def spawn(command: Sequence[str], output: int) -> "subprocess.Popen[bytes]":
    """Starts a new process instead of a fork. It inherits this process's priority and signal handlers."""
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., UpProcess]]:
    """A function that starts `dragoman up` in a path with spaces. It is killed after the test."""
    started: list[UpProcess] = []

    def start(*arguments: str) -> UpProcess:
        started.append(UpProcess(tmp_path / "da ta", *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def _spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORKING)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """A running system for tests that neither end nor change it."""
    with closing(UpProcess(tmp_path_factory.mktemp("up") / "data", "--tcp-port", str(free_ports(2)))) as running:
        running.until("ready ")
        yield running


def test_up_starts_and_ends_in_order(up: Callable[..., UpProcess]) -> None:
    running = up()
    ready = running.until("ready ")
    edges = {one.name: one.port for one in running.run.processes if one.port}
    assert ready == f"ready ws://127.0.0.1:{edges['edge-1']} ws://127.0.0.1:{edges['edge-2']}"
    assert f"edge-2   | hello from edge-2 on {edges['edge-2']}" in running.lines
    pids = running.pids()
    assert sorted(pids) == sorted(_NAMES)
    running.process.terminate()
    rest = running.rest()
    assert running.process.wait() == 0
    until_gone(pids.values(), 0.5)
    farewells = [line.split()[-1] for line in rest if "goodbye" in line]
    assert sorted(farewells[:2]) == ["edge-1", "edge-2"]
    assert sorted(farewells[2:]) == ["auth", "message", "search", "session"]
    assert not (running.data / "run.json").exists()


def policies(running: UpProcess) -> dict[str, int]:
    return {name: os.sched_getscheduler(pid) for name, pid in running.pids().items()}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_message_has_batch_priority(running: UpProcess) -> None:
    found = policies(running)
    assert found.pop("message") == os.SCHED_BATCH
    assert set(found.values()) == {os.SCHED_OTHER}


@pytest.mark.usefixtures("_spawned")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_a_lower_priority_that_was_given_holds_for_all(up: Callable[..., UpProcess]) -> None:
    # the priority holds only for this short-lived thread and for the processes that it starts
    with ThreadPoolExecutor(1) as thread:
        thread.submit(os.sched_setscheduler, 0, os.SCHED_IDLE, os.sched_param(0)).result()
        running = thread.submit(up).result()
    running.until("ready ")
    assert set(policies(running).values()) == {os.SCHED_IDLE}


def test_plain_tcp_addresses_are_printed(running: UpProcess) -> None:
    *ws, one, two = running.lines[-1].split()[1:]
    assert [address.split(":")[0] for address in ws] == ["ws", "ws"]
    first = int(running.arguments[-1])
    assert [one, two] == [f"tcp://127.0.0.1:{first}", f"tcp://127.0.0.1:{first + 1}"]
    assert f"           tcp://127.0.0.1:{first + 1}" in running.lines


@contextmanager
def signal_handler(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    """Sets a signal handler inside this context. Processes that start meanwhile inherit it."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.usefixtures("_spawned")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_up(up: Callable[..., UpProcess], number: signal.Signals) -> None:
    with signal_handler(signal.SIGHUP, signal.SIG_DFL):  # if pytest runs under nohup, it ignores SIGHUP
        running = up()
    running.until("ready ")
    pids = running.pids()
    os.killpg(running.process.pid, number)
    running.rest()
    assert running.process.wait() == 0
    until_gone(pids.values(), 0.5)


def test_second_signal_kills_children(up: Callable[..., UpProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN", "yes")
    running = up()
    running.until("ready ")
    pids = running.pids()
    running.process.send_signal(signal.SIGINT)
    running.until("ignores SIGTERM")
    started = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    running.rest()
    assert running.process.wait() == 0
    assert time.monotonic() - started < 5
    until_gone(pids.values(), 0.5)


@pytest.mark.usefixtures("_spawned")
def test_nohup_is_respected(up: Callable[..., UpProcess]) -> None:
    with signal_handler(signal.SIGHUP, signal.SIG_IGN):
        running = up()
    running.until("ready ")
    running.process.send_signal(signal.SIGHUP)
    os.kill(running.pids()["auth"], signal.SIGKILL)
    running.until("auth     | hello")
    assert running.process.poll() is None


def test_killed_children_are_restarted(up: Callable[..., UpProcess]) -> None:
    running = up()
    running.until("ready ")
    before = running.pids()
    for name in _NAMES:
        os.kill(before[name], signal.SIGKILL)
        running.until(f"{name:<8} | ended (SIGKILL)")
    deadline = time.monotonic() + 15
    while any(pid in (0, before[name]) for name, pid in running.pids().items()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for port in {one.ops for one in running.run.processes if one.ops}:
        while not listens(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_after_a_killed_supervisor_edges_end_first_and_the_next_start_waits_and_keeps_the_credentials(
    up: Callable[..., UpProcess], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The edges must still confirm to message which frames their clients have received.

    One process was restarted before.
    """
    endings = tmp_path / "endings"
    monkeypatch.setenv("ENDINGS", str(endings))
    running = up()
    running.until("ready ")
    os.kill(running.pids()["edge-1"], signal.SIGKILL)
    running.until("edge-1   | hello")
    pids = running.pids()
    before = (running.data / "credentials.json").read_bytes()
    running.process.kill()
    running.process.wait()
    again = up()
    again.until("ready ")
    until_gone(pids.values(), 0.5)
    assert (running.data / "credentials.json").read_bytes() == before
    names = endings.read_text().split()
    assert sorted(names[:2]) == ["edge-1", "edge-2"]
    assert sorted(names[2:]) == ["auth", "message", "search", "session"]


def test_second_start_on_the_same_data_is_rejected(running: UpProcess) -> None:
    with closing(UpProcess(running.data)) as second:
        (error,) = second.rest()
        assert error.startswith(f"Error: the data directory {running.data} is in use by another `dragoman up`. Stop it")
        assert second.process.wait() == 2


def test_port_in_use_is_rejected(up: Callable[..., UpProcess]) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 1)):
        running = up("--port", str(port))
        (error,) = running.rest()
        assert error.startswith(
            f"Error: cannot listen on 127.0.0.1:{port + 1}: Address already in use. Give another port"
        )
        assert running.process.wait() == 2


def test_error_for_a_directory_that_cannot_be_created(up: Callable[..., UpProcess], tmp_path: Path) -> None:
    (tmp_path / "da ta").write_text("a file")
    running = up()
    (error,) = running.rest()
    assert error.startswith(f"Error: the data directory {tmp_path / 'da ta'} cannot be created: File exists. Let this")
    assert running.process.wait() == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_error_for_an_unwritable_directory(up: Callable[..., UpProcess], tmp_path: Path) -> None:
    (tmp_path / "da ta").mkdir(mode=0o500)
    running = up()
    assert "Permission denied" in running.rest()[0]
    assert running.process.wait() == 2


def test_secrets_and_data_are_private(running: UpProcess) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in [running.data, *running.data.rglob("*")]}
    assert {"credentials.json", "nats.conf", "users.acl", "run.json", "auth.db"} <= set(modes)
    assert {name: mode for name, mode in modes.items() if mode} == {}


def test_error_for_an_unreachable_database(up: Callable[..., UpProcess]) -> None:
    running = up("--database", f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none")
    error = running.until("error: ")
    assert "the database of auth cannot be migrated" in error
    assert "secret" not in error
    running.rest()
    assert running.process.wait() == 1
