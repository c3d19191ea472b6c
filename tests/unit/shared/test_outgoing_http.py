"""Tests outgoing requests over real sockets: the checks, and the limits for a receiver."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp, OutgoingResponse
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS, until
from tests.support.webhook_receiver import WebhookReceiver

HEADERS = {"webhook-id": "5.1"}
UNREACHABLE = "the address cannot be reached"
LOOPBACK = ["127.0.0.0/8", "::1/128"]
AT_ONCE = 4


@asynccontextmanager
async def client(
    networks: list[str], seconds: float = 60.0, context: ssl.SSLContext | None = None
) -> AsyncIterator[OutgoingHttp]:
    http = OutgoingHttp(AddressRules(networks), seconds, AT_ONCE, context)
    yield http
    http.close()


async def post(http: OutgoingHttp, url: str) -> OutgoingResponse:
    return await http.request("POST", url, HEADERS, b"{}")


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


async def failure(posted: Awaitable[object]) -> str:
    with pytest.raises(OutgoingFailed) as failed:
        await posted
    return str(failed.value)


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Gives every name these addresses. Returns a list of the names that are looked up."""
    names: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        names.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("shared.outgoing_http.socket.getaddrinfo", look_up)
    return names


async def test_a_request(receiver: WebhookReceiver) -> None:
    async with client(LOOPBACK) as http:
        await post(http, receiver.url())
    (request,) = receiver.received
    assert (request.path, request.body, request.number) == ("/listen?key=1", b"{}", "5.1")
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]"])
async def test_nothing_reaches_the_own_network_unless_it_is_permitted(receiver: WebhookReceiver, host: str) -> None:
    async with client(["10.9.0.0/16"]) as http:
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{receiver.port}/"
            assert await failure(post(http, url)) == UNREACHABLE
    assert receiver.received == []


