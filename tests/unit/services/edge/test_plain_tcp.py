"""An edge has OurChat v0 clients on plain TCP."""

import json
from typing import Any
from unittest.mock import ANY

import pytest

from local.ports import free_port
from services.edge.app import Edge
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.gateway.raw import RawPeer

LONG = "x" * 12_000


class V0TcpClient(RawPeer):
    def send_json(self, *frames: dict[str, Any]) -> None:
        self.send(*(json.dumps(frame).encode() for frame in frames))

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.until(b"\n"))
        return frame

    async def login(self, account: int) -> "V0TcpClient":
        self.send_json({"code": 6, "data": {"ocId": str(account), "password": "right"}})
        assert await self.receive() == {"code": 7, "data": {"state": 0, "token": ANY}}
        return self


def text(account: int, chat: int, message: str) -> dict[str, Any]:
    return {"code": 0, "data": {"cid": chat, "sender_id": f"{account:010d}", "msg": message}}


async def start_tcp(cluster: EdgeCluster, **settings: Any) -> tuple[Edge, int]:
    """Starts an edge with these settings of the section `edge`. Returns its port for plain TCP."""
    port = free_port()
    await cluster.open_gateway(tcp_port=port, **settings)
    return cluster.edges[0], port


async def test_pacing_delays_messages(cluster: EdgeCluster) -> None:
    """No client is dropped because its pongs wait for the edge's own pacing."""
    edge, port = await start_tcp(
        cluster, tcp_pacing_ms=250, confirm_interval_seconds=0.1, ping_interval_seconds=0.2, pong_timeout_seconds=1.2
    )
    cluster.backend.add_chat(7, 1, 2)
    async with await V0TcpClient.dial(port) as peer:
        await peer.login(1)
        for number in range(10):
            await cluster.message.send_texts(7, 2, str(number))
        received = list[object]()
        while len(received) < 10:  # on a stalled machine, one read may return several lines
            received += map(json.loads, (await peer.some()).splitlines())
        assert received == [text(2, 7, str(number)) for number in range(10)]
        await until(lambda: cluster.backend.undelivered(1, 7) == [])
        await until(lambda: edge.context.metrics.tcp._value.get() == 1)


@pytest.mark.parametrize(
    ("settings", "closes"),
    [({"outgoing_bytes": 100_000}, 1), ({"ping_interval_seconds": 0.2, "pong_timeout_seconds": 0.5}, 0)],
    ids=["buffer", "pong"],
)
async def test_a_client_that_does_not_read_is_dropped_and_has_read_nothing(
    cluster: EdgeCluster, settings: dict[str, Any], closes: int
) -> None:
    edge, port = await start_tcp(cluster, confirm_interval_seconds=0.2, **settings)
    cluster.backend.add_chat(7, 1, 2, 3)
    async with await V0TcpClient.dial(port, receive_buffer=4096) as slow, await V0TcpClient.dial(port) as other:
        await slow.login(1)
        await other.login(2)
        slow.stop_reading()
        for number in range(40):
            await cluster.message.send_texts(7, 3, f"{number} {LONG}")
            assert await other.receive() == text(3, 7, f"{number} {LONG}")
        await until(lambda: len(edge.endpoint.clients) == 1)
        assert edge.context.metrics.closed.labels(1013)._value.get() == closes
        await cluster.message.send_texts(7, 3, "still here")
        assert await other.receive() == text(3, 7, "still here")
    assert 41 in cluster.backend.undelivered(1, 7)
