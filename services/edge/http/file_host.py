"""Serves `POST /media/filehost`, by which IRC clients upload files. They log in as on IRC, with name and password or
with a token. The specification is https://codeberg.org/emersion/soju/src/branch/master/doc/ext/filehost.md."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.message import Message

from starlette.requests import Request
from starlette.responses import Response

from services.edge.http.operations import HttpOperations
from services.edge.http.request import bearer_token
from services.edge.http.responses import json_response
from services.edge.http.uploads import HttpUploads, UploadAccess, UploadReply, media_path, upload_error
from shared.contract.errors import ErrorCode, RequestError

PATH = "/media/filehost"
_OPTIONS = {
    "Allow": "OPTIONS, POST",
    "Accept-Post": "*/*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Disposition, Content-Type",
}
"""The response to OPTIONS. The last two headers are for pages of another origin, such as an IRC client in a browser."""
_DISPOSITION_CHARACTERS = 1024
"""The most characters of a header that are parsed, because the time for parsing grows with the square of this number.
Names are cut to 255 bytes anyway."""


class FileHost:
    def __init__(self, operations: HttpOperations, uploads: HttpUploads, access: UploadAccess) -> None:
        self._operations = operations
        self._uploads = uploads
        self._access = access

    async def respond(self, request: Request) -> Response:
        """Raises ClientDisconnect."""
        response = Response(None, 204, _OPTIONS) if request.method == "OPTIONS" else await self._receive(request)
        response.headers.update(self._access.page_headers(request))
        return response

    async def _receive(self, request: Request) -> Response:
        try:
            self._access.admit_address(request)
            async with self._token(request) as token:
                media = await self._uploads.receive(request, token, _file_name(request))
        except RequestError as error:
            return upload_error(error)
        url = self._access.url(request, media_path(media))
        return json_response(201, UploadReply.of(media, url), {"Location": url})

    @asynccontextmanager
    async def _token(self, request: Request) -> AsyncIterator[str]:
        """The token of the request. For a name and a password, it is the token of a new login, which ends after the
        upload."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            yield bearer_token(request)
            return
        try:
            name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except ValueError as error:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "the name and the password are not in base64") from error
        token = await self._operations.log_in(request, name, password)
        try:
            yield token
        finally:
            with suppress(RequestError):
                await self._operations.log_out(request, token)


def _file_name(request: Request) -> str:
    described = Message()
    described["Content-Disposition"] = request.headers.get("content-disposition", "")[:_DISPOSITION_CHARACTERS]
    try:
        return described.get_filename("")
    except (TypeError, ValueError):  # the name has wrong parts, or is not in the encoding that it names
        return ""
