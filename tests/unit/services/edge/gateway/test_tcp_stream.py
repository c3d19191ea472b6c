"""One plain TCP connection."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from local.ports import free_port
from services.edge.canonical.frames import Frame
from tests.support.waiting import until
from tests.unit.services.edge.gateway.conftest import MESSAGE_BYTES, Start
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

LARGE = b'"' + b"x" * 200_000 + b'"'
ENDED = ("input_ended", "peer_closing", "closed")


async def serve(start: Start, **options: Any) -> int:
    """Starts a gateway with a port for plain TCP, and returns this port."""
    port = free_port()
    await start(tcp_port=port, **options)
    return port


@pytest.fixture
async def port(start: Start) -> int:
    return await serve(start)


@pytest.fixture
async def peer(port: int) -> AsyncIterator[RawPeer]:
    async with await RawPeer.dial(port) as peer:
        yield peer


async def greeted(peer: RawPeer, endpoint: RecordingEndpoint) -> RecordingClient:
    """Sends a first message, and returns the edge's side of the connection."""
    client = await endpoint.client()
    peer.send(b"{}")
    await client.until(b"{}")
    return client


def close_after_input(client: RecordingClient) -> None:
    """Closes the connection when all requests have their replies, as the edge does."""
    client.on_end = lambda: client.socket.close(1000, "")


async def line(peer: RawPeer) -> bytes:
    return await peer.until(b"\n")


async def dropped(peer: RawPeer) -> None:
    """Waits until the connection is dropped without any data."""
    with suppress(ConnectionResetError):
        assert await peer.rest() == b""


async def test_the_handshake_of_plain_tcp(peer: RawPeer, endpoint: RecordingEndpoint) -> None:
    hello = (await endpoint.client()).handshake
    assert (hello.path, hello.address, hello.binary) == ("/", "127.0.0.1", False)
    assert hello.host.startswith("127.0.0.1:")


async def test_each_message_out_is_a_line(peer: RawPeer, client: RecordingClient) -> None:
    peer.send(b"hello|\n")
    await client.until(b"hello|")
    client.socket.send((b"one\ntwo", b"three"))
    client.socket.send((b"four",))
    assert await peer.until(b"four\n") == b"one two\nthree\nfour\n"
    assert client.socket.sent_bytes == len(b"one two\nthree\nfour\n")


async def test_each_message_out_has_the_client_s_line_ending(peer: RawPeer, client: RecordingClient) -> None:
    client.line_ending = b"\r\n"
    peer.send(b"PING :x\r\n")
    await client.until(b"PING :x\r")
    client.socket.send((b"PONG :x", b"two\r\nlines"))
    assert await peer.until(b"lines\r\n") == b"PONG :x\r\ntwo  lines\r\n"
    assert client.socket.sent_bytes == len(b"PONG :x\r\ntwo  lines\r\n")


async def test_messages_out_are_paced(start: Start, endpoint: RecordingEndpoint) -> None:
    port = await serve(start, tcp_pacing_ms=60)
    async with await RawPeer.dial(port) as peer:
        client = await greeted(peer, endpoint)
        texts = [b'{"number":%d}' % number for number in range(4)]
        client.socket.send(tuple(texts))
        assert client.socket.delays_pongs()
        assert client.socket.unsent() == sum(len(text) + 1 for text in texts[1:])
        started = asyncio.get_running_loop().time()
        for text in texts:
            assert await peer.some() == text + b"\n"
        assert asyncio.get_running_loop().time() - started > 0.15
        assert not client.socket.delays_pongs()
        client.socket.send(tuple(texts))
        client.socket.close(1012, "restart")
        for text in texts:
            assert await peer.some() == text + b"\n"
        assert await peer.some() == b""


@pytest.mark.parametrize("garbage", [b"}}}}", b"{]", b"\xff\xd8\xff\xe0" * 50_000, b'{"' + b"x" * (MESSAGE_BYTES + 9)])
async def test_garbage_is_the_last_message(peer: RawPeer, client: RecordingClient, garbage: bytes) -> None:
    client.on_end = lambda: client.socket.send((b'{"error":1}',))
    peer.send(b"{}", garbage, b'{"unheard":1}')
    await until(lambda: "input_ended" in client.events)
    client.socket.close(1000, "")
    assert await peer.rest() == b'{"error":1}\n'
    peer.end_writing()
    await client.until_closed()
    assert client.events[0] == b"{}"
    assert client.events[2:] == list(ENDED)
    assert len(client.events[1]) <= MESSAGE_BYTES


