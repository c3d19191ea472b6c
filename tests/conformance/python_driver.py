"""The driver of `dragoman_client.client`. It reads steps and writes lines, which are JSON objects (driver_lines.py)."""

import asyncio
import json
import sys
from typing import Any

from dragoman_client.client import CommandRejected, Dragoman
from dragoman_client.errors import ClientError

Line = dict[str, Any]
_GIVEN = {"message": ("chat", "index"), "changed": ("chat", "rev", "index"), "gap": ("chat", "from", "to"), "reset": ()}


def write(**line: object) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201


def give(event: Line) -> None:
    kind = event["ev"]
    if kind in _GIVEN:
        line = {name: event[name] for name in _GIVEN[kind]}
        if kind == "message":
            line["text"] = "".join(segment.get("text", "") for segment in event["segments"])
        write(on=kind, **line)


class Driver:
    def __init__(self) -> None:
        self._client: Dragoman | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Runs until the step `close`, or until the input ends."""
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            step = json.loads(line)
            if step["do"] == "close":
                break
            task = asyncio.create_task(self._take(step))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)  # the tasks of steps start in the order of the steps
        for task in self._tasks:
            task.cancel()

    async def _take(self, step: Line) -> None:
        if step["do"] == "connect":
            async with Dragoman(step["url"], token=step["token"], call_seconds=300) as self._client:
                try:
                    async for event in self._client:
                        give(dict(event))
                except CommandRejected:
                    write(on="ended")
            return
        assert self._client is not None
        key = step["key"]
        try:
            if step["do"] == "send":
                reply = await self._client.send(chat=step["chat"], text=step["text"])
                write(on="sent", key=key, chat=reply["chat"], index=reply["index"])
            else:
                await self._client.call(step["op"], **step["parameters"])
                write(on="replied", key=key)
        except CommandRejected as error:
            write(on="failed", key=key, code=error.code, text=str(error), field=error.field)
        except ClientError as error:
            write(on="failed", key=key, code="client", text=str(error))


if __name__ == "__main__":
    asyncio.run(Driver().run())
