"""Requests to session and auth: what an account has made, which acts without a login, and its own data in auth."""

import msgspec

from shared.contract.auth import LoginView, Origin
from shared.contract.bots import BotView
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Routed

MADE_LISTED = 1_000
"""Webhooks, and links, in one reply."""


class MadeHook(msgspec.Struct, frozen=True):
    """A webhook of a group. `origin`: of the endpoint of an outgoing one; empty: it is an incoming one. `created`: Unix
    milliseconds."""

    hook: str
    chat: ChatId
    by: AccountId
    name: str
    created: int
    origin: str = ""


class MadeLink(msgspec.Struct, frozen=True):
    """A link to a group, which is a secret. `uses`, `expires` as in CreateLink. `created`: Unix milliseconds."""

    link: str
    chat: ChatId
    uses: int
    expires: int
    created: int

    def __repr__(self) -> str:
        return f"MadeLink(***, {self.chat})"


class Made(msgspec.Struct, frozen=True):
    """The newest of each kind first, at most MADE_LISTED."""

    hooks: list[MadeHook]
    links: list[MadeLink]


class ListMade(msgspec.Struct):
    """Requests the webhooks and links that an account has made."""

    route = Routed("session.made", Made, reads=True)

    actor: AccountId = NO_ACCOUNT


class EndMade(msgspec.Struct):
    """To session: deletes the webhooks and links that an account has made. To auth: revokes the tokens of its bots.
    Idempotent."""

    route = Routed("session.end_made", Ack)

    actor: AccountId = NO_ACCOUNT


class HookPage(msgspec.Struct, frozen=True):
    """By their identifiers. With `more`, continue after the last one."""

    hooks: list[MadeHook]
    more: bool = False


class ListAllHooks(msgspec.Struct):
    """An operator's request for the webhooks of a group, of an account, or of all (0), above `after`."""

    route = Routed("session.admin.hooks", HookPage)

    chat: ChatId = ChatId(0)
    by: AccountId = NO_ACCOUNT
    after: str = ""


class DeleteAnyHook(msgspec.Struct):
    """An operator deletes a webhook; `not_found` if there is none."""

    route = Routed("session.admin.delete_hook", Ack)

    hook: str


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`created`: Unix milliseconds. `question_id`: of the security question, 0 without one. `logins`: newest first.
    `bots`: those that the account owns. `email_verified`: a mail to the address has reached the user."""

    email: str
    username: str
    created: int
    question_id: int
    logins: list[LoginView]
    bots: list[BotView] = []
    email_verified: bool = False

    def __repr__(self) -> str:
        return "AccountRecord(***)"


class ExportLogins(msgspec.Struct):
    """Requests what auth stores of an account, without its secrets. Each is recorded in the audit trail; `rate_limited`
    beyond `limits.exports_per_account`."""

    route = Routed("auth.export_logins", AccountRecord)

    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
