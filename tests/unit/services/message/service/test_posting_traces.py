"""Tests the spans of commits and fan-outs."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.message.metrics import MessageMetrics
from services.message.service.posting import PostingBatcher
from shared.contract.message import PostMessages
from shared.database import Database
from shared.settings.messages import MessageSettings
from shared.settings.servers import TracingSettings
from shared.tracing import Span, Tracer
from tests.support.collector import Collector, Seen
from tests.unit.services.message.service.test_posting import NODE, BatcherHarness, RecordedReply


class TracedBatcherHarness(BatcherHarness):
    """A batcher harness with requests that are traced."""

    def __init__(self, database: Database, tracer: Tracer) -> None:
        settings = MessageSettings(batch_rows=8)
        super().__init__(database, settings)
        self.tracer = tracer
        parts = self.store, self.member_lists, self.fanout, MessageMetrics(CollectorRegistry())
        self.batcher = PostingBatcher(*parts, settings, self.flush, tracer)

    def submit_traced(self, name: str, messages: int) -> tuple[Span, RecordedReply]:
        """Submits a request with a separate span."""
        span, answer = self.tracer.begin(name), RecordedReply(name, self.log)
        answer.cause = span.traceparent
        self.batcher.submit(PostMessages(NODE, [self.draft() for _ in range(messages)]), answer)
        return span, answer


@pytest.fixture
async def harness(sqlite_url: str, collector: Collector) -> AsyncIterator[TracedBatcherHarness]:
    tracer = Tracer(TracingSettings(endpoint=collector.endpoint), "message")
    database = Database(sqlite_url, tracer=tracer)
    harness = TracedBatcherHarness(database, tracer)
    running = asyncio.create_task(harness.batcher.run())
    yield harness
    await harness.close(running)
    await harness.member_lists.close()
    await harness.presence.close()
    await database.close()
    await tracer.shut_down()


async def test_commits_are_linked_to_their_requests_and_fanned_out_in_their_trace(
    harness: TracedBatcherHarness, collector: Collector
) -> None:
    harness.store.gate.clear()
    submitted = [harness.submit_traced("first", 1)]
    while not harness.store.sizes:
        await asyncio.sleep(0.01)
    submitted += [harness.submit_traced("second", 2), harness.submit_traced("third", 1)]
    harness.submit("untraced", harness.draft())
    harness.store.gate.set()
    for span, answer in submitted:
        await answer.indexes()
        span.end()
    spans = collector.spans(lambda spans: len(spans) >= 9)
    first, second, third = (span_named(spans, name) for name in ("first", "second", "third"))
    alone, together = (span for span in spans if span.name == "commit")
    assert (alone.parent, alone.links, alone.attributes) == (first.id, (first.id,), {"requests": 1, "messages": 1})
    assert (together.parent, together.links) == ("", (second.id, third.id))
    assert together.attributes == {"requests": 3, "messages": 4}
    for commit in (alone, together):
        parts = [(span.name, span.trace) for span in spans if span.parent == commit.id]
        assert sorted(parts) == [("database write", commit.trace), ("fan out", commit.trace)]


def span_named(spans: list[Seen], name: str) -> Seen:
    (found,) = [span for span in spans if span.name == name]
    return found
