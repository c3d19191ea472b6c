"""Starts services with a wrong wall clock and a right monotonic clock.

`python -m tests.drills.wrong_clock SERVICE[,SERVICE …] SECONDS[@DELAY] up …` works as `dragoman up`, but the wall clock
of these services' processes is SECONDS ahead. Without DELAY, it is ahead from the start of each process. With DELAY, it
is set forward so many seconds after the start of the system.
"""

import sys
import time


def move_wall_clock(seconds: float, since: float = 0.0) -> None:
    """Sets the wall clock of this process forward, from the time `since` of the monotonic clock on. All processes share
    the monotonic clock.

    Call this before a module of the product is imported.
    """
    read, read_ns = time.time, time.time_ns
    time.time = lambda: read() + (seconds if time.monotonic() >= since else 0.0)
    time.time_ns = lambda: read_ns() + (int(seconds * 1_000_000_000) if time.monotonic() >= since else 0)


if __name__ == "__main__":
    services, clock = sys.argv.pop(1), sys.argv.pop(1)
    seconds, _, moment = clock.partition("@")
    if sys.argv[1] != "up":
        move_wall_clock(float(seconds), float(moment or 0))
    from dragoman.main import main

    if sys.argv[1] == "up":
        from tests.drills.mutants import start_through

        since = time.monotonic() + float(moment) if moment else 0.0
        for service in services.split(","):
            start_through("tests.drills.wrong_clock", services, f"{seconds}@{since}", service=service)
    main()
