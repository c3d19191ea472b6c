"""Stored verifications. Every function is one step of a transaction. Codes are stored as hashes only."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from secrets import token_hex
from typing import Any

import sqlalchemy as sa

from services.auth.domain import Account, VerificationPurpose, VerificationSubject
from services.auth.identifiers import email_key
from services.auth.store.outbox import add_event
from services.auth.tables import accounts, tickets
from shared.contract.auth import Origin, Requester
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId, NodeId
from shared.contract.subjects import MAIL_REQUESTED

MAILS_PER_TICKET = 3
MAILS_PER_ADDRESS = 10
"""The most mails of all unexpired tickets of one address and account. Otherwise, verifications could flood a mailbox.
Registrations have no account, so that strangers who register an address cannot use up the mails of its owner."""
WRONG_CODES = 10


@dataclass(frozen=True, slots=True)
class PassedTicket:
    """A ticket whose link has been opened. `secret`: the hash of the secret in the ticket's request."""

    ticket: str
    secret: str
    requester: Requester


@dataclass(frozen=True, slots=True)
class VerificationMail:
    """The values that a template needs to write the mail of a ticket."""

    purpose: VerificationPurpose
    email: str
    expires: int
    requester: Requester


@dataclass(frozen=True, slots=True)
class Ticket:
    """A pending verification and when it expires (Unix milliseconds)."""

    ticket: str
    expires: int


class LinkResult(Enum):
    PASSED = "passed"
    WRONG = "wrong"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """`origin`: the connection that requested the mail; None when the ticket has expired."""

    result: LinkResult
    origin: Origin | None = None


def create(
    connection: sa.Connection,
    named: str,
    subject: VerificationSubject,
    origin: Origin,
    secret: str,
    now: int,
    expires: int,
) -> Ticket:
    """Returns a ticket of this subject: the ticket `named` if it is still pending, else a new one. `secret` is a
    hash."""
    found = sa.select(tickets.c.expires).where(tickets.c.ticket == named, ~tickets.c.passed, *_of_subject(subject, now))
    if (until := connection.execute(found).scalar()) is not None:
        return Ticket(named, until)
    ticket = Ticket(token_hex(16), expires)
    connection.execute(
        tickets.insert().values(
            ticket=ticket.ticket,
            purpose=subject.purpose,
            account=subject.account,
            email=subject.email,
            email_key=email_key(subject.email),
            node=origin.node,
            connection=origin.connection,
            expires=expires,
            code="",
            secret=secret,
            address=origin.address,
            client=origin.client,
            requested=now,
            mails=0,
            wrong=0,
            passed=False,
        )
    )
    return ticket


def list_passed(connection: sa.Connection, subject: VerificationSubject, now: int) -> list[PassedTicket]:
    """The subject's passed tickets that are not consumed yet, the oldest first: no more than MAILS_PER_ADDRESS."""
    passed = sa.select(tickets).where(tickets.c.passed, *_of_subject(subject, now)).order_by(tickets.c.expires)
    return [PassedTicket(row.ticket, row.secret, _requester(row)) for row in connection.execute(passed)]


def consume(connection: sa.Connection, subject: VerificationSubject, ticket: str, now: int) -> str | None:
    """Deletes a passed ticket of the subject. Returns the address to which the mail was sent; the subject may have
    another spelling of it. Returns None if the ticket was consumed before or has expired."""
    passed = tickets.delete().where(tickets.c.ticket == ticket, tickets.c.passed, *_of_subject(subject, now))
    email: str | None = connection.execute(passed.returning(tickets.c.email)).scalar_one_or_none()
    return email


def request_mail(
    connection: sa.Connection,
    ticket: str,
    origin: Origin,
    code: str,
    template: Callable[[VerificationMail], MailRequested],
    now: int,
) -> bool:
    """Gives a ticket a new code and requests the mail. From now on, the result is reported to `origin`. Locks the
    tickets of the address, so that two mails to it are counted one after the other. Returns False if there is no such
    ticket. Raises TooManyMails."""
    address = sa.select(tickets.c.email_key).where(*_unexpired(ticket, now)).scalar_subquery()
    of_address = sa.select(tickets).where(tickets.c.email_key == address, tickets.c.expires > now)
    rows = connection.execute(of_address.order_by(tickets.c.ticket).with_for_update()).all()
    row = next((one for one in rows if one.ticket == ticket and not one.passed), None)
    if row is None:
        return False
    if row.mails >= MAILS_PER_TICKET:
        raise TooManyMails(row.expires)
    counted = [one for one in rows if one.account == row.account]
    if sum(one.mails for one in counted) >= MAILS_PER_ADDRESS:
        raise TooManyMails(min(one.expires for one in counted if one.mails))
    connection.execute(
        tickets.update()
        .where(tickets.c.ticket == ticket)
        .values(code=code, mails=row.mails + 1, node=origin.node, connection=origin.connection)
    )
    mail = VerificationMail(VerificationPurpose(row.purpose), row.email, row.expires, _requester(row))
    add_event(connection, MAIL_REQUESTED, template(mail))
    return True


