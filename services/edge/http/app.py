"""The ASGI application of the clients' port. It routes requests by their path."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.edge.gateway.handshake import http_date
from services.edge.http.chat_client import PATHS as CHAT_PATHS
from services.edge.http.chat_client import ChatClient
from services.edge.http.downloads import Downloads
from services.edge.http.file_host import PATH as FILE_HOST_PATH
from services.edge.http.file_host import FileHost
from services.edge.http.first_page import FirstPage
from services.edge.http.mail_links import LinkPages
from services.edge.http.operations import HttpOperations
from services.edge.http.policy import HttpPolicy
from services.edge.http.request import body_length
from services.edge.http.responses import error_response, not_allowed, not_found, unknown_path, wrong_method
from services.edge.http.resumable_uploads import HttpResumableUploads
from services.edge.http.uploads import HttpUploads
from services.edge.http.web_files import CLIENT, WebFiles
from services.edge.http.webhooks import HttpWebhooks
from services.edge.identicons import avatar_png
from shared.contract.errors import RequestError

if TYPE_CHECKING:
    from shared.tracing import Tracer

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}
_LINGER_SECONDS = 2.0
_SLOWEST_BYTES = 1024
"""The slowest average rate, in bytes a second, at which a body may arrive."""
_PARAMETERS: Mapping[str, str] = {
    "media_id": "[0-9a-f]{32}",
    "secret": "[A-Za-z0-9_-]{1,64}",
    "half": "[A-Za-z0-9_-]{1,128}",
    "kind": "account|chat",
    "number": "[1-9][0-9]{0,18}",
    "operation": "(?s:.*)",
}
"""The form of each parameter in a path, as a regular expression."""
_ANY: tuple[str, ...] = ()
"""The methods of a path whose endpoint itself checks the method."""
_GREETING = "Dragoman, a chat server. Connect to this address with a WebSocket client.\n"
_STALL_SECONDS = 60.0
_OF_PROGRAMS = "/api/"
"""Errors below this path have the form of native's errors."""
_KNOWN = ("", "avatar", "chat", "hooks", "media", "unsubscribe", "verify", "web")


class Transfer:
    """One request and its response. `scope["extensions"]["dragoman.abort"]`, if the server has it, drops the
    connection. A client counts as disconnected if it transfers nothing for `stall_seconds`. It also counts as
    disconnected if its body takes longer than `stall_seconds` and a second for each KiB. Then ClientDisconnect is
    raised. `headers`: headers of this response, in addition to the headers that every response has."""

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
        """Receive the next message. Raises ClientDisconnect if the body arrives too slowly."""
        self._continued = True
        return await (self._receive_body() if self._unread else self._receive())

    async def send(self, message: Message) -> None:
        """Send a message, and wait while the client does not read. If the request's body is unread, the connection is
        closed only some time after the response, because the client could miss the response otherwise. Raises
        ClientDisconnect."""
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
        """Drop the connection, because the response cannot be completed."""
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
        finally:  # this also happens when the wait is cancelled
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
        """Read the rest of the body for a moment, and drop it."""
        if not self._continued:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._unread:
                    if (await self._receive_body())["type"] == "http.disconnect":
                        raise ClientDisconnect


for _kind, _regex in _PARAMETERS.items():
    register_url_convertor(_kind, type(_kind, (StringConvertor,), {"regex": _regex})())


@dataclass(frozen=True)
class ProgramInterface:
    """The objects that answer programs at `/api/v1` and `/hooks`."""

    operations: HttpOperations
    webhooks: HttpWebhooks


@dataclass(frozen=True)
class MediaInterface:
    """The objects that answer requests at `/media`."""

    downloads: Downloads
    uploads: HttpUploads
    resumable: HttpResumableUploads
    file_host: FileHost


