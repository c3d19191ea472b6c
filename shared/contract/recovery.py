"""The requests to auth for a new password, by the security question, or by a ticket that is mailed to the account."""

import msgspec

from shared.contract.auth import Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Secret
from shared.contract.routes import Ack, Forwarded, Routed


class Recovered(Ack, frozen=True):
    """`account`: the account that has the new secret; NO_ACCOUNT from older versions."""

    account: AccountId = NO_ACCOUNT


class RequestRecovery(msgspec.Struct):
    """Mails a ticket to the e-mail address of an account, if `auth.mail_recovery` permits. The reply is the same for
    any identifier, after one commit. `forbidden` if this server mails no tickets at all; `rate_limited`."""

    route = Routed("auth.request_recovery", Ack)
    identifier: str
    """A username, an e-mail address or an OC number (IdentifierKind.ANY)."""
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return "RequestRecovery(***)"


class RecoverByTicket(msgspec.Struct):
    """Sets a new password by a mailed ticket, which is valid once, and removes the security question, whose answer
    another person may have set. Revokes the account's tokens and closes its connections. `unauthenticated` for a ticket
    that is unknown, spent or expired, or was mailed to another address than the account's present one."""

    route = Routed("auth.recover_by_ticket", Recovered)
    ticket: str
    secret: Secret
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return "RecoverByTicket(***)"


class Recover(msgspec.Struct, kw_only=True):
    """Sets a new password by the answer to the security question. An unknown account, no stored answer, a wrong
    question and a wrong answer fail alike (`unauthenticated`), in the same time, and count as failed logins. Revokes
    the account's tokens and closes its connections."""

    route = Routed("auth.recover", Recovered)
    username: str
    """A username, an e-mail address or an OC number (IdentifierKind.ANY)."""
    question_id: int
    answer: str
    secret: Secret
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return f"Recover(username={self.username!r}, question_id={self.question_id}, ***)"


class SetSecurity(Forwarded):
    """Replaces the security question and its answer; an empty answer switches recovery off."""

    route = Routed("auth.set_security", Ack)
    question_id: int
    answer: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"SetSecurity(question_id={self.question_id}, actor={self.actor}, ***)"
