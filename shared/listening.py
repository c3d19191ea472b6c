"""Opens listening sockets on every address of a host. For example, `localhost` is 127.0.0.1 and ::1."""

import errno
import os
import socket
from contextlib import ExitStack

_UNUSABLE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""The errors of an address that this machine does not have."""
_ATTEMPTS = 20


def listen(host: str, port: int, backlog: int = 128) -> list[socket.socket]:
    """Open one socket for each local address of the host, all on one port. The host `::` also means all IPv4 addresses.
    Raises OSError, for example if the port is taken."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _listen(addresses(host), port, backlog)
        except OSError as error:  # a port that is free at the first address may be taken at the second
            if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS:
                raise
    raise AssertionError


def addresses(host: str) -> list[tuple[int, str]]:
    """The family and address of each address of the host. Raises OSError for an unknown name."""
    # given a text, Python would load tables for international names, which take 0.4 MiB
    found = socket.getaddrinfo(host.encode(), 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _listen(places: list[tuple[int, str]], port: int, backlog: int) -> list[socket.socket]:
    unusable: OSError | None = None
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in places:
            both = address == "::" and socket.has_dualstack_ipv6()
            try:
                listener = socket.create_server((address, port), family=family, backlog=backlog, dualstack_ipv6=both)
            except OSError as error:
                if error.errno not in _UNUSABLE:
                    raise OSError(error.errno, os.strerror(error.errno or 0)) from error
                unusable = error
                continue
            sockets.append(opened.enter_context(listener))
            port = listener.getsockname()[1]
        if unusable is not None and not sockets:
            raise unusable
        opened.pop_all()
        return sockets
