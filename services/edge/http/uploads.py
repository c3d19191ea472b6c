"""HTTP uploads of pictures and files: `POST /media?name=…`, with a login's token as bearer token."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal
from urllib.parse import parse_qs

import msgspec

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import parse_networks
from services.edge.http.pages import not_allowed
from services.edge.http.policy import handshake_of
from services.edge.http.rate_limiter import RateLimiter
from services.edge.http.request import HttpRequest, Response
from services.edge.media import MediaService, Upload
from services.edge.media.mime_sniffing import PICTURES, sniff
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media
from shared.settings import Settings
from shared.tokens import Claims

CheckToken = Callable[[str, float], Awaitable[Claims]]
"""A token's claims, within so many seconds. Raises RequestError."""

_STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.LIMIT: 403,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}
_HINTS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "5"},
}


class UploadReply(msgspec.Struct):
    """The response to an upload. `hash`: the content's sha256 in hex. `mime`: its type by its first bytes."""

    url: str
    name: str
    size: int
    hash: str
    mime: str
    id: str


class HttpUploads:
    """Raises ValueError for a trusted proxy that is not a network."""

    def __init__(self, media: MediaService, check_token: CheckToken, settings: Settings) -> None:
        self._media = media
        self._check_token = check_token
        self._settings = settings
        self._trusted = parse_networks(settings.edge.trusted_proxies)
        self._limiter = RateLimiter(settings.limits)

    async def serve(self, request: HttpRequest) -> None:
        """Raises ClientDisconnected."""
        if request.method != "POST":
            return await request.respond(not_allowed("POST"))
        handshake = handshake_of(request, self._trusted)
        try:
            media = await self._receive(request, handshake)
        except RequestError as error:
            return await request.respond(_error_response(error.failure))
        path = f"/media/{media.id}"
        url = handshake.base_url(self._settings.edge.public_url) + path
        reply = UploadReply(url, media.name, media.size, media.sha256, media.mime, media.id)
        await request.respond(_json(201, reply, {"Location": path}))

    async def _receive(self, request: HttpRequest, handshake: Handshake) -> Media:
        now = asyncio.get_running_loop().time()
        self._limiter.admit(handshake.address, now)
        token = _token(request)
        claims = await self._claims(token)
        self._limiter.admit(claims.account, now)
        _check_length(request.length, self._settings.limits.file_bytes)
        await self._media.check_quota(claims.account)
        with self._limiter.slot(claims.account):
            upload = self._media.start_upload()
            try:
                async for data in request.body():
                    await upload.write(data)
                await self._claims(token)  # it may have been revoked during the upload
                return await self._store(upload, handshake.query, claims.account)
            finally:
                upload.drop()

    async def _claims(self, token: str) -> Claims:
        return await self._check_token(token, self._settings.edge.request_seconds)

    async def _store(self, upload: Upload, query: str, account: AccountId) -> Media:
        if not upload.size:
            raise RequestError(ErrorCode.INVALID, "a file is not empty")
        name = parse_qs(query).get("name", [""])[0]
        kind: Literal["image", "file"] = "image" if sniff(upload.head).mime in PICTURES else "file"
        return await self._media.store(upload, kind, name, account=account)


def _token(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(ErrorCode.UNAUTHENTICATED, "the token of a login is needed: Authorization: Bearer TOKEN")
    return token.strip()


def _check_length(length: int | None, limit: int) -> None:
    if length == 0:
        raise RequestError(ErrorCode.INVALID, "the file is the body of the request")
    if length is not None and length > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {limit} bytes")


def _error_response(failure: Failure) -> Response:
    status = _STATUS[failure.code]
    return _json(status, {"error": failure.code, "text": failure.text}, _HINTS.get(status, {}))


def _json(status: int, content: object, headers: Mapping[str, str]) -> Response:
    return Response(status, msgspec.json.encode(content), "application/json", {"Cache-Control": "no-store", **headers})
