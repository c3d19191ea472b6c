"""A native server for tests. The test itself replies to messages; the server replies to all other commands at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

ACCOUNT = 12
_SECONDS = 20.0
_REPLIES: dict[str, list[dict[str, Any]]] = {
    "token": [{"account": ACCOUNT}],
    "sync": [{"epoch": "e1", "reset": False, "chats": [], "gone": [], "away": []}, {"ev": "synced", "chats": 0}],
    "ping": [{}],
    "history": [{"messages": [], "head": 0, "more": False, "rev": 0}],
}


class Sent(NamedTuple):
    """A command that waits for a reply from the test."""

    connection: ServerConnection
    command: dict[str, Any]

    async def push(self, *frames: dict[str, Any] | str) -> None:
        """Sends a frame to the client. `$id` in it stands for the id of this command."""
        for frame in frames:
            text = frame if isinstance(frame, str) else json.dumps({**frame, **_own(frame, self.command["id"])})
            await self.connection.send(text)

    async def reply(self, **result: Any) -> dict[str, Any]:
        await self.push({"re": "$id", **result})
        return self.command

    async def end(self, code: int, reason: str) -> None:
        """Ends the connection. If the code is 1006, no close frame is sent."""
        if code == 1006:
            self.connection.transport.abort()
        else:
            await self.connection.close(code, reason)


def _own(frame: dict[str, Any], id: int) -> dict[str, Any]:
    return {"re": id} if frame.get("re") == "$id" else {}


class PlayedServer:
    def __init__(self) -> None:
        self.url = ""
        self.replies = dict(_REPLIES)
        """The commands that the server replies to at once, with their replies and events.

        The test replies to all others.
        """
        self.tokens: list[str] = []
        """The tokens of the logins, in the order of the logins."""
        self._sent = asyncio.Queue[Sent]()

    async def sent(self, op: str = "send") -> Sent:
        """Waits for the next command that the test must reply to."""
        async with asyncio.timeout(_SECONDS):
            sent = await self._sent.get()
        assert sent.command["op"] == op
        return sent

    async def store(self, index: int = 3) -> dict[str, Any]:
        """Accepts the next message."""
        sent = await self.sent()
        return await sent.reply(chat=5, index=index, id=index, time=1)

    @property
    def is_idle(self) -> bool:
        return self._sent.empty()

    async def _serve(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in connection:
                command = json.loads(frame)
                if command["op"] == "token" and "token" in command:
                    self.tokens.append(command["token"])
                if command["op"] not in self.replies:
                    self._sent.put_nowait(Sent(connection, command))
                for number, reply in enumerate(self.replies.get(command["op"], [])):
                    await connection.send(json.dumps(reply if number else {"re": command["id"], **reply}))


@asynccontextmanager
async def played() -> AsyncIterator[PlayedServer]:
    server = PlayedServer()
    options: dict[str, Any] = {"ping_interval": None, "close_timeout": 0.2}
    async with serve(server._serve, "127.0.0.1", 0, **options) as running:
        server.url = "ws://{}:{}".format(*running.sockets[0].getsockname()[:2])
        yield server
