"""Accounts by the domain of their addresses, for a process that is not auth."""

import sqlalchemy as sa
from sqlmodel import col

from services.auth.identifiers import email_keys
from services.auth.tables import AccountRow
from shared.contract.ids import AccountId
from shared.database import make_engine


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
