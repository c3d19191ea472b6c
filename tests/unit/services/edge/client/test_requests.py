"""A client may find a bug of the server. Even if it repeats the request often, this must not fill the log."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from services.edge.app import Edge
from services.edge.canonical.commands import PostMessage
from services.edge.client.requests import FailureLog
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.dialects.registry import DIALECTS
from services.edge.handlers.dispatcher import Dispatcher
from shared.clock import steady_ms
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, RequestError
from shared.contract.ids import ChatId
from shared.contract.message import PostMessages
from shared.contract.model import Text
from shared.contract.routes import Ack
from shared.tasks import operation_end
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import dial


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
    cluster: EdgeCluster, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_the_time_of_an_operation_is_that_of_one_request(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a message's lookup counts for its deadline."""
    seconds = (await cluster.add_edge()).context.settings.edge.request_seconds
    client = await cluster.client(1)
    cluster.backend.add_chat(ChatId(7), 1, 2)
    lefts: list[float] = []

    async def resolve(_: Dispatcher, session: LoginSession, requests: list[Request]) -> list[Request]:
        lefts.append(operation_end.get() - time.monotonic())
        await asyncio.sleep(1.0)
        return [Request(PostMessage(ChatId(7), (Text("hello"),)), requests[0].context)]

    async def handle(*_: object) -> Ack:
        lefts.append(operation_end.get() - time.monotonic())
        return Ack()

    monkeypatch.setattr(Dispatcher, "resolve", resolve)
    monkeypatch.setattr(Dispatcher, "handle", handle)
    before = steady_ms()
    await client.reply_to(client.send(do="cite", chat=7, id="0" * 32))
    await client.reply_to(client.send(do="block", account=2, on=True))
    (posted,) = cluster.message.requests_of(PostMessages)
    assert posted.drafts[0].deadline < before + (seconds + 0.5) * 1000
    assert all(seconds - 0.5 < left <= seconds for left in lefts)
    assert len(lefts) == 2


@pytest.mark.parametrize("frame", [b"[" * 1_500, b'{"a":' * 1_500, b"{}", b"|", b"\x00"])
async def test_malformed_frames_are_not_logged(cluster: EdgeCluster, frame: bytes) -> None:
    """This holds for all dialects and any number of frames, at every level of the log except the lowest."""
    cluster.dialects = DIALECTS
    edge = await cluster.add_edge()
    with capture_logs() as lines:
        for path in ("/", *(entry.path for entry in DIALECTS)):
            wire = dial(edge.endpoint, path)
            for _ in range(50):
                wire.client.frame_received(frame)
            await wire.until(lambda wire=wire: len(wire.received) >= 50 or wire.closed_with is not None)  # type: ignore[misc]
    assert [line for line in lines if line["log_level"] != "debug"] == []
