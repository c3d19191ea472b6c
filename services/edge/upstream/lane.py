"""The messages of this edge to one replica of message, or to any: queued, then in flight. Pure."""

from collections import deque
from collections.abc import Container
from typing import Final

from services.edge.upstream.congestion_window import CongestionWindow
from shared.contract.ids import Nonce
from shared.contract.message import Draft

_CONCURRENT_REQUESTS: Final = 3
"""Requests in flight that keep a replica busy: one is fanned out, one is committed, one waits."""
_REQUEST_DRAFTS: Final = 512
_REQUEST_BYTES: Final = 384 * 1024
"""A request at these limits gets no further submission; submissions are kept whole, to keep their order."""
_DRAFT_BYTES: Final = 64


class Lane:
    """A congestion window bounds the messages in flight by how soon they are answered: a slow replica delays the
    messages to no other."""

    __slots__ = ("_in_flight", "_queue", "_window")

    def __init__(self) -> None:
        self._queue: deque[tuple[float, list[Draft]]] = deque()
        """Submissions that are in no request yet, and since when."""
        self._in_flight: dict[int, list[Draft]] = {}
        """The drafts of each unanswered request, by the identity of their list: a delivered message may be sent again
        before the reply to its first request."""
        self._window = CongestionWindow()

    @property
    def has_queued(self) -> bool:
        return bool(self._queue)

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._in_flight

    def is_busy(self, awaited: Container[Nonce]) -> bool:
        """Whether one more request would only wait. A request none of whose messages is `awaited` is done: its reply
        comes after them, and delays no other."""
        busy = [batch for batch in self._in_flight.values() if any(draft.nonce in awaited for draft in batch)]
        return len(busy) >= _CONCURRENT_REQUESTS

    def submit(self, drafts: list[Draft], now: float) -> None:
        self._queue.append((now, drafts))

    def has_room(self) -> bool:
        """Whether there is a submission, and the window has room for it."""
        return bool(self._queue) and self._window.has_room(len(self._queue[0][1]))

    def next_batch(self) -> list[Draft]:
        """The first submission, and as many as fit into a request with it; they are in flight now."""
        batch: list[Draft] = []
        size = 0
        while self._queue:
            drafts = self._queue[0][1]
            size += sum([len(draft.body) for draft in drafts]) + _DRAFT_BYTES * len(drafts)
            count = len(batch) + len(drafts)
            if batch and (count > _REQUEST_DRAFTS or size > _REQUEST_BYTES or not self._window.has_room(count)):
                break
            batch += drafts
            self._queue.popleft()
        self._window.sent(len(batch))
        self._in_flight[id(batch)] = batch
        return batch

    def answered(self, batch: list[Draft], *, soon: bool) -> None:
        """Every draft of the batch, as `next_batch` returned it, has its result. `soon`: the reply was quick."""
        del self._in_flight[id(batch)]
        self._window.acknowledged(len(batch), soon=soon, limited=bool(self._queue))

    def expire(self, latest: float) -> list[Draft]:
        """Removes and returns the drafts that were submitted before `latest`."""
        expired: list[Draft] = []
        while self._queue and self._queue[0][0] < latest:
            expired += self._queue.popleft()[1]
        return expired

    def take_queue(self) -> list[tuple[float, list[Draft]]]:
        """Removes and returns all submissions."""
        submissions = list(self._queue)
        self._queue.clear()
        return submissions
