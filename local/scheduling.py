"""Batch scheduling: a woken process waits for its time slice instead of preempting others."""

import contextlib
import os
import sys


def use_batch_priority(pid: int) -> None:
    """Set SCHED_BATCH on Linux, unless the process has inherited a policy other than the default."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # the process may have ended, and a sandbox may forbid both calls
            if os.sched_getscheduler(pid) == os.SCHED_OTHER:
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
