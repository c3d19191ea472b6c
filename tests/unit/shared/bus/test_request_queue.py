"""Tests the queue for the requests of one route."""

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry

from shared.bus import requester_clocks
from shared.bus.request_queue import QueueLimits, RequestQueue
from shared.bus.requester_clocks import DEADLINE
from shared.contract.routes import Route
from shared.plain_histogram import PlainHistogram
from shared.tasks import Tasks

NUMBERS = Route("numbers.get", int, int)


@pytest.mark.parametrize(("seconds", "replies"), [(20, [b"+\x07"]), (40, [])])
async def test_the_reply_to_a_forgotten_request_is_not_sent(
    seconds: int, replies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sent = 0.0, []
    monkeypatch.setattr(requester_clocks, "steady_ms", lambda: now)

    async def handler(number: int) -> int:
        nonlocal now
        now += seconds * 1000
        return number

    async def reply(message: Msg, data: bytes) -> None:
        sent.append(data)

    registry, tasks = CollectorRegistry(), Tasks()
    served = PlainHistogram("served", "seconds", (1.0,), registry, ("route", "result"))
    requests = RequestQueue(NUMBERS, handler, QueueLimits(1, 1), served, reply, tasks, None)
    requests.receive(Msg(Client(), NUMBERS.subject, "inbox.edge.a.1", b"\x07", {DEADLINE: "1500"}))
    await tasks.finish(10)
    assert sent == replies
    assert registry.get_sample_value("served_count", {"route": NUMBERS.label, "result": "ok"}) == 1
