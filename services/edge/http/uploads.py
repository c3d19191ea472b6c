"""Uploads of pictures and files in one request: `POST /media?name=…&nonce=…`, with a login's token as bearer token. The
rules about who may upload, and how fast, also hold for resumable uploads."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import WebOrigins, parse_networks
from services.edge.http.request import CheckToken, RateLimiter, bearer_token, body_length, handshake_of
from services.edge.http.responses import STATUS, json_response
from services.edge.media import MediaService, Upload
from services.edge.media.mime_sniffing import media_kind
from services.edge.media.resumable import ResumableUploads
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media
from shared.settings import Settings

_NONCE_CHARACTERS = 64


class BadUpload(RequestError):
    """An upload was rejected with another status than that of the error code."""

    def __init__(self, status: int, code: ErrorCode, text: str) -> None:
        super().__init__(code, text)
        self.status = status


class Uploader(NamedTuple):
    account: AccountId
    token: str


class UploadAccess:
    """The constructor raises ValueError for a trusted proxy that is not a network. `file_bytes`: the maximum size of a
    file."""

    def __init__(self, check_token: CheckToken, settings: Settings) -> None:
        self.file_bytes = settings.limits.file_bytes
        self._check_token = check_token
        self._public_url = settings.edge.public_url
        self._trusted = parse_networks(settings.edge.trusted_proxies)
        self._origins = WebOrigins(settings.edge.allowed_origins, settings.edge.public_url)
        self._limiter = RateLimiter(settings.limits)

    def admit_address(self, request: Request) -> Handshake:
        """Count one request of an address. Raises RequestError over the limit."""
        handshake = handshake_of(request, self._trusted)
        self._limiter.admit_address(handshake.address, asyncio.get_running_loop().time())
        return handshake

    async def admit(self, token: str) -> Uploader:
        """Return the account of the token. Raises RequestError for an invalid token, and over the account's rate."""
        now = asyncio.get_running_loop().time()
        account = await self._account(token)
        self._limiter.admit_account(account, now)
        return Uploader(account, token)

    async def check(self, uploader: Uploader) -> None:
        """Raises RequestError if the token was revoked after its request was admitted."""
        await self._account(uploader.token)

    def slot(self, uploader: Uploader) -> AbstractContextManager[None]:
        """Hold a slot for the upload until the upload ends. Raises RequestError when the account has too many
        uploads."""
        return self._limiter.slot(uploader.account)

    def page_headers(self, request: Request) -> dict[str, str]:
        """Headers by which a browser lets the page of an allowed origin read the response. Web clients of IRC send
        requests with cookies, which are not used but must be permitted."""
        handshake = handshake_of(request, self._trusted)
        if not handshake.origin or not self._origins.permits(handshake):
            return {}
        return {
            "Access-Control-Allow-Origin": handshake.origin, "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "Location", "Vary": "Origin",
        }  # fmt: skip

    def check_body(self, request: Request) -> None:
        """Raises BadUpload (415) if the body is not the bare bytes of a file, because the body would be stored as
        it is."""
        if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
            raise BadUpload(415, ErrorCode.INVALID, "the body must be the file itself, not a form that contains it")
        codings = {*_values(request, "content-encoding"), *_values(request, "transfer-encoding")}
        if codings - {"identity", "chunked"}:
            raise BadUpload(415, ErrorCode.INVALID, "the body must be the file itself, without Content-Encoding")

    def check_size(self, size: int) -> None:
        """Raises RequestError if the size is over the limit."""
        if size > self.file_bytes:
            raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {self.file_bytes} bytes")

    def url(self, request: Request, path: str) -> str:
        """The address of a path for this client."""
        return handshake_of(request, self._trusted).base_url(self._public_url) + path

    async def _account(self, token: str) -> AccountId:
        claims = await self._check_token(token)
        if claims.scopes is not None and TokenScope.SEND not in claims.scopes:
            raise RequestError(ErrorCode.FORBIDDEN, "the token lacks the scope send")
        return claims.account


class UploadReply(msgspec.Struct):
    """The response to an upload. `hash`: the content's sha256 in hex. `mime`: the type of the content, detected from
    its first bytes. `width`, `height`: as in a message."""

    url: str
    name: str
    size: int
    hash: str
    mime: str
    id: str
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET

    @classmethod
    def of(cls, media: Media, url: str) -> "UploadReply":
        shown = media.width or UNSET, media.height or UNSET
        return cls(url, media.name, media.size, media.sha256, media.mime, media.id, *shown)


class HttpUploads:
    def __init__(self, media: MediaService, resumable: ResumableUploads, access: UploadAccess) -> None:
        self._media = media
        self._resumable = resumable
        self._access = access

    async def respond(self, request: Request) -> Response:
        """Raises ClientDisconnect."""
        try:
            handshake = self._access.admit_address(request)
            name, nonce = parse_qs(handshake.query).get("name", [""])[0], nonce_in(handshake.query)
            media = await self.receive(request, bearer_token(request), name, nonce)
        except RequestError as error:
            return upload_error(error)
        path = media_path(media)
        reply = UploadReply.of(media, self._access.url(request, path))
        return json_response(201, reply, {"Location": path})

    async def receive(self, request: Request, token: str, name: str, nonce: str = "") -> Media:
        """Store the request's body as a file. Raises RequestError, ClientDisconnect."""
        uploader = await self._access.admit(token)
        length = body_length(request.headers)
        if length == 0 and "content-length" not in request.headers:
            raise RequestError(ErrorCode.INVALID, "the body of the request must be the file")
        self._access.check_body(request)
        self._access.check_size(length or 0)
        if not nonce or not await self._resumable.has_stored(uploader.account, nonce):
            await self._media.check_quota(uploader.account)
        with self._access.slot(uploader):
            upload = self._media.start_upload(uploader.account)
            try:
                async for data in request.stream():
                    if data:
                        await upload.write(data)
                await self._access.check(uploader)  # the token may have been revoked during the upload
                return await self._store(upload, name, uploader.account, nonce)
            finally:
                upload.drop()

    async def _store(self, upload: Upload, name: str, account: AccountId, nonce: str) -> Media:
        if nonce:
            return await self._resumable.store_once(account, nonce, upload, name)
        return await self._media.store(upload, media_kind(upload.head), name, account=account)


def nonce_in(query: str) -> str:
    """The nonce by which a repeated upload is recognised. It is empty if the client sends none. Raises RequestError."""
    nonce = parse_qs(query).get("nonce", [""])[0]
    if len(nonce) > _NONCE_CHARACTERS:
        raise RequestError(ErrorCode.INVALID, f"a nonce has at most {_NONCE_CHARACTERS} characters", "nonce")
    return nonce


def media_path(media: Media) -> str:
    return f"/media/{media.id}"


def upload_error(error: RequestError) -> Response:
    status = error.status if isinstance(error, BadUpload) else STATUS[error.failure.code]
    return json_response(status, {"error": error.failure.code, "text": error.failure.text})


def _values(request: Request, name: str) -> Iterator[str]:
    """The values of a header that may be repeated."""
    for line in request.headers.getlist(name):
        yield from (value.strip().lower() for value in line.split(",") if value.strip())
