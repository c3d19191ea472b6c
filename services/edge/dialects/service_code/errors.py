"""How service says that a request failed: an error state, or 200 and `failed` where it was sound but refused."""

from collections.abc import Mapping
from functools import lru_cache

from services.edge.canonical.commands import CreateChatByUuid
from services.edge.dialects.base import ERROR_CACHE_SIZE
from services.edge.dialects.service_code import encode
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode, Failure
from shared.contract.session import RequestMembership

STATES: Mapping[ErrorCode, int | None] = {
    ErrorCode.INVALID: 400, ErrorCode.UNAUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: 413, ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503, ErrorCode.INTERNAL: 500,
}  # fmt: skip
"""None: sound, but refused."""

_SOUND: Mapping[type | None, frozenset[ErrorCode]] = {
    Register: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}),
    Login: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
    RequestMembership: frozenset({ErrorCode.FORBIDDEN}),
    CreateChatByUuid: frozenset({ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
}
"""What is no error of the request there, though elsewhere it is."""


def error_reply(kind: type | None, failure: Failure) -> tuple[bytes]:
    """`kind` of the command; None: the frame was not understood."""
    sound = failure.code in _SOUND.get(kind, ())
    return _worded(None if sound else STATES[failure.code], failure.text or failure.code.value)


@lru_cache(ERROR_CACHE_SIZE)
def _worded(state: int | None, text: str) -> tuple[bytes]:
    return (encode.failed(text) if state is None else encode.error(state, text),)
