"""A bug that a client has found fills no log, however often the client repeats the request."""

from functools import partial

import pytest
from structlog.testing import capture_logs

from services.edge.canonical.transport import Handshake
from services.edge.client.requests import FailureLog
from services.edge.dialects.registry import DIALECTS
from services.edge.handlers.dispatcher import Dispatcher
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, RequestError
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import FakeSocket


def test_one_bug_a_second_is_logged() -> None:
    now = 5.0
    failures = FailureLog(lambda: now)
    with capture_logs() as lines:
        assert [failures.to_failure(ValueError("bug"), "GetAccount") for _ in range(50)] == [INTERNAL_ERROR] * 50
        now = 6.0
        failures.to_failure(ValueError("bug"), "GetAccount")
    assert [(line["event"], line["command"]) for line in lines] == [("request failed", "GetAccount")] * 2


def test_what_is_no_bug_is_not_logged() -> None:
    error = RequestError(ErrorCode.FORBIDDEN, "not a member")
    with capture_logs() as lines:
        assert FailureLog(lambda: 0.0).to_failure(error, "GetHistory") == error.failure
    assert lines == []


async def test_all_requests_of_a_connection_are_counted_together(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await cluster.add_edge()
    client = await cluster.client(1)

    async def fail(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(Dispatcher, "handle", fail)
    began = edge.context.clock()
    with capture_logs() as lines:
        references = [client.send(do="account", account=2) for _ in range(50)]
        replies = [await client.reply_to(reference) for reference in references]
    assert set(replies) == {"internal"}
    assert 1 <= [line["event"] for line in lines].count("request failed") <= 2 + edge.context.clock() - began


def is_through(wire: FakeSocket) -> bool:
    return len(wire.received) >= 50 or wire.closed_with is not None


@pytest.mark.parametrize("frame", [b"[" * 1_500, b'{"a":' * 1_500, b"{}", b"|", b"\x00"])
async def test_malformed_frames_are_not_logged(cluster: EdgeCluster, frame: bytes) -> None:
    """In any dialect, however many a client sends."""
    cluster.dialects = DIALECTS
    edge = await cluster.add_edge()
    with capture_logs() as lines:
        for path in ("/", *(entry.path for entry in DIALECTS)):
            wire = FakeSocket()
            wire.client = edge.endpoint.connected(Handshake(path, "chat.example", "192.0.2.1", False, (), ""), wire)
            for _ in range(50):
                wire.client.frame_received(frame)
            await wire.until(partial(is_through, wire))
    assert lines == []
