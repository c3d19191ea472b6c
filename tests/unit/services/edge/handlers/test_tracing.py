"""Each thing that a client asks begins a trace."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest

from services.edge.canonical.commands import GetServerStatus
from services.edge.canonical.replies import Reply, ServerStatus
from services.edge.client.client import Client
from services.edge.dialects.base import Request
from services.edge.handlers.tracing import TracedHandler
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import Tracing
from shared.telemetry import new_trace, trace
from shared.tracing import Tracer
from tests.support.collector import Collector

CLIENT = cast(Client, SimpleNamespace(dialect=SimpleNamespace(name="pipe")))
ASKED = Request(GetServerStatus())


class Performer:
    """RequestHandler until it is `refusing`; what it was told last."""

    def __init__(self) -> None:
        self.refusing = False
        self.welcomed: list[Client] = []
        self.trace = ""

    async def handle(self, client: Client, request: Request) -> Reply:
        self.trace = trace.get()
        if self.refusing:
            raise RequestError(ErrorCode.FORBIDDEN, "not you")
        return ServerStatus(maintenance=False)

    async def resolve(self, client: Client, run: list[Request]) -> list[Request]:
        return run[:1]

    def after_login(self, client: Client) -> None:
        self.welcomed.append(client)


@pytest.fixture
async def tracer(collector: Collector) -> AsyncIterator[Tracer]:
    tracer = Tracer(Tracing(endpoint=collector.endpoint), "edge")
    yield tracer
    await tracer.shut_down()


async def test_what_is_asked_is_done_and_seen(collector: Collector, tracer: Tracer) -> None:
    performer = Performer()
    traced = TracedHandler(performer, tracer)
    trace.set(new_trace())
    assert await traced.handle(CLIENT, ASKED) == ServerStatus(maintenance=False)
    assert performer.trace == trace.get()
    performer.refusing = True
    with pytest.raises(RequestError):
        await traced.handle(CLIENT, ASKED)
    assert await traced.resolve(CLIENT, [ASKED, ASKED]) == [ASKED]
    traced.after_login(CLIENT)
    assert performer.welcomed == [CLIENT]
    spans = collector.spans(lambda spans: len(spans) == 3)
    assert {(span.name, span.trace, span.parent, span.attributes["dialect"]) for span in spans} == {
        ("GetServerStatus", trace.get(), "", "pipe")
    }
    assert [span.failed for span in spans] == ["", "forbidden", ""]
