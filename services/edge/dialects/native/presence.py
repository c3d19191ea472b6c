"""native, server to client: the presence of watched accounts. Members that may be UNSET are left out then."""

import msgspec
from msgspec import UNSET, UnsetType


class PresenceInfo(msgspec.Struct):
    """`state`: active, away, busy or offline; hidden, of the own account alone; unknown, of an account that may not be
    watched, or while it is not known. `since`: Unix milliseconds, of a state that the account has given itself. `text`:
    beside that state."""

    account: int
    state: str
    since: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class WatchResult(msgspec.Struct):
    """In the order of the command."""

    presence: list[PresenceInfo]
