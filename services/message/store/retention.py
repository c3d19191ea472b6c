"""Replaces the bodies of messages that are too old, in short transactions, and removes their reactions. The other
columns of the rows stay."""

from typing import NamedTuple

import sqlalchemy as sa

_PAGE = sa.text("SELECT id, time FROM messages WHERE id > :after ORDER BY id LIMIT :rows")
_REPLACE = sa.text("""
    UPDATE messages SET body = :body
    WHERE id > :after AND id <= :last AND time < :before AND body <> :body""")

_REACTED = """
    DELETE FROM {table} WHERE (chat_id, "index") IN (
        SELECT chat_id, "index" FROM messages WHERE id > :after AND id <= :last AND time < :before)"""
_DRAFTS = sa.text("DELETE FROM drafts WHERE rev < :before")
_DELETIONS = [sa.text(_REACTED.format(table=table)) for table in ("reactions", "edits")]
"""The hashes of previous texts are also deleted. Afterwards, only the nonce shows that a message is repeated."""


class Expired(NamedTuple):
    """The result of one step. `last`: the id of the last examined message; None if no message follows. `expired`: the
    number of bodies replaced."""

    last: int | None
    expired: int


def expire(connection: sa.Connection, body: bytes, before: int, after: int, rows: int) -> Expired:
    """Examine the next `rows` messages after the id `after`, and replace the bodies of those sent before `before` (Unix
    milliseconds). The first call also removes the drafts from before that time."""
    if not after:
        connection.execute(_DRAFTS, {"before": before})
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
