"""The control port of the supervisor `dragoman up`, on the loopback interface. Edges use it for the first page: to
describe the system, to kill a process, and to find a message. A request is a line of JSON. A browser that sends HTTP to
this port gets no reply."""

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec

from local.supervisor import Child
from local.up_plan import PlannedProcess
from shared.contract.supervision import LINE_BYTES, MessageTimes, SystemProcess, SystemRequest, SystemState

_SECONDS = 6.0

FindWay = Callable[[int], Awaitable[MessageTimes | None]]
"""Finds the path of a chat's last message. Returns None if it is not known."""

_decode = msgspec.json.Decoder(SystemRequest).decode


class ControlServer:
    """Answers requests on the control port. A request to kill or to find needs the `token`. `children`: the processes
    by name; the mapping changes while the system runs. `dashboard`: the port of the dashboard, or 0 if there is
    none."""

    def __init__(
        self,
        port: int,
        token: str,
        planned: Sequence[PlannedProcess],
        children: Mapping[str, Child],
        ready_seconds: Callable[[], float],
        dashboard: int,
        find_way: FindWay,
    ) -> None:
        self._port = port
        self._token = token.encode()
        self._planned = {part.name: part for part in planned}
        self._children = children
        self._ready_seconds = ready_seconds
        self._dashboard = dashboard
        self._find_way = find_way
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=LINE_BYTES)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a line that is too long raises ValueError
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
            async with asyncio.timeout(_SECONDS):
                state = await self.answer(_decode(await reader.readline()))
                writer.write(msgspec.json.encode(state) + b"\n")
                await writer.drain()
        writer.close()

    async def answer(self, request: SystemRequest) -> SystemState:
        error: Literal["", "token", "process"] = ""
        way = None
        if (request.kill or request.chat) and not hmac.compare_digest(request.token.encode(), self._token):
            error = "token"
        elif request.kill:
            error = self._kill(request.kill)
        elif request.chat:
            way = await self._find_way(request.chat)
        processes = [self._describe(name, child) for name, child in self._children.items()]
        return SystemState(processes, self._ready_seconds(), error, self._dashboard, way)

    def _kill(self, name: str) -> Literal["", "process"]:
        """Kills the process. Returns the name of the error, or an empty text."""
        child = self._children.get(name)
        if child is None:
            return "process"
        child.fail()
        return ""

    def _describe(self, name: str, child: Child) -> SystemProcess:
        part = self._planned.get(name)
        ops, port, tcp_port = (part.ops, part.port, part.tcp_port) if part else (0, 0, 0)
        return SystemProcess(name, child.ready.is_set(), child.starts, ops, port, tcp_port)
