"""Tests blocking connections: unchanged frames, requests with their replies, and the end of a connection."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from dragoman_client.blocking import BlockingClient, BlockingConnection, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Destination
from dragoman_client.codec.events import ReceivedMessage, ServerReply
from dragoman_client.errors import ConnectionEnded, NoReply, RequestRejected, Unreachable
from tests.unit.dragoman_client.scripted_server import HANG_UP, Addresses, scripted

V1 = CODECS["ourchat-v1"]
ACCOUNT = ClientAccount("ann", "secret", 12)
MESSAGE = '{"code":0,"time":8,"data":{"cid":4,"sender":{"ocid":34,"group_id":5},"msg":"hi"}}'


def script(frame: str) -> list[str | bytes]:
    """A script with a small part of OurChat v1."""
    request = json.loads(frame)
    match request["code"]:
        case 6:
            return [MESSAGE, '{"code":7,"time":8,"data":{"state":0,"ocid":12,"token":"t"}}']
        case 0:
            return [json.dumps({**request, "data": {**request["data"], "cid": 6}}), MESSAGE]
        case 8:
            return ['{"code":18,"time":8,"data":{"details":"too many"}}']
        case 9:
            return [HANG_UP]
    return []


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    with scripted(script) as addresses:
        yield addresses


@pytest.fixture(params=["ws", "tcp"])
def connection(request: pytest.FixtureRequest, addresses: Addresses) -> Iterator[BlockingConnection]:
    with connect(getattr(addresses, request.param), V1) as connection:
        yield connection


@pytest.fixture
def client(connection: BlockingConnection) -> BlockingClient:
    return BlockingClient(connection, V1)


def texts(client: BlockingClient) -> list[str]:
    return [received.event.text for received in client.pending if isinstance(received.event, ReceivedMessage)]


def test_a_request_keeps_the_messages_that_come_before_its_reply(client: BlockingClient) -> None:
    assert client.request(V1.login(ACCOUNT)).token == "t"
    assert texts(client) == ["hi"]
    client.request(V1.post(ACCOUNT, Destination(5), "hello"))
    assert texts(client) == ["hi", "hello"]
    event = client.receive().event
    assert isinstance(event, ReceivedMessage)
    assert event.chat == 5


def test_a_rejection_has_its_reason(client: BlockingClient) -> None:
    with pytest.raises(RequestRejected, match="chat rejected: too many"):
        client.request(V1.create_group(ACCOUNT, "x"))


def test_silence_is_an_error(client: BlockingClient) -> None:
    with pytest.raises(NoReply, match=r"no answer to a registration within 0\.05 s"):
        client.request(V1.register(ClientAccount(email="a@b.c")), seconds=0.05)
    with pytest.raises(TimeoutError):
        client.receive(0.01)


def test_the_end_of_a_connection_ends_its_requests(client: BlockingClient) -> None:
    waiting = client.start(V1.register(ClientAccount(email="a@b.c")))
    client.start(V1.join(ACCOUNT, 5))
    with pytest.raises(ConnectionEnded, match="the server ended the connection"):
        client.receive()
    with pytest.raises(ConnectionEnded):
        waiting.result(0)


def test_a_thread_may_receive_while_another_sends(client: BlockingClient) -> None:
    ended: Future[None] = Future()

    def receive() -> None:
        try:
            while True:
                client.receive(None)
        except ConnectionEnded:
            ended.set_result(None)

    thread = threading.Thread(target=receive)
    thread.start()
    reply: ServerReply = client.start(V1.login(ACCOUNT)).result(5)
    assert reply.number == 12
    client.connection.end()
    ended.result(5)
    thread.join()


def test_every_frame_can_be_traced(addresses: Addresses) -> None:
    traced: list[tuple[bool, str | bytes]] = []
    with connect(addresses.ws, V1, lambda sent, frame: traced.append((sent, frame))) as connection:
        connection.send('{"code":8}')
        connection.receive()
        connection.send(["{", '"code":8}'])
        connection.receive()
    rejection = (False, '{"code":18,"time":8,"data":{"details":"too many"}}')
    assert traced == [(True, '{"code":8}'), rejection] * 2


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_a_server_that_is_not_there_is_unreachable(scheme: str) -> None:
    with pytest.raises(Unreachable, match=f"{scheme}://127.0.0.1:9 cannot be reached: .*refused"):
        connect(f"{scheme}://127.0.0.1:9", V1)


def test_a_server_without_the_dialect_is_unreachable(addresses: Addresses) -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        connect(addresses.tcp.replace("tcp", "ws"), V1, seconds=0.2)
