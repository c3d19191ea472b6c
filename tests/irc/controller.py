"""The controller with which irctest (https://github.com/progval/irctest) runs its tests against Dragoman.

`tests.irc.suite` starts one installation for all tests. irctest loads this module.
"""

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
"""The username and the password with which irctest's tests of REGISTER register an account."""


class DragomanController(BaseServerController):  # type: ignore[misc]
    """Gives irctest access to the running installation.

    The ports come from the environment: `plain` for TCP, `web` for WebSockets and HTTP.
    """

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
        """Returns the address for a test.

        The first call in a test returns the port of plain TCP, and later calls return the port of WebSockets.
        """
        self._given += 1
        return "127.0.0.1", self._ports["plain" if self._given == 1 else "web"]

    def run(self, hostname: str, port: int, *, password: str | None, ssl: bool, **others: Any) -> None:
        if ssl:
            raise runner.NotImplementedByController("TLS")
        self.hostname, self.port, self._password = hostname, port, password or ""
        # A message is shown to other connections only after its commit. The WebSocket clients of these tests do not
        # wait for it.
        self.sync_sleep_time = _COMMIT_SECONDS if others.get("websocket_port") else 0.0
        if "whowas" in os.environ.get("PYTEST_CURRENT_TEST", ""):
            self._forget_guests()
        self._await_quiet()

    def _forget_guests(self) -> None:
        """Makes the server forget the guests of earlier tests.

        WHOWAS remembers only the last two guests, so two others connect here.
        """
        with contextlib.ExitStack() as stack:
            connections = []
            for nick in _FORGOTTEN_BY:
                connection = stack.enter_context(socket.create_connection((self.hostname, self.port), timeout=30))
                connection.sendall(f"NICK {nick}\r\nUSER other 0 * :other\r\nQUIT\r\n".encode())
                connections.append(connection)
            for connection in connections:
                connection.makefile("rb").read()

    def _await_quiet(self) -> None:
        """Waits until the guests of the previous test are gone. They leave when their connections end."""
        deadline = time.monotonic() + _QUIET_SECONDS
        time.sleep(0.1)
        while _guests(self.hostname, self.port, self._password) and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self) -> None:
        """Deletes the accounts of the test. The installation continues to run."""
        if "account_registration" in os.environ.get("PYTEST_CURRENT_TEST", ""):
            adopt(self._ports["web"], *_REGISTERED)
        delete_all(self._ports["web"])

    def kill_proc(self) -> None:
        """Does nothing, because the installation continues to run for the next tests."""

    def check_is_alive(self) -> None:
        """Does nothing, because the suite watches the installation."""

    def wait_for_services(self) -> None:
        """Does nothing. Accounts are registered without the separate services that other IRC servers have."""

    def registerUser(self, case: Any, username: str, password: str | None = None) -> None:
        register(self._ports["web"], username, password or "")


def _guests(hostname: str, port: int, password: str) -> int:
    """Returns the number of users on the server, without the connection that asks for it."""
    with socket.create_connection((hostname, port), timeout=5) as connection:
        connection.sendall(
            f"PASS :{password}\r\nNICK watcher\r\nUSER watcher 0 * :watcher\r\nLUSERS\r\nQUIT\r\n".encode()
        )
        lines = connection.makefile("rb").read().decode(errors="replace").splitlines()
    counted = [line.partition(" and ")[2] for line in lines if " 251 " in line]
    return int(counted[0].split(" ")[0]) - 1 if counted else 0


def get_irctest_controller_class() -> type[DragomanController]:
    return DragomanController
