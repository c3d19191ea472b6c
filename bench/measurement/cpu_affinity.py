"""The load on a core of its own, so that it takes nothing from what it measures. Only Linux lets a process choose."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def for_the_system() -> Iterator[None]:
    """Whatever is started inside runs on all cores but the last."""
    with _on(_system()):
        yield


@contextlib.contextmanager
def for_the_load() -> Iterator[None]:
    """Whatever is started inside runs on the last core."""
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
    """Empty where they are not told."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _system() -> set[int]:
    return set(sorted(_all())[:-1])
