"""Some HTTP peers never finish, and some headers are invalid. See services.edge.gateway.http_protocol."""

import asyncio
import random
from collections.abc import Iterator
from itertools import repeat

import pytest

from services.edge.canonical.transport import Reject
from services.edge.gateway.http_protocol import _TURN_BYTES
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.http_client import HttpReply, fetch, head_of, request

CHUNKED = {"Transfer_Encoding": "chunked"}
TOKEN = {"Authorization": "Bearer token-1"}
UPLOAD = request("POST", "/media", b"", **CHUNKED, **TOKEN)
POST = request("POST", "/anything", b"", **CHUNKED)
GET = request("GET", "/")
MOST_BYTES = 256 * 1024
"""The most bytes from a peer that the server and both kernels may accept before the server disconnects the peer."""


SETTINGS = {"edge": {"trusted_proxies": ["127.0.0.0/8"]}, "limits": {"rates": True}}
pytestmark = pytest.mark.parametrize(("sections", "stall_seconds"), [(SETTINGS, 0.5)])


def trailing(method: str, path: str, trailer: str, body: bytes = b"x", **headers: str) -> bytes:
    """Returns a request with a chunked body and one trailer."""
    chunk = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, trailer.encode())
    return request(method, path, chunk, Transfer_Encoding="chunked", Connection="close", **headers)


async def answer(port: int, data: bytes) -> HttpReply:
    async with await RawPeer.dial(port) as peer:
        peer.send(data)
        return await head_of(peer)


# Trailers


async def test_a_trailer_is_no_header(site: HttpSite) -> None:
    assert (await answer(site.port, trailing("POST", "/media", "Authorization: Bearer token-1"))).status == 401
    created = await site.fetch("POST", "/media/uploads", b"", Tus_Resumable="1.0.0", Upload_Length="5", **TOKEN)
    path = created.headers["location"]
    overridden = trailing("POST", path, "X-HTTP-Method-Override: DELETE", b"x", Tus_Resumable="1.0.0", **TOKEN)
    assert (await answer(site.port, overridden)).status == 405


async def test_no_trailer_names_an_address_or_an_origin(site: HttpSite) -> None:
    forged = "X-Forwarded-For: 198.51.100.66\r\nOrigin: https://evil.test\r\nHost: evil.test"
    typed = {"Content_Type": "application/json", "X_Forwarded_For": "192.0.2.1"}
    site.endpoint.decision = Reject(403, "not now")
    assert (await answer(site.port, trailing("POST", "/api/v1/login", forged, b"{}", **typed))).status == 403
    (handshake,) = site.endpoint.handshakes
    assert (handshake.address, handshake.origin, handshake.host) == ("192.0.2.1", "", "chat.test:8080")


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("framing", [{}, CHUNKED], ids=["length", "chunked"])
async def test_the_body_of_a_request_for_another_protocol_is_no_request(
    site: HttpSite, framing: dict[str, str], size: int
) -> None:
    """Without TLS, clients of HTTP/2 ask for HTTP/2 in each request, and continue with HTTP/1.1."""
    body = b"x" * size + GET
    data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if framing else body
    wanted = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2_Settings": "AAMAAABk"}
    post = request("POST", "/media", data, **wanted, **framing, **TOKEN)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(post[:-100])
        await asyncio.sleep(0.05)
        peer.send(post[-100:], request("GET", "/nothing", Connection="close"))
        created = await head_of(peer)
        assert created.status == 201
        rest = await peer.rest()
    assert b'"size":%d' % len(body) in rest
    assert rest.count(b"HTTP/1.1 ") == rest.count(b"HTTP/1.1 404 ") == 1


@pytest.mark.parametrize("connection", ["Upgrade, HTTP2-Settings, close", "close, Upgrade", "Upgrade, keep-alive"])
async def test_a_request_for_another_protocol_is_answered(site: HttpSite, connection: str) -> None:
    wanted = request("GET", "/nothing", Connection=connection, Upgrade="h2c")
    async with await RawPeer.dial(site.port) as peer:
        peer.send(wanted)
        assert (await head_of(peer)).status == 404


async def test_a_tunnel_is_rejected(site: HttpSite) -> None:
    assert (await answer(site.port, request("CONNECT", "chat.test:80"))).status == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET / HTTP/1.1"], 400), (["GET / HTTP/1.1", "Host: a", "Host: b"], 400),
        (["GET / HTTP/1.1", "Host: a", "Host: a"], 400), (["GET / HTTP/1.1", "Host: a"], 200),
        (["GET / HTTP/1.0"], 200),
    ],
)  # fmt: skip
async def test_a_request_has_one_host(site: HttpSite, lines: list[str], status: int) -> None:
    assert (await answer(site.port, "\r\n".join([*lines, "", ""]).encode())).status == status


@pytest.mark.parametrize(("headers", "status"), [(200, 200), (201, 400)])
async def test_a_request_has_few_headers(site: HttpSite, headers: int, status: int) -> None:
    head = "\r\n".join(["GET / HTTP/1.1", "Host: a", *["a: b"] * (headers - 1), "", ""])
    assert (await answer(site.port, head.encode())).status == status


async def test_a_request_to_read_has_no_body(site: HttpSite) -> None:
    assert (await site.fetch("GET", "/api/v1/events", b"{}", **TOKEN)).status == 400
    assert site.endpoint.clients == []


# Peers that never end


