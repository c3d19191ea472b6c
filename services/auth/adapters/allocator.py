"""Decides when freed memory goes back to the system. Only glibc's allocator is known. Others are left as they are."""

import ctypes

_LIBRARY = ctypes.CDLL(None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""The numbers of M_TRIM_THRESHOLD and others in malloc.h."""
_MOST_IN_ARENA = 2**25
"""The size up to which memory can be kept. It is the largest that glibc takes."""


def keep_freed_memory() -> None:
    """From now on, freed memory is kept until `return_memory`. New threads use the main arena, because memory of the
    others cannot be returned."""
    if hasattr(_LIBRARY, "mallopt"):
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _MOST_IN_ARENA), (_TRIM_THRESHOLD, 2**30)):
            _LIBRARY.mallopt(option, value)


def return_memory() -> None:
    if hasattr(_LIBRARY, "malloc_trim"):
        _LIBRARY.malloc_trim(0)
