"""Names that were made of nicknames. The previous version makes some that nobody will take for made ones: they stay."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("chat", sa.Column("default_name", sa.String))
    nickname = "SELECT nickname FROM member JOIN profile ON profile.id = account WHERE member.chat = chat.id AND seat ="
    op.execute(f"""
        UPDATE chat SET name = coalesce(({nickname} 0) || '、' || ({nickname} 1), name)
        WHERE kind = 'private' AND EXISTS (
            SELECT 1 FROM member JOIN profile ON profile.id = account WHERE member.chat = chat.id AND deleted
        )""")  # noqa: S608
