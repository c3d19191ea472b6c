"""The place where tests write: in memory where Linux offers it. Tests kill processes, never the machine, so no test
depends on the content of a disk. Commits to disk took a fifth of the CPU time of modules that use SQLite."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108
_ENOUGH = 4 << 30
"""More bytes than the run needs: 0.2 GiB were in use in the middle of it."""


def write_to_memory() -> None:
    """Writes to memory, unless TMPDIR names a directory. The setting also holds for all processes that are started from
    now on."""
    if "TMPDIR" not in os.environ and _is_usable(_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _is_usable(directory: Path) -> bool:
    """Whether files can be written and executed, and there is room enough. A container may have only 64 MB there."""
    return (
        os.access(directory, os.W_OK | os.X_OK)
        and not os.statvfs(directory).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(directory).free >= _ENOUGH
    )
