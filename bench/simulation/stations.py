"""Queues: the clock of a simulation, and what serves one job after the other."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Clock:
    """Runs callbacks in the order of their times; those of one time in the order in which they were added."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, time: float, callback: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), callback, arguments))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, callback, arguments = heapq.heappop(self._events)
            callback(*arguments)
        self.now = until


class Station:
    """A server with some cores and one queue, first come, first served. It may share the cores of another one."""

    def __init__(self, clock: Clock, cores: int = 1, shared: "Station | None" = None) -> None:
        self._clock = clock
        self._free_at: list[float] = [0.0] * cores if shared is None else shared._free_at
        self._is_shared = shared is not None
        self._work = 0.0

    def serve(self, work: float) -> float:
        """Queue a job of `work` seconds now; returns the time at which it is done."""
        free = min(self._free_at)
        core = self._free_at.index(free)
        done = self._free_at[core] = max(free, self._clock.now) + work
        self._work += work
        return done

    def busy(self) -> float:
        """Core seconds until now; on shared cores, with those of its queue."""
        if self._is_shared:
            return self._work
        return self._work - sum(max(0.0, free - self._clock.now) for free in self._free_at)

    @property
    def cores(self) -> int:
        return len(self._free_at)


class SyncedLog:
    """A log on a disk: one sync at a time; those who wait meanwhile share the next one."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ends = self._next_ends = 0.0

    def sync(self) -> float:
        """The time at which what was written until now is synced."""
        now = self._clock.now
        if now >= self._next_ends:
            self._ends = self._next_ends = now + self._seconds
        elif now >= self._ends:
            self._ends = self._next_ends
            self._next_ends = self._ends + self._seconds
        elif self._next_ends == self._ends:
            self._next_ends = self._ends + self._seconds
        return self._next_ends
