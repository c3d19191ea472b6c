"""Stored verifications. Every function is one step of a transaction; codes come in and stay as hashes only."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from secrets import token_hex

import sqlalchemy as sa

from services.auth.domain import VerificationPurpose, VerificationSubject, email_key
from services.auth.store.outbox import add_event
from services.auth.tables import tickets
from shared.contract.auth import Origin
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId, NodeId
from shared.contract.subjects import MAIL_REQUESTED

MAILS_PER_TICKET = 3
MAILS_PER_ADDRESS = 10
"""Of all tickets that live at one time, so that nobody's mailbox is flooded from here."""
WRONG_CODES = 10


@dataclass(frozen=True, slots=True)
class VerificationMail:
    """What the mail of a ticket needs."""

    purpose: VerificationPurpose
    email: str
    expires: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, and until when its verification can pass."""

    ticket: str
    expires: int


class LinkResult(Enum):
    PASSED = "passed"
    WRONG = "wrong"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """`origin`: who waits for this ticket, while there is one."""

    result: LinkResult
    origin: Origin | None = None


def create(
    connection: sa.Connection, named: str, holder: VerificationSubject, origin: Origin, now: int, expires: int
) -> Ticket:
    """A ticket for a request that must wait; the one it names, if that is this holder's and still waits."""
    found = sa.select(tickets.c.expires).where(tickets.c.ticket == named, ~tickets.c.passed, *_of_subject(holder, now))
    if (until := connection.execute(found).scalar()) is not None:
        return Ticket(named, until)
    waiting = Ticket(token_hex(16), expires)
    connection.execute(
        tickets.insert().values(
            ticket=waiting.ticket,
            purpose=holder.purpose,
            account=holder.account,
            email=holder.email,
            email_key=email_key(holder.email),
            node=origin.node,
            connection=origin.connection,
            expires=expires,
            code="",
            mails=0,
            wrong=0,
            passed=False,
        )
    )
    return waiting


def has_passed(connection: sa.Connection, holder: VerificationSubject, now: int) -> bool:
    """Whether a verification of this holder waits for its use, whichever ticket it had."""
    passed = sa.select(tickets.c.ticket).where(tickets.c.passed, *_of_subject(holder, now)).limit(1)
    return connection.execute(passed).first() is not None


def consume(connection: sa.Connection, holder: VerificationSubject, ticket: str, now: int) -> bool:
    """Use up a passed verification: the ticket that is named, else any of the holder's. False: there is none."""
    oldest = (
        sa.select(tickets.c.ticket)
        .where(tickets.c.passed, *_of_subject(holder, now))
        .order_by(tickets.c.ticket != ticket, tickets.c.expires)
        .limit(1)
        .with_for_update()
        .scalar_subquery()
    )
    return connection.execute(tickets.delete().where(tickets.c.ticket == oldest)).rowcount == 1


def request_mail(
    connection: sa.Connection,
    ticket: str,
    origin: Origin,
    code: str,
    letter: Callable[[VerificationMail], MailRequested],
    now: int,
) -> bool:
    """Give a ticket a new code, and ask for the letter with it; what comes of it is told to `origin` from now on.
    False: there is no such ticket. Raises TooManyMails."""
    row = connection.execute(
        sa.select(tickets).where(*_unexpired(ticket, now), ~tickets.c.passed).with_for_update()
    ).first()
    if row is None:
        return False
    sent = sa.select(sa.func.sum(tickets.c.mails)).where(tickets.c.email_key == row.email_key, tickets.c.expires > now)
    if row.mails >= MAILS_PER_TICKET or connection.execute(sent).scalar_one() >= MAILS_PER_ADDRESS:
        raise TooManyMails
    connection.execute(
        tickets.update()
        .where(tickets.c.ticket == ticket)
        .values(code=code, mails=row.mails + 1, node=origin.node, connection=origin.connection)
    )
    add_event(
        connection, MAIL_REQUESTED, letter(VerificationMail(VerificationPurpose(row.purpose), row.email, row.expires))
    )
    return True


class TooManyMails(Exception):
    """This ticket, or this address, has had its share."""


def open_link(connection: sa.Connection, ticket: str, code: str, now: int) -> OpenedLink:
    """Try a code. A wrong one leaves the right one valid, a few times."""
    row = connection.execute(sa.select(tickets).where(*_unexpired(ticket, now)).with_for_update()).first()
    if row is None or row.wrong >= WRONG_CODES:
        return OpenedLink(LinkResult.EXPIRED)
    right = bool(row.code) and hmac.compare_digest(row.code, code)
    change = {"passed": True} if right else {"wrong": row.wrong + 1}
    connection.execute(tickets.update().where(tickets.c.ticket == ticket).values(change))
    return OpenedLink(LinkResult.PASSED if right else LinkResult.WRONG, Origin(NodeId(row.node), row.connection))


def delete_of_account(connection: sa.Connection, account: AccountId) -> None:
    connection.execute(tickets.delete().where(tickets.c.account == account))


def purge_expired(connection: sa.Connection, now: int) -> None:
    connection.execute(tickets.delete().where(tickets.c.expires <= now))


def _unexpired(ticket: str, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return tickets.c.ticket == ticket, tickets.c.expires > now


def _of_subject(holder: VerificationSubject, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        tickets.c.email_key == email_key(holder.email),
        tickets.c.purpose == holder.purpose,
        tickets.c.account == holder.account,
        tickets.c.expires > now,
    )