ENDLESS = {
    "blank lines": (b"", b"\r\n"),
    "a method": (b"", b"A"),
    "an address": (b"GET /", b"a"),
    "headers": (GET[:-2], b"a: b\r\n"),
    "a header": (GET[:-2] + b"a: ", b"b"),
    "a continued header": (GET[:-2] + b"a: b\r\n", b" b\r\n"),
    "trailers": (POST + b"0\r\n", b"a: b\r\n"),
    "a trailer": (POST + b"0\r\na: ", b"b"),
    "the name of a trailer": (POST + b"0\r\n", b"b"),
    "trailers of an upload": (UPLOAD + b"1\r\nx\r\n0\r\n", b"a: b\r\n"),
    "an extension of a chunk": (UPLOAD + b"1;a=", b"b"),
    "extensions of a chunk": (UPLOAD + b"1", b";a=b"),
    "extensions of chunks": (UPLOAD, b"1;" + b"a=b;" * 100 + b"a=b\r\nx\r\n"),
    "the size of a chunk": (UPLOAD, b"0"),
    "pipelined requests": (GET, GET),
    "headers behind a stream": (request("GET", "/api/v1/events", b"", **TOKEN) + GET[:-2], b"a: b\r\n"),
    "trailers before an upgrade": (
        request("GET", "/", b"", Upgrade="websocket", Connection="upgrade", **CHUNKED) + b"0\r\n", b"a: b\r\n",
    ),
}  # fmt: skip
SLOW = {
    **{
        kind: ENDLESS[kind]
        for kind in ("blank lines", "headers", "trailers of an upload", "trailers before an upgrade")
    },
    "a body": (request("POST", "/media", b"", Content_Length="1000000", **TOKEN), b"x"),
    "a body of chunks": (UPLOAD, b"1\r\nx\r\n"),
    "a body before the login": (
        request("POST", "/api/v1/login", Content_Type="application/json", Content_Length="60000"), b" ",
    ),
}  # fmt: skip


async def sent_until_the_end(port: int, begin: bytes, more: Iterator[bytes], pause: float = 0.0) -> int:
    """Sends until the server ends the connection, at most for `WAIT_SECONDS`. Returns the number of bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.create_task(reader.read(-1))
    sent = len(begin)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            writer.write(begin)
            for piece in more:
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(pause)
                if ended.done():
                    break
    except ConnectionError:
        pass
    finally:
        ended.cancel()
        writer.transport.abort()
        await asyncio.wait([ended])
    return sent


@pytest.mark.parametrize("kind", ENDLESS)
async def test_what_is_no_body_has_a_limit(site: HttpSite, kind: str) -> None:
    begin, piece = ENDLESS[kind]
    size = await sent_until_the_end(site.port, begin, repeat(piece * (1 + 4096 // len(piece))))
    assert size < MOST_BYTES
    assert (await fetch(site.port, "GET", "/")).status == 200


@pytest.mark.parametrize("kind", SLOW)
async def test_what_comes_byte_by_byte_has_a_time(site: HttpSite, kind: str) -> None:
    begin, piece = SLOW[kind]
    slow = (bytes([byte]) for pieces in repeat(piece) for byte in pieces)
    assert await sent_until_the_end(site.port, begin, slow, pause=0.02) < len(begin) + 200


async def test_random_peers_that_never_end_disturb_nobody(site: HttpSite) -> None:
    """Each peer sends a mixture of valid and invalid sequences."""
    chance = random.Random(51)
    begins, pieces = zip(*ENDLESS.values(), strict=True)

    def mixture(seed: int) -> Iterator[bytes]:
        own = random.Random(seed)
        likely = own.sample([*pieces, *begins, b"0\r\n", b"\r\n\r\n", b"\0", b"1\r\nx\r\n"], 3)
        while True:
            yield own.choice(likely) * own.randint(1, 2000)

    for seed in range(24):
        size = await sent_until_the_end(site.port, chance.choice(begins), mixture(seed))
        assert size < 2_000_000 + MOST_BYTES, seed
        assert (await fetch(site.port, "GET", "/")).status == 200, seed


# Others meanwhile


async def test_an_upload_in_chunks_of_one_byte_leaves_turns_to_others(site: HttpSite) -> None:
    turns, ended = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not ended.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    async with await RawPeer.dial(site.port) as peer:
        peer.send(UPLOAD, b"1\r\nx\r\n" * 15_000, b"0\r\n\r\n")
        reply = await head_of(peer)
    ended.set()
    await counting
    assert reply.status == 201
    assert turns > 15_000 * 5 / _TURN_BYTES


async def test_a_request_ends_with_its_connection_also_before_another(site: HttpSite) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(request("GET", "/api/v1/events", b"", **TOKEN), GET)
        client = await site.endpoint.client()
        peer.reset()
        await client.until_closed()


@pytest.mark.parametrize(
    "next_request", [b"no request\r\n\r\n", request("GET", "/ws", Upgrade="websocket", Connection="upgrade")]
)
async def test_a_request_is_answered_before_a_malformed_one_ends_the_connection(
    site: HttpSite, next_request: bytes
) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(GET + next_request)
        replies = await peer.rest()
    assert replies.startswith(b"HTTP/1.1 200 OK\r\n")
    assert replies.count(b"HTTP/1.1") == 1


async def test_a_malformed_body_is_answered(site: HttpSite) -> None:
    assert (await answer(site.port, UPLOAD + b"no chunk\r\n")).status == 400


async def test_every_response_has_a_date(site: HttpSite) -> None:
    upgrade = {"Upgrade": "websocket", "Connection": "upgrade"}
    for data in (GET, b"no request\r\n\r\n", GET, request("POST", "/media"), request("GET", "/", b"", **upgrade)):
        async with await RawPeer.dial(site.port) as peer:
            peer.send(data)
            head = (await peer.head()).lower()
        assert head.count("date: ") == head.count(" gmt\r\n") == 1
