"""Steps that a process repeats until it stops."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.contract.errors import RequestError
from shared.tasks import is_set_within
from shared.telemetry import log

_log = log(__name__)
_BUSY_SECONDS = 60.0
_QUIET_SECONDS = 5.0


async def repeat(
    step: Callable[[], Awaitable[bool]],
    stopping: asyncio.Event,
    seconds: float,
    what: str,
    woken: asyncio.Event | None = None,
) -> None:
    """Repeat the step. If the step returns True, it has found work and is repeated at once. Otherwise it is repeated
    after `seconds`, or earlier when `woken` is set. A step that fails is also repeated. `what` names the waiting work
    in the log.

    If `woken` is given, was not set for a minute, and the step found no work in this time, the step is repeated only
    every five seconds. Its query would otherwise be most of the work of an idle process."""
    now = asyncio.get_running_loop().time
    busy_until = now() + _BUSY_SECONDS
    while not stopping.is_set():
        if woken is not None:
            woken.clear()
        found = False
        try:
            found = await step()
        except RequestError as error:
            _log.debug(f"{what} wait for a service", error=str(error))
        except Exception:
            _log.exception(f"{what} fail")
        if not found:
            pause = seconds if woken is None or now() < busy_until else max(seconds, _QUIET_SECONDS)
            found = await is_set_within(woken or stopping, pause)
        if found:
            busy_until = now() + _BUSY_SECONDS
