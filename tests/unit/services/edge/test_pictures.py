"""Pictures pass a whole edge and real sockets between protocols."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect

from services.edge.gateway import Gateway
from shared.contract.errors import ErrorCode, Failure
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


@pytest.fixture
async def gateway(cluster: EdgeCluster) -> Gateway:
    """The gateway of an edge with a chat of the accounts 1, 2 and 3."""
    cluster.backend.add_chat(CHAT, 1, 2, 3)
    return await cluster.open_gateway()


async def log_in(cluster: EdgeCluster, gateway: Gateway, dialect: str, account: int) -> PictureClient:
    address = f"ws://127.0.0.1:{gateway.port}/ws/ourchat-{dialect}"
    socket = await cluster.stack.enter_async_context(connect(address, close_timeout=1))
    login = {"v0": {"data": {"ocId": account, "password": "right"}}}
    v2 = {"login_type": 1, "account": str(account), "password": "right"}
    await socket.send(json.dumps({"code": 6, **login.get(dialect, v2)}))
    client = PictureClient(socket, account)
    assert (await client.receive())["code"] == 7
    return client


async def test_every_client_receives_a_picture_in_its_own_protocol(cluster: EdgeCluster, gateway: Gateway) -> None:
    ann, bob, cem = [await log_in(cluster, gateway, *one) for one in (("v0", 1), ("v0", 2), ("v2", 3))]
    parts = [PICTURE[:250_000], PICTURE[250_000:500_000], PICTURE[500_000:]]
    await ann.upload(parts)
    for client in (ann, bob):
        got = await client.transfer()
        assert b"".join(got) == PICTURE
        assert len(got) == len(parts)
    (segment,) = (await cem.receive())["msg"]
    assert (segment["type"], segment["size"]) == (2, len(PICTURE))
    assert segment["name"].endswith(".png")
    path = urlsplit(segment["url"]).path
    assert (await fetch(gateway.port, "GET", path)).body == PICTURE
    message = {"code": 0, "sender": {"session_id": CHAT}, "msg": [{"type": 3, "url": segment["url"], "name": "it.png"}]}
    await cem.socket.send(json.dumps(message))
    assert (await cem.receive())["msg"][0]["hash"] == segment["hash"]
    announced = await bob.receive()
    assert (announced["code"], announced["data"]["size"]) == (3, len(PICTURE))
    await until(lambda: not any((cluster.media_directory / "spool").iterdir()))


async def test_a_rejected_picture_leaves_no_file(cluster: EdgeCluster, gateway: Gateway) -> None:
    ann = await log_in(cluster, gateway, "v0", 1)
    cluster.message.failures.append(Failure(ErrorCode.FORBIDDEN, "no"))
    await ann.upload([PICTURE])
    assert (await ann.receive())["code"] == ERROR
    await until(lambda: not any((cluster.media_directory / "records").iterdir()))
