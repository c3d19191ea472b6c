"""Small complete responses, and the status of each error."""

from collections.abc import Mapping

import msgspec
from starlette.responses import PlainTextResponse, Response

from shared.contract.errors import ErrorCode, Failure

STATUS: Mapping[str, int] = {
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


def error_response(failure: Failure, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """As native's error replies. `status`: other than that of the code."""
    field = {"field": failure.field} if failure.field else {}
    content = {"error": {"code": failure.code, "text": failure.text, **field}}
    return json_response(status or STATUS[failure.code], content, headers)


def json_response(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    """With the headers that a status needs."""
    named = {"Cache-Control": "no-store", **_HINTS.get(status, {}), **(headers or {})}
    return Response(msgspec.json.encode(content), status, named, "application/json")


def not_found() -> Response:
    return PlainTextResponse("Not found.\n", 404)


def not_allowed(allowed: str) -> Response:
    return PlainTextResponse("Method not allowed.\n", 405, {"Allow": allowed})
