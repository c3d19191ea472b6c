"""The codes of errors. Each dialect has a table that maps every code to one of its error replies."""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    INVALID = "invalid"
    """A field of the request is missing or invalid."""
    UNAUTHENTICATED = "unauthenticated"
    """The client is not logged in, or its secret or token is wrong or revoked."""
    FORBIDDEN = "forbidden"
    """The account has no permission, for example because it is not a member or not the owner."""
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """It already exists: for example an e-mail address, a uuid or a membership."""
    LIMIT = "limit"
    """A quota is reached (chats per account, members per group)."""
    TOO_LARGE = "too_large"
    """A frame, text or file is over its size limit."""
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    """A service, NATS or a database did not answer in time, so the result may be unknown."""
    INTERNAL = "internal"
    """A bug; the details are in the log under the trace id, never in the reply."""


class Reason(StrEnum):
    """The reason of an error, for codes with several reasons. The list only grows."""

    MISSING = "missing"
    TYPE = "type"
    RANGE = "range"
    LENGTH = "length"
    FORM = "form"
    CHOICE = "choice"
    """The field is missing, or its type, range, length, form or value is wrong."""
    NOT_MEMBER = "not_member"
    NOT_ADMIN = "not_admin"
    NOT_OWNER = "not_owner"
    NOT_SENDER = "not_sender"
    NOT_FRIEND = "not_friend"
    NOT_VERIFIED = "not_verified"
    """The account has no verified e-mail address."""
    BLOCKED = "blocked"
    BANNED = "banned"
    SILENCED = "silenced"
    CLOSED = "closed"
    """The group accepts no requests to join."""
    TOO_OLD = "too_old"
    """The message is too old to be edited or recalled."""
    GONE = "gone"
    """The message was recalled or has expired, or the account is deleted."""
    TAKEN = "taken"
    """The name belongs to another account."""
    WRONG_KEY = "wrong_key"
    WRONG_KIND = "wrong_kind"
    """The account is a bot, a webhook or the sender of announcements, for which this is not possible."""
    DISABLED = "disabled"
    SCOPE = "scope"
    """The bot's token does not permit the operation."""
    WEAK_LOGIN = "weak_login"
    """The login was made by a token, and this needs a login by a secret."""
    MEMBER_ALREADY = "member_already"
    FRIENDS_ALREADY = "friends_already"
    CHANGED = "changed"
    """Another device made a change first."""
    NONCE_USED = "nonce_used"
    SWITCHED_OFF = "switched_off"
    """This function is switched off on this server, or in this chat."""


class Failure(msgspec.Struct, tag="failure", frozen=True):
    """An error reply of a service. `text` is safe to show to the client; `field` names the invalid field, if any.
    `retry_ms`: the time after which the request can be repeated; 0 if unknown. `reason`: one of Reason, or empty.
    `request`: the trace id in the log; if it is empty, the edge adds one."""

    code: ErrorCode
    text: str
    field: str = ""
    retry_ms: int = 0
    reason: str = ""
    request: str = ""

    @property
    def why(self) -> str:
        """The reason. An invalid field without another reason has the reason FORM."""
        return self.reason or (Reason.FORM.value if self.code is ErrorCode.INVALID else "")

    @property
    def words(self) -> str:
        """The text, or the code if there is no text."""
        return self.text or self.code.value


INTERNAL_ERROR = Failure(ErrorCode.INTERNAL, "internal error")
"""The error reply to a request that failed by a bug."""


class RequestError(Exception):
    """A request is rejected. Between services, the bus sends this as an error reply. The edge's dialect makes a frame
    of it."""

    def __init__(self, code: ErrorCode, text: str, field: str = "", retry_ms: int = 0, reason: str = "") -> None:
        super().__init__(f"{code}: {text}")
        self.failure = Failure(code, text, field, retry_ms, reason)

    @classmethod
    def from_failure(cls, failure: Failure) -> "RequestError":
        error = cls(failure.code, failure.text)
        error.failure = failure
        return error
