"""The ASGI application of the clients' port: routes requests by path."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.edge.http.downloads import Downloads
from services.edge.http.pages import VerificationResult, not_allowed, resource, verification
from services.edge.http.request import ClientDisconnected, HttpRequest, Receive, Response, Send
from services.edge.http.uploads import HttpUploads
from shared.contract.errors import RequestError

OpenLink = Callable[[str, str], Awaitable[VerificationResult]]
"""Redeem a verification link by its ticket and code. Raises RequestError when the service is unavailable."""

_VERIFY = re.compile(r"/verify/([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})")
_MEDIA = re.compile(r"/media/([0-9a-f]{32})")
_STALL_SECONDS = 60.0


class HttpApp:
    """HEAD is answered like GET, except for verification links, where GET has an effect."""

    def __init__(
        self, open_link: OpenLink, downloads: Downloads, uploads: HttpUploads, stall_seconds: float = _STALL_SECONDS
    ) -> None:
        self._redeem_link = open_link
        self._downloads = downloads
        self._uploads = uploads
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive, send, self._stall_seconds)
        try:
            await self._serve(request)
        except ClientDisconnected:
            await request.abort()

    async def _serve(self, request: HttpRequest) -> None:
        if request.path == "/media":
            await self._uploads.serve(request)
        elif media := _MEDIA.fullmatch(request.path):
            await self._downloads.serve(request, media[1])
        else:
            await request.respond(await self._respond(request))

    async def _respond(self, request: HttpRequest) -> Response:
        if link := _VERIFY.fullmatch(request.path):
            return await self._open_link(link[1], link[2]) if request.method == "GET" else not_allowed("GET")
        response = resource(request.path, request.headers)
        if response.status != 404 and request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        return response

    async def _open_link(self, ticket: str, code: str) -> Response:
        try:
            return verification(await self._redeem_link(ticket, code))
        except RequestError:
            return verification("unavailable")
