"""Who may upload by HTTP, and how fast: the same for whole files and for resumable uploads."""

import asyncio
from contextlib import AbstractContextManager
from typing import NamedTuple

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import parse_networks
from services.edge.http.bearer import CheckToken, bearer_token
from services.edge.http.policy import handshake_of
from services.edge.http.rate_limiter import RateLimiter
from services.edge.http.request import HttpRequest
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.settings import Settings


class UnsupportedBody(RequestError):
    """The body is not the bytes of the file (415)."""

    def __init__(self, text: str) -> None:
        super().__init__(ErrorCode.INVALID, text)


class Uploader(NamedTuple):
    account: AccountId
    token: str


class UploadAccess:
    """Raises ValueError for a trusted proxy that is not a network. `file_bytes`: maximum size of a file."""

    def __init__(self, check_token: CheckToken, settings: Settings) -> None:
        self.file_bytes = settings.limits.file_bytes
        self._check_token = check_token
        self._seconds = settings.edge.request_seconds
        self._public_url = settings.edge.public_url
        self._trusted = parse_networks(settings.edge.trusted_proxies)
        self._limiter = RateLimiter(settings.limits)

    def admit_address(self, request: HttpRequest) -> Handshake:
        """Count one request of an address. Raises RequestError over the limit."""
        handshake = handshake_of(request, self._trusted)
        self._limiter.admit_address(handshake.address, asyncio.get_running_loop().time())
        return handshake

    async def admit(self, request: HttpRequest) -> Uploader:
        """The account of the request's token. Raises RequestError for a bad token, and over the account's rate."""
        now, token = asyncio.get_running_loop().time(), bearer_token(request)
        account = await self._account(token)
        self._limiter.admit_account(account, now)
        return Uploader(account, token)

    async def check(self, uploader: Uploader) -> None:
        """Raises RequestError for a token that was revoked since its request was admitted."""
        await self._account(uploader.token)

    def slot(self, uploader: Uploader) -> AbstractContextManager[None]:
        """Held by one upload while it lasts. Raises RequestError when too many are active."""
        return self._limiter.slot(uploader.account)

    def check_body(self, request: HttpRequest) -> None:
        """Raises UnsupportedBody for bytes that are not those of the file: they would be stored as they are."""
        if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
            raise UnsupportedBody("the body is the file itself, and no form with the file as a part")
        coded = request.headers.get("content-encoding", "").strip().lower() not in ("", "identity")
        if coded or request.headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
            raise UnsupportedBody("the body is the file itself, without Content-Encoding")

    def check_size(self, size: int) -> None:
        """Raises RequestError over the limit."""
        if size > self.file_bytes:
            raise RequestError(ErrorCode.TOO_LARGE, f"a file has at most {self.file_bytes} bytes")

    def url(self, request: HttpRequest, path: str) -> str:
        """The address of a path for this client."""
        return handshake_of(request, self._trusted).base_url(self._public_url) + path

    async def _account(self, token: str) -> AccountId:
        claims = await self._check_token(token, self._seconds)
        if claims.scopes is not None and TokenScope.SEND not in claims.scopes:
            raise RequestError(ErrorCode.FORBIDDEN, "the token lacks the scope send")
        return claims.account
