"""The ASGI application of the clients' port: which address is whose."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.edge.http.downloads import Downloads
from services.edge.http.pages import VerificationResult, not_allowed, resource, verification
from services.edge.http.request import ClientDisconnected, HttpRequest, Receive, Response, Send
from services.edge.http.uploads import HttpUploads
from shared.contract.errors import RequestError

OpenLink = Callable[[str, str], Awaitable[VerificationResult]]
"""Open the link of this ticket with this code. Raises Refused when that cannot be done now."""

_VERIFY = re.compile(r"/verify/([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})")
_MEDIA = re.compile(r"/media/([0-9a-f]{32})")
_STALL_SECONDS = 60.0


class HttpApp:
    """HEAD is answered as GET wherever GET changes nothing."""

    def __init__(
        self, verify: OpenLink, downloads: Downloads, uploads: HttpUploads, stall_seconds: float = _STALL_SECONDS
    ) -> None:
        self._verify = verify
        self._downloads = downloads
        self._uploads = uploads
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = HttpRequest(scope, receive, send, self._stall_seconds)
        try:
            await self._serve(exchange)
        except ClientDisconnected:
            await exchange.abort()

    async def _serve(self, exchange: HttpRequest) -> None:
        if exchange.path == "/media":
            await self._uploads.serve(exchange)
        elif media := _MEDIA.fullmatch(exchange.path):
            await self._downloads.serve(exchange, media[1])
        else:
            await exchange.answer(await self._respond(exchange))

    async def _respond(self, exchange: HttpRequest) -> Response:
        if link := _VERIFY.fullmatch(exchange.path):
            return await self._open_link(link[1], link[2]) if exchange.method == "GET" else not_allowed("GET")
        response = resource(exchange.path, exchange.headers)
        if response.status != 404 and exchange.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        return response

    async def _open_link(self, ticket: str, code: str) -> Response:
        try:
            return verification(await self._verify(ticket, code))
        except RequestError:
            return verification("unavailable")
