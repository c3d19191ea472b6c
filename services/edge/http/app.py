"""The ASGI application of the clients' port: routes requests by path."""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.edge.http.downloads import Downloads
from services.edge.http.first_page import FirstPage
from services.edge.http.hooks import HttpHooks
from services.edge.http.operations import HttpOperations
from services.edge.http.policy import HttpPolicy
from services.edge.http.responses import error_response, not_allowed, not_found
from services.edge.http.resumable_uploads import HttpResumableUploads
from services.edge.http.transfer import Transfer
from services.edge.http.uploads import HttpUploads
from services.edge.http.verification import VerificationLinks
from services.edge.http.web_files import CLIENT, WebFiles
from services.edge.identicons import avatar_png
from shared.contract.errors import RequestError

if TYPE_CHECKING:
    from shared.tracing import Tracer

_PARAMETERS: Mapping[str, str] = {
    "media_id": "[0-9a-f]{32}",
    "secret": "[A-Za-z0-9_-]{1,64}",
    "half": "[A-Za-z0-9_-]{1,128}",
    "kind": "account|chat",
    "number": "[1-9][0-9]{0,18}",
    "operation": "(?s:.*)",
}
"""Of paths, by the name of their kind."""
_ANY: tuple[str, ...] = ()
"""Methods that the endpoint itself tells apart."""
_GREETING = "Dragoman, a chat server. Connect to this address with a WebSocket client.\n"
_STALL_SECONDS = 60.0
_KNOWN = ("", "avatar", "hooks", "media", "verify", "web")

for _kind, _regex in _PARAMETERS.items():
    register_url_convertor(_kind, type(_kind, (StringConvertor,), {"regex": _regex})())


@dataclass(frozen=True)
class ProgramInterface:
    """What programs use, of `/api/v1` and `/hooks`."""

    operations: HttpOperations
    hooks: HttpHooks


@dataclass(frozen=True)
class MediaInterface:
    """What serves `/media`."""

    downloads: Downloads
    uploads: HttpUploads
    resumable: HttpResumableUploads


class HttpApp:
    """HEAD is answered like GET, except for verification links, where GET may have an effect."""

    def __init__(
        self,
        links: VerificationLinks,
        media: MediaInterface,
        programs: ProgramInterface,
        policy: HttpPolicy,
        first_page: FirstPage | None = None,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._policy = policy
        self._client = WebFiles(CLIENT, "/api/", pages=("/api", "/api/"))
        self._stall_seconds = stall_seconds
        front = [Route("/", _greeting)]
        if first_page is not None:
            front = [Route(path, first_page.respond, methods=_ANY) for path in ("/", "/web/{file:path}")]
        routes = [
            Route("/media", media.uploads.respond, methods=["POST"]),
            Route("/media/uploads", media.resumable.respond, methods=_ANY),
            Route("/media/uploads/{id:media_id}", media.resumable.respond, methods=_ANY),
            Route("/media/{id:media_id}", media.downloads.respond),
            Route("/avatar/{kind:kind}/{number:number}.png", _avatar),
            Route("/api/v1/events", programs.operations.stream, methods=_ANY),
            Route("/api/v1/{operation:operation}", programs.operations.respond, methods=_ANY),
            Route("/hooks/{secret:secret}", programs.hooks.respond, methods=["POST"]),
            Route("/verify/{ticket:half}.{code:half}", links.respond, methods=_ANY),
            *front,
            *(Route(path, self._client_file, methods=_ANY) for path in ("/api", "/api/{file:path}")),
            *(Route(path, _no_websocket) for path in ("/ws", "/ws/{dialect:path}")),
        ]
        for route in routes:  # Starlette's `$` matches before a line end, too
            route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
        handlers = {404: _not_found, 405: _not_allowed, RequestError: _error}
        self._site = ExceptionMiddleware(Router(routes, redirect_slashes=False), handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self  # else the router itself responds to what it cannot route
        request = Request(scope)
        transfer = Transfer(scope, receive, send, self._stall_seconds, self._policy.headers(request))
        rejected = self._policy.decide(request, asyncio.get_running_loop().time())
        try:
            await (rejected or self._site)(scope, transfer.receive, transfer.send)
        except ClientDisconnect:
            await transfer.abort()

    async def _client_file(self, request: Request) -> Response:
        """Of the client in JavaScript."""
        found = self._client.find(request.scope["path"], request.headers)
        if found is None:
            return not_found()
        return found if request.method in ("GET", "HEAD") else not_allowed("GET, HEAD")


async def _greeting(_: Request) -> Response:
    return PlainTextResponse(_GREETING)


async def _no_websocket(_: Request) -> Response:
    return PlainTextResponse("This is the address of a WebSocket.\n", 426, {"Upgrade": "websocket"})


async def _avatar(request: Request) -> Response:
    """A generated avatar never changes: a new one has a new URL."""
    png = avatar_png(request.path_params["kind"], int(request.path_params["number"]))
    tag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    caching = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(None, 304, caching)
    return Response(png, 200, caching, "image/png")


async def _not_found(_: Request, __: Exception) -> Response:
    return not_found()


async def _not_allowed(_: Request, error: Exception) -> Response:
    """Starlette names the methods in any order."""
    assert isinstance(error, HTTPException)
    assert error.headers is not None
    return not_allowed(", ".join(sorted(error.headers["Allow"].split(", "))))


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
    """Method and first part of the path. The rest may be secret, such as a media id. Pure."""
    section = path.removeprefix("/").partition("/")[0]
    return f"{method} /{section}" if section in _KNOWN else f"{method} elsewhere"
