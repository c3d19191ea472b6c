"""Pictures and files that clients send by HTTP: `POST /media?name=…`, with the token of a login as a bearer's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs

import msgspec

from services.edge.canonical.transport import Handshake
from services.edge.gateway import handshake
from services.edge.http.pages import not_allowed
from services.edge.http.rate_limiter import RateLimiter
from services.edge.http.request import HttpRequest, Response
from services.edge.media import MediaService, Upload
from services.edge.media.mime_sniffing import PICTURES, sniff
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.model import Media
from shared.settings import Settings
from shared.tokens import Claims

CheckToken = Callable[[str, float], Awaitable[Claims]]
"""What a token says, in so many seconds. Raises Refused."""

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
    """The answer to an upload. `hash` is the content's sha256 in hex, `mime` what it is by its first bytes."""

    url: str
    name: str
    size: int
    hash: str
    mime: str
    id: str


class HttpUploads:
    """Raises ValueError for a trusted proxy that is no network."""

    def __init__(self, room: MediaService, check: CheckToken, settings: Settings) -> None:
        self._room = room
        self._check = check
        self._settings = settings
        self._trusted = handshake.parse_networks(settings.edge.trusted_proxies)
        self._admission = RateLimiter(settings.limits)

    async def serve(self, exchange: HttpRequest) -> None:
        """Raises Gone."""
        if exchange.method != "POST":
            return await exchange.answer(not_allowed("POST"))
        hello = _hello(exchange, self._trusted)
        try:
            media = await self._take(exchange, hello)
        except RequestError as refusal:
            return await exchange.answer(_refused(refusal.failure))
        path = f"/media/{media.id}"
        url = hello.base_url(self._settings.edge.public_url) + path
        kept = UploadReply(url, media.name, media.size, media.sha256, media.mime, media.id)
        await exchange.answer(_json(201, kept, {"Location": path}))

    async def _take(self, exchange: HttpRequest, hello: Handshake) -> Media:
        now = asyncio.get_running_loop().time()
        self._admission.admit(hello.address, now)
        token = _token(exchange)
        claims = await self._checked(token)
        self._admission.admit(claims.account, now)
        _check_length(exchange.length, self._settings.limits.file_bytes)
        with self._admission.slot(claims.account):
            upload = self._room.start_upload()
            try:
                async for data in exchange.body():
                    await upload.write(data)
                await self._checked(token)  # it may have been revoked meanwhile
                return await self._keep(upload, hello.query)
            finally:
                upload.drop()

    async def _checked(self, token: str) -> Claims:
        return await self._check(token, self._settings.edge.request_seconds)

    async def _keep(self, upload: Upload, query: str) -> Media:
        if not upload.size:
            raise RequestError(ErrorCode.INVALID, "a file is not empty")
        name = parse_qs(query).get("name", [""])[0]
        return await self._room.store(upload, "image" if sniff(upload.head).mime in PICTURES else "file", name)


def _hello(exchange: HttpRequest, trusted: handshake.Networks) -> Handshake:
    """The client as a WebSocket of its would be seen: also behind trusted proxies."""
    scope = exchange.scope
    target = scope["raw_path"] + b"?" + scope["query_string"]
    return handshake.parse_handshake(
        handshake.HandshakeRequest(
            exchange.method, target, scope["http_version"], scope["headers"], scope["client"][0]
        ),
        trusted,
    )


def _token(exchange: HttpRequest) -> str:
    scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(ErrorCode.UNAUTHENTICATED, "the token of a login is needed: Authorization: Bearer TOKEN")
    return token.strip()


def _check_length(length: int | None, limit: int) -> None:
    if length == 0:
        raise RequestError(ErrorCode.INVALID, "the file is the body of the request")
    if length is not None and length > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {limit} bytes")


def _refused(failure: Failure) -> Response:
    status = _STATUS[failure.code]
    return _json(status, {"error": failure.code, "text": failure.text}, _HINTS.get(status, {}))


def _json(status: int, content: object, headers: Mapping[str, str]) -> Response:
    return Response(status, msgspec.json.encode(content), "application/json", {"Cache-Control": "no-store", **headers})
