"""Search is a service of its own: the index in this database, which held words of recalled messages, goes."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    for table in ("search_heads", "search_signatures", "search_documents", "search_entries"):
        op.drop_table(table)
