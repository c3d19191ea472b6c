"""One HTTP request and its response, over ASGI."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from services.edge.gateway.http_date import http_date

Headers = Mapping[str, str]
"""Received names are in lower case."""
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_ALWAYS: Headers = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}
_LINGER_SECONDS = 2.0
_SLOWEST_BYTES = 1024
"""A body must on the whole come by so many bytes a second."""


class ClientDisconnected(Exception):
    """The client disconnected, or has stopped reading or sending."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str
    headers: Headers = field(default_factory=dict)


class HttpRequest:
    """`scope["extensions"]["dragoman.abort"]`, if the server has it, drops the connection. A client that transfers
    nothing for `stall_seconds` counts as disconnected, and so does one whose body lasts longer than that and a second
    for each KiB."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send, stall_seconds: float) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self._receive = receive
        self._send = send
        self._stall_seconds = stall_seconds
        self._unread = self.length is None or self.length > 0
        self._continued = "expect" not in self.headers

    @property
    def length(self) -> int | None:
        """Bytes of the request's body; None for a chunked body."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))

    async def body(self, silence_seconds: float = math.inf) -> AsyncIterator[bytes]:
        """The request's body in chunks, as they arrive, and an empty one when nothing has come for so long. Raises
        ClientDisconnected."""
        clock, patience, is_silent = asyncio.get_running_loop().time, self._stall_seconds, False
        while self._unread:
            began, data = clock(), b""
            with suppress(TimeoutError):
                async with asyncio.timeout(patience if is_silent else min(patience, silence_seconds)):
                    data = await self._next()
            patience = min(self._stall_seconds, patience - (clock() - began) + len(data) / _SLOWEST_BYTES)
            if patience <= 0:
                raise ClientDisconnected
            if data or (self._unread and not is_silent):
                yield data
            is_silent = not data

    async def respond(self, response: Response) -> None:
        """Send a whole response. Raises ClientDisconnected."""
        entity = {"Content-Length": str(len(response.body)), "Content-Type": response.content_type}
        unread = self._unread
        headers = response.headers if response.status in (204, 304) else {**response.headers, **entity}
        await self.start_response(response.status, headers)
        await self.write(response.body, more=unread)
        if unread:
            await self._linger()
            await self.write(b"", more=False)

    async def start_response(self, status: int, headers: Headers) -> None:
        """Send the head of a response. If the request's body is unread, the connection closes after the response."""
        named = {"Date": http_date(), **_ALWAYS, **headers, **({"Connection": "close"} if self._unread else {})}
        lines = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a part of the body; waits while the client does not read. Raises ClientDisconnected."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError as error:
            raise ClientDisconnected from error

    async def until_disconnect(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run the work until it ends or the client disconnects, which cancels it and is no error. Whether it has ended.
        Raises whatever the work raises."""
        working = asyncio.create_task(work, name="response")
        disconnect = asyncio.create_task(self._disconnected(), name="disconnect")
        try:
            await asyncio.wait((working, disconnect), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            disconnect.cancel()
            await asyncio.wait((working, disconnect))
        if working.cancelled():
            return False
        working.result()
        return True

    async def abort(self) -> None:
        """Drop the connection, since the response cannot be completed."""
        if extension := self.scope.get("extensions", {}).get("dragoman.abort"):
            extension["abort"]()
            await self._disconnected()

    async def _next(self) -> bytes:
        self._continued = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        self._unread = message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _linger(self) -> None:
        """Read the rest of the body for a moment: if the connection closed at once, the client might miss the
        response."""
        if not self._continued:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread:
                    await self._next()
