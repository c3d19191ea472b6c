"""The token of a login, or of a bot, in a request."""

from collections.abc import Awaitable, Callable

from services.edge.http.request import HttpRequest
from shared.contract.errors import ErrorCode, RequestError
from shared.tokens import Claims

CheckToken = Callable[[str, float], Awaitable[Claims]]
"""A token's claims, within so many seconds. Raises RequestError."""


def bearer_token(request: HttpRequest) -> str:
    """Raises RequestError without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RequestError(ErrorCode.UNAUTHENTICATED, "the token of a login is needed: Authorization: Bearer TOKEN")
    return token.strip()
