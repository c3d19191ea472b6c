"""Tests the clients of an earlier commit with a server of this commit: `python -m tests.sdk.previous_clients --commit
COMMIT`.

The clients run in the drivers of that commit's conformance kit. They write and receive messages while an edge is
killed.
"""

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dragoman_client.client import Dragoman
from tests.support.cluster import Cluster
from tests.support.commands import ROOT
from tests.support.javascript import NODE, WEBSOCKETS

_PATHS = ("dragoman_client", "clients/javascript", "tests/__init__.py", "tests/conformance")
_TURNS = 40
_SECONDS = 60.0


def drivers_of(commit: str, directory: Path) -> dict[str, list[str]]:
    """Returns the commands of an earlier commit's drivers, by language."""
    archive = subprocess.run(["git", "archive", commit, *_PATHS], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    there = ["env", "-C", str(directory), f"PYTHONPATH={directory}"]
    return {
        "python": [*there, sys.executable, "-m", "tests.conformance.python_driver"],
        "javascript": [*there, NODE, *WEBSOCKETS, "tests/conformance/javascript_driver.mjs"],
    }


class PreviousClient:
    """A client of an earlier commit. `lines` are the output lines of its driver."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[dict[str, Any]] = []
        self._process = process
        self._reading = asyncio.create_task(self._read())

    def command(self, **step: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(step).encode() + b"\n")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["on"] == kind]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(json.loads(line))


@asynccontextmanager
async def started(command: Sequence[str]) -> AsyncIterator[PreviousClient]:
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield PreviousClient(process)
    finally:
        process.kill()
        await process.wait()


async def faults_of(cluster: Cluster, command: Sequence[str], name: str) -> list[str]:
    """Yields the faults of a client that writes while another user also writes."""
    async with Dragoman(cluster.edges[1]) as ann, Dragoman(cluster.edges[1]) as owner, started(command) as client:
        await ann.register(f"Ann {name}", "orange juice")
        login = await owner.register(f"Owner {name}", "orange juice")
        chat = (await owner.call("create", name="Fruit"))["chat"]
        await ann.call("join_link", link=(await owner.call("link", chat=chat))["link"])
        client.command(do="connect", url=f"{cluster.edges[0]}/ws/native", token=login["token"])
        client.command(do="send", key="first", chat=chat, text="hello")
        await _until(lambda: client.of("sent"))
        for turn in range(_TURNS):
            client.command(do="send", key=f"{turn}", chat=chat, text=f"own {turn}")
            await ann.send(chat=chat, text=f"ann {turn}")
            if turn == _TURNS // 2:
                await asyncio.to_thread(cluster.kill, "edge-1")
        await _until(lambda: len(client.of("sent")) + len(client.of("failed")) == _TURNS + 1)
        await ann.call(
            "edit", chat=chat, index=(await ann.send(chat=chat, text="last"))["index"], text="edited", nonce="e"
        )
        await _until(lambda: client.of("changed"))
        client.command(do="call", key="read", op="read", parameters={"chat": chat, "index": 2 * _TURNS + 2})
        await _until(lambda: client.of("replied"))
        found = [json.dumps(line) for kind in ("failed", "ended") for line in client.of(kind)]
        given = [line["index"] for line in client.of("message") if line["chat"] == chat]
        named = [index for gap in client.of("gap") for index in range(gap["from"], gap["to"] + 1)]
        acknowledged = {line["index"] for line in client.of("sent")}
        if given != sorted(set(given)) or {*given, *named} | acknowledged != {*range(1, 2 * _TURNS + 3)}:
            found.append(f"given: {given}, named by gaps: {named}")
        return found


async def _until(condition: Any) -> None:
    async with asyncio.timeout(_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sdk.previous_clients", description=__doc__)
    parser.add_argument("--commit", required=True)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        drivers = drivers_of(parser.parse_args().commit, place / "previous")
        with Cluster(place / "data", "--no-limits") as cluster:
            found = {name: asyncio.run(faults_of(cluster, command, name)) for name, command in drivers.items()}
    print(found)  # noqa: T201
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
