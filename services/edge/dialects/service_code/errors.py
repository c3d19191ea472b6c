"""The error replies of service: an error state, or 200 and `failed` for a valid request that is rejected."""

from collections.abc import Mapping
from functools import lru_cache

from services.edge.canonical.commands import CreateChatByUuid
from services.edge.dialects.base import ERROR_CACHE_SIZE
from services.edge.dialects.service_code import encode
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode, Failure
from shared.contract.members import RequestMembership

STATES: Mapping[ErrorCode, int | None] = {
    ErrorCode.INVALID: 400, ErrorCode.UNAUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: 413, ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503, ErrorCode.INTERNAL: 500,
}  # fmt: skip
"""None: 200 and `failed`."""

_FAILED_ONLY: Mapping[type | None, frozenset[ErrorCode]] = {
    Register: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}),
    Login: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
    RequestMembership: frozenset({ErrorCode.FORBIDDEN}),
    CreateChatByUuid: frozenset({ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
}
"""Errors that are 200 and `failed` for these commands, though an error state for others."""


def error_reply(kind: type | None, failure: Failure) -> tuple[bytes]:
    """`kind`: the type of the command; None: the frame was not decoded."""
    failed = failure.code in _FAILED_ONLY.get(kind, ())
    return _encoded(None if failed else STATES[failure.code], failure.text or failure.code.value)


@lru_cache(ERROR_CACHE_SIZE)
def _encoded(state: int | None, text: str) -> tuple[bytes]:
    return (encode.failed(text) if state is None else encode.error(state, text),)
