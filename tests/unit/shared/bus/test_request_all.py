"""Tests requests to which every process replies."""

import pytest
from prometheus_client import CollectorRegistry

from shared.bus import request_sender
from shared.bus.client import Bus
from shared.contract.audit import TracedMessages, TraceMessages
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NodeId, Nonce
from tests.support.servers import NatsServer


async def test_the_replies_of_all_come_without_errors(nats_server: NatsServer) -> None:
    buses = [Bus(nats_server.settings(user), user, CollectorRegistry()) for user in ("edge", "edge", "edge", "admin")]

    def serve(bus: Bus, number: int) -> None:
        async def traced(request: TraceMessages) -> TracedMessages:
            if number == 2:
                raise RequestError(ErrorCode.UNAVAILABLE, "not now")
            return TracedMessages(NodeId(f"{request.trace}-{number}"), [Nonce(number)])

        bus.serve(TraceMessages.route, traced)

    for number, bus in enumerate(buses[:3]):
        serve(bus, number)
    try:
        for bus in buses:
            await bus.start()
        replies = await buses[3].request_all(TraceMessages.route, TraceMessages("x"))
        assert sorted(reply.node for reply in replies) == ["x-0", "x-1"]
    finally:
        for bus in buses:
            await bus.stop()


async def test_without_any_process_there_are_no_replies(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_sender, "_QUIET_SECONDS", 0.1)
    bus = Bus(nats_server.settings("admin"), "admin", CollectorRegistry())
    await bus.start()
    assert await bus.request_all(TraceMessages.route, TraceMessages("x")) == []
    await bus.stop()
