"""Pictures pass a whole edge and real sockets between protocols."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from local.ports import free_port
from services.edge.app import serve
from shared.contract.errors import ErrorCode, Failure
from shared.settings import Settings
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.http.http_client import fetch

CHAT = 7
ERROR = 18
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(n * 31 % 251 for n in range(700_000))


class PictureClient:
    """One connection of v0 or v2."""

    def __init__(self, socket: ClientConnection, account: int) -> None:
        self.socket = socket
        self.number = f"{account:010d}"

    async def upload(self, parts: list[bytes]) -> None:
        data = {"cid": CHAT, "sender_id": self.number, "packages_num": len(parts), "size": sum(map(len, parts))}
        await self.socket.send(json.dumps({"code": 2, "data": data}))
        for part in parts:
            await self.socket.send(part)

    async def receive(self) -> Any:
        async with asyncio.timeout(WAIT_SECONDS):
            frame = await self.socket.recv()
        return frame if isinstance(frame, bytes) else json.loads(frame)

    async def transfer(self) -> list[bytes]:
        announced = await self.receive()
        assert announced["code"] == 2
        return [await self.receive() for _ in range(announced["data"]["packages_num"])]


class PictureEdge:
    def __init__(self, port: int, stack: AsyncExitStack) -> None:
        self._port = port
        self._stack = stack

    async def client(self, dialect: str, account: int) -> PictureClient:
        socket = await self._connect(f"ws://127.0.0.1:{self._port}/ws/ourchat-{dialect}")
        login = {"v0": {"data": {"ocId": account, "password": "right"}}}
        v2 = {"login_type": 1, "account": str(account), "password": "right"}
        await socket.send(json.dumps({"code": 6, **login.get(dialect, v2)}))
        client = PictureClient(socket, account)
        assert (await client.receive())["code"] == 7
        return client

    async def fetch(self, url: str) -> bytes:
        origin = f"http://127.0.0.1:{self._port}"
        assert url.startswith(origin)
        return (await fetch(self._port, "GET", url.removeprefix(origin))).body

    async def _connect(self, address: str) -> ClientConnection:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    return await self._stack.enter_async_context(connect(address, max_size=None, close_timeout=1))
                except OSError:
                    await asyncio.sleep(0.02)


@pytest.fixture
async def edge(cluster: EdgeCluster) -> AsyncIterator[PictureEdge]:
    """A running edge, and a chat of the accounts 1, 2 and 3."""
    cluster.backend.add_chat(CHAT, 1, 2, 3)
    port, stopping = free_port(), asyncio.Event()
    settings = Settings(
        nats=cluster.nats.settings("edge"),
        redis=cluster.valkey.settings("edge"),
        media={"directory": cluster.media_directory},
        edge={"port": port, "drain_seconds": 0.1},
        limits={"rates": False},
    )
    running = asyncio.create_task(serve(settings, stopping))
    async with AsyncExitStack() as stack:
        yield PictureEdge(port, stack)
    stopping.set()
    await running


async def test_every_client_receives_a_picture_in_its_own_protocol(cluster: EdgeCluster, edge: PictureEdge) -> None:
    ann, bob, cem = await edge.client("v0", 1), await edge.client("v0", 2), await edge.client("v2", 3)
    parts = [PICTURE[:250_000], PICTURE[250_000:500_000], PICTURE[500_000:]]
    await ann.upload(parts)
    for client in (ann, bob):
        got = await client.transfer()
        assert b"".join(got) == PICTURE
        assert len(got) == len(parts)
    (segment,) = (await cem.receive())["msg"]
    assert (segment["type"], segment["size"]) == (2, len(PICTURE))
    assert segment["name"].endswith(".png")
    assert await edge.fetch(segment["url"]) == PICTURE
    message = {"code": 0, "sender": {"session_id": CHAT}, "msg": [{"type": 3, "url": segment["url"], "name": "it.png"}]}
    await cem.socket.send(json.dumps(message))
    assert (await cem.receive())["msg"][0]["hash"] == segment["hash"]
    announced = await bob.receive()
    assert (announced["code"], announced["data"]["size"]) == (3, len(PICTURE))
    await until(lambda: not any((cluster.media_directory / "spool").iterdir()))


async def test_a_rejected_picture_leaves_no_file(cluster: EdgeCluster, edge: PictureEdge) -> None:
    ann = await edge.client("v0", 1)
    cluster.message.failures.append(Failure(ErrorCode.FORBIDDEN, "no"))
    await ann.upload([PICTURE])
    assert (await ann.receive())["code"] == ERROR
    await until(lambda: not any((cluster.media_directory / "records").iterdir()))
