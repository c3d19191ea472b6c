"""A device in the soak: a process with a client library, its store, and the messages that its program has stored."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from dragoman_client.client import KeptMessage, apply_change, text_of
from tests.support.proxy import TcpProxy

_LINE_BYTES = 1 << 20
_SECONDS = 60.0


class DeviceKind(NamedTuple):
    """A kind of device.

    `command` is followed by three arguments: the address, the file of the store, and the name of the account.
    """

    language: str
    command: Sequence[str]


class SoakDevice:
    """A device. `kept` are its messages by chat and index. They stand for the database of a program: messages that were
    written before a kill stay.

    `texts` are the texts that the device was ordered to send, by nonce. `faults` are reports that the device should not
    have made.
    """

    def __init__(self, name: str, kind: DeviceKind, identifier: str, proxy: TcpProxy, directory: Path) -> None:
        self.name = name
        self.proxy = proxy
        self.kept: dict[tuple[int, int], KeptMessage] = {}
        self.gaps: set[tuple[int, int]] = set()
        self.texts: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.account = 0
        self._queued: set[str] = set()
        self._last = dict[tuple[str, int], int]()
        """For each chat, the index of the last message and the `rev` of the last change that the present process has
        reported.
        """
        self._store = directory / f"{name}.store"
        self._kind = kind
        self._identifier = identifier
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._waiting: asyncio.Future[int] | None = None

    async def start(self) -> None:
        """Starts the device. A restarted program repeats the messages that were not yet in its outbox."""
        self._last = {}
        address = f"ws://127.0.0.1:{self.proxy.port}"
        arguments = [*self._kind.command, address, str(self._store), self._identifier]
        with (self._store.with_suffix(".log")).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *arguments, stdin=PIPE, stdout=PIPE, stderr=log, limit=_LINE_BYTES
            )
        self._reading = asyncio.create_task(self._read(self._process))
        async with asyncio.timeout(_SECONDS):
            await self._ready.wait()
        for nonce, command in self.texts.items():
            if nonce not in self._queued:
                self._command(command)

    async def kill(self) -> None:
        assert self._process is not None
        assert self._reading is not None
        self._ready.clear()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def suspend(self, seconds: float) -> None:
        """Suspends the device like a sleeping phone. Its connection ends meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds / 2)
        self.proxy.reset_peer()
        await asyncio.sleep(seconds / 2)
        os.kill(self._process.pid, signal.SIGCONT)

    def write(self, op: str, nonce: str, **members: Any) -> None:
        """Sends a text, or edits one."""
        self.texts[nonce] = {"do": op, "nonce": nonce, **members}
        self._command(self.texts[nonce])

    def read(self, chat: int, index: int) -> None:
        self._command({"do": "read", "chat": chat, "index": index})

    async def waiting(self) -> int:
        """Returns the number of messages in the device's outbox."""
        self._waiting = asyncio.get_running_loop().create_future()
        self._command({"do": "count"})
        async with asyncio.timeout(_SECONDS):
            return await self._waiting

    def _command(self, command: dict[str, Any]) -> None:
        if not self._ready.is_set():
            return  # when the device is ready, it reports the messages that it has stored
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        with self._store.with_suffix(".lines").open("ab") as lines:
            async for line in process.stdout:
                lines.write(line)
                with suppress(json.JSONDecodeError):  # a device that is killed may leave an incomplete line
                    self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.pop("ev")
        if kind in ("message", "changed"):
            self._check_order(kind, event["chat"], event["index" if kind == "message" else "rev"])
        match kind:
            case "message":
                self.kept.setdefault((event["chat"], event["index"]), cast(KeptMessage, event))
            case "changed":
                place = event["chat"], event["index"]
                if place in self.kept:
                    self.kept[place] = apply_change(self.kept[place], event, self.account)  # type: ignore[arg-type]
                elif place not in self.gaps:
                    self.faults.append(f"a change of a message that was not given: {event}")
            case "gap":
                self.gaps |= {(event["chat"], index) for index in range(event["from"], event["to"] + 1)}
            case "queued":
                self._queued.add(event["nonce"])
            case "waiting" if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(event["count"])
            case "ready":
                self._ready.set()
            case "outcome" if not event["error"]:
                return
            case "waiting":
                return
            case _:
                self.faults.append(f"{kind}: {event}")

    def _check_order(self, kind: str, chat: int, number: int) -> None:
        """Checks that the client gives each message once and in order.

        After a restart, it may repeat messages that were not noted as handled.
        """
        if number <= self._last.get((kind, chat), 0):
            self.faults.append(f"{kind} {number} of chat {chat} was given again, or late")
        self._last[kind, chat] = number

    def shown(self, chat: int) -> dict[int, str]:
        return {index: text_of(one) for (of, index), one in sorted(self.kept.items()) if of == chat}
