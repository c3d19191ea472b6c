"""Serves the dashboard of the whole system: a page, the numbers of all processes, and the message auditor."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import parse_qs

import click
import msgspec
import nats.errors

from services.cli.admin.bus_client import connected_to
from services.cli.admin.dead_letters import open_stream
from services.cli.admin.messages import MessageReport, find
from services.cli.overview.capacity import read_costs
from services.cli.overview.system_view import Target, summarize
from services.cli.top.poller import OpsAddress, poll
from services.edge.http.web_files import WebFiles
from shared.contract.supervision import MessageTimes
from shared.ops import is_own_host, page_server
from shared.settings import NatsSettings

_FRESH_SECONDS = 1.0
"""Several pages share one poll."""
_DEAD_LETTERS_SECONDS = 30.0
_WEB = Path(__file__).with_name("web")
USER = "dashboard"
"""Of NATS: it may locate messages and count dead letters."""

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class DashboardServer:
    """`targets`: the processes, as they are at each poll. `broker`: the settings of NATS for the user
    `dashboard`, or for `admin`."""

    def __init__(
        self, targets: Callable[[], Sequence[Target]], broker: NatsSettings, allowed_hosts: Sequence[str] = ()
    ) -> None:
        self._targets = targets
        self._broker = broker
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)
        self._files = WebFiles(_WEB)
        self._costs = read_costs()
        self._polled, self._view = float("-inf"), b""
        self._polling = asyncio.Lock()
        self._counted = float("-inf")
        self._dead_letters: int | None = None
        self._server = page_server(self._app)

    async def run(self, *listeners: socket) -> None:
        """Until cancelled or stopped."""
        with ExitStack() as listening:
            for listener in listeners:
                listening.enter_context(listener)
            await self._server.serve(sockets=list(listeners))

    def stop(self) -> None:
        self._server.should_exit = True

    async def _app(self, scope: Mapping[str, Any], _receive: object, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not is_own_host(headers.get("host", ""), self._allowed_hosts):
            return await _respond(send, 421, b"not the name of this port: see ops.allowed_hosts\n")
        if scope["method"] not in ("GET", "HEAD"):
            return await _respond(send, 405, b"only GET\n")
        match scope["path"]:
            case "/healthz":
                await _respond(send, 200, b"ok\n")
            case "/api/system":
                await _respond_json(send, 200, await self._system())
            case "/api/message":
                query = parse_qs(scope["query_string"].decode("latin-1")).get("q", [""])[0]
                await self._find(send, query.strip())
            case path:
                if (found := self._files.find(path, headers)) is None:
                    return await _respond(send, 404, b"not found\n")
                await _respond(send, found.status, found.body, found.content_type, found.headers)

    async def _system(self) -> bytes:
        """Polls the processes, at most once in a second."""
        async with self._polling:
            if time.monotonic() - self._polled > _FRESH_SECONDS:
                await self._count_dead_letters()
                targets = self._targets()
                addresses = [OpsAddress(target.name, target.address) for target in targets if target.address]
                states = {state.name: state for state in await asyncio.to_thread(poll, addresses)}
                self._view = msgspec.json.encode(summarize(targets, states, self._costs, self._dead_letters))
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
            pass  # shown as unknown

    async def last_message_of(self, chat: int) -> MessageTimes | None:
        """The way of the chat's last message; None if it cannot be found now."""
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
            arrivals=[(one.edge, one.at) for one in found.envelopes],
            confirmed=states.count("confirmed"),
            recipients=len(states),
        )

    async def _find(self, send: Send, query: str) -> None:
        try:
            async with connected_to(self._broker, self._broker.user or USER) as client:
                reports: list[MessageReport] = await find(client, query)
        except (click.ClickException, nats.errors.Error) as error:
            text = error.message if isinstance(error, click.ClickException) else "the broker does not answer"
            return await _respond_json(send, 404, msgspec.json.encode({"error": text}))
        await _respond_json(send, 200, msgspec.json.encode({"reports": reports}))


async def _respond_json(send: Send, status: int, body: bytes) -> None:
    await _respond(send, status, body, "application/json", {"Cache-Control": "no-store"})


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> None:
    fields = {
        "Content-Type": content_type, "Content-Length": str(len(body)), "X-Content-Type-Options": "nosniff",
        **(headers or {}),
    }  # fmt: skip
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
