"""The accounts that an identifier or a domain names, and those that identifiers do not tell apart. See
docs/adr/0057-identifiers-have-one-canonical-form.md."""

from collections import defaultdict
from typing import Any, NamedTuple, assert_never

import sqlalchemy as sa
from sqlmodel import col

from services.auth.identifiers import email_key, email_keys, parse_oc_number, uuid_spellings
from services.auth.store import usernames
from services.auth.store.usernames import list_alike
from services.auth.tables import AccountRow, accounts
from shared.contract.admin import Duplicates
from shared.contract.auth import IdentifierKind
from shared.contract.ids import AccountId
from shared.database import make_engine


class NamedAccounts(NamedTuple):
    condition: sa.ColumnElement[bool]
    rank: sa.ColumnElement[Any]
    """The account with the lowest one is meant."""


def name_accounts(connection: sa.Connection, kind: IdentifierKind, identifier: str) -> NamedAccounts:
    """Deleted accounts included. Runs as many statements whether there is an account or not."""
    may_be_username = kind in (IdentifierKind.USERNAME, IdentifierKind.ANY)
    username = usernames.resolve(connection, identifier) if may_be_username else identifier
    emails = email_keys(identifier)
    by_username = accounts.c.username == username
    by_email = accounts.c.email_key.in_(emails)
    by_number = accounts.c.id == parse_oc_number(identifier)
    by_typed_email = accounts.c.email_key == emails[0]
    rank = sa.case((by_username, 0), (by_typed_email, 1), (by_email, 2), (accounts.c.uuid == identifier, 3), else_=4)
    match kind:
        case IdentifierKind.USERNAME:
            return NamedAccounts(by_username, rank)
        case IdentifierKind.EMAIL:
            return NamedAccounts(by_email, rank)
        case IdentifierKind.ID:
            return NamedAccounts(by_number, rank)
        case IdentifierKind.UUID:
            return NamedAccounts(accounts.c.uuid.in_(uuid_spellings(identifier)), rank)
        case IdentifierKind.ANY:
            return NamedAccounts(by_username | by_email | by_number, rank)
        case _:
            assert_never(kind)


_MOST = 100
_OTHER_SPELLING = r"[^\u0001-\u007f]|xn--|\.$"
"""Every other key has the same form in all versions."""


def list_duplicates(connection: sa.Connection) -> Duplicates:
    return Duplicates([_numbers(group) for group in list_alike(connection)], _list_emails(connection)[:_MOST])


def _list_emails(connection: sa.Connection) -> list[list[AccountId]]:
    """The accounts whose addresses have one key, in groups."""
    groups: defaultdict[str, set[int]] = defaultdict(set)
    spelled = sa.select(accounts.c.id, accounts.c.email_key)
    for row in connection.execute(spelled.where(accounts.c.email_key.regexp_match(_OTHER_SPELLING))).all():
        same = sa.select(accounts.c.id).where(accounts.c.email_key.in_(email_keys(row.email_key)))
        groups[email_key(row.email_key)].update(connection.scalars(same), [row.id])
    return [_numbers(sorted(group)) for group in groups.values() if len(group) > 1]


def _numbers(group: list[int]) -> list[AccountId]:
    return [AccountId(number) for number in group]


def accounts_of_domain(url: str, domain: str) -> list[AccountId]:
    """`url`: auth's database. Raises sqlalchemy.exc.SQLAlchemyError."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            ends = [key.removeprefix("name") for key in email_keys(f"name@{domain}")]
            found = sa.select(col(AccountRow.id)).where(
                sa.or_(*(col(AccountRow.email_key).endswith(end) for end in ends))
            )
            return [AccountId(number) for number in connection.scalars(found)]
    finally:
        engine.dispose()
