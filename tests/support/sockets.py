"""Socket options that tests set."""

import socket
import struct


def reset_on_close(connection: socket.socket) -> None:
    """When the socket is closed, it sends RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
