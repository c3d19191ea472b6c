"""What the transactions are made of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.session.domain import no_account
from services.session.tables import chat, member, profile
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Role

V = TypeVar("V")

SLICE = 5_000
"""Values in one statement; databases limit them."""

LIVE = member.c.role > sa.literal_column(f"{Role.LEFT:d}")
HOSTS = member.c.role > sa.literal_column(f"{Role.MEMBER:d}")
"""Owner and admins. The numbers stand literally, so that SQLite finds the indexes of those who are there."""
CHAT = [chat.c[field] for field in Chat.__struct_fields__]


def chat_of(row: sa.RowMapping) -> Chat:
    fields = {field: row[field] for field in Chat.__struct_fields__}
    return Chat(**{**fields, "kind": ChatKind(fields["kind"]), "join_policy": JoinPolicy(fields["join_policy"])})


def pair_in(key: str | None) -> MemberPair | None:
    """The two people that a chat's row names."""
    if key is None:
        return None
    one, _, other = key.partition(":")
    return AccountId(int(one)), AccountId(int(other))


def key_of(pair: MemberPair) -> str:
    return f"{pair[0]}:{pair[1]}"


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


def require_living(connection: sa.Connection, accounts: Iterable[AccountId], field: str) -> dict[AccountId, str]:
    """The nicknames of all of them; they stay living until this transaction ends. Raises Refused when one is not."""
    wanted = list(accounts)
    nicknames = lock_living(connection, wanted)
    for account in wanted:
        if account not in nicknames:
            raise no_account(account, field)
    return nicknames


def touch(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """The chats or friends of these accounts have changed; their profiles are locked by the caller."""
    for some in slices(accounts):
        connection.execute(sa.update(profile).where(profile.c.id.in_(some)).values(private_updated=moved(now)))


def slices(values: Sequence[V]) -> Iterator[Sequence[V]]:
    for start in range(0, len(values), SLICE):
        yield values[start : start + SLICE]


def members_of(connection: sa.Connection, number: ChatId) -> list[AccountId]:
    return _listed(connection, number, LIVE)


def hosts_of(connection: sa.Connection, number: ChatId) -> list[AccountId]:
    return _listed(connection, number, HOSTS)


def _listed(connection: sa.Connection, number: ChatId, which: sa.ColumnElement[bool]) -> list[AccountId]:
    listed = sa.select(member.c.account).where(member.c.chat == number, which).order_by(member.c.seat)
    return [AccountId(account) for account in connection.execute(listed).scalars()]


def role_in(connection: sa.Connection, number: ChatId, account: AccountId) -> Role | None:
    """None for who is no member."""
    role = sa.select(member.c.role).where(member.c.chat == number, member.c.account == account, LIVE)
    found = connection.execute(role).scalar_one_or_none()
    return None if found is None else Role(found)
