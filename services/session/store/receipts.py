"""Chats whose members see what the others have read."""

from collections.abc import Sequence

import sqlalchemy as sa

from services.session.store.sql import parse_pair
from services.session.tables import block, chat
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import ChatKind


def find_receipt_chats(connection: sa.Connection, numbers: Sequence[int]) -> dict[ChatId, int]:
    """Those of the chats, with their numbers of members."""
    columns = sa.select(chat.c.id, chat.c.size, chat.c.pair)
    shown = columns.where(chat.c.id.in_(numbers), chat.c.receipts.is_(True), chat.c.kind != ChatKind.SERVICE)
    rows = connection.execute(shown).all()
    pairs = {row.id: frozenset(parse_pair(row.pair) or ()) for row in rows}
    blocked = _blocked_pairs(connection, frozenset().union(*pairs.values()))
    return {ChatId(row.id): row.size for row in rows if pairs[row.id] not in blocked}


def _blocked_pairs(connection: sa.Connection, accounts: frozenset[AccountId]) -> set[frozenset[int]]:
    rows = sa.select(block.c.account, block.c.blocked).where(
        block.c.account.in_(accounts), block.c.blocked.in_(accounts)
    )
    return {frozenset((row.account, row.blocked)) for row in connection.execute(rows)}
