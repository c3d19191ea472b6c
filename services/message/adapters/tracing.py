"""Spans of posting: a transaction commits many requests, so its span is linked to each of theirs."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.message.metrics import MessageMetrics
from services.message.service.ports import DeliveryPlan, FanoutPort, PresenceLookup, RosterPort
from services.message.service.posting import PostingBatcher, PostRequest
from services.message.store import MessageStore
from shared.settings import MessageSettings

if TYPE_CHECKING:
    from shared.tracing import Tracer


class TracedPostingBatcher(PostingBatcher):
    """A batcher that records its commits and fan-outs as spans."""

    def __init__(
        self,
        store: MessageStore,
        rosters: RosterPort,
        fanout: FanoutPort,
        metrics: MessageMetrics,
        settings: MessageSettings,
        flush: Callable[[], None],
        tracer: "Tracer",
    ) -> None:
        super().__init__(store, rosters, fanout, metrics, settings, flush)
        self._tracer = tracer
        self._commits = deque[str]()
        """Traceparents of the commits not fanned out yet: a cycle fans out the commit of the cycle before."""

    async def _commit(self, requests: list[PostRequest]) -> None:
        causes = [request.responder.cause for request in requests]
        counts = {"requests": len(requests), "messages": sum(len(request.drafts) for request in requests)}
        span = self._tracer.link("commit", causes, counts)
        self._commits.append(span.traceparent)
        await span.around(super()._commit(requests))

    async def _publish_and_reply(
        self, requests: Sequence[PostRequest], plan: DeliveryPlan | None, found: PresenceLookup
    ) -> None:
        span = self._tracer.continue_trace("fan out", "internal", self._commits.popleft())
        await span.around(super()._publish_and_reply(requests, plan, found))
