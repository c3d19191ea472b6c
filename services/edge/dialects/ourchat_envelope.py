"""Common parts of the OurChat dialects: the form of OC numbers, the check of a frame's sender, and the login."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from services.edge.canonical.frames import Frame
from services.edge.dialects import credentials
from services.edge.dialects.base import DecodeError
from services.edge.dialects.json_frames import WireId, integer, read_object
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import IdentifierKind, Login
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings.limits import FrameLimits

_ACCOUNT_CHARACTERS = 256
"""The most characters of an account name that are read. No account has a longer name, because e-mail addresses are
shorter. So a longer name matches no account, even if it is cut."""
QUOTED_CHARACTERS = 64
"""The most characters of an error that quotes a frame."""
WRONG_LOGIN = dict.fromkeys((ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND), 1)
"""The status of errors that mean a wrong account or password."""
UNEXPLAINED: Mapping[ErrorCode, None] = {ErrorCode.INVALID: None, ErrorCode.TOO_LARGE: None}
"""The errors for which most replies have no status."""
Members = dict[str, Any]
Reader = TypeVar("Reader")


class EnvelopedFrame(NamedTuple):
    """A frame of v0 or v1 with the members `code` and `data`. Other members are ignored."""

    code: int
    data: Members


class ErrorReply(NamedTuple):
    """The reply code of a request, and its status for each error. With None, the reply has no status for the error, and
    a frame with code 18 is sent instead."""

    reply: IntEnum
    statuses: Mapping[ErrorCode, int | None]


def error_reply(reply: IntEnum, status: int | None, others: Mapping[ErrorCode, int | None]) -> ErrorReply:
    """`status`: the status of every error that is not in `others`."""
    return ErrorReply(reply, {code: others.get(code, status) for code in ErrorCode})


def reader_of(readers: Mapping[int, Reader], code: int) -> Reader:
    """The reader of frames with this code. Raises DecodeError."""
    if code not in readers:
        raise DecodeError(f"code {code} is not one that clients send"[:QUOTED_CHARACTERS])
    return readers[code]


def read_envelope(frame: Frame, limits: FrameLimits) -> EnvelopedFrame:
    """Raises DecodeError."""
    members = read_object(frame, limits)
    code, data = integer(members, "code"), members.get("data")
    if not isinstance(data, dict):
        raise DecodeError("`data` must be an object")
    return EnvelopedFrame(code, data)


def ocid(account: AccountId) -> str:
    """The OC number in the form of v0 and v2, padded to ten digits."""
    return str(account).zfill(10)


def check_own_account(claimed: WireId, name: str, account: AccountId, context: object = None) -> None:
    """Check that a frame names no other sender than the connection's account. Raises DecodeError."""
    if account == NO_ACCOUNT:
        raise DecodeError("log in first", ErrorCode.UNAUTHENTICATED, context)
    if AccountId(claimed.number) != account:
        raise DecodeError(f"`{name}` is not the account of this connection", ErrorCode.FORBIDDEN, context)


def login_command(kind: IdentifierKind, account: str | int, password: str) -> Login:
    """Make the command for a login by OC number or e-mail address. A text that is no OC number is rejected like a wrong
    number."""
    number = kind is IdentifierKind.ID
    identifier = str(parse_id(account) or 0) if number else str(account)[:_ACCOUNT_CHARACTERS]
    return Login(kind=kind, identifier=identifier, secret=credentials.password(password))
