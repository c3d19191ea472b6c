"""An index of joins that are not finished."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0002d"
down_revision = "0002c"
concurrent = True


def upgrade() -> None:
    create_index("member_joining", "member", ["account"], where=sa.text("role > 0 AND unread_from IS NULL"))


def downgrade() -> None:
    op.drop_index("member_joining", "member")
