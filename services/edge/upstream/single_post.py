"""Posts one message that no client waits for on its connection."""

import asyncio

from services.edge.rpc.failures import INTERNAL
from services.edge.upstream.publisher import MessagePublisher
from shared.contract.errors import Failure, RequestError
from shared.contract.message import Draft, Posted


async def post_one(publisher: MessagePublisher, draft: Draft, now: float) -> None:
    """Returns once it is committed. `now`: by the event loop's clock. Raises RequestError."""
    submission = _SinglePost()
    publisher.post(submission, [draft], now)
    publisher.flush()
    if (failure := await submission.result) is not None:
        raise RequestError.from_failure(failure)


class _SinglePost:
    """See services.edge.upstream.publisher.Submitter."""

    def __init__(self) -> None:
        self.result: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self._set(None)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._set(failure)

    def crashed(self) -> None:
        self._set(INTERNAL)

    def _set(self, result: Failure | None) -> None:
        if not self.result.done():
            self.result.set_result(result)
