"""Pictures pass a whole edge and real sockets: between protocols, to slow readers, and with disconnects."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from local.ports import free_port
from services.edge.app import serve
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import ChatId
from shared.settings import Settings
from tests.support.waiting import WAIT_SECONDS
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

    async def v0(self, code: int, **data: object) -> None:
        await self.socket.send(json.dumps({"code": code, "data": {"cid": CHAT, "sender_id": self.number, **data}}))

    async def upload(self, parts: list[bytes], size: int | None = None) -> None:
        await self.v0(2, packages_num=len(parts), size=size or sum(map(len, parts)))
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

    async def client(self, dialect: str, account: int, **options: Any) -> PictureClient:
        socket = await self._connect(f"ws://127.0.0.1:{self._port}/ws/ourchat-{dialect}", options)
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

    async def _connect(self, address: str, options: dict[str, Any]) -> ClientConnection:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    connecting = connect(address, max_size=None, close_timeout=1, **options)
                    return await self._stack.enter_async_context(connecting)
                except OSError:
                    await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(cluster: EdgeCluster, **settings: Any) -> AsyncIterator[PictureEdge]:
    """A running edge, and a chat of the accounts 1, 2 and 3."""
    cluster.backend.add_chat(CHAT, 1, 2, 3)
    port, stopping = free_port(), asyncio.Event()
    edge_settings = Settings(
        **{
            "nats": cluster.nats.settings("edge"),
            "redis": cluster.valkey.settings("edge"),
            "media": {"directory": cluster.media_directory},
            "edge": {"port": port, "drain_seconds": 0.1, "confirm_interval_seconds": 0.1},
            "limits": {"rates": False},
            **settings,
        }
    )
    running = asyncio.create_task(serve(edge_settings, stopping))
    async with AsyncExitStack() as stack:
        yield PictureEdge(port, stack)
    stopping.set()
    await running


@pytest.fixture
async def edge(cluster: EdgeCluster) -> AsyncIterator[PictureEdge]:
    async with serving(cluster) as edge:
        yield edge


async def until_read(cluster: EdgeCluster, account: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while cluster.backend.undelivered(account, CHAT):
            await asyncio.sleep(0.02)


async def until_no_temporary_files(cluster: EdgeCluster) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while list((cluster.media_directory / "spool").iterdir()):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("count", [1, 3, 50])
async def test_every_client_receives_a_picture_in_its_own_protocol(
    cluster: EdgeCluster, edge: PictureEdge, count: int
) -> None:
    ann, bob, cem = await edge.client("v0", 1), await edge.client("v0", 2), await edge.client("v2", 3)
    step = -(-len(PICTURE) // count)
    parts = [PICTURE[at : at + step] for at in range(0, len(PICTURE), step)]
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
    await until_no_temporary_files(cluster)


async def test_a_slow_reader_delays_no_other_and_receives_everything_in_order(
    cluster: EdgeCluster, edge: PictureEdge
) -> None:
    ann, bob, cem = await edge.client("v0", 1), await edge.client("v0", 2), await edge.client("v0", 3)
    slow = await edge.client("v0", 2, max_queue=1)
    for _ in range(4):
        await ann.upload([PICTURE])
    await ann.v0(0, msg="after")
    for client in (ann, bob, cem):
        assert [b"".join(await client.transfer()) == PICTURE for _ in range(4)] == [True] * 4
        assert (await client.receive())["data"]["msg"] == "after"
    for _ in range(4):
        assert b"".join(await slow.transfer()) == PICTURE
        await asyncio.sleep(0.1)
    assert (await slow.receive())["data"]["msg"] == "after"
    await until_read(cluster, 2)


async def test_a_reader_that_leaves_half_way_receives_the_picture_at_the_next_login(
    cluster: EdgeCluster, edge: PictureEdge
) -> None:
    ann, bob = await edge.client("v0", 1), await edge.client("v0", 2, max_queue=1)
    await ann.upload([PICTURE[:300_000], PICTURE[300_000:600_000], PICTURE[600_000:]])
    assert (await bob.receive())["code"] == 2
    bob.socket.transport.abort()
    await ann.transfer()
    again = await edge.client("v0", 2)
    assert b"".join(await again.transfer()) == PICTURE
    await until_read(cluster, 2)
    await again.socket.close()
    once_more = await edge.client("v0", 2)
    await ann.v0(0, msg="news")
    assert (await once_more.receive())["data"]["msg"] == "news"


@pytest.mark.parametrize("polite", [True, False])
async def test_a_sender_that_leaves_half_way_has_sent_nothing(
    cluster: EdgeCluster, edge: PictureEdge, polite: bool
) -> None:
    ann, bob = await edge.client("v0", 1), await edge.client("v0", 2)
    await ann.upload([PICTURE[:300_000]], size=300_000)
    await ann.transfer()
    await ann.v0(2, packages_num=2, size=600_000)
    await ann.socket.send(PICTURE[:300_000])
    await ann.v0(0, msg="between")
    assert (await ann.receive())["data"]["msg"] == "between"
    if polite:
        await ann.socket.close()
    else:
        ann.socket.transport.abort()
    await until_no_temporary_files(cluster)
    await bob.transfer()
    assert (await bob.receive())["data"]["msg"] == "between"
    assert len(cluster.backend.chats[ChatId(CHAT)].messages) == 2


@pytest.mark.parametrize("failure", [ErrorCode.FORBIDDEN, ErrorCode.RATE_LIMITED])
async def test_a_rejected_picture_leaves_no_file(cluster: EdgeCluster, edge: PictureEdge, failure: ErrorCode) -> None:
    ann = await edge.client("v0", 1)
    cluster.message.failures.append(Failure(failure, "no"))
    await ann.upload([PICTURE])
    assert (await ann.receive())["code"] == ERROR
    async with asyncio.timeout(WAIT_SECONDS):
        while any((cluster.media_directory / "records").iterdir()):
            await asyncio.sleep(0.02)


async def test_an_account_beyond_its_quota_gets_its_dialect_s_error(cluster: EdgeCluster) -> None:
    async with serving(cluster, media={"directory": cluster.media_directory, "account_bytes_per_day": 10}) as edge:
        ann, bob = await edge.client("v0", 1), await edge.client("v0", 2)
        await ann.upload([b"12345678"])
        await ann.transfer()
        await ann.upload([b"123"])
        assert (await ann.receive())["code"] == ERROR
        await ann.v0(0, msg="a text")
        assert (await ann.receive())["data"]["msg"] == "a text"
        await bob.transfer()
        assert (await bob.receive())["data"]["msg"] == "a text"
        assert len(list((cluster.media_directory / "records").iterdir())) == 1
