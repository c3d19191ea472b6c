"""One HTTP request and its answer, over ASGI."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

Headers = Mapping[str, str]
"""Names in lower case where they were received."""
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_ALWAYS: Headers = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}
_LINGER_SECONDS = 2.0


class ClientDisconnected(Exception):
    """The client hung up, or reads or sends nothing any more: nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str
    headers: Headers = field(default_factory=dict)


class HttpRequest:
    """`scope["extensions"]["dragoman.abort"]`, where the server offers it, drops the connection. A client that moves
    nothing for `stall_seconds` counts as gone."""

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
        self._invited = "expect" not in self.headers

    @property
    def length(self) -> int | None:
        """Bytes of the request's body; None when that shows at its end."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0"))

    async def body(self) -> AsyncIterator[bytes]:
        """What the client sends, as it comes. Raises Gone."""
        while self._unread:
            try:
                async with asyncio.timeout(self._stall_seconds):
                    data = await self._next()
            except TimeoutError as error:
                raise ClientDisconnected from error
            yield data

    async def answer(self, response: Response) -> None:
        """The whole answer. Raises Gone."""
        lines = {"Content-Length": str(len(response.body)), "Content-Type": response.content_type}
        rest = self._unread
        await self.open(response.status, {**response.headers, **({} if response.status == 304 else lines)})
        await self.write(response.body, more=rest)
        if rest:
            await self._linger()
            await self.write(b"", more=False)

    async def open(self, status: int, headers: Headers) -> None:
        """The head of an answer; a connection with a body that nobody reads any more is closed after it."""
        named = {**_ALWAYS, **headers, **({"Connection": "close"} if self._unread else {})}
        lines = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Waits while the client does not read. Raises Gone."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError as error:
            raise ClientDisconnected from error

    async def until_disconnect(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; cancelled when the client hangs up, which is no error. Raises what the work raises."""
        working = asyncio.create_task(work, name="answer")
        leaving = asyncio.create_task(self._left(), name="hang-up")
        try:
            await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait((working, leaving))
        if not working.cancelled():
            working.result()

    async def abort(self) -> None:
        """Drop the connection: what was promised cannot be sent."""
        if offered := self.scope.get("extensions", {}).get("dragoman.abort"):
            offered["abort"]()
            await self._left()

    async def _next(self) -> bytes:
        self._invited = True
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        self._unread = message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _linger(self) -> None:
        """Take what the client is still sending, for a moment: closed at once, it might never see its answer."""
        if not self._invited:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread:
                    await self._next()
