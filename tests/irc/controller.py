"""The controller by which irctest (https://github.com/progval/irctest) runs its tests of servers against Dragoman.

`tests.irc.suite` starts an installation, which runs for all its tests; this module is loaded inside irctest."""

import contextlib
import json
import os
import socket
import time
from typing import Any

from irctest import runner  # type: ignore[import-not-found]
from irctest.basecontrollers import BaseServerController  # type: ignore[import-not-found]
from irctest.specifications import Capabilities, OptionalBehaviors  # type: ignore[import-not-found]

from tests.irc.accounts import adopt, delete_all, register

_QUIET_SECONDS = 5.0
_COMMIT_SECONDS = 1.0
_FORGOTTEN_BY = "maple", "birch"
_REGISTERED = "bar", "shivarampassphrase"
"""Of the tests of REGISTER."""


class DragomanController(BaseServerController):  # type: ignore[misc]
    """The ports come from the environment: `plain` for TCP, `web` for WebSockets and HTTP."""

    software_name = "Dragoman"
    supported_sasl_mechanisms = frozenset({"PLAIN"})
    supports_sts = False
    extban_mute_char = "m"
    capabilities = frozenset(Capabilities) - {Capabilities.STS}
    optional_behaviors = frozenset({
        OptionalBehaviors.BAN_EXCEPTION_MODE, OptionalBehaviors.INVITE_EXCEPTION_MODE,
        OptionalBehaviors.INVITE_OVERRIDES_LIMIT, OptionalBehaviors.NO_CTCP,
    })  # fmt: skip
    isupport = {"CASEMAPPING": "ascii", "NETWORK": "Dragoman"}  # noqa: RUF012
    port_open = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._ports = json.loads(os.environ["DRAGOMAN_PORTS"])
        self._given = 0

    def get_hostname_and_port(self) -> tuple[str, int]:
        """The address for a test. Its first call gets the port of plain TCP, later calls the port of WebSockets."""
        self._given += 1
        return "127.0.0.1", self._ports["plain" if self._given == 1 else "web"]

    def run(self, hostname: str, port: int, *, password: str | None, ssl: bool, **others: Any) -> None:
        if ssl:
            raise runner.NotImplementedByController("TLS")
        self.hostname, self.port, self._password = hostname, port, password or ""
        # One connection sees another's message after the commit: the clients of these tests do not wait for it.
        self.sync_sleep_time = _COMMIT_SECONDS if others.get("websocket_port") else 0.0
        if "whowas" in os.environ.get("PYTEST_CURRENT_TEST", ""):
            self._forget_guests()
        self._await_quiet()

    def _forget_guests(self) -> None:
        """WHOWAS knows the last two guests: others follow those of the tests before."""
        with contextlib.ExitStack() as stack:
            connections = []
            for nick in _FORGOTTEN_BY:
                connection = stack.enter_context(socket.create_connection((self.hostname, self.port), timeout=30))
                connection.sendall(f"NICK {nick}\r\nUSER other 0 * :other\r\nQUIT\r\n".encode())
                connections.append(connection)
            for connection in connections:
                connection.makefile("rb").read()

    def _await_quiet(self) -> None:
        """The guests of the test before leave when their connections end."""
        deadline = time.monotonic() + _QUIET_SECONDS
        time.sleep(0.1)
        while _guests(self.hostname, self.port, self._password) and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self) -> None:
        """The installation goes on without the accounts of the test."""
        if "account_registration" in os.environ.get("PYTEST_CURRENT_TEST", ""):
            adopt(self._ports["web"], *_REGISTERED)
        delete_all(self._ports["web"])

    def kill_proc(self) -> None:
        """The installation goes on."""

    def check_is_alive(self) -> None:
        """The installation is watched by the suite."""

    def wait_for_services(self) -> None:
        """Accounts are registered without them."""

    def registerUser(self, case: Any, username: str, password: str | None = None) -> None:
        register(self._ports["web"], username, password or "")


def _guests(hostname: str, port: int, password: str) -> int:
    """The number of users on the server, without the connection that asks."""
    with socket.create_connection((hostname, port), timeout=5) as connection:
        connection.sendall(
            f"PASS :{password}\r\nNICK watcher\r\nUSER watcher 0 * :watcher\r\nLUSERS\r\nQUIT\r\n".encode()
        )
        lines = connection.makefile("rb").read().decode(errors="replace").splitlines()
    counted = [line.partition(" and ")[2] for line in lines if " 251 " in line]
    return int(counted[0].split(" ")[0]) - 1 if counted else 0


def get_irctest_controller_class() -> type[DragomanController]:
    return DragomanController
