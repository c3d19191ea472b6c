"""The socket options that the gateway sets, and the length of the kernel's send queue."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Final

from shared import listening

BACKLOG = 2048
_SEND_BUFFER_BYTES = 128 * 1024
_UNACKNOWLEDGED_MILLISECONDS = 15_000
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 30, 10, 3
_TCP_CLOSE: Final = 7
REPORTS_UNACKNOWLEDGED: Final = sys.platform == "linux"
"""Whether `unacknowledged` works on this system."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen with one socket for each address of the host. Accepted sockets inherit two options. With a small send
    buffer, it is soon noticed that a peer does not read. A time limit ends connections whose peer acknowledges nothing.
    Raises OSError, for example when the port is taken."""
    listeners = listening.listen(host, port, BACKLOG)
    for listener in listeners:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)
    return listeners


def keep_alive(listener: socket.socket) -> None:
    """Make the kernel probe silent peers. Accepted sockets inherit this option."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def descriptor(transport: asyncio.Transport) -> int:
    """The descriptor of the socket, for writing to the socket without its transport. -1 if the transport is encrypted
    or has no socket."""
    connection = transport.get_extra_info("socket")
    if connection is None or transport.get_extra_info("ssl_object") is not None:
        return -1
    number: int = connection.fileno()
    return number


def unacknowledged(transport: asyncio.Transport) -> int | None:
    """The bytes in the kernel that the peer's kernel has not acknowledged (SIOCOUTQ). None if this is not known, on
    other systems or after a reset of the connection."""
    if sys.platform != "linux":
        return None
    connection = transport.get_extra_info("socket")
    try:
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
            return None
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return None
    return int(struct.unpack("i", queued)[0])
