"""The exit statuses of all commands. `./dev docs` makes a page from this table."""

from enum import IntEnum


class ExitStatus(IntEnum):
    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    INTERRUPTED = 130


MEANINGS = {
    ExitStatus.DONE: "It is done. A serving process was stopped by Ctrl-C or SIGTERM, and has ended in order.",
    ExitStatus.FAILED: "The command has failed, the user has declined, or the command has found a fault.",
    ExitStatus.WRONG_USE: "An argument, an option, a setting, a file or a directory is wrong. Nothing was started.",
    ExitStatus.INTERRUPTED: "Ctrl-C or SIGTERM has ended the command before its work was done.",
}

FOUND = {
    "bench": "messages were lost, duplicated or reordered, or the measured system failed",
    "client": "a line of a script was rejected, or the connection has ended",
    "doctor": "a check has failed",
    "replay": "a frame differs from the record",
    "top": "a process did not answer",
    "up": "a part could not be started",
}
"""For each command that has one, the second meaning of status 1. The first meaning is that the command has failed."""
