"""The requests for a new password, which the auth service answers: by the security question, or by a ticket that is
mailed to the account."""

import msgspec

from shared.contract.auth import Origin
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Confidential, Secret
from shared.contract.routes import Ack, Forwarded, Routed


class Recovered(Ack, frozen=True):
    """The password was replaced. `account`: the account that has the new secret; NO_ACCOUNT from older versions."""

    account: AccountId = NO_ACCOUNT


class RequestRecovery(Confidential, msgspec.Struct):
    """Mails a ticket to the e-mail address of an account, if `auth.mail_recovery` permits. The reply is the same for
    any identifier, and follows one commit. Errors: `forbidden` if this server mails no tickets, `rate_limited`."""

    route = Routed("auth.request_recovery", Ack)
    identifier: str
    """A username, an e-mail address or an OC number (IdentifierKind.ANY)."""
    origin: Origin = Origin()


class RecoverByTicket(Confidential, msgspec.Struct):
    """Sets a new password by a mailed ticket, which is valid once, and removes the security question, whose answer
    another person may have set. Revokes the account's tokens and closes its connections. Error: `unauthenticated` for a
    ticket that is unknown, spent or expired, or was mailed to an address that the account no longer has."""

    route = Routed("auth.recover_by_ticket", Recovered)
    ticket: str
    secret: Secret
    origin: Origin = Origin()


class Recover(Confidential, msgspec.Struct, kw_only=True):
    """Sets a new password by the answer to the security question. Error: `unauthenticated` for an unknown account, a
    missing answer, a wrong question or a wrong answer. These cases take the same time and count as failed logins.
    Revokes the account's tokens and closes its connections."""

    route = Routed("auth.recover", Recovered)
    username: str
    """A username, an e-mail address or an OC number (IdentifierKind.ANY)."""
    question_id: int
    answer: str
    secret: Secret
    origin: Origin = Origin()


class SetSecurity(Confidential, Forwarded):
    """Replaces the security question and its answer; an empty answer switches recovery off."""

    route = Routed("auth.set_security", Ack)
    question_id: int
    answer: str
