"""A batch is seen with all that caused it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.message.metrics import Metrics
from services.message.tracing import TracedBatcher
from shared.contract.message import PostMessages
from shared.database import Database
from shared.settings import Message as MessageSettings
from shared.settings import Tracing
from shared.tracing import Span, Tracer
from tests.support.collector import Collector, Seen
from tests.unit.services.message.service.test_posting import NODE, Answer, Bench


class TracedBench(Bench):
    """A bench whose requests are caused by spans."""

    def __init__(self, database: Database, tracer: Tracer) -> None:
        super().__init__(database, 8)
        self.tracer = tracer
        parts = self.store, self.memberships, self.presence, self.fanout, Metrics(CollectorRegistry())
        self.batcher = TracedBatcher(*parts, MessageSettings(batch_rows=8), self.flush, tracer)

    def ask(self, name: str, messages: int) -> tuple[Span, Answer]:
        """A request, and what it is for those who trace it."""
        span, answer = self.tracer.begin(name), Answer(name, self.log)
        answer.cause = span.traceparent
        self.batcher.submit(PostMessages(NODE, [self.draft() for _ in range(messages)]), answer)
        return span, answer


@pytest.fixture
async def bench(sqlite_url: str, collector: Collector) -> AsyncIterator[TracedBench]:
    tracer = Tracer(Tracing(endpoint=collector.endpoint), "message")
    database = Database(sqlite_url, tracer=tracer)
    bench = TracedBench(database, tracer)
    running = asyncio.create_task(bench.batcher.run())
    yield bench
    await bench.close(running)
    await bench.memberships.close()
    await bench.presence.close()
    await database.close()
    await tracer.shut_down()


async def test_batches_are_linked_to_their_requests_and_told_in_their_own_trace(
    bench: TracedBench, collector: Collector
) -> None:
    bench.store.gate.clear()
    asked = [bench.ask("first", 1)]
    while not bench.store.sizes:
        await asyncio.sleep(0.01)
    asked += [bench.ask("second", 2), bench.ask("third", 1)]
    bench.submit("untraced", bench.draft())
    bench.store.gate.set()
    for span, answer in asked:
        await answer.indexes()
        span.end()
    spans = collector.spans(lambda spans: len(spans) >= 9)
    first, second, third = (one(spans, name) for name in ("first", "second", "third"))
    alone, together = (span for span in spans if span.name == "commit")
    assert (alone.parent, alone.links, alone.attributes) == (first.id, (first.id,), {"requests": 1, "messages": 1})
    assert (together.parent, together.links) == ("", (second.id, third.id))
    assert together.attributes == {"requests": 3, "messages": 4}
    for commit in (alone, together):
        parts = [(span.name, span.trace) for span in spans if span.parent == commit.id]
        assert sorted(parts) == [("database write", commit.trace), ("fan out", commit.trace)]


def one(spans: list[Seen], name: str) -> Seen:
    (found,) = [span for span in spans if span.name == name]
    return found
