"""Stores tickets with which a user sets a new password. A ticket is mailed to the user; only its hash is stored. Every
function is one step of a transaction."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from services.auth.identifiers import email_key
from services.auth.store.outbox import add_event
from services.auth.tables import accounts, recoveries
from shared.contract.events import MailRequested
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.subjects import MAIL_REQUESTED

TICKETS_PER_ACCOUNT = 3
"""The most tickets of an account that are valid at the same time. The limit keeps requests from filling the account's
mailbox. Further requests do not void the tickets that were mailed."""


@dataclass(frozen=True, slots=True)
class NewTicket:
    """The hash of a ticket, and the mail that brings the ticket to the account."""

    digest: str
    account: AccountId
    mail: MailRequested = field(repr=False)


def request_mail(connection: sa.Connection, ticket: NewTicket, now: int) -> bool:
    """Stores the ticket and requests its mail. Returns False if the account has enough tickets already, or has another
    address now. An expired decoy ticket is stored in that case, so that the time taken does not reveal the result."""
    same = accounts.c.email_key == email_key(ticket.mail.to)
    address = sa.select(accounts.c.email_key).where(accounts.c.id == ticket.account, same)
    key = connection.execute(address.with_for_update()).scalar()
    valid = sa.select(sa.func.count()).where(recoveries.c.account == ticket.account, recoveries.c.expires > now)
    is_sent = connection.execute(valid).scalar_one() < TICKETS_PER_ACCOUNT and key is not None
    connection.execute(
        recoveries.insert().values(
            digest=ticket.digest,
            account=ticket.account if is_sent else NO_ACCOUNT,
            email_key=key if is_sent else "",
            expires=ticket.mail.expires if is_sent else now,
        )
    )
    if is_sent:
        add_event(connection, MAIL_REQUESTED, ticket.mail)
    return is_sent


def find(connection: sa.Connection, digest: str, now: int) -> AccountId | None:
    """The account to which a valid ticket belongs; None if the ticket is not valid."""
    found = connection.execute(sa.select(recoveries.c.account).where(*_valid(digest, now))).scalar()
    return None if found is None else AccountId(found)


def spend(connection: sa.Connection, digest: str, now: int) -> str | None:
    """Deletes a valid ticket. Returns the key of the address to which the ticket was mailed. The caller has locked the
    account's row."""
    spent = recoveries.delete().where(*_valid(digest, now)).returning(recoveries.c.email_key)
    return connection.execute(spent).scalar()


def delete_of_account(connection: sa.Connection, account: AccountId) -> None:
    connection.execute(recoveries.delete().where(recoveries.c.account == account))


def purge_expired(connection: sa.Connection, now: int) -> None:
    connection.execute(recoveries.delete().where(recoveries.c.expires <= now))


def _valid(digest: str, now: int) -> tuple[sa.ColumnElement[bool], ...]:
    return recoveries.c.digest == digest, recoveries.c.expires > now
