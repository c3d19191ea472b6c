"""An index of the hosts of groups."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0002c"
down_revision = "0002b"
concurrent = True


def upgrade() -> None:
    create_index("member_host", "member", ["chat", "seat"], where=sa.text("role > 1"))


def downgrade() -> None:
    op.drop_index("member_host", "member")
