"""The dialect native: error replies, and the close codes with their reasons."""

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple, get_args

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from services.edge.canonical.commands import has_effect
from services.edge.dialects.base import DISCONNECTED, LOGGED_OUT, NO_LOGIN, NO_VALID_FRAME, TOO_MANY_REQUESTS, Request
from services.edge.dialects.native.events import ByeEvent
from services.edge.dialects.native.shapes import ErrorInfo, WhyNot
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.members import RequestMembership
from shared.tokens import WRONG_FORM, has_token_form

UNSUPPORTED: Final = "unsupported"
"""The error code for an operation that this server does not have."""
BAD_FRAMES = 4008
"""The close code after too many frames that are not JSON objects."""
BAD_FRAMES_RETRY_MS = 60_000
_RETRY_MS = 1000
_MEDIA_MEMBERS = ".media", ".preview"
_UNKNOWN_MEDIA = "no picture or file has this id"
_UNKNOWN_GROUP = "there is no such group, or it cannot be joined by its number"
_NAMES: Mapping[str, tuple[str, ...]] = {
    "account": ("to", "accounts"),
    "applicant": ("account",),
    "edit_seconds": ("edit_s",),
    "member": ("account", "accounts"),
    "recall_seconds": ("recall_s",),
    "secret": ("new",),
    "username": ("identifier",),
}
"""The names in native of the fields that services name. The first one that the command has counts."""
_RETRIED = (ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE)


_REASONS: Mapping[str, WhyNot] = {reason: reason for reason in get_args(WhyNot)}
"""The reasons of a failure that native shows. Newer versions may add reasons."""


class CloseReason(msgspec.Struct):
    """The JSON in a close frame. Without `retry_ms`, the client must not reconnect by itself."""

    code: str
    retry_ms: int | UnsetType


class _Close(NamedTuple):
    code: int
    error: str
    retry_ms: int | UnsetType


_RETURN = _RETRY_MS
_CLOSES: Mapping[int, _Close] = {
    1001: _Close(1001, ErrorCode.UNAVAILABLE, _RETURN),
    1011: _Close(1011, ErrorCode.INTERNAL, _RETURN),
    1012: _Close(1012, ErrorCode.UNAVAILABLE, _RETURN),
    1013: _Close(1013, ErrorCode.RATE_LIMITED, _RETURN),
    BAD_FRAMES: _Close(BAD_FRAMES, ErrorCode.INVALID, BAD_FRAMES_RETRY_MS),
}
_POLICY: Mapping[str, _Close] = {
    LOGGED_OUT: _Close(4003, ErrorCode.UNAUTHENTICATED, UNSET),
    NO_VALID_FRAME: _Close(4001, ErrorCode.UNAUTHENTICATED, _RETURN),
    NO_LOGIN: _Close(4001, ErrorCode.UNAUTHENTICATED, _RETURN),
    DISCONNECTED: _Close(1013, ErrorCode.UNAVAILABLE, 10_000),
    TOO_MANY_REQUESTS: _Close(4029, ErrorCode.RATE_LIMITED, 10_000),
}
"""The close codes and errors of native for each reason with which the edge closes a connection (code 1008)."""


def error_info(
    request: Request | None, failure: Failure, parameters: type[msgspec.Struct] | None = None, *, unsupported: bool
) -> ErrorInfo:
    """`parameters`: those of the operation, if the command could be decoded."""
    field = failure.field if parameters is None else _field(failure.field, _members(parameters))
    shown = replace(failure, text=_text(request, failure), field=field)
    info = failure_info(shown, has_effect=request is not None and has_effect(request.command))
    if unsupported:
        info.code, info.reason = UNSUPPORTED, UNSET
    return info


def failure_info(failure: Failure, *, has_effect: bool) -> ErrorInfo:
    """Make the error that a reply contains. `has_effect`: whether the failed command has a lasting effect."""
    return ErrorInfo(
        failure.code.value,
        failure.words,
        failure.field,
        (failure.retry_ms or _RETRY_MS) if failure.code in _RETRIED else UNSET,
        unknown=has_effect and failure.code is ErrorCode.UNAVAILABLE,
        reason=_REASONS.get(failure.why, UNSET),
        request=failure.request,
    )


def _text(request: Request | None, failure: Failure) -> str:
    """The text of the failure. Native has its own text for an unknown file, because the text of other dialects names a
    file by its address, for a group that cannot be joined, and for a text that is no token. `request` is None if the
    frame could not be decoded, and then the id has a wrong form."""
    if request is None:
        return failure.text
    if failure.field.endswith(_MEDIA_MEMBERS) and failure.reason == Reason.CHOICE:
        return _UNKNOWN_MEDIA
    if isinstance(request.command, RequestMembership) and failure.reason == Reason.NOT_MEMBER:
        return _UNKNOWN_GROUP
    if request.token and failure.field == "token" and not has_token_form(request.token):
        return WRONG_FORM
    return failure.text


def _field(named: str, members: frozenset[str]) -> str:
    """The member of the command that a service names, or an empty text if the command has no such member. Services have
    other names for some members, and also name lists of the account that are full."""
    if not named or named.partition(".")[0].partition("[")[0] in members:
        return named
    return next((member for member in _NAMES.get(named, ()) if member in members), "")


@cache
def _members(parameters: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(parameters))


def closing(code: int, reason: str) -> tuple[ByeEvent | None, int, str]:
    """Return the last event, the close code, and the reason. The reason is JSON with `code` and `retry_ms`."""
    close = _POLICY.get(reason) if code == 1008 else _CLOSES.get(code)
    if close is None:
        return None, code, reason
    bye = ByeEvent(close.error, reason, close.retry_ms)
    return bye, close.code, msgspec.json.encode(CloseReason(close.error, close.retry_ms)).decode()
