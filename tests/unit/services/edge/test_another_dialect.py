"""Clients of the sample dialect (docs/develop/dialect-tutorial.md) and of OurChat v2 are in one chat, over WebSocket
and plain TCP.
"""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from local.ports import free_port
from services.edge.gateway import Gateway
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS

ANN, BOB, ROOM = 1, 2, 7
BOBS_LOGIN = ("CAP LS 302", "PASS right", f"NICK {BOB}", f"USER {BOB} 0 * :Bob")


@pytest.fixture
async def gateway(cluster: EdgeCluster) -> Gateway:
    """The gateway of an edge with the sample dialect and plain TCP."""
    # IRC is left out, because its first lines look the same
    cluster.dialects = tuple(entry for entry in ALL_DIALECTS if entry.name != "irc")
    cluster.backend.add_chat(ROOM, ANN, BOB)
    return await cluster.open_gateway(tcp_port=free_port())


@pytest.fixture
def address(gateway: Gateway) -> str:
    return f"ws://127.0.0.1:{gateway.port}"


class WebSocketClient:
    """One client with real frames of a dialect."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, *frames: object) -> None:
        for frame in frames:
            await self._socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self, wanted: str = "") -> Any:
        """Returns the next frame that contains this text."""
        async with asyncio.timeout(WAIT_SECONDS):
            while wanted not in (frame := str(await self._socket.recv())):
                pass
        return json.loads(frame) if frame.startswith("{") else frame


async def test_users_of_two_dialects_chat(address: str) -> None:
    async with connect(address, proxy=None) as ann_socket, connect(address, proxy=None) as bob_socket:
        ann, bob = WebSocketClient(ann_socket), WebSocketClient(bob_socket)
        await ann.send({"code": 6, "login_type": 1, "account": "0000000001", "password": "right"})
        assert (await ann.receive())["ocid"] == "0000000001"
        await bob.send(*BOBS_LOGIN)
        assert await bob.receive() == "CAP * LS :"
        assert await bob.receive() == f":server 001 {BOB} :welcome"
        assert await bob.receive("JOIN") == f":{BOB} JOIN #{ROOM}"

        text = "Hello,\n:1 PRIVMSG #7 :Bob!"
        await ann.send({"code": 0, "sender": {"session_id": "7"}, "msg": [{"type": 0, "text": text}]})
        assert await bob.receive("PRIVMSG") == f":{ANN} PRIVMSG #{ROOM} :Hello, :1 PRIVMSG #7 :Bob!"
        await bob.send(f"PRIVMSG #{ROOM} :Hi \u2028 Ann", f"PRIVMSG #{ROOM} :{{Hi}} Ann", "PING 5")
        assert await bob.receive() == f":server 400 {BOB} * :one line with a command is expected"
        assert await bob.receive() == f":{BOB} PRIVMSG #{ROOM} :{{Hi}} Ann"
        assert await bob.receive() == "PONG server :5"
        received = await ann.receive("Hi")
        assert received["sender"] == {"ocid": "0000000002", "session_id": "7"}
        assert received["msg"] == [{"type": 0, "text": "{Hi} Ann"}]


async def test_lines_on_plain_tcp_end_as_the_dialect_defines(gateway: Gateway) -> None:
    port = gateway._settings.tcp_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(f"{line}\r\n" for line in (*BOBS_LOGIN, "PING x", "QUIT")).encode())
    async with asyncio.timeout(WAIT_SECONDS):
        lines = (await reader.read()).split(b"\r\n")
    writer.close()
    lines = [line for line in lines if b"JOIN" not in line]
    expected = [b"CAP * LS :", b":server 001 2 :welcome", b"PONG server :x", b"ERROR :closing the connection", b""]
    assert lines == expected


@pytest.mark.parametrize(("path", "subprotocol"), [("/ws/sample-irc", None), ("/ws", "sample.irc")])
async def test_it_has_its_own_path_and_subprotocol(address: str, path: str, subprotocol: Any) -> None:
    subprotocols = [subprotocol] if subprotocol else None
    async with connect(address + path, proxy=None, subprotocols=subprotocols) as socket:
        assert socket.subprotocol == subprotocol
        client = WebSocketClient(socket)
        await client.send("hello")
        assert await client.receive() == ":server 400 * HELLO :unknown command, or a wrong number of parameters"
