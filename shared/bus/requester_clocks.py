"""Estimates the differences between the clocks of requesters and ours, because a deadline is a time of the requester's
clock.

A request carries its time of sending. A request's time of sending less its time of arrival is the offset of the two
clocks less the travel time, so the highest difference is the best estimate of the offset. The estimate falls only
slowly, since clocks drift. A process that was frozen, and so receives requests late, keeps its earlier estimate. The
first request of a requester may have been delayed itself: if it seems to come from less than a minute ago, the clocks
are taken as equal until a request that follows later confirms the difference. The clocks of both processes are steady:
a wall clock that is set while a process runs changes nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass

from nats.aio.msg import Msg

from shared.clock import now_ms, steady_ms

DEADLINE, SENT = "Deadline", "Sent"
"""The headers of a request with steady milliseconds of the requester."""

_SLACK_SECONDS = 0.5
"""The caller waits this much longer than its request's deadline, so that the reply to work begun in time still
arrives."""
_MAX_REQUESTERS = 4096
_FORGOTTEN_MS = 30_000.0
"""So long after its deadline, nobody waits for a reply, even if the clocks differ. nats-server permits an edge to reply
for a minute (auth callout)."""
_DRIFT = 0.001
"""Clocks drift apart by less than this fraction of the time that passes."""


_CERTAIN_MS = 100.0
"""A request that took less than this to arrive needs no confirmation."""
_LONGEST_DELAY_MS = 60_000.0
"""NATS closes the connection of a process that has read nothing for less than this, so no request is delayed longer."""
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
    """Requesters are known by the inbox of their connection. At most 4,096 estimates are kept."""

    def __init__(self) -> None:
        self._estimates: OrderedDict[str, _Estimate] = OrderedDict()
        """By requester."""

    def translate(self, message: Msg) -> float:
        """Replace the deadline in the headers by the same moment on our clock. Returns the added milliseconds; 0 if the
        request has no time of sending."""
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
    """Headers of a request. `sent`: steady milliseconds; `seconds`: how long its sender waits."""
    return {DEADLINE: str(int(sent + max(seconds - _SLACK_SECONDS, seconds / 2) * 1000)), SENT: str(sent)}


def to_wall_clock(requester_ms: int, added: float) -> int:
    """A requester's time on our wall clock; `added`: see `RequesterClocks.translate`."""
    return requester_ms + round(added + now_ms() - steady_ms())


def is_late(message: Msg) -> bool:
    """Whether the deadline in the headers, as a time of our clock, has passed."""
    return steady_ms() > _deadline(message)


def is_forgotten(message: Msg) -> bool:
    """Whether the deadline passed so long ago that the requester no longer waits for the reply."""
    return steady_ms() > _deadline(message) + _FORGOTTEN_MS


def _deadline(message: Msg) -> float:
    return float((message.headers or {}).get(DEADLINE, "inf"))
