"""What the transactions are made of."""

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.session.tables import chat, member, profile
from shared.contract.ids import AccountId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role

SLICE = 5_000
"""Values in one statement; databases limit them."""

LIVE = member.c.role > Role.LEFT
CHAT = [chat.c[field] for field in Chat.__struct_fields__]


def chat_of(row: sa.Row[tuple[object, ...]]) -> Chat:
    fields = row._mapping
    return Chat(**{**fields, "kind": ChatKind(fields["kind"]), "join_policy": JoinPolicy(fields["join_policy"])})


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what to do on a conflict."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def moved(now: int) -> sa.ColumnElement[int]:
    """A profile's next time of change: now, but always after the last one of either kind."""
    public, private = profile.c.public_updated, profile.c.private_updated
    last = sa.case((public > private, public), else_=private)
    return later(last, now)


def later(last: sa.ColumnElement[int], now: int) -> sa.ColumnElement[int]:
    """Now, but always after `last`."""
    return sa.case((last >= now, last + 1), else_=sa.literal(now, sa.BigInteger))


def lock_living(connection: sa.Connection, accounts: Iterable[AccountId]) -> dict[AccountId, str]:
    """The nicknames of those that are there and not deleted; they stay so until this transaction ends."""
    nicknames: dict[AccountId, str] = {}
    for some in slices(sorted(accounts)):
        living = sa.select(profile.c.id, profile.c.nickname).where(profile.c.id.in_(some), profile.c.deleted.is_(False))
        rows = connection.execute(living.order_by(profile.c.id).with_for_update(key_share=True))
        nicknames |= {AccountId(row.id): row.nickname for row in rows}
    return nicknames


def touch(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """The chats or friends of these accounts have changed; their profiles are locked by the caller."""
    for some in slices(accounts):
        connection.execute(sa.update(profile).where(profile.c.id.in_(some)).values(private_updated=moved(now)))


def slices(accounts: Sequence[AccountId]) -> Iterator[Sequence[AccountId]]:
    for start in range(0, len(accounts), SLICE):
        yield accounts[start : start + SLICE]
