"""Ends a family of processes when the one that started them is gone, however it went.

Run as a script, alone in a new process group that the family joins. Standard input is a pipe from the starter: its
end of file is the starter's death. The descriptor given as argument is a pipe that every member holds open: its end
of file says that all have ended. Only the standard library is used, so that it starts at once.
"""

import os
import select
import signal
import sys

GRACE_SECONDS = 8.0


def guard(alive: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGCONT)
    os.killpg(0, signal.SIGTERM)
    select.select([alive], [], [], GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    guard(int(sys.argv[1]))
