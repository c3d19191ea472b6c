"""Requests for all that is stored of one's own account, for the account itself."""

import msgspec

from shared.contract.auth import LoginView, Origin
from shared.contract.bots import BotView
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Routed


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
