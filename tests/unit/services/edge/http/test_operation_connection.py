"""Replies come in order, each to its operation, whatever happens to operations that wait.

The end of the connection is also a reply.
"""

import asyncio
import json

import pytest

from services.edge.canonical.transport import Handshake
from services.edge.http import operation_connection
from services.edge.http.operation_connection import OperationConnection, OperationReply
from shared.contract.errors import ErrorCode, RequestError
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

HANDSHAKE = Handshake("/ws/native", "chat.test", "127.0.0.1", False, (), "")


class OpenedConnection:
    """A connection, its handler, and the number of times that it has ended."""

    def __init__(self) -> None:
        self.endpoint = RecordingEndpoint()
        self.ends = 0
        self.connection = OperationConnection(self.endpoint, HANDSHAKE, self._ended)

    def _ended(self, connection: OperationConnection) -> None:
        assert connection is self.connection
        self.ends += 1

    @property
    def handler(self) -> RecordingClient:
        return self.endpoint.clients[0]


async def test_replies_belong_to_operations_in_order() -> None:
    opened = OpenedConnection()
    first, second = (opened.connection.perform("ping", b"{}") for _ in range(2))
    opened.connection.send((b'{"ev":"typing"}',))
    # an error without an id could belong to any of several operations, so none gets it
    opened.connection.send((b'{"re":null,"error":{"code":"invalid"}}',))
    opened.connection.send((b'{"re":1,"a":1}', b'{"ev":"message"}', b'{"ev":"synced"}', b'{"re":2}'))
    assert await first == OperationReply(b'{"re":1,"a":1}', [b'{"ev":"message"}', b'{"ev":"synced"}'])
    assert await second == OperationReply(b'{"re":2}', [])


async def test_one_that_gave_up_takes_no_reply_of_others() -> None:
    opened = OpenedConnection()
    impatient, patient = (opened.connection.perform("ping", b"{}") for _ in range(2))
    impatient.cancel()
    opened.connection.send((b'{"re":1,"n":1}',))
    opened.connection.send((b'{"re":2,"n":2}',))
    assert (await patient).frame == b'{"re":2,"n":2}'


@pytest.mark.parametrize(
    ("body", "frame"),
    [
        (b"{}", b'{"op":"ping","id":1}'),
        (b"{ }", b'{"op":"ping","id":1}'),
        (b'{"n":[1]}', b'{"op":"ping","id":1,"n":[1]}'),
        ('{ "文": "字"}'.encode(), '{"op":"ping","id":1,"文": "字"}'.encode()),
        (b'{"n":1} {"op":"logout"}', b'{"op":"ping","id":1,"n":1} {"op":"logout"}'),
    ],
)
async def test_a_command_is_one_frame(body: bytes, frame: bytes) -> None:
    opened = OpenedConnection()
    opened.connection.perform("ping", body)
    assert opened.handler.events == [frame]


@pytest.mark.parametrize("body", [b"[]", b"1", b'"{}"', b"", b'{"text":"\xff"}'])
async def test_other_bodies_are_rejected(body: bytes) -> None:
    opened = OpenedConnection()
    with pytest.raises(RequestError) as raised:
        opened.connection.perform("ping", body)
    assert (raised.value.failure.code, opened.handler.events) == (ErrorCode.INVALID, [])


async def test_the_end_is_a_reply_to_all_that_wait_and_come() -> None:
    opened = OpenedConnection()
    waiting = opened.connection.perform("send", b"{}")
    opened.connection.close(1012, "restarting")
    opened.connection.abort()
    late = opened.connection.perform("send", b"{}")
    for reply in (waiting, late):
        error = json.loads((await asyncio.wait_for(reply, WAIT_SECONDS)).frame)["error"]
        assert (error["code"], error["unknown"], error["retry_ms"]) == ("unavailable", True, 1000)
        assert error["request"]
    assert opened.handler.events[1:] == ["peer_closing", "closed"]
    assert opened.ends == 1


async def test_too_many_at_once_are_rejected() -> None:
    opened = OpenedConnection()
    for _ in range(operation_connection._WAITING_OPERATIONS):
        opened.connection.perform("ping", b"{}")
    with pytest.raises(RequestError) as raised:
        opened.connection.perform("ping", b"{}")
    assert raised.value.failure.code is ErrorCode.RATE_LIMITED


async def test_pings_are_answered_until_the_end() -> None:
    opened = OpenedConnection()
    opened.connection.ping()
    await opened.handler.until("pong")
    opened.connection.close(1000, "over")
    opened.connection.ping()
    await opened.handler.until("pong", "peer_closing", "closed")


async def test_an_idle_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation_connection, "_IDLE_SECONDS", 0.01)
    opened = OpenedConnection()
    opened.connection.perform("ping", b"{}")
    await opened.handler.until(b'{"op":"ping","id":1}', "input_ended")
    assert opened.ends == 1


async def test_the_end_of_the_input_is_reported_once_and_not_after_the_end() -> None:
    opened, closed = OpenedConnection(), OpenedConnection()
    for _ in range(2):
        opened.connection.end_input()
    assert opened.handler.events == ["input_ended"]
    closed.connection.abort()
    closed.connection.end_input()
    await closed.handler.until("peer_closing", "closed")
