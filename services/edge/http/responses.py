"""Small complete responses, and the status code for each error."""

from collections.abc import Mapping
from math import ceil

import msgspec
from starlette.responses import PlainTextResponse, Response

from shared.contract.errors import ErrorCode, Failure
from shared.telemetry import log, new_trace

_log = log(__name__)
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
_HINTS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Bearer"}}
_RETRY_MS = {429: 1000, 503: 5000}
"""When to repeat a rejected request, if no exact time is known."""


def error_response(failure: Failure, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """The response to an error, in the form of native's error replies. `status` replaces the status of the code."""
    status = status or STATUS[failure.code]
    retry_ms = (failure.retry_ms or _RETRY_MS[status]) if status in _RETRY_MS else 0
    request = failure.request or new_trace()
    _log.debug("request rejected", code=failure.code.value, field=failure.field, request=request)
    more = {"field": failure.field, "retry_ms": retry_ms, "reason": failure.why, "request": request}
    content = {
        "error": {"code": failure.code, "text": failure.text, **{name: one for name, one in more.items() if one}}
    }
    return json_response(status, content, headers, retry_ms)


def json_response(
    status: int, content: object, headers: Mapping[str, str] | None = None, retry_ms: int = 0
) -> Response:
    """A JSON response, with the headers that its status needs. `retry_ms`: see native's errors."""
    named = {"Cache-Control": "no-store", **_HINTS.get(status, {}), **(headers or {})}
    if status in _RETRY_MS:
        named["Retry-After"] = str(ceil((retry_ms or _RETRY_MS[status]) / 1000))
    return Response(msgspec.json.encode(content), status, named, "application/json")


def unknown_path() -> Response:
    return error_response(Failure(ErrorCode.NOT_FOUND, "there is no such path"))


def wrong_method(allowed: str) -> Response:
    return error_response(
        Failure(ErrorCode.INVALID, f"the request needs the method {allowed}"), 405, {"Allow": allowed}
    )


def not_found() -> Response:
    return PlainTextResponse("Not found.\n", 404)


def not_allowed(allowed: str) -> Response:
    return PlainTextResponse("Method not allowed.\n", 405, {"Allow": allowed})
