"""Forwards the connections of an inherited listening socket: `python -m tests.support.far_proxy DESCRIPTOR HOST PORT`.

The proxy connects to the server from the network of its own process, which may differ from the listener's network. A
connection ends when the server does not respond any more.
"""

import asyncio
import socket
import sys

from tests.support.proxy import TcpProxy

_SILENCE_SECONDS = 15.0


async def _serve(descriptor: int, host: str, port: int) -> None:
    await TcpProxy(port, host, _SILENCE_SECONDS).start(socket.socket(fileno=descriptor))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
