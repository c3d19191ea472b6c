"""Repeats requests until they are answered, such as requests for missed messages."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.routes import HasRoute
from shared.tasks import operation
from shared.telemetry import log

R = TypeVar("R")

_log = log(__name__)
_PAUSE_SECONDS = 0.5
TEMPORARY = (ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL, ErrorCode.RATE_LIMITED)


async def request_until_answered(bus: Bus, request: HasRoute[R]) -> R:
    """Return the reply, and wait for it without a time limit. Raises RequestError when another attempt would not
    help."""
    return await retry_until_answered(partial(bus.send, request, retry=True), request.route.label)


async def retry_until_answered(request: Callable[[], Awaitable[R]], name: str) -> R:
    """Repeat a request until it is answered. The log names it by `name`. The time limit of the present operation does
    not apply."""
    while True:
        try:
            with operation(math.inf):
                return await request()
        except RequestError as error:
            if error.failure.code not in TEMPORARY:
                raise
            _log.warning("no answer: will be retried", request=name, error=str(error))
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311
