"""Replaces the bodies of messages that are too old, in short transactions, and removes their reactions. The rest of
their rows stays."""

from typing import NamedTuple

import sqlalchemy as sa

_PAGE = sa.text("SELECT id, time FROM messages WHERE id > :after ORDER BY id LIMIT :rows")
_REPLACE = sa.text("""
    UPDATE messages SET body = :body
    WHERE id > :after AND id <= :last AND time < :before AND body <> :body""")

_REACTED = """
    DELETE FROM {table} WHERE (chat_id, "index") IN (
        SELECT chat_id, "index" FROM messages WHERE id > :after AND id <= :last AND time < :before)"""
_DELETIONS = [sa.text(_REACTED.format(table=table)) for table in ("reactions", "edits")]
"""Hashes of former texts, too: a repeated message is recognised by its nonce alone then."""


class Expired(NamedTuple):
    """`last`: the last id that was looked at; None after the last message. `expired`: the number of bodies replaced."""

    last: int | None
    expired: int


def expire(connection: sa.Connection, body: bytes, before: int, after: int, rows: int) -> Expired:
    """Look at the next `rows` messages after the id `after`, and replace the bodies of those sent before `before` (Unix
    milliseconds)."""
    page = connection.execute(_PAGE, {"after": after, "rows": rows}).all()
    if not page:
        return Expired(None, 0)
    last = page[-1].id
    if all(row.time >= before for row in page):
        return Expired(last, 0)
    replaced = connection.execute(_REPLACE, {"body": body, "before": before, "after": after, "last": last})
    for deletion in _DELETIONS if replaced.rowcount else ():
        connection.execute(deletion, {"before": before, "after": after, "last": last})
    return Expired(last, replaced.rowcount)
