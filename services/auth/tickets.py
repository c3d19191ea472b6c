"""Stored verifications. Every function is one step of a transaction; codes come in and stay as hashes only."""

import hmac
from dataclasses import dataclass
from enum import Enum

import sqlalchemy as sa

from services.auth.domain import Holder, Purpose, email_key
from services.auth.tables import tickets
from shared.contract.auth import Origin
from shared.contract.ids import AccountId, NodeId

MAILS_PER_TICKET = 3
MAILS_PER_ADDRESS = 10
"""Of all tickets that live at one time, so that nobody's mailbox is flooded from here."""
WRONG_CODES = 10


@dataclass(frozen=True, slots=True)
class Mailing:
    """What the mail of a ticket needs."""

    purpose: Purpose
    email: str
    expires: int


class Outcome(Enum):
    PASSED = "passed"
    WRONG = "wrong"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Opening:
    """`origin`: who waits for this ticket, while there is one."""

    outcome: Outcome
    origin: Origin | None = None


def add(connection: sa.Connection, ticket: str, holder: Holder, origin: Origin, expires: int) -> None:
    connection.execute(
        tickets.insert().values(
            ticket=ticket,
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


def waiting(connection: sa.Connection, ticket: str, holder: Holder, now: int) -> int | None:
    """When a ticket of this holder that has not passed yet expires."""
    found = sa.select(tickets.c.expires).where(tickets.c.ticket == ticket, ~tickets.c.passed, *_held(holder, now))
    return connection.execute(found).scalar()


def has_passed(connection: sa.Connection, holder: Holder, now: int) -> bool:
    """Whether a verification of this holder waits for its use, whichever ticket it had."""
    passed = sa.select(tickets.c.ticket).where(tickets.c.passed, *_held(holder, now)).limit(1)
    return connection.execute(passed).first() is not None


def redeem(connection: sa.Connection, holder: Holder, ticket: str, now: int) -> bool:
    """Use up a passed verification: the ticket that is named, else any of the holder's. False: there is none."""
    oldest = (
        sa.select(tickets.c.ticket)
        .where(tickets.c.passed, *_held(holder, now))
        .order_by(tickets.c.ticket != ticket, tickets.c.expires)
        .limit(1)
        .with_for_update()
        .scalar_subquery()
    )
    return connection.execute(tickets.delete().where(tickets.c.ticket == oldest)).rowcount == 1


def mail(connection: sa.Connection, ticket: str, origin: Origin, code: str, now: int) -> Mailing | None:
    """Give a ticket a new code, told to `origin` from now on. None: no such ticket. Raises TooManyMails."""
    row = connection.execute(
        sa.select(tickets).where(*_living(ticket, now), ~tickets.c.passed).with_for_update()
    ).first()
    if row is None:
        return None
    sent = sa.select(sa.func.sum(tickets.c.mails)).where(tickets.c.email_key == row.email_key, tickets.c.expires > now)
    if row.mails >= MAILS_PER_TICKET or connection.execute(sent).scalar_one() >= MAILS_PER_ADDRESS:
        raise TooManyMails
    connection.execute(
        tickets.update()
        .where(tickets.c.ticket == ticket)
        .values(code=code, mails=row.mails + 1, node=origin.node, connection=origin.connection)
    )
    return Mailing(Purpose(row.purpose), row.email, row.expires)


class TooManyMails(Exception):
    """This ticket, or this address, has had its share."""


def open_by(connection: sa.Connection, ticket: str, code: str, now: int) -> Opening:
    """Try a code. A wrong one leaves the right one valid, a few times."""
    row = connection.execute(sa.select(tickets).where(*_living(ticket, now)).with_for_update()).first()
    if row is None or row.wrong >= WRONG_CODES:
        return Opening(Outcome.EXPIRED)
    right = bool(row.code) and hmac.compare_digest(row.code, code)
    change = {"passed": True} if right else {"wrong": row.wrong + 1}
    connection.execute(tickets.update().where(tickets.c.ticket == ticket).values(change))
    return Opening(Outcome.PASSED if right else Outcome.WRONG, Origin(NodeId(row.node), row.connection))


def forget(connection: sa.Connection, account: AccountId) -> None:
    connection.execute(tickets.delete().where(tickets.c.account == account))


def purge(connection: sa.Connection, now: int) -> None:
    connection.execute(tickets.delete().where(tickets.c.expires <= now))


def _living(ticket: str, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return tickets.c.ticket == ticket, tickets.c.expires > now


def _held(holder: Holder, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        tickets.c.email_key == email_key(holder.email),
        tickets.c.purpose == holder.purpose,
        tickets.c.account == holder.account,
        tickets.c.expires > now,
    )
