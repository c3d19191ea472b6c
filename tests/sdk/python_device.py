"""A device with the Python client, for the soak. It reads commands and writes lines, which are JSON objects."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dragoman_client.client import CommandRejected, Dragoman, Event, FileStore, OutboxFull

_GIVEN = ("message", "changed", "gap", "reset", "gone")
_NAMED = {name for kind in get_args(Event) for name in get_args(get_type_hints(kind)["ev"])}


def write(**line: object) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201


async def take(client: Dragoman) -> None:
    try:
        async for event in client:
            # for any other event, an exception is raised, which is a fault
            if event["ev"] in _GIVEN or event["ev"] not in _NAMED:
                write(**event)
            elif event["ev"] == "outcome":
                error = event.get("error")
                write(ev="outcome", nonce=event["nonce"], error=str(error) if error else "")
    except CommandRejected as error:
        write(ev="ended", error=str(error))


def obey(client: Dragoman, command: dict[str, Any]) -> None:
    match command.pop("do"):
        case "send":
            client.send(**command)
        case "edit":
            client.edit(**command)
        case "read":
            client.read(**command)
        case "count":
            write(ev="waiting", count=len(client.outbox))
    if "nonce" in command:
        write(ev="queued", nonce=command["nonce"])


async def main(server: str, store: str, identifier: str) -> None:
    async with Dragoman(server, FileStore(Path(store)), timeline=100) as client:
        if not client.account:
            await client.login(identifier, "orange juice")
        write(ev="ready")
        taking = asyncio.create_task(take(client))
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                obey(client, json.loads(line))
            except (CommandRejected, OutboxFull) as error:
                write(ev="refused", error=str(error))
        taking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
