"""A synchronous WebSocket connection for tests. Every wait has a time limit, and a thread answers pings."""

import json
import socket
from typing import Any

from websockets.sync.client import connect

SECONDS = 60.0


class Line:
    """One connection. `read` raises TimeoutError, and the ConnectionClosed of `websockets`."""

    def __init__(self, url: str) -> None:
        self._dialled = connect(
            url, max_size=None, max_queue=None, open_timeout=SECONDS, close_timeout=2, ping_interval=None, proxy=None,
            compression=None,
        )  # fmt: skip
        self._socket = self._dialled.__enter__()

    def send(self, frame: str | dict[str, Any]) -> None:
        self._socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    def read(self, seconds: float = SECONDS) -> str:
        frame = self._socket.recv(timeout=max(seconds, 0))
        assert isinstance(frame, str), "a binary frame"
        return frame

    def close(self) -> None:
        """Closes the connection with a closing handshake. Receives all frames that arrive until the handshake ends."""
        self._dialled.__exit__(None, None, None)

    def vanish(self) -> None:
        """Closes the socket without a closing handshake."""
        self._socket.socket.shutdown(socket.SHUT_RDWR)
        self.close()