def offer_once(
    connection: sa.Connection,
    account: Account,
    origin: Origin,
    code: str,
    template: Callable[[VerificationMail, str], MailRequested],
    now: int,
    expires: int,
) -> bool:
    """Request a mail whose link verifies the account's address. `template` makes the link from the ticket. Returns
    False if this mail was requested before, or the address is verified. Raises TooManyMails."""
    unoffered = accounts.c.id == account.id, ~accounts.c.email_verified, ~accounts.c.verification_offered
    if connection.execute(accounts.update().where(*unoffered).values(verification_offered=True)).rowcount == 0:
        return False
    subject = VerificationSubject(VerificationPurpose.ADDRESS, account.email, account.id)
    nobody_waits = Origin(address=origin.address, client=origin.client)
    ticket = create(connection, "", subject, nobody_waits, "", now, expires).ticket
    return request_mail(connection, ticket, nobody_waits, code, lambda mail: template(mail, ticket), now)


class TooManyMails(Exception):
    """The limit of mails per ticket or per address is reached. `until`: when the first of these tickets expires, in
    Unix milliseconds."""

    def __init__(self, until: int) -> None:
        super().__init__(until)
        self.until = until


def find_requester(connection: sa.Connection, ticket: str, code: str, now: int) -> Requester | None:
    """Returns the description of the request whose link has this code; None if the code is unknown, wrong or expired.
    Changes nothing."""
    row = connection.execute(sa.select(tickets).where(*_unexpired(ticket, now))).first()
    return _requester(row) if row is not None and _is_right(row, code) else None


def open_link(connection: sa.Connection, ticket: str, code: str, now: int) -> OpenedLink:
    """Checks a code. The right code stays valid until WRONG_CODES wrong codes have been entered. If the ticket belongs
    to an account, locks the account's row before the ticket's row, as the erasure of an account does."""
    owner = sa.select(tickets.c.account).where(*_unexpired(ticket, now)).scalar_subquery()
    connection.execute(sa.select(accounts.c.id).where(accounts.c.id == owner).with_for_update())
    row = connection.execute(sa.select(tickets).where(*_unexpired(ticket, now)).with_for_update()).first()
    if row is None or row.wrong >= WRONG_CODES:
        return OpenedLink(LinkResult.EXPIRED)
    right = _is_right(row, code)
    change = {"passed": True} if right else {"wrong": row.wrong + 1}
    connection.execute(tickets.update().where(tickets.c.ticket == ticket).values(change))
    if right and row.purpose == VerificationPurpose.ADDRESS:
        has_address = accounts.c.id == row.account, accounts.c.email_key == row.email_key
        connection.execute(accounts.update().where(*has_address).values(email_verified=True))
    result = LinkResult.PASSED if right else LinkResult.WRONG
    return OpenedLink(result, Origin(NodeId(row.node), row.connection))


def delete_of_account(connection: sa.Connection, account: AccountId) -> None:
    """Locks the tickets in the order of `request_mail`."""
    own = sa.select(tickets.c.ticket).where(tickets.c.account == account).order_by(tickets.c.ticket).with_for_update()
    connection.execute(tickets.delete().where(tickets.c.ticket.in_(own)))


def purge_expired(connection: sa.Connection, now: int) -> None:
    connection.execute(tickets.delete().where(tickets.c.expires <= now))


def _is_right(row: sa.Row[Any], code: str) -> bool:
    return bool(row.code) and row.wrong < WRONG_CODES and hmac.compare_digest(row.code, code)


def _requester(row: sa.Row[Any]) -> Requester:
    """Who has requested the mail. The purpose ADDRESS is described as a login, because a login has caused that mail."""
    return Requester(
        "login" if row.purpose == VerificationPurpose.ADDRESS else row.purpose, row.address, row.client, row.requested
    )


def _unexpired(ticket: str, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return tickets.c.ticket == ticket, tickets.c.expires > now


def _of_subject(subject: VerificationSubject, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Unexpired tickets of the subject."""
    return (
        tickets.c.email_key == email_key(subject.email),
        tickets.c.purpose == subject.purpose,
        tickets.c.account == subject.account,
        tickets.c.expires > now,
    )
