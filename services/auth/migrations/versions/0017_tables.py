"""Creates the tables of auth, and its counters."""

from alembic import op

from services.auth.tables import AuthBase, state

revision = "0017"
down_revision = None


def upgrade() -> None:
    AuthBase.metadata.create_all(op.get_bind())
    op.bulk_insert(state, [{"name": "revocations", "value": 0}, {"name": "maintenance", "value": 0}])
