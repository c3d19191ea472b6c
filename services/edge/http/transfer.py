"""How a request and its response pass between Starlette and a client that may stall, or stop in the middle."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from services.edge.gateway.handshake import http_date
from services.edge.http.request import body_length

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}
_LINGER_SECONDS = 2.0
_SLOWEST_BYTES = 1024
"""A body must on the whole come by so many bytes a second."""


class Transfer:
    """`scope["extensions"]["dragoman.abort"]`, if the server has it, drops the connection. A client that transfers
    nothing for `stall_seconds` counts as disconnected, and so does one whose body lasts longer than that and a second
    for each KiB: ClientDisconnect is raised. `headers`: of the response, beside those that
    every response has."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, stall_seconds: float, headers: Mapping[str, str]
    ) -> None:
        received = Headers(scope=scope)
        self._scope = scope
        self._receive = receive
        self._send = send
        self._stall_seconds = self._patience = stall_seconds
        self._headers = headers
        self._unread = body_length(received) != 0
        self._continued = "expect" not in received

    async def receive(self) -> Message:
        """Raises ClientDisconnect if the body comes too slowly."""
        self._continued = True
        return await (self._receive_body() if self._unread else self._receive())

    async def send(self, message: Message) -> None:
        """Waits while the client does not read. If the request's body is unread, the connection closes after the
        response, and not at once, when the client might miss the response. Raises ClientDisconnect."""
        if message["type"] == "http.response.start":
            await self._send({**message, "headers": self._complete(message["headers"])})
            return
        more = message.get("more_body", False)
        lingers = self._unread and not more
        await self._send_body(message["body"], more=more or lingers)
        if lingers:
            await self._linger()
            await self._send_body(b"", more=False)

    async def abort(self) -> None:
        """Drop the connection, since the response cannot be completed."""
        if extension := self._scope.get("extensions", {}).get("dragoman.abort"):
            extension["abort"]()
            while (await self._receive())["type"] != "http.disconnect":
                pass

    async def _receive_body(self) -> Message:
        clock = asyncio.get_running_loop().time
        began = clock()
        message: Message = {}
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError as error:
            raise ClientDisconnect from error
        finally:  # also if who waits stops to wait
            came = len(message.get("body", b""))
            self._patience = min(self._stall_seconds, self._patience - (clock() - began) + came / _SLOWEST_BYTES)
        if self._patience <= 0:
            raise ClientDisconnect
        self._unread = message.get("more_body", False)
        return message

    async def _send_body(self, data: bytes, *, more: bool) -> None:
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError as error:
            raise ClientDisconnect from error

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        named = {"Date": http_date(), **_ALWAYS, **self._headers}
        own = {name for name, _ in headers}
        lines = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        if self._unread:
            headers = [*(line for line in headers if line[0] != b"connection"), (b"connection", b"close")]
        return [*(line for line in lines if line[0] not in own), *headers]

    async def _linger(self) -> None:
        """Read the rest of the body for a moment."""
        if not self._continued:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread:
                    if (await self._receive_body())["type"] == "http.disconnect":
                        raise ClientDisconnect
