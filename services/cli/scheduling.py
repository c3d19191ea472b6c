"""Who is patient does not interrupt others when it is called, and waits for its turn on the processor."""

import contextlib
import os
import sys


def use_batch_priority(pid: int) -> None:
    """On Linux, unless the process has inherited another policy of scheduling."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it may be gone, and a sandbox may forbid both
            if os.sched_getscheduler(pid) == os.SCHED_OTHER:
                os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
