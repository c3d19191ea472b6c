"""Free TCP ports on loopback for the embedded servers."""

import contextlib
import random
import socket

# Below what systems hand out to outgoing connections: a client that reconnects to a dead server's port must never be
# given that very port as its own.
_LOWEST, _HIGHEST = 20_000, 32_000
_TRIES = 200


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on now. Raises OSError when none is found."""
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, _HIGHEST)  # noqa: S311 (no secret)
        with contextlib.suppress(OSError):
            try_to_bind(host, port)
            return port
    raise OSError(f"no free port on {host} between {_LOWEST} and {_HIGHEST}")


def try_to_bind(host: str, port: int) -> None:
    """Raises OSError when nobody could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
