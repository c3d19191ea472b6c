"""Accounts that identifiers do not tell apart: they exist since before identifiers had one form."""

from collections import defaultdict

import sqlalchemy as sa

from services.auth.identifiers import email_key, email_keys
from services.auth.store.usernames import list_alike
from services.auth.tables import accounts
from shared.contract.admin import Duplicates
from shared.contract.ids import AccountId

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