@pytest.mark.parametrize("others", [["8.8.8.8"], ["::ffff:8.8.8.8"], ["10.9.0.1", "8.8.8.8"]])
async def test_a_name_with_one_forbidden_address_is_forbidden(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    resolve(monkeypatch, *others, "127.0.0.1")
    async with client(["10.9.0.0/16"]) as http:
        url = f"https://a.example:{receiver.port}/"
        assert await failure(post(http, url)) == UNREACHABLE
    assert receiver.received == []


async def test_a_failure_does_not_show_which_internal_names_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "unknown.internal":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if host == "slow.internal":
            hanging.wait(WAIT_SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]

    monkeypatch.setattr("shared.outgoing_http.socket.getaddrinfo", look_up)
    async with client([], 0.3) as http:
        names = "unknown.internal", "slow.internal", "db.internal", "x" * 64 + ".internal"
        shown = [await failure(post(http, f"https://{name}/")) for name in names]
        hanging.set()
    assert shown == [UNREACHABLE] * len(names)


@pytest.mark.parametrize(
    "url", ["https://[", "https://[::1", "https://a\u2100b.example/", "https://u:p@a.example/", ""]
)
async def test_what_is_no_address_is_not_reached(url: str) -> None:
    async with client([]) as http:
        assert await failure(post(http, url)) == UNREACHABLE


async def test_a_name_is_looked_up_once_and_the_checked_address_is_connected(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = resolve(monkeypatch, "127.0.0.1")
    async with client(LOOPBACK) as http:
        await post(http, receiver.url("a.example"))
    assert names == ["a.example"]
    assert receiver.received[0].headers["host"] == f"a.example:{receiver.port}"


async def test_look_ups_that_hang_delay_no_other(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookup hangs for longer than its request lasts. Meanwhile, all requests have failed twice."""
    release, hanging = threading.Event(), 2 * AT_ONCE

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "slow.example":
            release.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("shared.outgoing_http.socket.getaddrinfo", look_up)
    async with client(LOOPBACK) as http:
        slow = [asyncio.ensure_future(post(http, "http://slow.example/")) for _ in range(hanging)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(WAIT_SECONDS / 2):
                await post(http, receiver.url("a.example"))
        finally:
            release.set()
            await asyncio.gather(*slow, return_exceptions=True)


async def test_the_next_address_is_tried(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    # addresses are tried in order, and nothing listens at the lowest, 127.0.0.0
    resolve(monkeypatch, "127.0.0.1", "::1", "127.0.0.0")
    async with client(LOOPBACK) as http:
        await post(http, receiver.url("a.example"))
    assert len(receiver.received) == 1


async def test_an_address_that_does_not_answer_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of the first address is full, so that its kernel answers no connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    resolve(monkeypatch, "127.0.0.1", "127.0.0.2")
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            (waiting := stack.enter_context(socket.socket())).setblocking(False)
            waiting.connect_ex(silent.getsockname())
        port = silent.getsockname()[1]
        async with await asyncio.start_server(serve, "127.0.0.2", port), client(LOOPBACK, 2.0) as http:
            assert (await post(http, f"http://a.example:{port}/")).status == 204


async def test_certificates_are_verified_for_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls", "a.example")
    resolve(monkeypatch, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=certificates["ca.crt"])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificates["server.crt"], certificates["server.key"])
    with WebhookReceiver(tls=serving) as receiver:
        async with client(LOOPBACK, context=trusting) as http:
            await post(http, receiver.url("a.example"))
            assert await failure(post(http, receiver.url("b.example"))) == "the server's certificate is not valid"
        async with client(LOOPBACK) as http:
            assert await failure(post(http, receiver.url("a.example"))) == "the server's certificate is not valid"
    assert len(receiver.received) == 1


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    """Runs a server, which ends after all connections to it have ended."""
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
    "response",
    [
        b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 100_000, b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000 + b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_response(response: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(response)

    async with server(serve) as url, client(LOOPBACK) as http:
        assert await failure(post(http, url)) == "no response of HTTP"


async def test_an_early_hint_is_no_status() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    async with server(serve) as url, client(LOOPBACK) as http:
        await post(http, url)


async def test_a_response_without_end_is_not_read() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await write_forever(writer, b"x" * 65_536)

    async with server(serve) as url, client(LOOPBACK) as http:
        await post(http, url)


@pytest.mark.parametrize("framing", [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close"])
async def test_a_body_is_read_up_to_its_limit(framing: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n" if b"chunked" in framing else b"abc"
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /b\r\n%b\r\n\r\n%b" % (framing, body))

    async with server(serve) as url, client(LOOPBACK) as http:
        response = await http.request("GET", url, {}, most_bytes=3)
        assert (response.status, response.body, dict(response.headers)[b"location"]) == (302, b"abc", b"/b")
        assert await failure(http.request("GET", url, {}, most_bytes=2)) == "the response is too long"


async def test_a_receiver_that_delays_does_not_hold_a_request_for_long() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await write_forever(writer, b"H")

    async with server(serve) as url, client(LOOPBACK, 0.3) as http:
        assert await failure(post(http, url)) == "no response in time"


async def test_a_receiver_that_is_away() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with client(LOOPBACK) as http:
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            assert await failure(post(http, url)) == UNREACHABLE


# Connections that carry several requests

EMPTY = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class ServerAnswer(NamedTuple):
    """A response of the server. With `ends`, the server closes the connection afterwards."""

    data: bytes = EMPTY
    ends: bool = False


END = ServerAnswer(b"", ends=True)


class KeepingServer:
    """A server that replies to each request with the next of `answers`, or else with `EMPTY`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[ServerAnswer] = []
        self.requests: list[int] = []
        """For each request, the number of its connection."""
        self.connections: list[asyncio.StreamWriter] = []
        self.ended: list[asyncio.Event] = []
        self._tls = tls

    async def __aenter__(self) -> "KeepingServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for number in range(len(self.ended)):
            await self.wait_until_ended(number)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}/"

    async def wait_until_ended(self, connection: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await self.ended[connection].wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, ended, answer = len(self.connections), asyncio.Event(), ServerAnswer()
        self.connections.append(writer)
        self.ended.append(ended)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not answer.ends:
                await reader.readuntil(b"\r\n\r\n{}")
                self.requests.append(number)
                answer = self.answers.pop(0) if self.answers else ServerAnswer()
                writer.write(answer.data)
        writer.close()
        ended.set()


@asynccontextmanager
async def keeping(
    context: ssl.SSLContext | None = None, *, seconds: float = 60.0, idle_seconds: float = WAIT_SECONDS
) -> AsyncIterator[OutgoingHttp]:
    http = OutgoingHttp(AddressRules(LOOPBACK), seconds, AT_ONCE, context, idle_seconds=idle_seconds)
    yield http
    http.close()


async def until_idle_ones_have_ended(http: OutgoingHttp) -> None:
    await until(lambda: not any(one.is_open for one in http._idle._waiting))


def idle_hosts(http: OutgoingHttp) -> list[str]:
    return [one.destination.host for one in http._idle._waiting]


async def test_a_connection_carries_one_request_after_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names, certificates = resolve(monkeypatch, "127.0.0.1"), Certificates(tmp_path / "tls", "a.example")
    trusting = ssl.create_default_context(cafile=certificates["ca.crt"])
    async with KeepingServer(certificates.server_context()) as server, keeping(trusting) as http:
        for _ in range(3):
            assert (await post(http, server.url("a.example"))).status == 201
        assert await failure(post(http, server.url("b.example"))) == "the server's certificate is not valid"
        await post(http, server.url("a.example"))
        assert (server.requests, names) == ([0, 0, 0, 0], ["a.example", "b.example"])


async def test_requests_at_once_have_a_connection_each() -> None:
    async with KeepingServer() as server, keeping() as http:
        await asyncio.gather(*(post(http, server.url()) for _ in range(3)))
        assert sorted(server.requests) == [0, 1, 2]


@pytest.mark.parametrize("is_idle", [True, False])
async def test_each_new_connection_is_checked_although_an_earlier_one_was(
    monkeypatch: pytest.MonkeyPatch, is_idle: bool
) -> None:
    """The second lookup of the name returns a private address.

    The first connection ends while it is idle, or when the next request arrives.
    """
    resolve(monkeypatch, "127.0.0.1")
    async with KeepingServer() as server, keeping() as http:
        server.answers = [ServerAnswer(), END]
        await post(http, server.url("a.example"))
        resolve(monkeypatch, "10.0.0.1")
        if is_idle:
            server.connections[0].close()
            await until_idle_ones_have_ended(http)
        assert await failure(post(http, server.url("a.example"))) == UNREACHABLE
        assert server.requests == ([0] if is_idle else [0, 0])


async def test_a_request_is_repeated_once_if_its_used_connection_ends_without_an_answer() -> None:
    async with KeepingServer() as server, keeping() as http:
        server.answers = [ServerAnswer(), END]
        assert [(await post(http, server.url())).status for _ in range(2)] == [201, 201]
        assert server.requests == [0, 0, 1]
        server.answers = [END, END]
        assert await failure(post(http, server.url())) == "no response of HTTP"
        assert server.requests[3:] == [1, 2]
        server.answers = [ServerAnswer(), ServerAnswer(b"HTTP/1.1 20", ends=True)]
        await post(http, server.url())
        assert await failure(post(http, server.url())) == "no response of HTTP"
        assert server.requests[5:] == [3, 3], "a response has begun"


async def test_what_comes_without_a_request_is_no_response() -> None:
    other = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    async with KeepingServer() as server, keeping() as http:
        server.answers = [ServerAnswer(EMPTY + other)]
        assert [(await post(http, server.url())).status for _ in range(2)] == [201, 201]
        server.connections[1].write(other)
        await until_idle_ones_have_ended(http)
        assert (await post(http, server.url())).status == 201
        assert server.requests == [0, 1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 201 Created\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nwrong\r\n",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 1_000 + b"0\r\n\r\n",
    ],
)  # fmt: skip
async def test_a_connection_that_is_to_end_or_has_no_whole_body_yet_carries_no_other(answer: bytes) -> None:
    async with KeepingServer() as server, keeping() as http:
        server.answers = [ServerAnswer(answer)]
        assert [(await post(http, server.url())).status for _ in range(2)] == [201, 201]
        assert server.requests == [0, 1]


async def test_a_body_that_has_arrived_is_skipped() -> None:
    async with KeepingServer() as server, keeping() as http:
        server.answers = [
            ServerAnswer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(EMPTY), EMPTY))
        ]
        assert [(await post(http, server.url())).status for _ in range(2)] == [400, 201]
        assert server.requests == [0, 0]


