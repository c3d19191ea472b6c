"""The epoch of a database, which a restored one does not keep."""

import secrets

import sqlalchemy as sa

from shared.database import make_engine


def renew_epoch(url: str) -> None:
    """Idempotent. A database of a version without epochs gets its first one when it is migrated."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            if sa.inspect(connection).has_table("epochs"):
                renewed = sa.text("UPDATE epochs SET value = :value WHERE id = 1")
                connection.execute(renewed, {"value": secrets.token_hex(4)})
    finally:
        engine.dispose()
