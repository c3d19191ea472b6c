"""Tests TLS on the ports for clients."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from local.ports import free_port
from services.cli import certificates
from services.cli.certificates import ensure_authority
from services.edge.canonical.frames import Frame
from services.edge.gateway import socket_options
from services.edge.gateway.tls import ServerTls
from services.edge.metrics import EdgeMetrics
from shared.errors import StartupError
from shared.settings.edge import EdgeSettings, IrcSettings
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.gateway.conftest import Start
from tests.unit.services.edge.gateway.raw import TEXT, RawPeer, masked, request
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint
from tests.unit.services.edge.gateway.test_server import FIRST, SECOND

WATCH_SECONDS = 0.02
LARGE = b'"' + b"x" * 1_000_000 + b'"'


class Issued:
    """Certificates of one authority. The newest is in `server.crt` and `server.key`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.renew()

    def renew(self) -> None:
        for name in ("server.crt", "server.key"):
            (self._directory / name).unlink(missing_ok=True)
        authority = ensure_authority(self._directory)
        assert authority is not None
        authority.ensure(self._directory, ("localhost",))

    @property
    def key(self) -> Path:
        return self._directory / "server.key"

    @property
    def settings(self) -> EdgeSettings:
        return EdgeSettings(tls_certificate=str(self._directory / "server.crt"), tls_key=str(self.key))

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._directory / "ca.crt"))

    @property
    def certificate(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert((self._directory / "server.crt").read_text())


class ManualPeer:
    """A client that encrypts by itself, so that it can send data together with the end of its stream."""

    def __init__(self, tls: ssl.SSLObject, sent: ssl.MemoryBIO, writer: asyncio.StreamWriter) -> None:
        self._tls = tls
        self._sent = sent
        self.writer = writer

    @classmethod
    async def dial(cls, port: int, trusted: ssl.SSLContext) -> "ManualPeer":
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusted.wrap_bio(received, sent, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(sent.read())
        received.write(await reader.read(65_536))
        tls.do_handshake()
        return cls(tls, sent, writer)

    def send(self, data: bytes, *, ends: bool = False) -> None:
        if data:
            self._tls.write(data)
        if ends:
            with suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
        self.writer.write(self._sent.read())


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued(tmp_path)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def tls(issued: Issued, registry: CollectorRegistry) -> AsyncIterator[ServerTls]:
    tls = ServerTls(issued.settings, EdgeMetrics(registry).certificate)
    watching = asyncio.create_task(tls.watch(WATCH_SECONDS))
    yield tls
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_web_socket_over_tls(start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued) -> None:
    gateway = await start(tls=tls)
    async with await RawPeer.open(gateway.port, tls=issued.trusted) as peer:
        client = await endpoint.client()
        assert client.handshake.secure
        assert client.handshake.address == "127.0.0.1"
        peer.send(masked(TEXT, b'"hello"'), masked(TEXT, LARGE))
        await client.until(b'"hello"', LARGE)
        client.socket.send((LARGE,))
        assert await peer.frame() == (TEXT, LARGE)


async def serve_scheme(
    scope: Mapping[str, Any], _receive: object, send: Callable[[Mapping[str, Any]], Awaitable[None]]
) -> None:
    body = scope["scheme"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("encrypted", [True, False])
async def test_an_http_request_knows_whether_it_is_encrypted(
    start: Start, tls: ServerTls, issued: Issued, encrypted: bool
) -> None:
    """The addresses of uploaded files begin with http or https, according to this."""
    gateway = await start(app=serve_scheme, tls=tls if encrypted else None)
    async with await RawPeer.dial(gateway.port, tls=issued.trusted if encrypted else None) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (b"https" in await peer.rest()) is encrypted


async def test_plain_tcp_over_tls(start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued) -> None:
    port = free_port()
    await start(tls=tls, tcp_port=port)
    async with await RawPeer.dial(port, tls=issued.trusted) as peer:
        client = await endpoint.client()
        assert client.handshake.secure
        peer.send(b'{"a": 1}')
        await client.until(b'{"a": 1}')
        client.socket.send((b"answer",))
        assert (await peer.until(b"\n")).rstrip() == b"answer"
        client.socket.close(1000, "")
        assert await peer.rest() == b""


async def test_irc_has_a_port_without_tls_beside_one_with_it(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    plain, encrypted = free_port(), free_port()
    gateway = await start(tls=tls)
    await gateway.start_irc(IrcSettings(port=plain, tls_port=encrypted))
    for number, (port, context) in enumerate(((plain, None), (encrypted, issued.trusted))):
        async with await RawPeer.dial(port, tls=context) as peer:
            peer.send(b"{}\r\n")
            client = await endpoint.client(number)
            await client.until(b"{}")
            assert client.handshake.path == "/ws/irc", "the first frame does not select the dialect"
            client.socket.send((b"PONG",))
            assert (await peer.until(b"\n")).rstrip() == b"PONG"
    async with await RawPeer.dial(encrypted) as peer:
        peer.send(b"NICK ann\r\n")
        assert await peer.rest() == b""
    assert len(endpoint.clients) == 2


async def test_irc_with_tls_needs_a_certificate(start: Start) -> None:
    with pytest.raises(StartupError, match=r"irc\.tls_port"):
        await (await start()).start_irc(IrcSettings(tls_port=free_port()))


@pytest.mark.parametrize("first", [request(), b"\x16\x03\x01\x00\x05hello", b'{"a": 1}'])
async def test_a_client_without_tls_is_disconnected(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, first: bytes
) -> None:
    port = free_port()
    gateway = await start(tls=tls, tcp_port=port)
    for one in (gateway.port, port):
        async with await RawPeer.dial(one) as peer:
            peer.send(first)
            assert b"HTTP" not in await peer.rest()
    assert not endpoint.clients


async def test_a_tls_handshake_has_a_deadline(start: Start, tls: ServerTls) -> None:
    gateway = await start(tls=tls, head_seconds=0.1)
    async with await RawPeer.dial(gateway.port) as peer:
        assert await peer.rest() == b""


async def test_one_address_leaves_tls_handshakes_to_others(start: Start, tls: ServerTls, issued: Issued) -> None:
    gateway = await start(tls=tls, max_connections=4, trusted_proxies=["127.0.0.0/8"])
    async with await RawPeer.dial(gateway.port) as silent:
        silent.send(FIRST)
        await until(lambda: any(gateway._tls_handshakes))
        async with await RawPeer.dial(gateway.port) as rejected, await RawPeer.dial(gateway.port) as other:
            rejected.send(FIRST)
            assert await rejected.rest() == b""
            other.send(SECOND)
            await until(lambda: len(list(gateway._tls_handshakes)) == 2)


async def test_the_header_of_a_proxy_precedes_tls(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    gateway = await start(tls=tls, trusted_proxies=["127.0.0.0/8"])
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"PROXY TCP4 203.0.113.7 127.0.0.1 5 6\r\n")
    await writer.start_tls(issued.trusted, server_hostname="localhost")
    async with RawPeer(reader, writer) as peer:
        await peer.upgrade()
        assert (await endpoint.client()).handshake.address == "203.0.113.7"


async def test_a_paused_client_loses_nothing(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    gateway = await start(tls=tls)
    async with await RawPeer.open(gateway.port, tls=issued.trusted) as peer:
        client = await endpoint.client()
        loop, socket = asyncio.get_running_loop(), client.socket

        def pause_for_a_moment(_: Frame) -> None:
            socket.pause_reading()
            loop.call_later(0.001, socket.resume_reading)

        client.on_frame = pause_for_a_moment
        sent = [f'"{number} {"y" * 3000}"'.encode() for number in range(300)]
        peer.send(*(masked(TEXT, one) for one in sent))
        await client.until(*sent)


async def test_the_end_of_the_stream_follows_the_data_that_a_pause_delays(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    port = free_port()
    await start(tls=tls, tcp_port=port)
    async with await RawPeer.dial(port, tls=issued.trusted) as peer:
        client = await endpoint.client()
        loop, socket = asyncio.get_running_loop(), client.socket

        def pause_for_a_moment(_: Frame) -> None:
            socket.pause_reading()
            loop.call_later(0.001, socket.resume_reading)

        client.on_frame = pause_for_a_moment
        sent = [b'{"number": %d}' % number for number in range(20)]
        peer.send(*sent)
        peer.close()
        await client.until(*sent, "input_ended")


async def test_nothing_is_kept_of_what_follows_the_end_of_the_stream(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    port = free_port()
    await start(tls=tls, tcp_port=port)
    peer = await ManualPeer.dial(port, issued.trusted)
    peer.send(b"", ends=True)
    client = await endpoint.client()
    await client.until("input_ended")
    for _ in range(32):
        peer.writer.write(bytes(1_000_000))
        await peer.writer.drain()
    assert cast(Any, client.socket)._transport._received.pending == 0
    peer.writer.transport.abort()


async def test_a_message_that_arrives_with_the_end_of_the_stream_is_handled_before_it(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    """Clients handle their messages at the end of an iteration of the event loop."""
    gateway = await start(tls=tls)
    peer = await ManualPeer.dial(gateway.port, issued.trusted)
    peer.send(request())
    client = await endpoint.client()

    def handle_later(_: Frame) -> None:
        asyncio.get_running_loop().call_soon(client.pong_received)

    client.on_frame = handle_later
    peer.send(masked(TEXT, b"last words"), ends=True)
    await client.until(b"last words", "pong", "peer_closing", "closed")
    peer.writer.transport.abort()


@pytest.mark.skipif(not socket_options.REPORTS_UNACKNOWLEDGED, reason="the kernel does not report it")
async def test_unread_bytes_are_unacknowledged(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    gateway = await start(tls=tls)
    async with await RawPeer.open(gateway.port, receive_buffer=8192, tls=issued.trusted) as peer:
        peer.stop_reading()
        socket = (await endpoint.client()).socket
        for _ in range(8):
            socket.send((b"z" * 500_000,))
        await until(lambda: (socket.unacknowledged() or 0) >= 3_000_000)
        peer.start_reading()
        for _ in range(8):
            await peer.frame()
        await until(lambda: socket.unacknowledged() == 0)


async def test_a_replaced_certificate_is_served_and_open_connections_stay(
    start: Start, endpoint: RecordingEndpoint, tls: ServerTls, issued: Issued
) -> None:
    gateway, before = await start(tls=tls), issued.certificate
    async with await RawPeer.open(gateway.port, tls=issued.trusted) as old:
        client = await endpoint.client()
        assert old.certificate == before
        with capture_logs() as logs:
            wrong = issued.key.read_bytes()[:100]
            os.truncate(issued.key, 100)
            await until(lambda: any(line["log_level"] == "error" for line in logs))
        assert wrong.decode() not in str(logs)
        async with await RawPeer.dial(gateway.port, tls=issued.trusted) as meanwhile:
            assert meanwhile.certificate == before
        issued.renew()
        assert issued.certificate != before
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                async with await RawPeer.dial(gateway.port, tls=issued.trusted) as new:
                    if new.certificate == issued.certificate:
                        break
                await asyncio.sleep(WATCH_SECONDS)
        old.send(masked(TEXT, b'"still here"'))
        await client.until(b'"still here"')


async def test_the_time_until_the_served_certificate_ends_is_measured(
    tls: ServerTls, issued: Issued, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def days_left() -> float:
        return (
            registry.get_sample_value("dragoman_edge_certificate_seconds", {"file": issued.settings.tls_certificate})
            or 0
        ) / 86_400

    assert days_left() == pytest.approx(3650, abs=0.1)
    monkeypatch.setattr(certificates, "_LIFE", timedelta(days=1))
    issued.renew()
    await until(lambda: days_left() == pytest.approx(1, abs=0.1))


def test_an_unusable_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"none \(edge.tls_certificate\) cannot be used: No such file"):
        ServerTls(EdgeSettings(tls_certificate=str(tmp_path / "none")), EdgeMetrics(CollectorRegistry()).certificate)
