"""HTTP uploads of pictures and files: `POST /media?name=…`, with a login's token as bearer token."""

import asyncio
from typing import Literal
from urllib.parse import parse_qs

import msgspec

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import parse_networks
from services.edge.http.bearer import CheckToken, bearer_token
from services.edge.http.pages import not_allowed
from services.edge.http.policy import handshake_of
from services.edge.http.rate_limiter import RateLimiter
from services.edge.http.request import HttpRequest, Response
from services.edge.http.responses import STATUS, json_response
from services.edge.media import MediaService, Upload
from services.edge.media.mime_sniffing import PICTURES, sniff
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media
from shared.settings import Settings
from shared.tokens import Claims


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
        await request.respond(json_response(201, reply, {"Location": path}))

    async def _receive(self, request: HttpRequest, handshake: Handshake) -> Media:
        now = asyncio.get_running_loop().time()
        self._limiter.admit_address(handshake.address, now)
        token = bearer_token(request)
        claims = await self._claims(token)
        self._limiter.admit_account(claims.account, now)
        _check_length(request.length, self._settings.limits.file_bytes)
        await self._media.check_quota(claims.account)
        with self._limiter.slot(claims.account):
            upload = self._media.start_upload(claims.account)
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


def _check_length(length: int | None, limit: int) -> None:
    if length == 0:
        raise RequestError(ErrorCode.INVALID, "the file is the body of the request")
    if length is not None and length > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {limit} bytes")


def _error_response(failure: Failure) -> Response:
    return json_response(STATUS[failure.code], {"error": failure.code, "text": failure.text})