async def test_an_idle_connection_ends_in_time_and_an_old_one_carries_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with KeepingServer() as server, keeping(idle_seconds=0.01) as brief, keeping() as http:
        await post(brief, server.url())
        await server.wait_until_ended(0)
        await post(http, server.url())
        monkeypatch.setattr("shared.outgoing_http._LONGEST_SECONDS", 0.0)
        await post(http, server.url())
        assert server.requests == [0, 1, 2]


async def test_few_connections_are_idle_of_one_place_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, "127.0.0.1")
    async with KeepingServer() as server, keeping() as http:
        await asyncio.gather(*(post(http, server.url("a.example")) for _ in range(AT_ONCE)))
        assert idle_hosts(http) == ["a.example"] * (AT_ONCE // 2)
        for name in ("b", "c", "d"):
            await post(http, server.url(f"{name}.example"))
        assert idle_hosts(http) == ["a.example", "b.example", "c.example", "d.example"]
        await until(lambda: sum(one.is_set() for one in server.ended) == 3)


async def test_a_receiver_that_hangs_on_a_used_connection_delays_no_other_and_gets_no_repetition() -> None:
    async with KeepingServer() as hanging, KeepingServer() as server, keeping(seconds=0.3) as http:
        hanging.answers = [ServerAnswer(), ServerAnswer(b"")]
        await post(http, hanging.url())
        failed = asyncio.ensure_future(failure(post(http, hanging.url())))
        await until(lambda: hanging.requests == [0, 0])
        assert (await post(http, server.url())).status == 201
        assert not failed.done()
        assert await failed == "no response in time"
        assert hanging.requests == [0, 0]


async def test_a_cancelled_request_ends_its_connection() -> None:
    async with KeepingServer() as server, keeping() as http:
        server.answers = [ServerAnswer(), ServerAnswer(b"")]
        await post(http, server.url())
        cancelled = asyncio.ensure_future(post(http, server.url()))
        await until(lambda: server.requests == [0, 0])
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await server.wait_until_ended(0)
        assert (await post(http, server.url())).status == 201
        assert server.requests == [0, 0, 1]


async def test_a_closed_client_keeps_no_connection() -> None:
    async with KeepingServer() as server, keeping() as http:
        await post(http, server.url())
        server.answers = [ServerAnswer(b"")]
        late = asyncio.ensure_future(post(http, server.url()))
        await until(lambda: len(server.requests) == 2)
        http.close()
        server.connections[0].write(EMPTY)
        assert (await late).status == 201
        await server.wait_until_ended(0)
