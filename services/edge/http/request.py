"""Parses the parts of a request that Starlette does not parse."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import HandshakeRequest, Networks, parse_handshake
from services.edge.rate_limit import TokenBuckets
from shared.addresses import network
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.settings.limits import ConnectionLimits
from shared.tokens import WRONG_FORM, Claims, has_token_form

CheckToken = Callable[[str], Awaitable[Claims]]
"""A function that checks a token and returns its claims. Raises RequestError."""
_MAX_UPLOADS = 4


def bearer_token(request: Request) -> str:
    """Return the token of the request, which belongs to a login or a bot. Raises RequestError if there is none, or if
    it has other characters than a token."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(ErrorCode.UNAUTHENTICATED, "a token is needed: Authorization: Bearer TOKEN")
    if not has_token_form(token.strip()):
        raise RequestError(ErrorCode.UNAUTHENTICATED, WRONG_FORM, "token")
    return token.strip()


def handshake_of(request: Request, trusted: Networks) -> Handshake:
    """The handshake that a WebSocket of this client would have, even if a trusted proxy forwarded the request."""
    scope = request.scope
    target = scope["raw_path"] + b"?" + scope["query_string"]
    return parse_handshake(
        HandshakeRequest(request.method, target, scope["http_version"], scope["headers"], scope["client"][0]),
        trusted,
        encrypted=scope["scheme"] == "https",
    )


def body_length(headers: Headers) -> int | None:
    """The number of bytes in the request's body, or None if the body is chunked."""
    return None if "transfer-encoding" in headers else int(headers.get("content-length", "0"))


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body. Raises ClientDisconnect, and RequestError if it has more than `limit` bytes."""
    body = b""
    async with aclosing(request.stream()) as pieces:
        async for data in pieces:
            body += data
            if len(body) > limit:
                raise RequestError(ErrorCode.TOO_LARGE, f"a body has at most {limit} bytes")
    return body


async def pieces_of(request: Request, silence_seconds: float) -> AsyncIterator[bytes]:
    """The pieces of the body as they arrive, and an empty piece after each silence of this number of seconds. Raises
    ClientDisconnect."""
    is_silent, more = False, True
    while more:
        try:
            async with asyncio.timeout(None if is_silent else silence_seconds):
                message = await request.receive()
        except TimeoutError:
            is_silent = True
            yield b""
            continue
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        is_silent, more = False, message.get("more_body", False)
        if data := message.get("body"):
            yield data


async def until_disconnect(request: Request, work: Coroutine[Any, Any, None]) -> bool:
    """Run the work until it ends or the client disconnects. A disconnection cancels the work and is not an error.
    Returns whether the work has ended. Raises the exceptions of the work. The caller must have read the request's
    body."""
    working = asyncio.create_task(work, name="response")
    disconnect = asyncio.create_task(_disconnected(request), name="disconnect")
    try:
        await asyncio.wait((working, disconnect), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        disconnect.cancel()
        await asyncio.wait((working, disconnect))
    if working.cancelled():
        return False
    working.result()
    return True


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class RateLimiter:
    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._requests = TokenBuckets(limits.requests_per_second, limits.requests_burst)
        self._uploads: Counter[AccountId] = Counter()

    def admit_address(self, address: str, now: float) -> None:
        """Count one request of an address. All addresses of an IPv6 /64 network count as one. Raises RequestError over
        the limit."""
        self._admit(network(address), now)

    def admit_account(self, account: AccountId, now: float) -> None:
        """Count one request of an account. Raises RequestError over the limit."""
        self._admit(account, now)

    def _admit(self, client: Hashable, now: float) -> None:
        if self._limits.rates and not self._requests.take(client, now):
            raise RequestError(ErrorCode.RATE_LIMITED, "too many requests, please wait a moment")

    @contextmanager
    def slot(self, account: AccountId) -> Iterator[None]:
        """Hold a slot for an upload until the upload ends. Raises RequestError when the account has too many
        uploads."""
        if self._uploads[account] >= _MAX_UPLOADS:
            raise RequestError(ErrorCode.RATE_LIMITED, f"at most {_MAX_UPLOADS} uploads at the same time")
        self._uploads[account] += 1
        try:
            yield
        finally:
            self._uploads[account] -= 1
            if not self._uploads[account]:
                del self._uploads[account]
