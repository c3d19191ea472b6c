"""Requests to auth: a new password by a ticket that is mailed to the account."""

import msgspec

from shared.contract.auth import Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Secret
from shared.contract.session import Ack


class RequestRecovery(msgspec.Struct):
    """Mails a ticket to the e-mail address of an account, if `auth.mail_recovery` permits. The reply is the same for
    any identifier, after one commit. `forbidden` if this server mails no tickets at all; `rate_limited`."""

    identifier: str
    """A username, an e-mail address or an OC number (IdentifierKind.ANY)."""
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return "RequestRecovery(***)"


class RecoverByTicket(msgspec.Struct):
    """Sets a new password by a mailed ticket, which is valid once, and removes the security question, whose answer
    another person may have set. Revokes the account's tokens and closes its connections. `unauthenticated` for a ticket
    that is unknown, spent or expired, or was mailed to another address than the account's present one."""

    ticket: str
    secret: Secret
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return "RecoverByTicket(***)"


class Recovered(Ack, frozen=True):
    """`account`: the one that has a new secret; NO_ACCOUNT from a version that does not say it."""

    account: AccountId = NO_ACCOUNT
