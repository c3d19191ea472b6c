"""Bytes are written directly to the socket, unless earlier bytes wait in the transport.

Tests their order, and the end of the socket.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from services.edge.gateway.flood import ReceiveBudget
from services.edge.gateway.framing import frame_bytes
from services.edge.gateway.parser import FrameParserPool
from services.edge.gateway.socket_options import descriptor
from services.edge.gateway.websocket import _MAX_WRITERS, WebSocket, WriteBatch
from shared.settings.limits import LimitsSettings
from tests.support.sockets import reset_on_close
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.raw import TEXT, RawPeer
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

PADDING = b"x" * 50_000


async def test_messages_keep_their_order_while_and_after_bytes_wait(
    stalled_peer: RawPeer, endpoint: RecordingEndpoint
) -> None:
    sent = (await endpoint.client()).socket

    async def send(numbers: range) -> None:
        for number in numbers:
            sent.send((b"%d" % number + PADDING,))
            await asyncio.sleep(0)

    async def read(numbers: range) -> None:
        for number in numbers:
            assert await stalled_peer.frame() == (TEXT, b"%d" % number + PADDING)

    await send(range(30))
    assert sent.unsent() > len(PADDING)
    stalled_peer.start_reading()
    await asyncio.gather(send(range(30, 60)), read(range(60)))
    assert sent.unsent() == 0
    await send(range(60, 62))
    await read(range(60, 62))


class RecordedTransport(asyncio.Transport):
    def __init__(self, number: int, written: list[int]) -> None:
        super().__init__()
        self._number = number
        self._written = written

    def write(self, data: object) -> None:
        assert data == frame_bytes(TEXT, b"hello")
        self._written.append(self._number)

    def get_write_buffer_size(self) -> int:
        return 0


async def test_sockets_are_written_once_at_the_end_of_the_tick_and_never_too_many_wait() -> None:
    """The sockets of a very large group are written in parts. A part that is written is not kept."""
    written: list[int] = []
    batch, parsers = WriteBatch(asyncio.get_running_loop()), FrameParserPool(1_000)
    message = (b"hello",)
    for number in range(2 * _MAX_WRITERS + 1):
        transport = RecordedTransport(number, written)
        WebSocket(transport, parsers(), LimitsSettings(), ReceiveBudget(1_000), batch, lambda _: None).send(message)
        assert len(written) == number // _MAX_WRITERS * _MAX_WRITERS
        assert len(batch.framed_cache) == (number not in (_MAX_WRITERS, 2 * _MAX_WRITERS))
    await asyncio.sleep(0)
    assert written == list(range(2 * _MAX_WRITERS + 1))
    assert not batch.framed_cache


async def test_a_write_to_a_connection_that_was_reset_ends_it(peer: RawPeer, client: RecordingClient) -> None:
    client.socket.send((b"first",))
    assert await peer.frame() == (TEXT, b"first")
    peer.reset()
    await asyncio.sleep(0)
    for _ in range(3):
        client.socket.send((b"lost",))
    await client.until("closed")
    assert client.unacknowledged_at == {"closed": None}


def test_an_encrypted_connection_is_written_by_its_transport() -> None:
    with socket.socket() as plain:
        assert descriptor(asyncio.Transport({"socket": plain})) == plain.fileno()
        assert descriptor(asyncio.Transport({"socket": plain, "ssl_object": object()})) == -1


class EndOfSocket(asyncio.Protocol):
    """Records whether the socket is still open when the event loop reports its end."""

    def __init__(self) -> None:
        self.connected = asyncio.get_running_loop().create_future()
        self.was_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._descriptor = descriptor(cast(asyncio.Transport, transport))
        self.connected.set_result(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.was_open.set_result(stat.S_ISSOCK(os.fstat(self._descriptor).st_mode))


def reset(_: asyncio.Transport, peer: socket.socket) -> None:
    reset_on_close(peer)
    peer.close()


def write_after_reset(transport: asyncio.Transport, peer: socket.socket) -> None:
    reset(transport, peer)
    transport.write(b"lost")


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize(
    "end",
    [
        lambda transport, _: transport.abort(),
        lambda transport, _: transport.close(),
        lambda _, peer: peer.close(),
        reset,
        write_after_reset,
    ],
    ids=["abort", "close", "end of stream", "reset", "write after reset"],
)
def test_a_loop_closes_a_socket_only_after_it_has_reported_the_end(
    end: Callable[[asyncio.Transport, socket.socket], None], factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """If the loop closed it earlier, a message could be written to the next client, which gets the same descriptor."""

    async def run() -> bool:
        loop, ends = asyncio.get_running_loop(), list[EndOfSocket]()

        def connected() -> EndOfSocket:
            ends.append(EndOfSocket())
            return ends[-1]

        server = await loop.create_server(connected, "127.0.0.1", 0)
        async with server, asyncio.timeout(WAIT_SECONDS):
            with socket.create_connection(server.sockets[0].getsockname()) as peer:
                while not ends:
                    await asyncio.sleep(0)
                end(await ends[0].connected, peer)
                return bool(await ends[0].was_open)

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(run())
