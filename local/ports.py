"""Finds free TCP ports on loopback. Each port is reserved, so that no other process of this user gets it from this
module."""

import fcntl
import os
import random
import tempfile
from pathlib import Path

from shared.listening import listen

# The ports are below the range of ephemeral ports. Otherwise a client that reconnects to a dead server could get the
# server's port as its own source port.
_LOWEST, _HIGHEST = 10_000, 32_000
_TRIES = 200


class NoFreePort(OSError):
    """No free port was found. The message contains the reason, for example that the machine has no address
    127.0.0.1."""


class _Reservations:
    """Reserves ports until this process ends, because a restarted server needs the same port again. Port n is reserved
    by a lock of byte n in a shared file."""

    def __init__(self) -> None:
        self._mine: set[int] = set()
        self._descriptor: int | None = None

    def reserve(self, port: int) -> bool:
        """Reserve a port. Returns False if it is reserved already. Raises OSError if the shared file cannot be
        opened."""
        if port in self._mine:
            return False
        if self._descriptor is None:
            path = Path(tempfile.gettempdir()) / f"dragoman-ports-{os.getuid()}"
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):
            return False
        self._mine.add(port)
        return True


_reservations = _Reservations()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port without a listener, and reserve it for this process. Raises NoFreePort."""
    return free_ports(1, host)


def free_ports(count: int, host: str = "127.0.0.1") -> int:
    """Return the first of `count` consecutive ports without listeners, and reserve them for this process. Raises
    NoFreePort."""
    failure = "all are taken"
    for _ in range(_TRIES):
        first = random.SystemRandom().randrange(_LOWEST, _HIGHEST)
        row = range(first, first + count)
        try:
            for port in row:
                try_to_bind(host, port)
            if all(map(_reservations.reserve, row)):
                return first
        except OSError as error:
            failure = error.strerror or str(error)
    raise NoFreePort(f"no port of {host} between {_LOWEST} and {_HIGHEST} is free: {failure}")


def reserve(port: int) -> None:
    """Reserve this port, so that `free_port` does not return it. Does nothing if it is reserved already."""
    _reservations.reserve(port)


def try_to_bind(host: str, port: int) -> None:
    """Check that a server can listen there now. Raises OSError if it cannot."""
    for listener in listen(host, port):
        listener.close()
