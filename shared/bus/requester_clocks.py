"""Estimates the differences between the clocks of requesters and the clock of this process. They are needed because a
deadline is a time of the requester's clock.

A request has its sending time. Its sending time minus its arrival time is the offset of the two clocks minus the travel
time. So the highest such difference is the best estimate of the offset. The estimate falls slowly, because clocks
drift. A process that was frozen receives requests late, and keeps its earlier estimate. The first request of a
requester may have been delayed itself. If it seems to be less than a minute old, the clocks are taken as equal until a
later request confirms the difference. Both processes use steady clocks, so changes of the wall clock have no effect.
"""

from collections import OrderedDict
from dataclasses import dataclass

from nats.aio.msg import Msg

from shared.clock import now_ms, steady_ms

DEADLINE, SENT = "Deadline", "Sent"
"""The headers of a request that have times of the requester's steady clock in milliseconds."""

_SLACK_SECONDS = 0.5
"""The caller waits longer than the request's deadline by this time. So the reply still arrives if the work was begun in
time."""
_MAX_REQUESTERS = 4096
_FORGOTTEN_MS = 30_000.0
"""When this time has passed after a deadline, the requester certainly does not wait any more, even if the clocks
differ. It is less than the minute for which nats-server permits an edge to reply."""
_DRIFT = 0.001
"""Clocks drift apart by less than this fraction of the time that passes."""


_CERTAIN_MS = 100.0
"""A request that took less than this to arrive needs no confirmation."""
_LONGEST_DELAY_MS = 60_000.0
"""No request is delayed longer than this, because NATS closes the connection of a process earlier if the process does
not read."""
_CONFIRMING_MS = 1000.0
"""Requests that were delayed together arrive within this time."""


@dataclass(slots=True)
class _Estimate:
    offset: float
    """The milliseconds by which the requester's clock is ahead of ours."""
    at: float
    since: float
    confirmed: bool


class RequesterClocks:
    """The estimated clocks of all requesters. A requester is recognized by the inbox of its connection. At most 4,096
    estimates are kept."""

    def __init__(self) -> None:
        self._estimates: OrderedDict[str, _Estimate] = OrderedDict()
        """The estimates, by requester."""

    def translate(self, message: Msg) -> float:
        """Replace the deadline in the headers by the same moment on this process's clock. Returns the added
        milliseconds; 0 if the request has no sending time."""
        headers = message.headers
        if not headers or SENT not in headers:
            return 0.0
        added = -self._observe(message.reply.rpartition(".")[0], float(headers[SENT]))
        if DEADLINE in headers:
            headers[DEADLINE] = str(float(headers[DEADLINE]) + added)
        return added

    def _observe(self, requester: str, sent: float) -> float:
        now = steady_ms()
        offset = sent - now
        estimate = self._estimates.pop(requester, None)
        if estimate is None:
            estimate = _Estimate(offset, now, now, confirmed=False)
            if len(self._estimates) >= _MAX_REQUESTERS:
                self._estimates.popitem(last=False)
        self._estimates[requester] = estimate
        estimate.offset = max(offset, estimate.offset - (now - estimate.at) * _DRIFT)
        estimate.at = now
        delayed = -_LONGEST_DELAY_MS < estimate.offset < -_CERTAIN_MS
        if not delayed or now - estimate.since > _CONFIRMING_MS:
            estimate.confirmed = True
        return estimate.offset if estimate.confirmed else 0.0


def deadline_headers(sent: float, seconds: float) -> dict[str, str]:
    """The headers of a request. `sent`: the time of the steady clock in milliseconds. `seconds`: how long the sender
    waits."""
    return {DEADLINE: str(int(sent + max(seconds - _SLACK_SECONDS, seconds / 2) * 1000)), SENT: str(sent)}


def to_wall_clock(requester_ms: int, added: float) -> int:
    """A requester's time as a time of this process's wall clock. `added`: see `RequesterClocks.translate`."""
    return requester_ms + round(added + now_ms() - steady_ms())


def is_late(message: Msg) -> bool:
    """Whether the translated deadline in the headers has passed."""
    return steady_ms() > _deadline(message)


def is_forgotten(message: Msg) -> bool:
    """Whether the deadline passed so long ago that the requester no longer waits for the reply."""
    return steady_ms() > _deadline(message) + _FORGOTTEN_MS


def _deadline(message: Msg) -> float:
    return float((message.headers or {}).get(DEADLINE, "inf"))
