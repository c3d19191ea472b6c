"""Indexes of profiles by their uuid, of the hosts of groups, and of joins that are not finished."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0002b"
down_revision = "0002"
concurrent = True


def upgrade() -> None:
    create_index("ix_profile_uuid", "profile", ["uuid"])
    create_index("member_host", "member", ["chat", "seat"], where=sa.text("role > 1"))
    create_index("member_joining", "member", ["account"], where=sa.text("role > 0 AND unread_from IS NULL"))


def downgrade() -> None:
    op.drop_index("member_joining", "member")
    op.drop_index("member_host", "member")
    op.drop_index("ix_profile_uuid", "profile")
