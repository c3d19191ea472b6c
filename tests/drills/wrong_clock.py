"""Services whose wall clock is wrong; their steady clock runs as ever.

`python -m tests.drills.wrong_clock SERVICE[,SERVICE …] SECONDS up …` is `dragoman up`, but the processes of these
services start through this module, which moves their wall clock before it imports the product.
"""

import sys
import time


def move_wall_clock(seconds: float) -> None:
    """For this process. To be called before a module of the product is imported."""
    read, read_ns = time.time, time.time_ns
    time.time = lambda: read() + seconds
    time.time_ns = lambda: read_ns() + int(seconds * 1_000_000_000)


if __name__ == "__main__":
    services, seconds = sys.argv.pop(1), sys.argv.pop(1)
    if sys.argv[1] != "up":
        move_wall_clock(float(seconds))
    from dragoman.main import main

    if sys.argv[1] == "up":
        from tests.drills.mutants import start_through

        for service in services.split(","):
            start_through("tests.drills.wrong_clock", services, seconds, service=service)
    main()
