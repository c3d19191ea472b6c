"""Where tests write: in memory where Linux offers it. Tests kill processes, never the machine, so no test depends on
what a disk holds. Commits to disk took a fifth of the processor time of modules that use SQLite."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108
_ENOUGH = 4 << 30
"""Bytes, more than the run needs: 0.2 GiB were in use in the middle of it."""


def write_to_memory() -> None:
    """Unless TMPDIR names a directory. Also for all processes that are started from now on."""
    if "TMPDIR" not in os.environ and _is_usable(_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _is_usable(directory: Path) -> bool:
    """Whether files can be written and executed, and there is room enough. In a container there may be 64 MB."""
    return (
        os.access(directory, os.W_OK | os.X_OK)
        and not os.statvfs(directory).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(directory).free >= _ENOUGH
    )
