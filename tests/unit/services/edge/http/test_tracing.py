"""Each HTTP request begins a trace that contains no secret of its path."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from services.edge.http.app import TracedHttp, span_name
from shared.settings.servers import TracingSettings
from shared.telemetry import trace
from shared.tracing import Tracer
from tests.support.collector import Collector

SECRET = "0123456789abcdef" * 2


@pytest.fixture
async def tracer(collector: Collector) -> AsyncIterator[Tracer]:
    tracer = Tracer(TracingSettings(endpoint=collector.endpoint), "edge")
    yield tracer
    await tracer.shut_down()


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def serve_traced(tracer: Tracer, path: str, *statuses: int, whole: bool = True, method: str = "GET") -> list[str]:
    """Sends responses with these statuses, and returns the types of the sent messages.

    If not `whole`, the client disconnects before the end.
    """
    sent: list[str] = []

    async def serve(_scope: Scope, _receive: Receive, send: Send) -> None:
        assert trace.get() == tracer.current().split("-")[1]
        for status in statuses:
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": not whole})

    async def send(message: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        sent.append(message["type"])

    await TracedHttp(serve, tracer)({"method": method, "path": path}, nothing, send)
    return sent


async def test_requests_are_answered_and_traced(collector: Collector, tracer: Tracer) -> None:
    sent = await serve_traced(tracer, f"/media/{SECRET}", 206)
    assert sent == ["http.response.start", "http.response.body", "http.response.body"]
    await serve_traced(tracer, f"/verify/{SECRET}.{SECRET}", 503)
    await serve_traced(tracer, "/media", 201, method="POST")
    assert trace.get() == ""
    spans = collector.spans(lambda spans: len(spans) == 3)
    assert [(span.name, span.kind, span.parent, span.failed) for span in spans] == [
        ("GET /media", "server", "", ""),
        ("GET /verify", "server", "", "503"),
        ("POST /media", "server", "", ""),
    ]
    assert len({span.trace for span in spans}) == 3
    assert SECRET.encode() not in collector.raw


@pytest.mark.parametrize("statuses", [(), (200,)])
async def test_an_incomplete_response_is_gone(collector: Collector, tracer: Tracer, statuses: tuple[int, ...]) -> None:
    await serve_traced(tracer, f"/media/{SECRET}", *statuses, whole=False)
    (span,) = collector.spans()
    assert span.failed == "gone"


async def test_a_failure_is_traced_and_raised(collector: Collector, tracer: Tracer) -> None:
    async def serve(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError(SECRET)

    async def send(_message: Mapping[str, Any]) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError):
        await TracedHttp(serve, tracer)({"method": "GET", "path": "/"}, nothing, send)
    (span,) = collector.spans()
    assert (span.name, span.failed) == ("GET /", "internal")
    assert SECRET.encode() not in collector.raw


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "GET /"),
        ("/media", "GET /media"),
        ("/avatar/account/7.png", "GET /avatar"),
        (f"/{SECRET}", "GET elsewhere"),
        (f"/{SECRET}/media", "GET elsewhere"),
        ("*", "GET elsewhere"),
    ],
)
def test_a_span_name_has_only_the_first_part_of_the_path(path: str, name: str) -> None:
    assert span_name("GET", path) == name
