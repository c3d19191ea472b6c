"""A dialect that came from elsewhere and one of the house, in one chat, over the sockets of an edge."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.edge.gateway import Gateway
from shared.settings import Edge, Limits
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import PATIENCE_SECONDS
from tests.unit.services.edge.dialects.spoken import SPOKEN

ANN, BOB, ROOM = 1, 2, 7


async def no_http(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("only sockets are opened here")


@pytest.fixture
async def address(town: Town) -> AsyncIterator[str]:
    """Of an edge that speaks the sixth dialect, too."""
    town.dialects = SPOKEN
    town.world.room(ROOM, ANN, BOB)
    edge = await town.edge()
    gateway = Gateway(Edge(port=0), Limits(), edge.endpoint, no_http)
    await gateway.start()
    yield f"ws://127.0.0.1:{gateway.port}"
    await gateway.close()


class Talker:
    """One client; frames are as they stand on the wire."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def ask(self, frame: object) -> Any:
        """The reply, where nothing else comes before it."""
        await self._socket.send(frame if isinstance(frame, str) else json.dumps(frame))
        return await self.heard()

    async def heard(self, wanted: str = "") -> Any:
        """The next frame that holds this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while wanted not in (frame := str(await self._socket.recv())):
                pass
        return json.loads(frame) if frame.startswith("{") else frame


async def test_two_people_talk_each_in_words_of_their_own(address: str) -> None:
    async with connect(address, proxy=None) as ann_socket, connect(address, proxy=None) as bob_socket:
        ann, bob = Talker(ann_socket), Talker(bob_socket)
        login = {"code": 6, "login_type": 1, "account": "0000000001", "password": "right"}
        assert (await ann.ask(login))["ocid"] == "0000000001"
        assert await bob.ask(f"login {BOB} right") == f"hello {BOB}"

        said = {"code": 0, "sender": {"session_id": "7"}, "msg": [{"type": 0, "text": "Hello,\nheard 7 1 Bob!"}]}
        await ann_socket.send(json.dumps(said))
        assert await bob.heard("heard") == f"heard {ROOM} {ANN} Hello, heard 7 1 Bob!"
        assert await bob.ask(f"say {ROOM} {{Hi}} \u2028 Ann") == "no one line is expected"
        assert await bob.ask(f"say {ROOM} {{Hi}} Ann") == f"sent {ROOM} 2"
        told = await ann.heard("Hi")
        assert told["sender"] == {"ocid": "0000000002", "session_id": "7"}
        assert told["msg"] == [{"type": 0, "text": "{Hi} Ann"}]


@pytest.mark.parametrize(("path", "subprotocol"), [("/ws/telegraph", None), ("/ws", "telegraph")])
async def test_it_has_its_own_doors(address: str, path: str, subprotocol: Any) -> None:
    subprotocols = [subprotocol] if subprotocol else None
    async with connect(address + path, proxy=None, subprotocols=subprotocols) as socket:
        assert socket.subprotocol == subprotocol
        assert await Talker(socket).ask("hello") == "no login, say or tell is expected, and two words more"


async def test_what_begins_like_none_of_them_is_not_spoken(address: str) -> None:
    async with connect(address, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await Talker(socket).ask("hello")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
