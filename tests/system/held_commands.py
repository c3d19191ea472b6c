"""Runs a service that can hold the commands of clients: `python -m tests.system.held_commands DIRECTORY SERVICE`.

Commands are held `before` the commit, when they are `committed`, or before the reply (`answered`), while the file
`SERVICE.PHASE` is in the directory. The service writes each held command to the file `held`.
"""

import asyncio
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Gates:
    """The files that make the service hold commands in a phase. `wait` holds a command while such a file exists.

    All attempts at one command have the same name.
    """

    def __init__(self, directory: Path, service: str) -> None:
        self._directory = directory
        self._service = service

    async def wait(self, phase: str, name: str) -> None:
        gate = self._directory / f"{self._service}.{phase}"
        if not gate.exists():
            return
        with (self._directory / "held").open("a") as held:
            held.write(f"{self._service} {name}\n")
        while gate.exists():
            await asyncio.sleep(0.01)


def close_gates(directory: Path, *gates: str) -> None:
    (directory / "held").write_text("")
    for gate in gates:
        (directory / gate).touch()


def open_gates(directory: Path, *gates: str) -> None:
    for gate in gates:
        (directory / gate).unlink()


def held(directory: Path) -> set[str]:
    """Returns the commands that are held."""
    return {line for line in (directory / "held").read_text().splitlines(keepends=True) if line.endswith("\n")}


def _hold_commands(gates: Gates, service: str) -> None:
    from shared.bus.client import Bus
    from shared.database import Database
    from shared.request_nonce import request_content, request_nonce

    write, reply = Database.write, Bus._reply

    async def held_write(database: Database, work: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        subject, _, payload = request_content.get().partition(b" ")
        name = _name(service, subject.decode(), payload, request_nonce.get())
        if not name:
            return await write(database, work, *arguments, **how)
        await gates.wait("before", name)
        result = await write(database, work, *arguments, **how)
        await gates.wait("committed", name)
        return result

    async def held_reply(bus: Bus, message: Any, payload: bytes) -> None:
        if name := _name(service, message.subject, message.data, (message.headers or {}).get("Nonce", "")):
            await gates.wait("answered", name)
        await reply(bus, message, payload)

    Database.write = held_write  # type: ignore[method-assign, assignment]
    Bus._reply = held_reply  # type: ignore[method-assign, assignment]


def _hold_posts(gates: Gates) -> None:
    from services.message.store import MessageStore

    post = MessageStore.post

    async def held_post(store: MessageStore, drafts: Any) -> Any:
        await gates.wait("before", "post")
        posted = await post(store, drafts)
        await gates.wait("committed", "post")
        return posted

    MessageStore.post = held_post  # type: ignore[method-assign, assignment]


def _name(service: str, subject: str, payload: bytes, nonce: str) -> str:
    """Returns the name of a client's command, or an empty string for any other request.

    Posts and reads come together in batches.
    """
    if service != "message":
        return nonce
    kind = subject.rpartition(".")[2]
    if kind in ("change", "mark_unread", "save_draft"):
        return hashlib.sha256(payload).hexdigest()
    return kind if kind in ("post", "read") else ""


def _main() -> None:
    directory = Path(sys.argv.pop(1))
    from dragoman.main import main

    gates = Gates(directory, service := sys.argv[1])
    _hold_commands(gates, service)
    if service == "message":
        _hold_posts(gates)
    main()


if __name__ == "__main__":
    _main()
