"""Tests the port for clients: handshakes, limits, HTTP beside WebSockets, and the shutdown."""

import asyncio
import logging
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from services.edge.canonical.transport import Handshake, Reject
from services.edge.gateway import Gateway
from tests.unit.services.edge.gateway.conftest import Start, serve_hello
from tests.unit.services.edge.gateway.raw import CLOSE, KEY, PING, PONG, TEXT, RawPeer, closing, masked, request
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING_GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
FIRST, SECOND = b"PROXY TCP4 198.51.100.4 192.0.2.1 1 2\r\n", b"PROXY TCP4 198.51.100.5 192.0.2.1 1 2\r\n"


async def fetch(port: int, data: bytes) -> str:
    """Sends a request on a new connection, which the server closes. Returns the response."""
    async with await RawPeer.dial(port) as peer:
        peer.send(data)
        return (await peer.rest()).decode()


async def test_the_handshake_reaches_the_edge(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    protocols = ("Sec-WebSocket-Protocol: ourchat.v2, native", "Sec-WebSocket-Protocol: pipe")
    others = ("Origin: https://web.test", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https")
    async with await RawPeer.open(gateway.port, "/ws/%E4%BD%A0?push=1", *protocols, *others):
        named = ("ourchat.v2", "native", "pipe"), "https://web.test", "push=1"
        expected = Handshake("/ws/你", "chat.test:8080", "127.0.0.1", False, *named, untrusted_proxy=True)
        assert endpoint.handshakes == [expected]
        assert (await endpoint.client()).handshake == expected


async def test_the_headers_of_a_trusted_proxy_count(start: Start, endpoint: RecordingEndpoint) -> None:
    gateway = await start(trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"])
    named = ("X-Forwarded-For: 6.6.6.6, 198.51.100.4", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https")
    async with await RawPeer.open(gateway.port, "/", *named):
        assert endpoint.handshakes == [Handshake("/", "chat.test:8080", "198.51.100.4", True, (), "")]


@pytest.mark.parametrize("pieces", [1, 7])
async def test_the_proxy_header_of_a_trusted_proxy_counts(
    start: Start, endpoint: RecordingEndpoint, pieces: int
) -> None:
    """The client's own bytes come after the header."""
    gateway = await start(trusted_proxies=["127.0.0.0/8"])
    received = FIRST + request("/", "X-Forwarded-For: 6.6.6.6")
    async with await RawPeer.dial(gateway.port) as peer:
        for at in range(pieces):
            peer.send(received[at * len(received) // pieces : (at + 1) * len(received) // pieces])
            await asyncio.sleep(0.01)
        assert (await peer.head()).startswith("HTTP/1.1 101 ")
    assert [hello.address for hello in endpoint.handshakes] == ["198.51.100.4"]


async def test_an_untrusted_proxy_header_is_rejected(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    assert (await fetch(gateway.port, FIRST + request())).startswith("HTTP/1.1 400 ")
    assert endpoint.handshakes == []


async def test_a_trusted_proxy_must_be_a_network(start: Start) -> None:
    with pytest.raises(ValueError, match="should be networks"):
        await start(trusted_proxies=["my-proxy"])


async def test_the_edge_may_reject(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    endpoint.decision = Reject(404, "no dialect is spoken here")
    response = await fetch(gateway.port, request("/nowhere"))
    assert re.sub("Date: .*? GMT\r\n", "", response) == (
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n"
        "Connection: close\r\n\r\nno dialect is spoken here\n"
    )
    assert endpoint.clients == []


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request().replace(b"GET", b"POST"), 405),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (request().replace(b"Version: 13", b"Version: 12"), 426),
        *((request(key=key), 400) for key in ("", "short", "=" * 24, "dGhlIHNhbXBsZSBub25j", "é" * 12)),
        (request("/", f"Sec-WebSocket-Key: {KEY}"), 400),
        (request().replace(b"Sec-WebSocket-Key", b"Key"), 400),
        (request("ws"), 400),
        (request(""), 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\r\n\r\n", 400),
    ],
)
async def test_an_invalid_handshake_has_an_error_status(
    gateway: Gateway, endpoint: RecordingEndpoint, data: bytes, status: int
) -> None:
    response = await fetch(gateway.port, data)
    assert response.startswith(f"HTTP/1.1 {status} ")
    assert ("\r\nSec-WebSocket-Version: 13\r\n" in response) is (status == 426)
    assert endpoint.clients == []


@pytest.mark.parametrize("path", ["//", "/%2e%2e/", "/" + "x" * 8000, "/?" + "x" * 8000, "*", "/%00%ff"])
async def test_unusual_paths_reach_the_edge(gateway: Gateway, endpoint: RecordingEndpoint, path: str) -> None:
    async with await RawPeer.open(gateway.port, path):
        assert len(endpoint.handshakes) == 1


async def test_compression_is_never_negotiated(gateway: Gateway) -> None:
    async with await RawPeer.dial(gateway.port) as peer:
        assert "Extensions" not in await peer.upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate")


async def test_connections_leave_no_state_for_the_next(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    for number in range(5):
        async with await RawPeer.open(gateway.port) as peer, await RawPeer.open(gateway.port) as other:
            peer.send(masked(TEXT, b"hello")[:4])
            other.send(masked(TEXT, b"you"), closing(1000))
            assert await other.closed_with() == (1000, "")
            peer.send(masked(TEXT, b"hello")[4:], closing(3000 + number))
            assert await peer.closed_with() == (3000 + number, "")
            await endpoint.clients[-2].until(b"hello", "peer_closing", "closed")


async def test_a_full_edge_closes_with_1013_until_a_client_leaves(start: Start, endpoint: RecordingEndpoint) -> None:
    gateway = await start(max_connections=2, limits={"rates": False})
    async with await RawPeer.open(gateway.port) as first, await RawPeer.open(gateway.port):
        async with await RawPeer.open(gateway.port) as rejected:
            assert await rejected.closed_with() == (1013, "too many connections, try again later")
            assert await rejected.rest() == b""
        assert len(endpoint.clients) == 2
        first.send(closing(1000))
        await (await endpoint.client(0)).until("peer_closing", "closed")
        async with await RawPeer.open(gateway.port):
            await endpoint.client(2)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"connections_per_address": 2}, "too many connections from this address"),
        (
            {"new_connections_burst": 2, "new_connections_per_second": 0.001},
            "too many new connections, try again later",
        ),
        ({"connections_per_address": 2, "rates": False}, ""),
    ],
)
async def test_connections_of_one_address_are_limited(start: Start, limits: dict[str, Any], reason: str) -> None:
    gateway = await start(limits=limits, trusted_proxies=["127.0.0.0/8"])
    async with AsyncExitStack() as stack:
        for address, is_rejected in (
            ("192.0.2.1", False),
            ("192.0.2.1", False),
            ("192.0.2.2", False),
            ("192.0.2.1", True),
        ):
            peer = await stack.enter_async_context(await RawPeer.dial(gateway.port))
            await peer.upgrade("/", f"X-Forwarded-For: {address}")
            if is_rejected and reason:
                assert await peer.closed_with() == (1013, reason)
            else:
                peer.send(masked(PING, b"x"))
                assert await peer.frame() == (PONG, b"x")


async def test_rejected_connections_are_logged_once_a_second(start: Start) -> None:
    gateway = await start(limits={"new_connections_burst": 1, "new_connections_per_second": 0.001})
    loop = asyncio.get_running_loop()
    began = loop.time()
    with capture_logs() as lines:
        for number in range(40):
            async with await RawPeer.open(gateway.port) as peer:
                assert number == 0 or await peer.closed_with() == (1013, "too many new connections, try again later")
    assert 1 <= len(lines) <= 2 + loop.time() - began
    assert {(line["event"], line["address"]) for line in lines} == {("connection rejected", "127.0.0.1")}


async def test_connections_without_a_request_are_counted(start: Start) -> None:
    gateway = await start(max_connections=2, limits={"rates": False})
    async with await RawPeer.dial(gateway.port), await RawPeer.dial(gateway.port):
        assert await fetch(gateway.port, b"") == ""


async def test_one_address_leaves_connections_to_others(start: Start) -> None:
    """An address without WebSockets may have at most a quarter of all connections, whether it sends requests or not."""
    gateway = await start(max_connections=8, trusted_proxies=["127.0.0.0/8"])
    async with AsyncExitStack() as stack:
        for _ in range(2):
            peer = await stack.enter_async_context(await RawPeer.dial(gateway.port))
            peer.send(FIRST + GET)
            assert (await peer.head()).startswith("HTTP/1.1 200 ")
        assert await fetch(gateway.port, FIRST + GET) == ""
        assert (await fetch(gateway.port, SECOND + CLOSING_GET)).endswith("hello")
    assert (await fetch(gateway.port, FIRST + CLOSING_GET)).endswith("hello")


async def test_the_request_of_a_rejected_connection_is_not_served(start: Start) -> None:
    """This also holds for a request that comes together with a proxy's header.

    Otherwise, no limit would apply to such a request.
    """
    served: list[str] = []

    async def serve(scope: Mapping[str, Any], receive: object, send: Send) -> None:
        served.append(scope["path"])
        await serve_hello(scope, receive, send)

    gateway = await start(app=serve, trusted_proxies=["127.0.0.0/8"], max_connections=4)
    async with await RawPeer.dial(gateway.port) as peer:
        peer.send(FIRST + GET)
        await peer.head()
        assert await fetch(gateway.port, FIRST + CLOSING_GET.replace(b"/ ", b"/rejected ", 1)) == ""
        assert (await fetch(gateway.port, SECOND + CLOSING_GET.replace(b"/ ", b"/other ", 1))).endswith("hello")
    assert served == ["/", "/other"]


async def test_a_web_socket_is_no_connection_by_http_any_more(start: Start) -> None:
    gateway = await start(max_connections=4)
    async with await RawPeer.open(gateway.port):
        assert (await fetch(gateway.port, CLOSING_GET)).endswith("hello")


async def test_a_proxy_brings_any_number_of_clients(start: Start) -> None:
    gateway = await start(max_connections=8, trusted_proxies=["127.0.0.0/8"])
    async with AsyncExitStack() as stack:
        for number in range(3):
            peer = await stack.enter_async_context(await RawPeer.dial(gateway.port))
            peer.send(GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % number))
            assert (await peer.head()).startswith("HTTP/1.1 200 ")


async def test_new_connections_without_a_request_have_a_rate(start: Start) -> None:
    gateway = await start(limits={"page_requests_burst": 1, "page_requests_per_second": 0.001})
    for expected in ("hello", "hello", ""):
        assert (await fetch(gateway.port, CLOSING_GET))[-5:] == expected


async def test_a_handshake_has_a_deadline(start: Start) -> None:
    """The time limit begins with the connection, and not with the last bytes."""
    gateway = await start(head_seconds=1.0)
    dropped: list[str] = []

    async def watch(peer: RawPeer, name: str) -> None:
        assert await peer.rest() == b""
        dropped.append(name)

    async with await RawPeer.dial(gateway.port) as trickling:
        await asyncio.sleep(0.2)
        async with await RawPeer.dial(gateway.port) as silent:
            await asyncio.sleep(0.1)
            trickling.send(request()[:20])
            await asyncio.gather(watch(trickling, "trickling"), watch(silent, "silent"))
    assert dropped == ["trickling", "silent"]


async def test_the_next_request_has_a_deadline(start: Start) -> None:
    gateway = await start(head_seconds=1.5)
    async with await RawPeer.dial(gateway.port) as peer:
        for _ in range(2):
            await asyncio.sleep(0.8)
            peer.send(GET)
            assert (await peer.head()).startswith("HTTP/1.1 200 ")
            assert await peer.some() == b"hello"
        peer.send(b"GET")
        assert await peer.rest() == b""


async def test_an_open_socket_has_no_deadline(start: Start, endpoint: RecordingEndpoint) -> None:
    gateway = await start(head_seconds=0.5)
    async with await RawPeer.open(gateway.port) as peer:
        await asyncio.sleep(0.7)
        peer.send(masked(TEXT, b"still here"))
        await (await endpoint.client()).until(b"still here")


async def test_frames_sent_with_the_handshake_are_received(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with await RawPeer.dial(gateway.port) as peer:
        peer.send(GET)
        assert (await peer.head()).startswith("HTTP/1.1 200 ")
        assert await peer.some() == b"hello"
        peer.send(request() + masked(TEXT, b"early"))
        head = await peer.head()
        assert head.startswith("HTTP/1.1 101 ")
        assert "server:" not in head.lower()
        await (await endpoint.client()).until(b"early")


async def test_no_upgrade_while_a_request_is_being_answered(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    response = await fetch(gateway.port, GET + request())
    assert "101" not in response
    assert endpoint.clients == []


async def test_paths_of_requests_are_not_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    data = b"GET /verify/ticket.secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await fetch(gateway.port, data)).startswith("HTTP/1.1 200 ")
    await fetch(gateway.port, request("/verify/secret", key="bad"))
    await fetch(gateway.port, b"GET secret HTTP/1.1\r\n\r\n")
    assert "secret" not in caplog.text


async def test_signal_handlers_stay_unchanged(start: Start) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    await start()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_open_sockets_stay_open_when_no_more_are_accepted(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with (
        connect(f"ws://127.0.0.1:{gateway.port}", proxy=None) as ws,
        await RawPeer.dial(gateway.port) as keep_alive,
    ):
        keep_alive.send(GET)
        await keep_alive.head()
        assert await keep_alive.some() == b"hello"
        gateway.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await RawPeer.dial(gateway.port)
        keep_alive.send(request())
        assert (await keep_alive.head()).startswith("HTTP/1.1 503 ")
        client = await endpoint.client()
        await ws.send("still here")
        await client.until(b"still here")
        client.socket.close(1012, "restart")
        with pytest.raises(Exception, match="1012"):
            await ws.recv()


async def test_remaining_connections_are_aborted_at_the_end(gateway: Gateway, endpoint: RecordingEndpoint) -> None:
    async with await RawPeer.open(gateway.port) as stubborn, await RawPeer.dial(gateway.port) as idle:
        (await endpoint.client()).socket.close(1012, "restart")
        assert (await stubborn.frame())[0] == CLOSE
        await gateway.close()
        assert endpoint.clients[0].events == ["closed"]
        assert await stubborn.rest() == b""
        assert await idle.rest() == b""
    await gateway.close()
