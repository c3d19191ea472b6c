"""The one error vocabulary. Each dialect maps these codes to its own words by a total table."""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    INVALID = "invalid"
    """The request lacks what it needs, or a value is out of its set."""
    UNAUTHENTICATED = "unauthenticated"
    """No login, a wrong secret, or a token that is not (any more) good."""
    FORBIDDEN = "forbidden"
    """Known, but not allowed: not a member, not the owner, somebody else's name."""
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """Taken or already done: an e-mail, a uuid, a membership."""
    LIMIT = "limit"
    """A quota is reached (chats per account, members per group)."""
    TOO_LARGE = "too_large"
    """A frame, text or file is over its size limit."""
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    """A service, the broker or a database did not answer in time; the outcome may be unknown."""
    INTERNAL = "internal"
    """A bug; the details are in the log under the trace id, never in the reply."""


class Failure(msgspec.Struct, tag="failure", frozen=True):
    """A refusal as it travels on the bus. `text` is safe to show to the peer; `field` names the culprit, if any."""

    code: ErrorCode
    text: str
    field: str = ""


class RequestError(Exception):
    """A use case refuses; the router (on the bus) or the dialect (at the edge) turns it into an answer."""

    def __init__(self, code: ErrorCode, text: str, field: str = "") -> None:
        super().__init__(f"{code}: {text}")
        self.failure = Failure(code, text, field)

    @classmethod
    def from_failure(cls, failure: Failure) -> "RequestError":
        return cls(failure.code, failure.text, failure.field)
