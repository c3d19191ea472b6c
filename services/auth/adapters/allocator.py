"""Decides when freed memory goes back to the system. Only glibc's allocator is known. Others are left as they are."""

import ctypes

_LIBRARY = ctypes.CDLL(None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""The numbers of M_TRIM_THRESHOLD and others in malloc.h."""
_MOST_IN_ARENA = 2**25
"""The size up to which memory can be kept. It is the largest that glibc takes."""


def use_one_arena() -> None:
    """From now on, new threads use the main arena, because `return_memory` cannot return the memory of others."""
    _set(_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """From now on, freed memory is kept until `return_memory`."""
    _set(_MMAP_THRESHOLD, _MOST_IN_ARENA)
    _set(_TRIM_THRESHOLD, 2**30)


def return_memory() -> None:
    if hasattr(_LIBRARY, "malloc_trim"):
        _LIBRARY.malloc_trim(0)


def _set(option: int, value: int) -> None:
    if hasattr(_LIBRARY, "mallopt"):
        _LIBRARY.mallopt(option, value)
