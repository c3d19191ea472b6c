"""A chat server that makes mistakes on purpose. It has the part of OurChat v2 that users need to post messages."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
Spoil = Callable[[str, int, Frame], Sequence[Frame]]
"""A function that spoils deliveries.

It gets a member, the number of the delivery to this member (from 1), and the frame. It returns the frames to deliver
instead.
"""


def honest(member: str, number: int, frame: Frame) -> Sequence[Frame]:
    return [frame]


class FaultyServer:
    def __init__(self, spoil: Spoil, echoes: Spoil = honest) -> None:
        self._spoil = spoil
        self._echoes = echoes
        self._accounts = count(1)
        self._chats: dict[str, list[str]] = {}
        self._there: dict[str, ServerConnection] = {}
        self._delivered: dict[str, int] = {}
        # The keys are members. A login receives all messages that exist by then.
        self._messages: dict[str, list[Frame]] = {}
        self._time = count(1)

    async def serve(self, connection: ServerConnection) -> None:
        ocid = ""
        async for text in connection:
            frame = json.loads(text)
            match frame["code"]:
                case 4:
                    await self._send(connection, {"code": 5, "status": 0, "ocid": f"{next(self._accounts):010}"})
                case 6:
                    ocid = frame["account"]
                    self._there[ocid], missed = connection, list(self._messages.get(ocid, []))
                    await self._send(connection, {"code": 7, "status": 0, "ocid": ocid})
                    for message in missed:
                        await self._send(connection, message)
                case 8:
                    chat = str(len(self._chats) + 1)
                    self._chats[chat] = [ocid, *frame["members"]]
                    await self._send(connection, {"code": 9, "status": 0, "session_id": chat})
                case 0:
                    await self._post(ocid, frame)

    async def _post(self, sender: str, frame: Frame) -> None:
        frame["time"] = next(self._time)
        for member in self._chats[frame["sender"]["session_id"]]:
            number = self._delivered[member] = self._delivered.get(member, 0) + 1
            for one in (self._echoes if member == sender else self._spoil)(member, number, frame):
                self._messages.setdefault(member, []).append(one)
                # without a connection, the member receives the message at its next login
                with suppress(ConnectionClosed):
                    await self._send(self._there[member], one)

    async def _send(self, connection: ServerConnection, frame: Frame) -> None:
        await connection.send(json.dumps(frame, separators=(",", ":")))


@asynccontextmanager
async def faulty_server(spoil: Spoil, echoes: Spoil = honest) -> AsyncIterator[str]:
    """Runs a FaultyServer inside this context. Yields the server's address."""
    server = FaultyServer(spoil, echoes)
    async with serve(server.serve, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"ws://{host}:{port}"
