"""Whether a replica owns chats or is a spare: while there is little to do, few owners have larger batches, and messages
cost less. Pure; times are of one monotonic clock, in seconds."""

import math
from collections.abc import Callable

_LONGER_SECONDS = 30.0
"""An owner that is not needed any more is one for so long."""


class SpareDecision:
    """Replicas are needed in the order of their names, one for each `cores` of the processor that all of them use; 0:
    all are. They decide for themselves alone, by what each announces: for a moment there may be too many owners. While
    all are spares, all own chats."""

    def __init__(self, replica: str, cores: float) -> None:
        self._replica = replica
        self.cores = cores
        self._loads: dict[str, float] = {}
        self._needed_at = float("-inf")

    def note(self, replica: str, load: float) -> None:
        """A replica, this one or another, has announced the cores that it uses."""
        self._loads[replica] = load

    def is_spare(self, is_live: Callable[[str], bool], now: float) -> bool:
        """`is_live`: whether a replica can own chats."""
        self._loads = {replica: load for replica, load in self._loads.items() if is_live(replica)}
        if not self.cores:
            return False
        needed = max(1, math.ceil(sum(self._loads.values()) / self.cores))
        if self._replica in sorted(self._loads)[:needed]:
            self._needed_at = now
        return now - self._needed_at > _LONGER_SECONDS
