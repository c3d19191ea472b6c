"""Bounds the CPU time of background work, so that messages do not wait for a core."""

import asyncio
from time import monotonic, process_time

_LONGEST_DEBT_SECONDS = 0.1


class CpuShare:
    """Delays background work while this process takes more than a share of a core. A delay lasts at most
    `longest_seconds`, so other work of this process does not stop the background work."""

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
