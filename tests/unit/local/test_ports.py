import socket
import subprocess
import sys

import pytest

from local import ports
from local.ports import free_port, free_ports, reserve, try_to_bind


def test_ports_are_unique_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_HIGHEST", ports._LOWEST + 40)
    mine = {free_port() for _ in range(10)}
    code = (
        "from local import ports; ports._HIGHEST = ports._LOWEST + 40\nprint(*[ports.free_port() for _ in range(10)])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    theirs = {int(port) for port in other.stdout.split()}
    assert (len(mine), len(theirs)) == (10, 10)
    assert not mine & theirs


def test_a_row_of_ports_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_ports(20)
    monkeypatch.setattr(ports, "_LOWEST", first)
    monkeypatch.setattr(ports, "_HIGHEST", first + 20)
    with pytest.raises(OSError, match="is free"):
        free_port()


def test_a_port_that_the_user_has_chosen_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = free_port() + 1
    reserve(chosen)
    reserve(chosen)
    monkeypatch.setattr(ports, "_LOWEST", chosen)
    monkeypatch.setattr(ports, "_HIGHEST", chosen + 1)
    with pytest.raises(OSError, match="is free"):
        free_port()


def test_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(OSError, match="in use"):
            try_to_bind("127.0.0.1", server.getsockname()[1])


def test_error_without_free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(ports, "_LOWEST", port)
        monkeypatch.setattr(ports, "_HIGHEST", port + 1)
        with pytest.raises(OSError, match="is free"):
            free_port()
