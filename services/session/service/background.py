"""Background work: steps that a process repeats until it stops, and a bound of their CPU time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, process_time

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


_LONGEST_DEBT_SECONDS = 0.1


class CpuShare:
    """Delays background work while this process takes more than a share of a core, so that messages do not wait for a
    core. A delay lasts at most `longest_seconds`, so other work of this process does not stop the background work."""

    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self._excess = 0.0
        self._wall, self._cpu = monotonic(), process_time()
        self._turn = asyncio.Lock()

    async def rest(self, share: float) -> None:
        """Waits until the time since the last calls makes up for the CPU time that was taken in it. If this takes too
        long, further calls wait for the rest. Callers wait one after the other. `share`: the share of a core from the
        last call to this one."""
        async with self._turn:
            wall, cpu = monotonic(), process_time()
            self._excess += (cpu - self._cpu) / share - (wall - self._wall)
            self._wall, self._cpu = wall, cpu
            self._excess = min(max(0.0, self._excess), _LONGEST_DEBT_SECONDS)
            await asyncio.sleep(min(self._excess, self._longest_seconds))
