"""The ASGI application of the clients' port: routes requests by path."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.edge.http.downloads import Downloads
from services.edge.http.first_page import FirstPage
from services.edge.http.hooks import HttpHooks
from services.edge.http.operations import HttpOperations
from services.edge.http.pages import not_allowed, resource
from services.edge.http.policy import HttpPolicy
from services.edge.http.request import ClientDisconnected, HttpRequest, Receive, Response, Send
from services.edge.http.resumable_uploads import HttpResumableUploads
from services.edge.http.uploads import HttpUploads
from services.edge.http.verification import VerificationLinks
from services.edge.http.web_files import CLIENT, WebFiles

_VERIFY = re.compile(r"/verify/([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})")
_MEDIA = re.compile(r"/media/([0-9a-f]{32})")
_UPLOAD = re.compile(r"/media/uploads(?:/([0-9a-f]{32}))?")
_EVENTS = "/api/v1/events"
_OPERATIONS = "/api/v1/"
_HOOK = re.compile(r"/hooks/([A-Za-z0-9_-]{1,64})")
_STALL_SECONDS = 60.0


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
        self._links = links
        self._media = media
        self._programs = programs
        self._policy = policy
        self._first_page = first_page
        self._client = WebFiles(CLIENT, "/api/", pages=("/api", "/api/"))
        self._stall_seconds = stall_seconds

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive, send, self._stall_seconds)
        try:
            await self._serve(request)
        except ClientDisconnected:
            await request.abort()

    async def _serve(self, request: HttpRequest) -> None:
        if request.path == "/media":
            await self._media.uploads.serve(request)
        elif upload := _UPLOAD.fullmatch(request.path):
            await self._media.resumable.serve(request, upload[1] or "")
        elif rejected := self._policy.decide(request, asyncio.get_running_loop().time()):
            await request.respond(rejected)
        elif request.path == _EVENTS:
            await self._programs.operations.stream(request)
        elif media := _MEDIA.fullmatch(request.path):
            await self._media.downloads.serve(request, media[1])
        else:
            response = await self._respond(request)
            headers = {**response.headers, **self._policy.headers(request)}
            await request.respond(replace(response, headers=headers))

    async def _respond(self, request: HttpRequest) -> Response:
        if link := _VERIFY.fullmatch(request.path):
            return await self._links.serve(request.method, link[1], link[2])
        if request.path.startswith(_OPERATIONS):
            return await self._programs.operations.respond(request, request.path.removeprefix(_OPERATIONS))
        if hook := _HOOK.fullmatch(request.path):
            return await self._programs.hooks.respond(request, hook[1])
        if self._first_page is not None and self._first_page.serves(request.path):
            return await self._first_page.respond(request)
        response = self._client.find(request.path, request.headers) or resource(request.path, request.headers)
        if response.status != 404 and request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        return response