async def test_a_failing_client_ends_its_input(peer: RawPeer, client: RecordingClient) -> None:

    def fail(frame: Frame) -> None:
        raise ZeroDivisionError

    client.on_frame = fail
    close_after_input(client)
    with capture_logs() as logs:
        peer.send(b"{}")
        assert await peer.rest() == b""
    assert [entry["event"] for entry in logs] == ["client failed"]


async def test_before_the_login_the_beginning_of_a_large_message_remains(
    port: int, endpoint: RecordingEndpoint
) -> None:
    endpoint.on_connected = lambda client: setattr(client, "is_logged_in", False)
    large = b'{"a": "' + b"x" * 1_000_000 + b'"}'
    async with await RawPeer.dial(port) as stranger:
        stranger.send(large, b'{"b": 1}')
        client = await endpoint.client()
        await until(lambda: len(client.events) == 2)
    beginning, following = client.events
    assert isinstance(beginning, bytes)
    assert large.startswith(beginning[:60_000])
    assert 64 * 1024 < len(beginning) < 80 * 1024
    assert following == b'{"b": 1}'


async def test_a_pause_holds_back_received_data_and_the_end(peer: RawPeer, client: RecordingClient) -> None:
    close_after_input(client)
    numbers = [b"%06d" % number for number in range(20_000)]
    client.on_frame = lambda frame: client.socket.pause_reading() if len(client.events) == 10 else None
    peer.send(b"[]", *(number + b" " for number in numbers))
    peer.end_writing()
    await client.until(b"[]", *numbers[:9])
    await asyncio.sleep(0.05)
    assert client.events == [b"[]", *numbers[:9]]
    client.socket.resume_reading()
    await client.until(b"[]", *numbers, *ENDED)


async def test_a_client_that_ends_its_side_is_still_answered(peer: RawPeer, client: RecordingClient) -> None:
    peer.send(b'{"say":1}{"say":2')
    peer.end_writing()
    await client.until(b'{"say":1}', b'{"say":2', "input_ended")
    client.socket.send((b'{"answer":1}',))
    await asyncio.sleep(0.05)
    client.socket.send((b'{"answer":2}',))
    client.socket.close(1000, "")
    assert await peer.rest() == b'{"answer":1}\n{"answer":2}\n'
    await client.until(b'{"say":1}', b'{"say":2', *ENDED)
    assert client.unacknowledged_at["peer_closing"] == 0


async def test_the_server_closes(peer: RawPeer, client: RecordingClient) -> None:
    peer.send(b"{}")
    await client.until(b"{}")
    client.socket.send((LARGE, LARGE))
    client.socket.close(1012, "restart")
    client.socket.send((b"too late",))
    client.socket.close(1000, "again")
    peer.send(b'{"unheard":1}')
    assert await peer.rest() == (LARGE + b"\n") * 2
    peer.send(b'{"unheard":2}')
    peer.end_writing()
    await client.until(b"{}", "peer_closing", "closed")
    assert client.unacknowledged_at == {"peer_closing": len(b"too late\n"), "closed": None}


async def test_closing_ends_a_pause(peer: RawPeer, client: RecordingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 60)
    client.socket.pause_reading()
    peer.send(b"unheard|\n")
    client.socket.close(1012, "restart")
    assert await peer.rest() == b""
    peer.end_writing()
    await client.until("peer_closing", "closed")


async def test_a_peer_that_does_not_end_its_side_is_dropped(
    peer: RawPeer, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 2)
    client.socket.close(1000, "")
    assert await peer.rest() == b""
    await client.until("peer_closing", "closed")


