"""Finds the accounts that an identifier or a domain names, and accounts whose usernames look alike. See
docs/adr/0057-identifiers-have-one-canonical-form.md."""

from typing import Any, NamedTuple, assert_never

import sqlalchemy as sa
from sqlmodel import col

from services.auth.identifiers import email_key, parse_oc_number, uuid_spellings
from services.auth.store import usernames
from services.auth.store.usernames import list_alike
from services.auth.tables import AccountRow, accounts
from shared.contract.admin import Duplicates
from shared.contract.auth import IdentifierKind
from shared.contract.ids import AccountId
from shared.database import open_engine


class NamedAccounts(NamedTuple):
    condition: sa.ColumnElement[bool]
    rank: sa.ColumnElement[Any]
    """If the condition finds several accounts, the identifier names the account with the lowest rank."""


def name_accounts(connection: sa.Connection, kind: IdentifierKind, identifier: str) -> NamedAccounts:
    """The condition for the accounts that the identifier names, deleted accounts included. The number of executed
    statements does not depend on whether the account exists."""
    may_be_username = kind in (IdentifierKind.USERNAME, IdentifierKind.ANY)
    username = usernames.resolve(connection, identifier) if may_be_username else identifier
    by_username = accounts.c.username == username
    by_email = accounts.c.email_key == email_key(identifier)
    by_number = accounts.c.id == parse_oc_number(identifier)
    rank = sa.case((by_username, 0), (by_email, 1), (accounts.c.uuid == identifier, 2), else_=3)
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


def list_duplicates(connection: sa.Connection) -> Duplicates:
    return Duplicates([[AccountId(number) for number in group] for group in list_alike(connection)], [])


def accounts_of_domain(url: str, domain: str) -> list[AccountId]:
    """The accounts with an e-mail address of this domain. `url`: the address of the auth service's database. Raises
    sqlalchemy.exc.SQLAlchemyError."""
    with open_engine(url) as engine, engine.connect() as connection:
        end = email_key(f"name@{domain}").removeprefix("name")
        found = sa.select(col(AccountRow.id)).where(col(AccountRow.email_key).endswith(end))
        return [AccountId(number) for number in connection.scalars(found)]
