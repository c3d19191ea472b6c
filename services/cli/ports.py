"""Free TCP ports on loopback, reserved among all processes of this user that ask here."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

# Below what systems hand out to outgoing connections: a client that reconnects to a dead server's port must never be
# given that very port as its own.
_LOWEST, _HIGHEST = 10_000, 32_000
_TRIES = 200


class _Reservations:
    """A port stays reserved for as long as this process lives, so that a server of ours that is down for a moment
    finds its port again: byte n of a shared file is locked for port n."""

    def __init__(self) -> None:
        self._mine: set[int] = set()
        self._descriptor: int | None = None

    def reserve(self, port: int) -> bool:
        """False when it is somebody else's. Raises OSError when there is no place for the shared file."""
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
    """A port that nothing listens on now, and that nobody else is given. Raises OSError when none is found."""
    for _ in range(_TRIES):
        port = random.SystemRandom().randrange(_LOWEST, _HIGHEST)
        with contextlib.suppress(OSError):
            try_to_bind(host, port)
            if _reservations.reserve(port):
                return port
    raise OSError(f"no port on {host} between {_LOWEST} and {_HIGHEST} can be had")


def try_to_bind(host: str, port: int) -> None:
    """Raises OSError when nobody could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
