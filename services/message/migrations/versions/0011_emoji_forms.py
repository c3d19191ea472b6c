"""Reactions have one form of each emoji. The version before may add others meanwhile, which count by themselves."""

import sqlalchemy as sa
from alembic import op

from shared.emoji import canonical_emoji

revision = "0011"
down_revision = "0010"

_ADD = sa.text("""
    INSERT INTO reactions (chat_id, "index", emoji, account_id)
    SELECT chat_id, "index", :one, account_id FROM reactions WHERE emoji = :other ON CONFLICT DO NOTHING""")
_REMOVE = sa.text("DELETE FROM reactions WHERE emoji = :other")


def upgrade() -> None:
    connection = op.get_bind()
    for other in connection.scalars(sa.text("SELECT DISTINCT emoji FROM reactions")).all():
        if (one := canonical_emoji(other)) != other:
            connection.execute(_ADD, {"one": one, "other": other})
            connection.execute(_REMOVE, {"other": other})