class HttpApp:
    """Answers HEAD like GET, except for verification links, where GET may have an effect."""

    def __init__(
        self,
        links: LinkPages,
        media: MediaInterface,
        programs: ProgramInterface,
        policy: HttpPolicy,
        first_page: FirstPage | None = None,
        chat: ChatClient | None = None,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._policy = policy
        self._client = WebFiles(CLIENT, "/api/", pages=("/api", "/api/"))
        self._stall_seconds = stall_seconds
        front = [Route("/", _greeting)]
        if first_page is not None:
            front = [Route(path, first_page.respond, methods=_ANY) for path in ("/", "/web/{file:path}")]
        if chat is not None:
            front += [Route(path, chat.respond, methods=_ANY) for path in CHAT_PATHS]
        routes = [
            Route("/media", media.uploads.respond, methods=["POST"]),
            Route(FILE_HOST_PATH, media.file_host.respond, methods=["OPTIONS", "POST"]),
            Route("/media/uploads", media.resumable.respond, methods=_ANY),
            Route("/media/uploads/{id:media_id}", media.resumable.respond, methods=_ANY),
            Route("/media/{id:media_id}", media.downloads.respond),
            Route("/avatar/{kind:kind}/{number:number}.png", _avatar),
            Route("/api/v1/events", programs.operations.stream, methods=_ANY),
            Route("/api/v1/{operation:operation}", programs.operations.respond, methods=_ANY),
            Route("/hooks/{secret:secret}", programs.webhooks.respond, methods=["POST"]),
            Route("/verify/{ticket:half}.{code:half}", links.verify, methods=_ANY),
            Route("/unsubscribe/{token:half}", links.unsubscribe, methods=_ANY),
            *front,
            *(Route(path, self._client_file, methods=_ANY) for path in ("/api", "/api/{file:path}")),
            *(Route(path, _no_websocket) for path in ("/ws", "/ws/{dialect:path}")),
        ]
        for route in routes:  # the `$` in Starlette's pattern would also match before a line end
            route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
        handlers = {404: _not_found, 405: _not_allowed, RequestError: _error}
        self._site = ExceptionMiddleware(Router(routes, redirect_slashes=False), handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # without "app", the router itself would answer requests that match no route
        request = Request(scope)
        transfer = Transfer(scope, receive, send, self._stall_seconds, self._policy.headers(request))
        rejected = self._policy.decide(request, asyncio.get_running_loop().time())
        try:
            await (rejected or self._site)(scope, transfer.receive, transfer.send)
        except ClientDisconnect:
            await transfer.abort()

    async def _client_file(self, request: Request) -> Response:
        """Answer with a file of the JavaScript client."""
        found = self._client.find(request.scope["path"], request.headers)
        if found is None:
            return unknown_path()
        return found if request.method in ("GET", "HEAD") else _method_error(request, "GET, HEAD")


async def _greeting(_: Request) -> Response:
    return PlainTextResponse(_GREETING)


async def _no_websocket(_: Request) -> Response:
    return PlainTextResponse("This is the address of a WebSocket.\n", 426, {"Upgrade": "websocket"})


async def _avatar(request: Request) -> Response:
    """Answer with a generated avatar. It never changes, because a new avatar has a new URL."""
    png = avatar_png(request.path_params["kind"], int(request.path_params["number"]))
    tag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    caching = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, caching)
    return Response(png, 200, caching, "image/png")


async def _not_found(request: Request, _: Exception) -> Response:
    """Answer that there is no such path. Programs get JSON, and users get a text."""
    return unknown_path() if request.scope["path"].startswith(_OF_PROGRAMS) else not_found()


async def _not_allowed(request: Request, error: Exception) -> Response:
    """Answer that the method is not allowed. The response names the methods in a fixed order, because Starlette names
    them in any order."""
    assert isinstance(error, HTTPException)
    assert error.headers is not None
    methods = ", ".join(sorted(error.headers["Allow"].split(", ")))
    return _method_error(request, methods)


def _method_error(request: Request, allowed: str) -> Response:
    return wrong_method(allowed) if request.scope["path"].startswith(_OF_PROGRAMS) else not_allowed(allowed)


async def _error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error.failure)


class TracedHttp:
    """ASGI middleware that traces each request until its response is sent. The span's result is "ok", a status of 400
    or more, or "gone" if the client did not receive the whole response."""

    def __init__(self, serve: ASGIApp, tracer: "Tracer") -> None:
        self._serve = serve
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        result = "gone"
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal result, status
            await send(message)
            status = message.get("status", status)
            if message["type"] == "http.response.body" and not message["more_body"]:
                result = str(status) if status >= 400 else "ok"

        with self._tracer.begin(span_name(scope["method"], scope["path"])):
            await self._serve(scope, receive, send_observed)
            self._tracer.end_current(result)


def span_name(method: str, path: str) -> str:
    """The name of a span: the method and the first part of the path. The rest of the path may be secret, such as a
    media id."""
    section = path.removeprefix("/").partition("/")[0]
    return f"{method} /{section}" if section in _KNOWN else f"{method} elsewhere"
