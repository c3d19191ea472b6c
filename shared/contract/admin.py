"""What an operator asks auth and session. Each act is logged there, with whom it was about."""

import msgspec

from shared.contract.auth import IdentifierKind
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ProfileSummary


class FindUser(msgspec.Struct):
    """The living account an identifier names: `not_found` when there is none."""

    kind: IdentifierKind
    identifier: str

    def __repr__(self) -> str:
        return f"FindUser({self.kind})"


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """What auth knows of an account, without its secrets: `schemes` says which it holds, `recoverable` whether an
    answer to a security question is stored."""

    account: AccountId
    uuid: str
    email: str
    username: str
    nickname: str
    """As it was registered; session knows the present one."""
    created: int
    """Unix milliseconds."""
    disabled: bool
    schemes: list[str]
    recoverable: bool


class SetDisabled(msgspec.Struct):
    """A disabled account's tokens are revoked, its connections end, its secrets open nothing, until it is enabled.
    `not_found` when there is no such account."""

    account: AccountId
    disabled: bool


class ResetPassword(msgspec.Struct):
    """Replace all secrets of an account, and revoke its tokens. `not_found` when there is no such account."""

    account: AccountId
    password: str

    def __repr__(self) -> str:
        return f"ResetPassword(account={self.account}, ***)"


class Kick(msgspec.Struct):
    """End all connections of an account; it may come back at once."""

    account: AccountId


# Notices: messages of the herald, to each in a chat of its own with it


class ListAccounts(msgspec.Struct):
    """The accounts that can be told something, in order of their numbers, a page after `after`. `online`: only those
    that are connected; `unavailable` when that is not known."""

    after: AccountId = NO_ACCOUNT
    online: bool = False


class AccountList(msgspec.Struct, frozen=True):
    """`last`: go on after it; NOBODY: there are no more."""

    accounts: list[AccountId]
    last: AccountId = NO_ACCOUNT


class OpenNotices(msgspec.Struct):
    """The chats in which the herald tells these accounts notices, at most 500 at once; made where there are none."""

    accounts: list[AccountId]


class NoticesOpened(msgspec.Struct, frozen=True):
    """Accounts that are not there (any more) are left out. `face`: the herald's."""

    chats: dict[AccountId, ChatId]
    face: ProfileSummary
