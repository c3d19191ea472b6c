"""Requests that are retried until they are answered, such as those for missed messages."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.routes import Route
from shared.telemetry import log

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_PAUSE_SECONDS = 0.5
_TEMPORARY = (ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL, ErrorCode.RATE_LIMITED)


async def request_until_answered(bus: Bus, route: Route[Q, R], request: Q) -> R:
    """The reply, however long it takes. Raises RequestError when a retry would not help."""
    return await retry_until_answered(partial(bus.request, route, request, retry=True), route.label)


async def retry_until_answered(request: Callable[[], Awaitable[R]], name: str) -> R:
    """The same of a request that `name` describes in the log."""
    while True:
        try:
            return await request()
        except RequestError as error:
            if error.failure.code not in _TEMPORARY:
                raise
            _log.warning("no answer, will be retried", request=name, error=str(error))
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
