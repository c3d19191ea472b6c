"""Serves the dashboard of the whole system: a page, the numbers of all processes, and the message auditor."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket

import click
import msgspec
import nats.errors
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from services.cli.admin.bus_client import connected_to
from services.cli.admin.dead_letters import open_stream
from services.cli.admin.messages import MessageReport, find
from services.cli.overview.system_view import Target, summarize
from services.cli.top.poller import OpsAddress, poll
from services.edge.http.web_files import WebFiles
from shared.contract.supervision import MessageTimes
from shared.ops import PageServer, is_own_host
from shared.settings.servers import NatsSettings

_FRESH_SECONDS = 1.0
"""Requests of pages within this time share one poll of the processes."""
_DEAD_LETTERS_SECONDS = 30.0
_WEB = Path(__file__).with_name("web")
USER = "dashboard"
"""The NATS user that may locate messages and count dead letters."""


class DashboardServer:
    """Serves the dashboard. `targets`: returns the processes at each poll. `broker`: the settings of NATS for the user
    `dashboard` or `admin`."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], broker: NatsSettings, allowed_hosts: Sequence[str] = ()
    ) -> None:
        self._targets = targets
        self._broker = broker
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)
        self._files = WebFiles(_WEB)
        self._polled, self._view = float("-inf"), b""
        self._polling = asyncio.Lock()
        self._counted = float("-inf")
        self._dead_letters: int | None = None
        self._server = PageServer(self._app)

    async def run(self, *listeners: socket) -> None:
        """Serves until it is cancelled or stopped."""
        with ExitStack() as listening:
            for listener in listeners:
                listening.enter_context(listener)
            await self._server.serve(sockets=list(listeners))

    def stop(self) -> None:
        self._server.stop()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope))
        response.headers["X-Content-Type-Options"] = "nosniff"
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if not is_own_host(request.headers.get("host", ""), self._allowed_hosts):
            return PlainTextResponse("this host name is not allowed: see ops.allowed_hosts\n", 421)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("only GET\n", 405, {"Allow": "GET, HEAD"})
        match request.scope["path"]:
            case "/healthz":
                return PlainTextResponse("ok\n")
            case "/api/system":
                return _json(200, await self._system())
            case "/api/message":
                return await self._find(request.query_params.get("q", "").strip())
            case path:
                return self._files.find(path, request.headers) or PlainTextResponse("not found\n", 404)

    async def _system(self) -> bytes:
        """The state of the system. The processes are polled at most once a second."""
        async with self._polling:
            if time.monotonic() - self._polled > _FRESH_SECONDS:
                await self._count_dead_letters()
                targets = self._targets()
                addresses = [OpsAddress(target.name, target.address) for target in targets if target.address]
                states = {state.name: state for state in await asyncio.to_thread(poll, addresses)}
                self._view = msgspec.json.encode(summarize(targets, states, self._dead_letters))
                self._polled = time.monotonic()
            return self._view

    async def _count_dead_letters(self) -> None:
        if time.monotonic() - self._counted < _DEAD_LETTERS_SECONDS:
            return
        self._counted, self._dead_letters = time.monotonic(), None
        try:
            async with open_stream(self._broker) as stream:
                self._dead_letters = await stream.count()
        except (click.ClickException, nats.errors.Error):
            pass  # the number is then shown as unknown

    async def last_message_of(self, chat: int) -> MessageTimes | None:
        """The path of the chat's last message; None if it cannot be found now."""
        try:
            async with connected_to(self._broker, self._broker.user or USER) as client:
                (found,) = await find(client, f"{chat}/0", patient=False)
        except (click.ClickException, nats.errors.Error):
            return None
        accepted, states = found.accepted, [one.state for one in found.recipients]
        return MessageTimes(
            index=found.message.index,
            trace=found.traces[0] if found.traces else "",
            accepted_by=found.accepted_by,
            accepted=accepted.at if accepted else 0,
            committed=found.message.time,
            acknowledged=accepted.acknowledged if accepted else 0,
            arrivals=[(one.edge, one.at) for one in found.batches],
            confirmed=states.count("confirmed"),
            recipients=len(states),
        )

    async def _find(self, query: str) -> Response:
        try:
            async with connected_to(self._broker, self._broker.user or USER) as client:
                reports: list[MessageReport] = await find(client, query)
        except (click.ClickException, nats.errors.Error) as error:
            text = error.message if isinstance(error, click.ClickException) else "NATS does not answer"
            return _json(404, msgspec.json.encode({"error": text}))
        return _json(200, msgspec.json.encode({"reports": reports}))


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
