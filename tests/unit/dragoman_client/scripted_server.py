"""A server for WebSocket and plain TCP in a separate thread. A script decides how it replies to each frame."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Script = Callable[[str], Sequence[str | bytes]]
"""A function that returns the frames with which the server replies to a frame. `HANG_UP` ends the connection."""
HANG_UP = "hang up"
CODE = 1012


class Addresses(NamedTuple):
    ws: str
    tcp: str


@contextmanager
def scripted(script: Script) -> Iterator[Addresses]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = asyncio.run_coroutine_threadsafe(_start(script), loop).result(10)
    host, port = servers[0].sockets[0].getsockname()[:2]
    tcp_port = servers[1].sockets[0].getsockname()[1]
    try:
        yield Addresses(f"ws://{host}:{port}", f"tcp://{host}:{tcp_port}")
    finally:
        asyncio.run_coroutine_threadsafe(_stop(*servers), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(script: Script) -> tuple[Server, asyncio.Server]:
    async def websocket(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in connection:
                for answer in script(str(frame)):
                    if answer == HANG_UP:
                        return await connection.close(CODE, "restarting")
                    await connection.send(answer)

    async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            for answer in script(line.decode().strip()):
                if answer == HANG_UP:
                    return writer.close()
                writer.write((answer if isinstance(answer, bytes) else answer.encode()) + b"\n")
        writer.close()

    return await serve(websocket, "127.0.0.1", 0), await asyncio.start_server(tcp, "127.0.0.1", 0)


async def _stop(websockets: Server, tcp: asyncio.Server) -> None:
    websockets.close()
    await websockets.wait_closed()
    tcp.close()
    await tcp.wait_closed()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
