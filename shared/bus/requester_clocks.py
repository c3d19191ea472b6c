"""How far the clocks of requesters differ from ours: a deadline is a time of the requester's clock.

A request carries its time of sending. The difference to the time of its receipt is the offset of the two clocks less
the way of the request, so the highest difference is the best estimate. It is lowered slowly, since clocks drift; a
process that was frozen, and receives requests late, keeps the estimate of before. The first request of a requester may
have been delayed itself: if it seems to come from less than a minute ago, the clocks are taken as equal until a request
that follows later confirms the difference. Both clocks are steady: a wall clock that is set while a process runs
changes nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass

from nats.aio.msg import Msg

from shared.clock import now_ms, steady_ms

DEADLINE, SENT = "Deadline", "Sent"
"""Headers of a request: steady milliseconds of the requester."""

_SLACK_SECONDS = 0.5
"""The caller waits this much longer than its request's deadline, so that work begun in time still gets its reply."""
_MAX_REQUESTERS = 4096
_FORGOTTEN_MS = 30_000.0
"""So long after its deadline, nobody waits for a reply, whatever the clocks. nats-server permits an edge to reply for a
minute (auth callout)."""
_DRIFT = 0.001
"""Clocks drift apart by less than this fraction of the time that passes."""


_CERTAIN_MS = 100.0
"""A request on its way for less than this needs no confirmation."""
_LONGEST_DELAY_MS = 60_000.0
"""The broker gives up a process that has read nothing for less than this: no request is delayed for so long."""
_CONFIRMING_MS = 1000.0
"""Requests that were delayed together arrive within less than this."""


@dataclass(slots=True)
class _Estimate:
    offset: float
    """Milliseconds by which the requester's clock is ahead of ours."""
    at: float
    since: float
    confirmed: bool


class RequesterClocks:
    """Requesters are known by the inbox of their connection; at most 4,096 are remembered."""

    def __init__(self) -> None:
        self._estimates: OrderedDict[str, _Estimate] = OrderedDict()
        """By requester."""

    def translate(self, message: Msg) -> float:
        """Replace the deadline in the headers by the same moment on our clock. Returns the milliseconds that were
        added; 0 for a requester that does not tell its time."""
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
    """Whether the deadline in the headers, which is one of our clock, has passed."""
    return steady_ms() > _deadline(message)


def is_forgotten(message: Msg) -> bool:
    """Whether the deadline passed so long ago that a reply is for nobody."""
    return steady_ms() > _deadline(message) + _FORGOTTEN_MS


def _deadline(message: Msg) -> float:
    return float((message.headers or {}).get(DEADLINE, "inf"))
