"""`python -m tests.system.dying DIRECTORY up …`: a system whose auth and session are killed at the commit of a client's
command, before it or behind it, when a file `SERVICE.before` or `SERVICE.after` is in the directory."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVICES = ("auth", "session")


def die_at_commits(directory: Path, service: str) -> None:
    from shared.database import Database
    from shared.request_nonce import request_nonce

    write = Database.write

    def die_in(phase: str) -> None:
        try:
            (directory / f"{service}.{phase}").unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    async def dying(database: Database, work: Callable[[Any], Any], **how: Any) -> Any:
        if not request_nonce.get():
            return await write(database, work, **how)
        die_in("before")
        result = await write(database, work, **how)
        die_in("after")
        return result

    Database.write = dying  # type: ignore[method-assign, assignment]


def _main() -> None:
    directory = sys.argv.pop(1)
    from dragoman.main import main

    if sys.argv[1] == "up":
        from tests.drills.mutants import start_through

        for service in SERVICES:
            start_through("tests.system.dying", directory, service=service)
    else:
        die_at_commits(Path(directory), sys.argv[1])
    main()


if __name__ == "__main__":
    _main()
