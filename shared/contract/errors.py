"""The error codes. Each dialect maps them to its own error replies by a total table."""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    INVALID = "invalid"
    """A field of the request is missing or invalid."""
    UNAUTHENTICATED = "unauthenticated"
    """No login, a wrong secret, or an invalid or revoked token."""
    FORBIDDEN = "forbidden"
    """Not allowed: not a member, not the owner, another user's account."""
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """Already exists: an e-mail address, a uuid, a membership."""
    LIMIT = "limit"
    """A quota is reached (chats per account, members per group)."""
    TOO_LARGE = "too_large"
    """A frame, text or file is over its size limit."""
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    """A service, the broker or a database did not answer in time; the result may be unknown."""
    INTERNAL = "internal"
    """A bug; the details are in the log under the trace id, never in the reply."""


class Failure(msgspec.Struct, tag="failure", frozen=True):
    """An error reply on the bus. `text` is safe to show to the client; `field` names the invalid field, if any.
    `retry_ms`: the request succeeds after so long, unless others come first; 0: not known."""

    code: ErrorCode
    text: str
    field: str = ""
    retry_ms: int = 0


INTERNAL_ERROR = Failure(ErrorCode.INTERNAL, "internal error")
"""Of a request that met a bug."""


class RequestError(Exception):
    """A rejected request. The bus turns it into an error reply, the edge's dialect into a frame."""

    def __init__(self, code: ErrorCode, text: str, field: str = "", retry_ms: int = 0) -> None:
        super().__init__(f"{code}: {text}")
        self.failure = Failure(code, text, field, retry_ms)

    @classmethod
    def from_failure(cls, failure: Failure) -> "RequestError":
        return cls(failure.code, failure.text, failure.field, failure.retry_ms)
