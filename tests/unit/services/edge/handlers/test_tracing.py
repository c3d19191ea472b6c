"""Each request of a client begins a trace."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest

from services.edge.canonical.commands import GetServerStatus
from services.edge.canonical.replies import Reply, ServerStatus
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.handlers.dispatcher import TracedHandler
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.servers import TracingSettings
from shared.telemetry import new_trace, trace
from shared.tracing import Tracer
from tests.support.collector import Collector

SESSION = cast(LoginSession, SimpleNamespace(dialect=SimpleNamespace(name="pipe")))
REQUEST = Request(GetServerStatus())


class TracedRequestHandler:
    """A handler that rejects requests while it is `rejecting`."""

    def __init__(self) -> None:
        self.rejecting = False
        self.logged_in: list[LoginSession] = []
        self.trace = ""

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        self.trace = trace.get()
        if self.rejecting:
            raise RequestError(ErrorCode.FORBIDDEN, "not you")
        return ServerStatus(maintenance=False)

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        return requests[:1]

    def after_login(self, session: LoginSession) -> None:
        self.logged_in.append(session)


@pytest.fixture
async def tracer(collector: Collector) -> AsyncIterator[Tracer]:
    tracer = Tracer(TracingSettings(endpoint=collector.endpoint), "edge")
    yield tracer
    await tracer.shut_down()


async def test_requests_are_handled_and_traced(collector: Collector, tracer: Tracer) -> None:
    handler = TracedRequestHandler()
    traced = TracedHandler(handler, tracer)
    trace.set(new_trace())
    assert await traced.handle(SESSION, REQUEST) == ServerStatus(maintenance=False)
    assert handler.trace == trace.get()
    handler.rejecting = True
    with pytest.raises(RequestError):
        await traced.handle(SESSION, REQUEST)
    assert await traced.resolve(SESSION, [REQUEST, REQUEST]) == [REQUEST]
    traced.after_login(SESSION)
    assert handler.logged_in == [SESSION]
    spans = collector.spans(lambda spans: len(spans) == 3)
    assert {(span.name, span.trace, span.parent, span.attributes["dialect"]) for span in spans} == {
        ("GetServerStatus", trace.get(), "", "pipe")
    }
    assert [span.failed for span in spans] == ["", "forbidden", ""]
