"""The cost of queries does not grow with the data: no statement of posting, catch-up or history scans a table or sorts
a chat.

PostgreSQL plans the queries with the statistics of generated data.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bench.system.seeding import Seeder, uuid_of
from local.installation import Installation
from services.auth.store import accounts as auth
from services.message.store import MessageStore, Snapshot, open_database
from services.message.store.read_state import mark_read
from services.session.store import chats, profiles, sql, views
from shared.contract.auth import IdentifierKind
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, ReadRange
from shared.contract.session import ChatList, GetMembership
from shared.database import Database, open_engine
from shared.migrate import upgrade
from shared.settings import Settings
from shared.settings.accounts import AuthSettings
from shared.settings.servers import DatabaseSettings
from tests.support.plans import Plan, observed
from tests.support.servers import PostgresServer

_MEMBERS, _LENGTH, _CHATS, _OTHERS, _MOST = 2_000, 20_000, 5_000, 50, 1_500
_NEVER = 2**62


class SeededDatabases(NamedTuple):
    """Databases with two accounts in thousands of chats, and with one chat of all accounts, which has a long
    history."""

    settings: Settings
    accounts: range
    chats: range
    big: ChatId

    @property
    def first(self) -> AccountId:
        return AccountId(self.accounts.start)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def seeded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeededDatabases]:
    directory = tmp_path_factory.mktemp("seeded")
    if request.param == "sqlite":
        yield _populated(f"sqlite:///{directory}/{{service}}.db", directory)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield _populated(url, directory)


def _populated(url: str, directory: Path) -> SeededDatabases:
    cheap = AuthSettings(keys=directory / "keys", argon2_memory_kib=8, argon2_iterations=1)
    settings = Settings(database=DatabaseSettings(url=SecretStr(url)), auth=cheap)
    for service in ("auth", "session", "message"):
        upgrade(service, settings.database_url(service))
    seeder = Seeder(Installation(settings, {}))
    accounts = seeder.accounts(_MEMBERS)
    small = seeder.chats(accounts[:2], 2, each=_CHATS)
    seeder.history(small, 4, accounts[0])
    others = seeder.chats(accounts[2:], 2, each=_OTHERS)
    seeder.history(others, 1, accounts[3])
    big = seeder.chats(accounts, _MEMBERS)
    seeder.history(big, _LENGTH, accounts[1])
    with open_engine(settings.database_url("message")) as engine, engine.begin() as connection:
        mark_read(connection, [ReadRange(AccountId(accounts[0]), ChatId(chat), 1, 2) for chat in small], 1_000)
    seeder.analyze()
    return SeededDatabases(settings, accounts, small, ChatId(big[0]))


@pytest.fixture
async def store(seeded: SeededDatabases) -> AsyncIterator[MessageStore]:
    database = open_database(seeded.settings.database_url("message"))
    yield MessageStore(database)
    await database.close()


def _check(plans: list[Plan]) -> None:
    assert plans
    for plan in plans:
        assert (plan.scans, plan.most <= _MOST) == ([], True), plan


# Queries of message


@pytest.mark.parametrize("again", [False, True])
async def test_posting(seeded: SeededDatabases, store: MessageStore, again: bool) -> None:
    several = [seeded.big, *map(ChatId, seeded.chats[:20])]
    drafts = [Draft(seeded.first, chat, Nonce(2**40 + chat), _NEVER, b"") for chat in several]
    if again:
        await store.post(drafts)
    with observed() as plans:
        committed = await store.post(drafts)
    assert None not in committed.results
    assert any("messages" in plan.statement for plan in plans)
    _check(plans)


async def test_marking_as_read(seeded: SeededDatabases, store: MessageStore) -> None:
    with observed() as plans:
        spans = [ReadRange(seeded.first, seeded.big, 10, 20), ReadRange(seeded.first, ChatId(seeded.chats[7]), 1, 2)]
        await store.mark_read(spans, 1_000)
    assert any("cursors" in plan.statement for plan in plans)
    _check(plans)


_MESSAGE_READS: dict[str, Callable[[Snapshot, SeededDatabases], object]] = {
    "a page at the end of a history": lambda now, seeded: list(now.messages([(seeded.big, _LENGTH - 49, _LENGTH)])),
    "a page in the middle of it": lambda now, seeded: list(now.messages([(seeded.big, 10_001, 10_050)])),
    "a page of the last chat": lambda now, seeded: list(now.messages([(ChatId(seeded.chats[-1]), 1, 50)])),
    "missed messages of many chats": lambda now, seeded: list(
        now.messages([(ChatId(chat), 3, 4) for chat in seeded.chats[:50]], AccountId(seeded.first + 1))
    ),
    "number of unread messages": lambda now, seeded: now.count([(seeded.big, 19_951, _LENGTH)], seeded.first),
    "numbers of unread messages and mentions": lambda now, seeded: now.unread(
        [(seeded.big, 19_951, _LENGTH)], seeded.first
    ),
    "oldest unread messages": lambda now, seeded: now.oldest([(seeded.big, 19_951, _LENGTH)], seeded.first, 10),
    "heads": lambda now, seeded: now.heads([seeded.big, *map(ChatId, seeded.chats[:50])]),
    "cursors": lambda now, seeded: now.cursors([(seeded.first, ChatId(chat)) for chat in seeded.chats[:50]]),
}


@pytest.mark.parametrize("name", _MESSAGE_READS)
async def test_reading(seeded: SeededDatabases, store: MessageStore, name: str) -> None:
    with observed() as plans:
        found = await store.read(lambda now: _MESSAGE_READS[name](now, seeded))
    assert found
    _check(plans)


# Queries of session


_SESSION_READS: dict[str, Callable[[sa.Connection, SeededDatabases], object]] = {
    "the version of a chat": lambda now, seeded: chats.version_of(now, seeded.big),
    "membership changes": lambda now, seeded: chats.list_changes(now, GetMembership(seeded.big, since=0), 100),
    "no membership changes": lambda now, seeded: chats.list_changes(now, GetMembership(seeded.big, since=1), 100),
    "a page of many chats": lambda now, seeded: chats.list_chats(now, seeded.first, ChatId(seeded.chats[2_000]), 100),
    "chats of some accounts": lambda now, seeded: chats.list_chats_with_others(
        now, lambda _: ChatList([]), [AccountId(one) for one in seeded.accounts[2:10]], 600
    ),
    "chats of two accounts with many": lambda now, seeded: chats.list_chats_with_others(
        now, lambda _: ChatList([]), [AccountId(one) for one in seeded.accounts[:2]], 100
    ),
    "the newest of many chats": lambda now, seeded: chats.chats_of(now, seeded.first, 100),
    "role of a member": lambda now, seeded: sql.role_of(now, seeded.big, seeded.first),
    "a private chat": lambda now, seeded: chats.find_private(now, (seeded.first, AccountId(seeded.first + 1))),
    "some members": lambda now, seeded: views.view_chat(now, seeded.big, seeded.first, 100),
    "some chats and what is muted": lambda now, seeded: views.find_chats(now, seeded.first, seeded.chats[:30]),
    "profile summaries of senders": lambda now, seeded: profiles.summaries_of(
        now, [AccountId(one) for one in seeded.accounts[:50]]
    ),
    "accounts by uuid": lambda now, seeded: profiles.find_by_uuids(now, [uuid_of(one) for one in seeded.accounts[:50]]),
    "state of an account at login": lambda now, seeded: profiles.account_state(now, seeded.first),
    "recipients of announcements": lambda now, seeded: profiles.list_active(now, seeded.first, 100),
}


@pytest.mark.parametrize("name", _SESSION_READS)
async def test_session_queries(seeded: SeededDatabases, name: str) -> None:
    database = Database(seeded.settings.database_url("session"))
    with observed() as plans:
        await database.read(lambda now: _SESSION_READS[name](now, seeded))
    await database.close()
    _check(plans)


@pytest.mark.parametrize("kind", IdentifierKind)
async def test_finding_an_account(seeded: SeededDatabases, kind: IdentifierKind) -> None:
    database = Database(seeded.settings.database_url("auth"))
    with observed() as plans:
        await database.read(lambda now: auth.find(now, kind, str(seeded.first)))
    await database.close()
    _check(plans)