async def test_a_peer_that_does_not_read_is_dropped_soon(
    port: int, endpoint: RecordingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of bytes that have arrived is known."""
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 60)
    async with await RawPeer.dial(port, receive_buffer=4096) as peer:
        client = await greeted(peer, endpoint)
        peer.stop_reading()
        client.socket.send((LARGE,) * 20)
        await asyncio.sleep(0.05)
        client.socket.close(1013, "too slow")
        await client.until_closed()
        waiting = client.unacknowledged_at["peer_closing"]
        assert waiting is not None
        assert 0 < client.socket.sent_bytes - waiting < client.socket.sent_bytes


async def test_a_reset(peer: RawPeer, client: RecordingClient) -> None:
    peer.reset()
    await client.until("closed")
    assert client.unacknowledged_at == {"closed": None}


async def test_calls_after_the_end_do_nothing(peer: RawPeer, client: RecordingClient) -> None:
    close_after_input(client)
    peer.send(b"{}")
    peer.end_writing()
    await client.until(b"{}", *ENDED)
    await client.use_after_the_end()


async def test_a_pong_follows_when_everything_before_the_ping_has_arrived(
    port: int, endpoint: RecordingEndpoint
) -> None:
    async with await RawPeer.dial(port, receive_buffer=4096) as peer:
        client = await greeted(peer, endpoint)
        client.socket.ping()
        assert client.events == [b"{}"]
        await client.until(b"{}", "pong")
        peer.stop_reading()
        client.socket.send((LARGE,) * 5)
        client.socket.ping()
        await asyncio.sleep(0.2)
        assert client.events == [b"{}", "pong"]
        peer.start_reading()
        read = 0
        while read < 5 * (len(LARGE) + 1):
            read += len(await peer.some())
        await client.until(b"{}", "pong", "pong")


async def test_messages_delayed_by_pacing_have_not_arrived(start: Start, endpoint: RecordingEndpoint) -> None:
    port = await serve(start, tcp_pacing_ms=100)
    async with await RawPeer.dial(port) as peer:
        client = await greeted(peer, endpoint)
        client.socket.send((b"1", b"2"))
        client.socket.ping()
        assert await line(peer) == b"1\n"
        assert client.events == [b"{}"]
        assert await line(peer) == b"2\n"
        await client.until(b"{}", "pong")


async def test_an_idle_connection_has_no_task_and_is_probed_by_the_kernel(
    peer: RawPeer, client: RecordingClient
) -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}
    served = client.socket._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    assert served.getsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE) == 1


async def test_connections_over_the_limit_are_dropped(start: Start, endpoint: RecordingEndpoint) -> None:
    port = await serve(start, max_connections=1)
    async with await RawPeer.dial(port), await RawPeer.dial(port) as second:
        await endpoint.client()
        await dropped(second)
    assert len(endpoint.clients) == 1


async def test_a_trusted_proxy_names_its_client(start: Start, endpoint: RecordingEndpoint) -> None:
    port = await serve(start, trusted_proxies=["127.0.0.0/8"])
    async with await RawPeer.dial(port) as peer:
        peer.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 ")
        await asyncio.sleep(0.02)
        assert endpoint.clients == []
        peer.send(b"1 2\r\n{}")
        client = await endpoint.client()
        await client.until(b"{}")
        assert client.handshake.address == "203.0.113.7"
    async with await RawPeer.dial(port) as peer:
        peer.send(b"PROXY UNKNOWN\r\n")
        assert (await endpoint.client(1)).handshake.address == "127.0.0.1"


async def test_a_trusted_proxy_without_a_header_is_dropped(start: Start, endpoint: RecordingEndpoint) -> None:
    port = await serve(start, head_seconds=0.1, trusted_proxies=["127.0.0.0/8"])
    async with await RawPeer.dial(port) as speaking, await RawPeer.dial(port) as silent:
        speaking.send(b'{"code":12}')
        for peer in (speaking, silent):
            await dropped(peer)
    assert endpoint.clients == []


async def test_a_silent_trusted_proxy_is_dropped_at_the_end(start: Start) -> None:
    port = free_port()
    gateway = await start(head_seconds=60.0, tcp_port=port, trusted_proxies=["127.0.0.0/8"])
    async with await RawPeer.dial(port) as peer:
        await until(lambda: bool(gateway._proxy_readers))
        await gateway.close()
        await dropped(peer)


async def test_an_untrusted_client_cannot_name_an_address(peer: RawPeer, client: RecordingClient) -> None:
    peer.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n")
    await client.until(b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r")
    assert client.handshake.address == "127.0.0.1"


async def test_open_connections_stay_open_when_no_more_are_accepted(start: Start, endpoint: RecordingEndpoint) -> None:
    port = free_port()
    gateway = await start(tcp_port=port)
    async with await RawPeer.dial(port) as peer:
        client = await endpoint.client()
        gateway.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await RawPeer.dial(port)
        peer.send(b"{}")
        await client.until(b"{}")
        await gateway.close()
        await client.until(b"{}", "closed")
