"""What becomes of the requests to post, as spans: a batch has many causes, and is linked to each."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.message.adapters.fanout import Fanout, Outgoing
from services.message.adapters.roster_cache import Memberships
from services.message.metrics import Metrics
from services.message.service.posting import Batcher, Request
from services.message.store import Store
from shared.presence import Presence, PresenceSnapshot
from shared.settings import Message as Settings

if TYPE_CHECKING:
    from shared.tracing import Tracer


class TracedBatcher(Batcher):
    """A batcher that shows what it does."""

    def __init__(
        self,
        store: Store,
        memberships: Memberships,
        presence: Presence,
        fanout: Fanout,
        metrics: Metrics,
        settings: Settings,
        flush: Callable[[], None],
        tracer: "Tracer",
    ) -> None:
        super().__init__(store, memberships, presence, fanout, metrics, settings, flush)
        self._tracer = tracer
        self._commits = deque([""])
        """What causes the next to be told: a round tells what the round before has committed."""

    async def _commit(self, requests: list[Request]) -> None:
        causes = [request.responder.cause for request in requests]
        counts = {"requests": len(requests), "messages": sum(len(request.drafts) for request in requests)}
        span = self._tracer.link("commit", causes, counts)
        self._commits.append(span.traceparent)
        await span.around(super()._commit(requests))

    async def _tell(self, requests: Sequence[Request], outgoing: Outgoing, where: PresenceSnapshot) -> None:
        span = self._tracer.continue_trace("fan out", "internal", self._commits.popleft())
        await span.around(super()._tell(requests, outgoing, where))
