"""The accounts that an identifier names. See docs/adr/0057-identifiers-have-one-canonical-form.md."""

from typing import Any, NamedTuple, assert_never

import sqlalchemy as sa

from services.auth.identifiers import email_keys, parse_oc_number, uuid_spellings
from services.auth.store import usernames
from services.auth.tables import accounts
from shared.contract.auth import IdentifierKind


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
