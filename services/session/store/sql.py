"""Expressions and statements that several transactions share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.session.domain import WEBHOOK, account_not_found, check_count
from services.session.tables import chat, member, profile
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Role
from shared.sql import insert

V = TypeVar("V")


class LockedGroup(NamedTuple):
    """A group whose row is locked: no other transaction changes the group's membership before this transaction ends."""

    id: ChatId
    name: str
    owner: AccountId
    join_policy: JoinPolicy
    version: int
    size: int
    history_for_new: bool | None
    ownerless: bool
    join_key: str
    most_members: int
    handle: str


_DIGITS = 19
SLICE = 5_000
"""The most values in one statement, because databases limit this number."""

IS_MEMBER = member.c.role > sa.literal_column(f"{Role.LEFT:d}")
IS_ADMIN = member.c.role > sa.literal_column(f"{Role.MEMBER:d}")
"""The conditions for current members, and for the owner and the admins. They contain literals, because SQLite uses
partial indexes only for literals."""
HAS_NICK = profile.c.nick != sa.literal_column("''")
HAS_HANDLE = chat.c.handle != sa.literal_column("''")
"""These conditions also contain literals for the sake of partial indexes."""
CHAT = [chat.c[field] for field in Chat.__struct_fields__]


def chat_of(row: sa.RowMapping) -> Chat:
    fields = {field: row[field] for field in Chat.__struct_fields__}
    return Chat(**{**fields, "kind": ChatKind(fields["kind"]), "join_policy": JoinPolicy(fields["join_policy"])})


def parse_pair(key: str | None) -> MemberPair | None:
    """The two members in the `pair` of a chat's row; None if the chat has no pair."""
    if key is None:
        return None
    one, _, other = key.partition(":")
    return AccountId(int(one)), AccountId(int(other))


def pair_key(pair: MemberPair) -> str:
    return f"{pair[0]}:{pair[1]}"


def next_change_time(now: int) -> sa.ColumnElement[int]:
    """A profile's next time of change. It is now, but always after the last change of the public and the private
    part."""
    public, private = profile.c.public_updated, profile.c.private_updated
    last = sa.case((public > private, public), else_=private)
    return later(last, now)


def later(last: sa.ColumnElement[int], now: int) -> sa.ColumnElement[int]:
    """Returns `now`, or the next millisecond after `last` if `last` is not before `now`."""
    return sa.case((last >= now, last + 1), else_=sa.literal(now, sa.BigInteger))


def lock_active(connection: sa.Connection, accounts: Iterable[AccountId]) -> dict[AccountId, str]:
    """Locks the accounts that exist and are not deleted, and returns their nicknames. None of them can be deleted
    before this transaction ends."""
    nicknames: dict[AccountId, str] = {}
    for some in slices(sorted(accounts)):
        active = sa.select(profile.c.id, profile.c.nickname).where(profile.c.id.in_(some), profile.c.deleted.is_(False))
        rows = connection.execute(active.order_by(profile.c.id).with_for_update(key_share=True))
        nicknames |= {AccountId(row.id): row.nickname for row in rows}
    return nicknames


def require_active(connection: sa.Connection, accounts: Iterable[AccountId], field: str) -> dict[AccountId, str]:
    """Locks accounts as `lock_active` does, but raises RequestError if any of the accounts is unknown or deleted."""
    required = list(accounts)
    nicknames = lock_active(connection, required)
    for account in required:
        if account not in nicknames:
            raise account_not_found(account, field)
    return nicknames


def webhooks_among(connection: sa.Connection, accounts: Iterable[AccountId]) -> set[AccountId]:
    """The accounts among `accounts` that belong to incoming webhooks. Their profiles show this, even after the webhooks
    are deleted."""
    found = sa.select(profile.c.id).where(profile.c.bot, profile.c.signature.startswith(WEBHOOK))
    return {
        AccountId(number)
        for some in slices(list(accounts))
        for number in connection.execute(found.where(profile.c.id.in_(some))).scalars()
    }


def unread_webhook(field: str) -> RequestError:
    """The error for an account that belongs to a webhook. Nobody would read messages to such an account."""
    return RequestError(ErrorCode.FORBIDDEN, "the account of a webhook can only post", field, reason=Reason.WRONG_KIND)


def require_readers(connection: sa.Connection, accounts: Iterable[AccountId], field: str) -> None:
    """Raises RequestError if one of the accounts belongs to a webhook."""
    if webhooks_among(connection, accounts):
        raise unread_webhook(field)


@contextmanager
def taken_as(connection: sa.Connection, failure: RequestError) -> Iterator[None]:
    """Raises `failure` if the block violates a unique constraint: another transaction has just taken the name."""
    try:
        with connection.begin_nested():
            yield
    except IntegrityError as error:
        raise failure from error


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts rows. They replace the rows with the same primary keys."""
    insertion = insert(connection, table).values(rows)
    key = [*table.primary_key]
    connection.execute(insertion.on_conflict_do_update(index_elements=key, set_=dict(insertion.excluded)))


def check_room(
    connection: sa.Connection, others: sa.ColumnElement[bool], most: int, rule: str, field: str = "account"
) -> None:
    """Checks that fewer than `most` rows fulfil the condition, so that one more can be added. Raises RequestError."""
    check_count(connection.execute(sa.select(sa.func.count()).where(others)).scalar_one(), most, rule, field)


def parse_int(text: str) -> int:
    """Raises RequestError."""
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS):
        raise RequestError(ErrorCode.INVALID, "a number is expected")
    return int(text)


def touch(connection: sa.Connection, accounts: Sequence[AccountId], now: int) -> None:
    """Record that the chats or friends of these accounts changed. The caller has locked the profiles."""
    for some in slices(accounts):
        changed = sa.update(profile).where(profile.c.id.in_(some))
        connection.execute(changed.values(private_updated=next_change_time(now)))


def slices(values: Sequence[V]) -> Iterator[Sequence[V]]:
    for start in range(0, len(values), SLICE):
        yield values[start : start + SLICE]


def is_managed_by_maker(made: sa.Table) -> sa.ColumnElement[bool]:
    """Whether the maker of a row of this table is now an admin or the owner of the group."""
    return sa.exists().where(member.c.chat == made.c.chat, member.c.account == made.c.by, IS_ADMIN)


def members_of(connection: sa.Connection, number: ChatId) -> list[AccountId]:
    return _accounts_where(connection, number, IS_MEMBER)


def admins_of(connection: sa.Connection, number: ChatId) -> list[AccountId]:
    """The owner and the admins."""
    return _accounts_where(connection, number, IS_ADMIN)


def _accounts_where(connection: sa.Connection, number: ChatId, condition: sa.ColumnElement[bool]) -> list[AccountId]:
    accounts = sa.select(member.c.account).where(member.c.chat == number, condition).order_by(member.c.seat)
    return [AccountId(account) for account in connection.execute(accounts).scalars()]


def role_of(connection: sa.Connection, number: ChatId, account: AccountId) -> Role | None:
    """The role of the account; None if it is no member."""
    role = sa.select(member.c.role).where(member.c.chat == number, member.c.account == account, IS_MEMBER)
    found = connection.execute(role).scalar_one_or_none()
    return None if found is None else Role(found)


def handle_taken() -> RequestError:
    return RequestError(ErrorCode.CONFLICT, "another group has this handle", "handle", 0, Reason.TAKEN)
