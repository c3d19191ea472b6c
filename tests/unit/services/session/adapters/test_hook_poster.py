"""Posts of outgoing hooks over real sockets: what is checked, and what a receiver cannot do."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.session.adapters.hook_poster import HttpHookPoster
from services.session.service.ports import PostFailed
from shared.settings import OutgoingHookSettings
from tests.support.hook_receiver import HookReceiver
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS

HEADERS = {"webhook-id": "5.1"}
UNREACHABLE = "the address cannot be reached"
LOOPBACK = ["127.0.0.0/8", "::1/128"]


@asynccontextmanager
async def posting(
    networks: list[str], seconds: float = 60.0, context: ssl.SSLContext | None = None
) -> AsyncIterator[HttpHookPoster]:
    poster = HttpHookPoster(OutgoingHookSettings(permitted_networks=networks, timeout_seconds=seconds), context)
    yield poster
    poster.close()


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


async def failure(posted: Awaitable[None]) -> str:
    with pytest.raises(PostFailed) as failed:
        await posted
    return str(failed.value)


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name has these addresses; returns the names that are looked up."""
    names: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        names.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("services.session.adapters.hook_poster.socket.getaddrinfo", look_up)
    return names


async def test_a_post(receiver: HookReceiver) -> None:
    async with posting(LOOPBACK) as poster:
        await poster.post(receiver.url(), HEADERS, b"{}")
    (request,) = receiver.received
    assert (request.path, request.body, request.number) == ("/listen?key=1", b"{}", "5.1")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(("status", "is_gone"), [(302, False), (404, False), (410, True), (503, False)])
async def test_other_statuses_are_failures_and_no_redirect_is_followed(
    receiver: HookReceiver, status: int, is_gone: bool
) -> None:
    receiver.status_of = lambda _: status
    receiver.headers = {"Location": receiver.url(path="/elsewhere")}
    async with posting(LOOPBACK) as poster:
        with pytest.raises(PostFailed, match=f"status {status}") as failed:
            await poster.post(receiver.url(), HEADERS, b"{}")
    assert failed.value.is_gone is is_gone
    assert [one.path for one in receiver.received] == ["/listen?key=1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]"])
async def test_nothing_reaches_the_own_network_unless_it_is_permitted(receiver: HookReceiver, host: str) -> None:
    async with posting(["10.9.0.0/16"]) as poster:
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{receiver.port}/"
            assert await failure(poster.post(url, HEADERS, b"{}")) == UNREACHABLE
    assert receiver.received == []


@pytest.mark.parametrize("others", [["8.8.8.8"], ["::ffff:8.8.8.8"], ["10.9.0.1", "8.8.8.8"]])
async def test_a_name_with_one_forbidden_address_is_forbidden(
    receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    resolve(monkeypatch, *others, "127.0.0.1")
    async with posting(["10.9.0.0/16"]) as poster:
        url = f"https://a.example:{receiver.port}/"
        assert await failure(poster.post(url, HEADERS, b"{}")) == UNREACHABLE
    assert receiver.received == []


async def test_a_failure_does_not_show_which_internal_names_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "unknown.internal":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host == "slow.internal":
            hanging.wait(WAIT_SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]

    monkeypatch.setattr("services.session.adapters.hook_poster.socket.getaddrinfo", look_up)
    async with posting([], 0.3) as poster:
        names = "unknown.internal", "slow.internal", "db.internal", "x" * 64 + ".internal"
        shown = [await failure(poster.post(f"https://{name}/", HEADERS, b"{}")) for name in names]
        hanging.set()
    assert shown == [UNREACHABLE] * len(names)


async def test_a_name_is_looked_up_once_and_the_checked_address_is_connected(
    receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolve(monkeypatch, "127.0.0.1")
    async with posting(LOOPBACK) as poster:
        await poster.post(receiver.url("a.example"), HEADERS, b"{}")
    assert names == ["a.example"]
    assert receiver.received[0].headers["host"] == f"a.example:{receiver.port}"


async def test_look_ups_that_hang_delay_no_other(receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs for longer than its request: all hooks have failed twice meanwhile."""
    release, hanging = threading.Event(), 2 * OutgoingHookSettings().concurrent

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "slow.example":
            release.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("services.session.adapters.hook_poster.socket.getaddrinfo", look_up)
    async with posting(LOOPBACK) as poster:
        slow = [asyncio.ensure_future(poster.post("http://slow.example/", HEADERS, b"{}")) for _ in range(hanging)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(WAIT_SECONDS / 2):
                await poster.post(receiver.url("a.example"), HEADERS, b"{}")
        finally:
            release.set()
            await asyncio.gather(*slow, return_exceptions=True)


async def test_the_next_address_is_tried(receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "127.0.0.1", "::1", "127.0.0.0")  # nothing listens at the lowest address, which is the first
    async with posting(LOOPBACK) as poster:
        await poster.post(receiver.url("a.example"), HEADERS, b"{}")
    assert len(receiver.received) == 1


async def test_certificates_are_verified_for_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls", "a.example")
    resolve(monkeypatch, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=certificates["ca.crt"])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificates["server.crt"], certificates["server.key"])
    with HookReceiver(tls=serving) as receiver:
        async with posting(LOOPBACK, context=trusting) as poster:
            await poster.post(receiver.url("a.example"), HEADERS, b"{}")
            assert (
                await failure(poster.post(receiver.url("b.example"), HEADERS, b"{}")) == "the certificate is not valid"
            )
        async with posting(LOOPBACK) as poster:
            assert (
                await failure(poster.post(receiver.url("a.example"), HEADERS, b"{}")) == "the certificate is not valid"
            )
    assert len(receiver.received) == 1


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """Ends after all connections to it."""
    served: list[asyncio.Event] = []

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(ended := asyncio.Event())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(serve_and_close, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with asyncio.timeout(WAIT_SECONDS):
            for ended in served:
                await ended.wait()


async def write_forever(writer: asyncio.StreamWriter, data: bytes) -> None:
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"", "no response of HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no response of HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "no response of HTTP"),
        (b"x" * 100_000, "the connection broke"),
        (b"HTTP/1.1 " + b"2" * 100_000, "the connection broke"),
    ],
)
async def test_what_is_no_response(response: bytes, error: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(response)

    async with server(serve) as url, posting(LOOPBACK) as poster:
        assert await failure(poster.post(url, HEADERS, b"{}")) == error


async def test_an_early_hint_is_no_status() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    async with server(serve) as url, posting(LOOPBACK) as poster:
        await poster.post(url, HEADERS, b"{}")


async def test_a_response_without_end_is_not_read() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await write_forever(writer, b"x" * 65_536)

    async with server(serve) as url, posting(LOOPBACK) as poster:
        await poster.post(url, HEADERS, b"{}")


async def test_a_receiver_that_delays_does_not_hold_a_hook_for_long() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await write_forever(writer, b"H")

    async with server(serve) as url, posting(LOOPBACK, 0.3) as poster:
        assert await failure(poster.post(url, HEADERS, b"{}")) == "no response in time"


async def test_a_receiver_that_is_away() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with posting(LOOPBACK) as poster:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            assert await failure(poster.post(url, HEADERS, b"{}")) == UNREACHABLE
