"""Pins the load to the last CPU core and the measured system to the others. Linux only; no effect elsewhere."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def for_the_system() -> Iterator[None]:
    """Processes started inside the block run on all cores but the last."""
    with _on(_system()):
        yield


@contextlib.contextmanager
def for_the_load() -> Iterator[None]:
    """Processes started inside the block run on the last core."""
    with _on(_all() - _system()):
        yield


@contextlib.contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    before = _all()
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, before)


def _all() -> set[int]:
    """The cores of this process; empty on platforms without CPU affinity."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _system() -> set[int]:
    return set(sorted(_all())[:-1])
