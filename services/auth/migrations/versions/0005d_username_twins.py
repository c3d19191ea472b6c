"""An index of the usernames whose key others have, too."""

import sqlalchemy as sa
from alembic import op

from shared.migrate import create_index

revision = "0005d"
down_revision = "0005c"
concurrent = True


def upgrade() -> None:
    create_index("accounts_names_twins", "accounts", ["username_key"], where=sa.text("username_twin <> 0"))


def downgrade() -> None:
    op.drop_index("accounts_names_twins", "accounts")
