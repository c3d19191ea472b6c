"""Names that users choose in session: each function returns the form that is stored. All raise RequestError."""

from shared.contract.errors import ErrorCode, RequestError
from shared.names import imitates, is_valid_name, plain_name
from shared.settings import LimitsSettings


def nickname(name: str, limits: LimitsSettings) -> str:
    if not name:
        raise RequestError(ErrorCode.INVALID, "a nickname cannot be empty", "nickname")
    return _plain("nickname", name, limits.nickname_characters)


def group_name(name: str, limits: LimitsSettings) -> str:
    """Empty: the group has no name of its own."""
    return _plain("name", name, limits.group_name_characters)


def topic(text: str, limits: LimitsSettings) -> str:
    return _plain("topic", text, limits.topic_characters)


def hook_name(name: str, limits: LimitsSettings) -> str:
    if not name:
        raise RequestError(ErrorCode.INVALID, "a name cannot be empty", "name")
    return _plain("name", name, limits.nickname_characters)


def check_no_imitation(field: str, name: str, reserved: str) -> None:
    """`reserved`: the nickname of the system account, whose announcements are the operator's."""
    if imitates(name, reserved):
        raise RequestError(ErrorCode.INVALID, f"this {field} is like that of the operator's announcements", field)


def _plain(field: str, name: str, limit: int) -> str:
    plain = plain_name(name)
    if len(plain) > limit:
        raise RequestError(ErrorCode.TOO_LARGE, f"{field} has at most {limit} characters", field)
    if not is_valid_name(plain):
        reason = "must not be blank, and must not contain control or invisible characters"
        raise RequestError(ErrorCode.INVALID, f"{field} {reason}", field)
    return plain
