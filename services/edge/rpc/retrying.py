"""Requests that must be answered sooner or later, because what was missed cannot be known without."""

import asyncio
import random
from typing import TypeVar

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.subjects import Route
from shared.telemetry import log

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_PAUSE_SECONDS = 0.5
_PASSING = (ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL, ErrorCode.RATE_LIMITED)


async def request_until_answered(bus: Bus, route: Route[Q, R], request: Q) -> R:
    """The answer, however long it takes. Raises Refused when asking again would not help."""
    while True:
        try:
            return await bus.request(route, request, retry=True)
        except RequestError as refusal:
            if refusal.failure.code not in _PASSING:
                raise
            _log.warning("no answer, will be asked again", subject=route.label, error=str(refusal))
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
