"""Creates the tables of session."""

from alembic import op

from services.session.tables import metadata

revision = "0020"
down_revision = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
