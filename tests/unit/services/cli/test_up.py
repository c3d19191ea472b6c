"""`dragoman up` as a process, with real servers and stand-ins for the services."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.data import Run, read_run
from services.cli.ports import free_port
from tests.drills.cluster import free_ports
from tests.support.processes import until_gone

_SCRIPT = Path(__file__).with_name("fake_processes.py")
_NAMES = ["nats", "valkey", "edge-1", "edge-2", "auth", "session", "message"]


class Up:
    """A running `dragoman up` and what it says."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), "up", "--edges", "2", "--port", "0", "--data", str(data), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, text: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if text in line:
                return self.lines[-1]
        raise AssertionError("\n".join(self.lines))

    def rest(self) -> list[str]:
        assert self.process.stdout is not None
        return [line.rstrip() for line in self.process.stdout]

    @property
    def run(self) -> Run:
        run = read_run(self.data)
        assert run is not None
        return run

    def pids(self) -> dict[str, int]:
        return {one.name: one.pid for one in self.run.processes}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `dragoman up`; in a path with spaces; whatever happens, nothing is left."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path / "da ta", *arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_it_starts_and_ends_in_order(up: Callable[..., Up]) -> None:
    house = up()
    ready = house.until("ready ")
    edges = {one.name: one.port for one in house.run.processes if one.port}
    assert ready == f"ready ws://127.0.0.1:{edges['edge-1']} ws://127.0.0.1:{edges['edge-2']}"
    assert f"edge-2   | hello from edge-2 on {edges['edge-2']}" in house.lines
    pids = house.pids()
    assert sorted(pids) == sorted(_NAMES)
    house.process.terminate()
    rest = house.rest()
    assert house.process.wait() == 0
    until_gone(pids.values(), 0.5)
    farewells = [line.split()[-1] for line in rest if "goodbye" in line]
    assert sorted(farewells[:2]) == ["edge-1", "edge-2"]
    assert sorted(farewells[2:]) == ["auth", "message", "session"]
    assert not (house.data / "run.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
@pytest.mark.parametrize(("given", "taken"), [("SCHED_OTHER", "SCHED_BATCH"), ("SCHED_IDLE", "SCHED_IDLE")])
def test_message_interrupts_nobody(up: Callable[..., Up], given: str, taken: str) -> None:
    with ThreadPoolExecutor(1) as thread:  # it alone has that policy, and nobody needs it afterwards
        thread.submit(os.sched_setscheduler, 0, getattr(os, given), os.sched_param(0)).result()
        house = thread.submit(up).result()
    house.until("ready ")
    policies = {name: os.sched_getscheduler(pid) for name, pid in house.pids().items()}
    assert policies.pop("message") == getattr(os, taken)
    assert set(policies.values()) == {getattr(os, given)}


def test_it_tells_where_plain_tcp_is_spoken(up: Callable[..., Up]) -> None:
    first = free_ports(2)
    house = up("--tcp-port", str(first))
    *ws, one, two = house.until("ready ").split()[1:]
    assert [address.split(":")[0] for address in ws] == ["ws", "ws"]
    assert [one, two] == [f"tcp://127.0.0.1:{first}", f"tcp://127.0.0.1:{first + 1}"]
    assert f"           tcp://127.0.0.1:{first + 1}" in house.lines


@contextmanager
def meaning(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    """What the signal means to those who are started meanwhile."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_it_too(up: Callable[..., Up], number: signal.Signals) -> None:
    with meaning(signal.SIGHUP, signal.SIG_DFL):  # the tests themselves may run under nohup
        house = up()
    house.until("ready ")
    pids = house.pids()
    os.killpg(house.process.pid, number)
    house.rest()
    assert house.process.wait() == 0
    until_gone(pids.values(), 0.5)


def test_a_second_signal_ends_it_at_once(up: Callable[..., Up], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN", "yes")
    house = up()
    house.until("ready ")
    pids = house.pids()
    house.process.send_signal(signal.SIGINT)
    house.until("not yet, says edge-")
    started = time.monotonic()
    house.process.send_signal(signal.SIGINT)
    house.rest()
    assert house.process.wait() == 0
    assert time.monotonic() - started < 5
    until_gone(pids.values(), 0.5)


def test_nohup_is_respected(up: Callable[..., Up]) -> None:
    with meaning(signal.SIGHUP, signal.SIG_IGN):
        house = up()
    house.until("ready ")
    house.process.send_signal(signal.SIGHUP)
    os.kill(house.pids()["auth"], signal.SIGKILL)
    house.until("auth     | hello")
    assert house.process.poll() is None


def test_any_child_that_is_killed_comes_back(up: Callable[..., Up]) -> None:
    house = up()
    house.until("ready ")
    before = house.pids()
    for name in _NAMES:
        os.kill(before[name], signal.SIGKILL)
        house.until(f"{name:<8} | ended (SIGKILL)")
    deadline = time.monotonic() + 15
    while any(pid in (0, before[name]) for name, pid in house.pids().items()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for port in {one.ops for one in house.run.processes if one.ops}:
        while not listens(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_waits_for_it(up: Callable[..., Up]) -> None:
    house = up()
    house.until("ready ")
    pids = house.pids()
    house.process.kill()
    again = up()
    again.until("ready ")
    until_gone(pids.values(), 0.5)


def test_a_second_start_on_the_same_data_is_refused(up: Callable[..., Up]) -> None:
    house = up()
    house.until("ready ")
    second = up()
    assert second.rest() == [f"Error: the data directory {house.data} is in use by another `dragoman up`"]
    assert second.process.wait() == 2


def test_a_taken_port_is_refused(up: Callable[..., Up]) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port + 1)):
        house = up("--port", str(port))
        assert house.rest() == [f"Error: cannot listen on 127.0.0.1:{port + 1}: Address already in use"]
        assert house.process.wait() == 2


def test_a_directory_that_cannot_be_made_is_refused(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "da ta").write_text("a file")
    house = up()
    assert house.rest() == [f"Error: the data directory {tmp_path / 'da ta'} cannot be created: File exists"]
    assert house.process.wait() == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "da ta").mkdir(mode=0o500)
    house = up()
    assert "Permission denied" in house.rest()[0]
    assert house.process.wait() == 2


def test_secrets_and_data_are_private(up: Callable[..., Up]) -> None:
    house = up()
    house.until("ready ")
    modes = {path.name: path.stat().st_mode & 0o077 for path in [house.data, *house.data.rglob("*")]}
    assert {"credentials.json", "nats.conf", "users.acl", "run.json", "auth.db"} <= set(modes)
    assert {name: mode for name, mode in modes.items() if mode} == {}


def test_credentials_stay_the_same(up: Callable[..., Up]) -> None:
    first = up()
    first.until("ready ")
    kept = (first.data / "credentials.json").read_bytes()
    first.process.terminate()
    first.process.wait()
    up().until("ready ")
    assert (first.data / "credentials.json").read_bytes() == kept


def test_a_database_that_does_not_answer_is_told(up: Callable[..., Up]) -> None:
    house = up("--database", f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none")
    error = house.until("error: ")
    assert "the database of auth cannot be migrated" in error
    assert "secret" not in error
    house.rest()
    assert house.process.wait() == 1
