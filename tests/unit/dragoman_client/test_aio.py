"""Tests the asyncio connections over WebSocket and plain TCP: replies, events, and connections that fail."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from dragoman_client.aio import NullListener, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, ClientRequest, Destination
from dragoman_client.codec.events import ReplyKind, ServerReply
from dragoman_client.errors import ConnectionEnded, NoReply, RequestRejected, Unreachable
from tests.support.waiting import WAIT_SECONDS
from tests.unit.bench.faulty_server import faulty_server, honest
from tests.unit.dragoman_client.scripted_server import CODE, HANG_UP, Addresses, scripted

V2 = CODECS["ourchat-v2"]
ACCOUNT = ClientAccount("ann", "secret", 12)
MESSAGE = json.dumps({
    "code": 0, "time": 8, "msg_id": "4", "sender": {"ocid": "0000000034", "session_id": "5"},
    "msg": [{"type": 0, "text": "hi"}],
}, separators=(",", ":"))  # fmt: skip

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@asynccontextmanager
async def _shaking_hands_only() -> AsyncIterator[str]:
    """A server that ends every connection after its handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = (line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())  # noqa: S324 (so says RFC 6455)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class _Recorder(NullListener):
    def __init__(self) -> None:
        self.events: list[object] = []
        self.replies: list[ServerReply] = []
        self.has_ended = asyncio.Event()

    def received(self, event: object, now: int) -> None:
        self.events.append(event)

    def replied(self, reply: ServerReply, now: int) -> None:
        self.replies.append(reply)

    def ended(self) -> None:
        self.has_ended.set()


def script(frame: str) -> list[str | bytes]:
    """A script with a small part of OurChat v2."""
    request = json.loads(frame)
    match request["code"]:
        case 6:
            return [MESSAGE, json.dumps({"code": 7, "status": 0, "ocid": request["account"], "token": "t"})]
        case 0:
            echo = {"code": 0, "time": 9, "msg_id": "5"}
            return [json.dumps({**request, **echo})]
        case 8:
            return ['{"code":9,"status":1}', '{"code":18,"details":"too many"}']
        case 16:
            return [HANG_UP]
    return []


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    with scripted(script) as addresses:
        yield addresses


@pytest.fixture(params=["ws", "tcp"])
def address(request: pytest.FixtureRequest, addresses: Addresses) -> str:
    return str(getattr(addresses, request.param))


async def test_a_reply_goes_to_its_request_and_a_message_to_the_listener(address: str) -> None:
    recorder = _Recorder()
    connection = await connect(address, V2, recorder)
    reply = await connection.request(V2.login(ACCOUNT))
    assert (reply.number, reply.token) == (ACCOUNT.number, "t")
    assert [getattr(event, "text", None) for event in recorder.events] == ["hi"]
    echo = await connection.request(V2.post(ACCOUNT, Destination(chat=5), "hello"))
    assert (echo.chat, echo.position) == (5, 9)
    await connection.close()
    assert [getattr(event, "text", None) for event in recorder.events] == ["hi", "hello"]
    assert not recorder.has_ended.is_set(), "the connection was closed from here"


async def test_a_rejection_has_its_reason(address: str) -> None:
    connection = await connect(address, V2, NullListener())
    with pytest.raises(RequestRejected, match="chat rejected: too many"):
        await connection.request(V2.create_group(ACCOUNT, "x"))
    await connection.close()


async def test_a_reply_that_no_request_waits_for_goes_to_the_listener(address: str) -> None:
    recorder = _Recorder()
    connection = await connect(address, V2, recorder)
    connection.send(V2.create_group(ACCOUNT, "x").frame)
    async with asyncio.timeout(WAIT_SECONDS):
        while not recorder.replies:
            await asyncio.sleep(0.01)
    assert [reply.error for reply in recorder.replies] == ["too many"]
    await connection.close()


async def test_the_end_of_a_connection_ends_its_requests(address: str) -> None:
    recorder = _Recorder()
    connection = await connect(address, V2, recorder)
    waiting = asyncio.create_task(connection.request(V2.list_chats(ACCOUNT)))
    await asyncio.sleep(0)
    connection.send(b'{"code":16}')
    with pytest.raises(ConnectionEnded, match="ended the connection"):
        await waiting
    assert recorder.has_ended.is_set()
    assert connection.close_code == (CODE if address.startswith("ws") else 1006)
    await connection.wait_ended()


async def test_another_decoder_replaces_the_codec_s(address: str) -> None:
    recorder = _Recorder()
    connection = await connect(
        address, V2, recorder, lambda frame: "tagged" if b'"code":0' in frame else V2.decode(frame)
    )
    await connection.request(V2.login(ACCOUNT))
    assert recorder.events == ["tagged"]
    await connection.close()


async def test_a_connection_that_is_ended_at_once_is_an_error() -> None:
    async with _shaking_hands_only() as address:
        for _ in range(5):
            with pytest.raises((Unreachable, ConnectionEnded), match="ended the connection"):
                await _connect_and_request(address)


async def _connect_and_request(address: str) -> None:
    connection = await connect(address, V2, NullListener())
    await connection.request(ClientRequest(b"{}", ReplyKind.LOGIN), seconds=5)


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
async def test_a_server_that_is_not_there_is_unreachable(scheme: str) -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await connect(f"{scheme}://127.0.0.1:9", V2, NullListener())


async def test_silence_is_an_error_and_closing_twice_is_not() -> None:
    async with faulty_server(honest) as address:
        connection = await connect(address, V2, NullListener())
        silent = ClientRequest(b'{"code":12}', ReplyKind.CHAT)
        with pytest.raises(NoReply, match=r"no answer to a chat within 0\.05 s"):
            await connection.request(silent, seconds=0.05)
        await connection.close()
        await connection.close()
        with pytest.raises(ConnectionEnded, match="ended the connection"):
            await connection.request(silent)


async def test_replies_answer_the_first_request_of_their_kind() -> None:
    async with faulty_server(honest) as address:
        connection = await connect(address, V2, NullListener())
        made, there = await asyncio.gather(
            connection.request(V2.register(ClientAccount("ann", "x", email="ann@b.c"))),
            connection.request(V2.login(ClientAccount("ann", "x", 7))),
        )
        assert (made.number, there.number) == (1, 7)
        await connection.close()
