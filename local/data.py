"""The data directory of `dragoman up`. It has private files, a lock that prevents a second run, and a description of
the run."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from local.atomic_file import write_private
from local.options import OperatorError

USE_ANOTHER = "Let this user write there, or name another directory by --data"
_REMNANTS_SECONDS = 12.0
"""The time within which the children of a killed supervisor end."""


class RunningProcess(msgspec.Struct, frozen=True):
    """One process of the current run. `port`: its port for clients, or 0 if it serves no clients. `ops`: its operations
    port."""

    name: str
    pid: int
    ops: int = 0
    port: int = 0


class Run(msgspec.Struct, frozen=True):
    """The current run. It is stored in `run.json`, for other commands and tests. `valkey`: the port of the embedded
    Valkey, or 0 if there is none."""

    supervisor: int
    nats: str
    embedded_nats: bool
    processes: list[RunningProcess]
    valkey: int = 0


def run_file(directory: Path) -> Path:
    return directory / "run.json"


def read_run(directory: Path) -> Run | None:
    """The current run. None if there is no run, or if its supervisor has ended. A file that a crash of the machine has
    damaged counts as no run."""
    try:
        run = msgspec.json.decode(run_file(directory).read_bytes(), type=Run)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    return run if _is_alive(run.supervisor) else None


def write_run(directory: Path, run: Run) -> None:
    write_private(run_file(directory), msgspec.json.format(msgspec.json.encode(run)) + b"\n", durable=False)


def prepare(directory: Path, *parts: str) -> None:
    """Create the directory and its parts, so that only the owner can access them. Raises OperatorError."""
    try:
        for path in (directory, *(directory / part for part in parts)):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"the data directory {directory} cannot be created: {error.strerror}", USE_ANOTHER
        ) from error


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Lock the directory. Yields the descriptor of the lock, which child processes inherit. Raises OperatorError."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OperatorError(
            f"the data directory {directory} cannot be written: {error.strerror}", USE_ANOTHER
        ) from error
    try:
        _lock(descriptor, directory)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    deadline = time.monotonic() + _REMNANTS_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if read_run(directory) is not None or time.monotonic() > deadline:
                raise OperatorError(
                    f"the data directory {directory} is in use by another `dragoman up`",
                    "Stop it, or name another directory by --data",
                ) from error
        time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
