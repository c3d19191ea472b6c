"""Writes accounts, chats and histories into the databases of a system, in the form in which the services store them.

The rows are generated in SQL from series of numbers, for SQLite and PostgreSQL. The services may run meanwhile, if no
account is registered and no message is sent to these chats.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher

from bench.load import message_tag
from dragoman_client.codec.base import ClientAccount
from local.installation import Installation
from services.auth import tables as auth
from services.auth.adapters.signing_keys import SigningKeys
from services.message import tables as message
from services.session import tables as session
from services.session.domain import LOBBY
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import ChatKind, JoinPolicy, Role, Scheme, Text
from shared.database import open_engine
from shared.presence.store import Presence

SECRET = "5e" * 32
"""The password of all accounts, in the form in which ourchat-v2 sends it (sha256 in hex)."""

_AT_ONCE = 100_000
"""The most rows of one statement. This limits how long a transaction blocks the services."""
_CHATS_PUBLISHED_AT_ONCE = 10_000
_UUID = "5eed0000-0000-4000-8000-"
_UUID_BASE = 10**11
"""This number is added to the number of an account, so that it has twelve digits."""

Values = Mapping[str, object]
Number = sa.ColumnElement[int]
_ChatRow = Callable[[Number, int], Values]
"""A function that makes a row from its number and the id of the first new chat."""


class Seeder:
    """Writes rows that are never removed, so the installation must be a disposable one."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._keys = SigningKeys(installation.settings.auth)
        # The parameters are those of the system's own hasher. So a login does not hash the password again with other
        # parameters.
        settings = installation.settings.auth
        hasher = PasswordHasher(settings.argon2_iterations, settings.argon2_memory_kib, parallelism=1)
        self._verifier = hasher.hash(SECRET)

    def accounts(self, count: int) -> range:
        """Create accounts with profiles. All have the same password. Returns their ids."""
        with self._connected("auth") as connection:
            first = _after(connection, auth.accounts.c.id)
            for some in _portions(range(first, first + count)):
                _fill(connection, auth.accounts, some, self._account)
                _fill(connection, auth.secrets, some, self._password)
            _renumber(connection, auth.accounts)
        with self._connected("session") as connection:
            for some in _portions(range(first, first + count)):
                _fill(connection, session.profile, some, _profile)
        return range(first, first + count)

    def chats(self, accounts: range, size: int, each: int = 1, unread_from: int = 1) -> range:
        """Create chats of `size` adjacent accounts, and `each` chats for every group of accounts. Accounts that remain
        are in no chat. Messages before `unread_from` count as read. Returns the ids of the chats."""

        def group(number: Number, first: int) -> Values:
            return _group(number, accounts.start + (number - first) // each * size, size)

        def member(number: Number, first: int) -> Values:
            chat, seat = number // size, number % size
            return _member(first + chat, accounts.start + chat // each * size + seat, seat, unread_from)

        return self._add_chats(len(accounts) // size * each, size, group, member)

    def private_chats(self, account: int, others: range) -> range:
        """Create the private chats of an account with each of the others, whose numbers are higher. Returns the ids of
        the chats."""

        def chat(number: Number, first: int) -> Values:
            return _private(number, account, number - first + others.start)

        def member(number: Number, first: int) -> Values:
            other = number // 2 + others.start
            return _member(first + number // 2, sa.case((number % 2 == 0, account), else_=other), sa.literal(1), 1)

        return self._add_chats(len(others), 2, chat, member)

    def _add_chats(self, count: int, size: int, chat: _ChatRow, member: _ChatRow) -> range:
        """Write chats and their members. `chat` makes the row of a chat from its id. `member` makes the row of a member
        from its number. Each chat has `size` members."""
        with self._connected("session") as connection:
            first = max(_after(connection, session.chat.c.id), LOBBY + 1)
            chats = range(first, first + count)
            for some in _portions(chats):
                _fill(connection, session.chat, some, lambda number: chat(number, first))
            for some in _portions(range(count * size)):
                _fill(connection, session.member, some, lambda number: member(number, first))
            _renumber(connection, session.chat)
        return chats

    def history(self, chats: range, length: int, sender: int) -> None:
        """Write `length` tagged messages into each of these chats, which must be empty."""
        text = message_tag.write(0, 1, 1, 0) + b"x" * (150 - message_tag.SIZE)
        body, start = pack_segments((Text(text.decode()),)), now_ms() - 10 * length

        def row(number: Number) -> Values:
            index = number % length + 1
            return {
                "chat_id": chats.start + number // length, "index": index, "sender": sender, "nonce": number,
                "time": start + index, "body": sa.literal(body),
            }  # fmt: skip

        def head(number: Number) -> Values:
            return {"chat_id": number, "last_index": length, "last_time": start + length}

        with self._connected("message") as connection:
            for some in _portions(range(len(chats) * length)):
                _fill(connection, message.messages, some, row)
            for some in _portions(chats):
                _fill(connection, message.heads, some, head)

    def analyze(self) -> None:
        """Run ANALYZE on PostgreSQL, because autovacuum would do so later. SQLite is not analyzed in production
        either."""
        for service in ("auth", "session", "message"):
            with self._connected(service) as connection, connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql("ANALYZE")

    def users(self, accounts: Sequence[int]) -> list[ClientAccount]:
        """The accounts in the form that clients of any dialect need, with tokens."""
        now = time.time()
        return [
            ClientAccount(
                f"seed-{number}", SECRET, number, uuid_of(number), self._keys.issue(AccountId(number), now, 0).text
            )
            for number in accounts
        ]

    async def publish(self, chats: range) -> None:
        """Publish the membership versions of these chats. Without them, the session service would be asked again and
        again."""
        presence = Presence(self._installation.valkeys()["session"])
        try:
            for start in range(chats.start, chats.stop, _CHATS_PUBLISHED_AT_ONCE):
                some = range(start, min(start + _CHATS_PUBLISHED_AT_ONCE, chats.stop))
                await presence.publish_versions({ChatId(number): 1 for number in some})
        finally:
            await presence.close()

    @contextmanager
    def _connected(self, service: str) -> Iterator[sa.Connection]:
        with open_engine(self._installation.settings.database_url(service)) as engine, engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    "SET statement_timeout = 0"
                )  # a statement that inserts up to a million rows must not be cancelled
                connection.commit()
            yield connection.execution_options(begin="BEGIN IMMEDIATE")

    def _account(self, number: Number) -> Values:
        return {
            "id": number, "uuid": _uuid(number), "email": None, "email_key": None, "username": None,
            "created": now_ms(), "question_id": 0, "answer": None, "nickname": "Seed", "icon_id": 0, "signature": "",
            "vip": 0, "lobby": False, "disabled": False,
        }  # fmt: skip

    def _password(self, number: Number) -> Values:
        return {"account": number, "scheme": Scheme.SHA256.value, "verifier": self._verifier}


def uuid_of(account: int) -> str:
    return f"{_UUID}{_UUID_BASE + account}"


def _uuid(number: Number) -> sa.ColumnElement[str]:
    return sa.literal(_UUID, sa.String) + sa.cast(number + _UUID_BASE, sa.String)


def _profile(number: Number) -> Values:
    now = now_ms()
    return {
        "id": number, "uuid": _uuid(number), "nickname": "Seed", "avatar": "", "avatar_hash": "", "icon_id": 0,
        "signature": "", "vip": 0, "status": 0, "created": now, "public_updated": now, "private_updated": now,
        "deleted": False,
    }  # fmt: skip


def _group(number: Number, owner: Number, size: int) -> Values:
    now = now_ms()
    return {
        "id": number, "kind": ChatKind.GROUP.value, "name": "Seeds", "owner": owner,
        "join_policy": JoinPolicy.CLOSED.value, "avatar": "", "avatar_hash": "", "created": now, "updated": now,
        "version": 1, "size": size, "seats": size, "pair": None,
    }  # fmt: skip


def _private(number: Number, account: int, other: Number) -> Values:
    pair = sa.cast(account, sa.String) + ":" + sa.cast(other, sa.String)
    group = _group(number, sa.literal(int(NO_ACCOUNT)), 2)
    return {**group, "kind": ChatKind.PRIVATE.value, "name": "Seed、Seed", "pair": pair}


def _member(chat: Number, account: Number, seat: Number, unread_from: int) -> Values:
    role = sa.case((seat == 0, int(Role.OWNER)), else_=int(Role.MEMBER))
    return {
        "chat": chat, "account": account, "role": role, "seat": seat, "first_index": 1, "unread_from": unread_from,
        "version": 1,
    }  # fmt: skip


# Bulk inserts


def _fill(connection: sa.Connection, table: sa.Table, numbers: range, row: Callable[[Number], Values]) -> None:
    """Insert one row for each number, in a transaction."""
    series = _series(numbers)
    values = row(series.c.number)
    columns = [_column(value, table.c[name]) for name, value in values.items()]
    with connection.begin():
        connection.execute(table.insert().from_select(list(values), sa.select(*columns).select_from(series)))


def _series(numbers: range) -> sa.CTE:
    first = sa.select(sa.literal(numbers.start, sa.BigInteger).label("number")).cte("series", recursive=True)
    following = sa.select(first.c.number + 1).where(first.c.number < numbers.stop - 1)
    return first.union_all(following)


def _column(value: object, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(value, sa.ColumnElement):
        return value
    return sa.null() if value is None else sa.literal(value, column.type)


def _portions(numbers: range) -> Iterator[range]:
    for start in range(numbers.start, numbers.stop, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, numbers.stop))


def _after(connection: sa.Connection, column: sa.Column[int]) -> int:
    """The number after the highest number in the column."""
    with connection.begin():
        return (connection.execute(sa.select(sa.func.max(column))).scalar_one() or 0) + 1


def _renumber(connection: sa.Connection, table: sa.Table) -> None:
    """Move PostgreSQL's sequence past the inserted ids. SQLite has no sequence."""
    if connection.dialect.name == "postgresql":
        last = sa.select(sa.func.max(table.c.id)).scalar_subquery()
        with connection.begin():
            connection.execute(sa.select(sa.func.setval(sa.func.pg_get_serial_sequence(table.name, "id"), last)))
