"""Nothing on a message's way, in a sync or in a history may cost more because there is more: no statement reads a table
from end to end, or sorts a whole chat. PostgreSQL plans with what it knows of a seeded population."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bench.population.seeding import Seeder, uuid_of
from services.auth.store import accounts as auth
from services.cli.installation import Installation
from services.message.store import MessageStore, Snapshot
from services.message.store.read_state import mark_read
from services.session.store import chats, profiles, sql
from shared.contract.auth import IdentifierKind
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, ReadRange
from shared.contract.session import ChatList, GetMembership
from shared.database import Database, make_engine
from shared.migrate import upgrade
from shared.settings import Auth, Settings
from shared.settings import Database as Place
from tests.support.plans import Plan, observed
from tests.support.servers import PostgresServer

_MEMBERS, _LENGTH, _CHATS, _OTHERS, _MOST = 2_000, 20_000, 5_000, 50, 1_500
_NEVER = 2**62


class Town(NamedTuple):
    """Two people in thousands of chats, and one chat of all, with a long history."""

    settings: Settings
    people: range
    chats: range
    big: ChatId

    @property
    def first(self) -> AccountId:
        return AccountId(self.people.start)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    if request.param == "sqlite":
        yield _populated(f"sqlite:///{directory}/{{service}}.db", directory)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield _populated(url, directory)


def _populated(url: str, directory: Path) -> Town:
    cheap = Auth(keys=directory / "keys", argon2_memory_kib=8, argon2_iterations=1)
    settings = Settings(database=Place(url=SecretStr(url)), auth=cheap)
    for service in ("auth", "session", "message"):
        upgrade(service, settings.database_url(service))
    seedbed = Seeder(Installation(settings, {}))
    people = seedbed.accounts(_MEMBERS)
    small = seedbed.chats(people[:2], 2, each=_CHATS)
    seedbed.history(small, 4, people[0])
    others = seedbed.chats(people[2:], 2, each=_OTHERS)
    seedbed.history(others, 1, people[3])
    big = seedbed.chats(people, _MEMBERS)
    seedbed.history(big, _LENGTH, people[1])
    engine = make_engine(settings.database_url("message"))
    with engine.begin() as connection:
        mark_read(connection, [ReadRange(AccountId(people[0]), ChatId(chat), 1, 2) for chat in small], 1_000)
    engine.dispose()
    seedbed.settle()
    return Town(settings, people, small, ChatId(big[0]))


@pytest.fixture
async def store(town: Town) -> AsyncIterator[MessageStore]:
    database = Database(town.settings.database_url("message"))
    yield MessageStore(database)
    await database.close()


def _check(plans: list[Plan]) -> None:
    assert plans
    for plan in plans:
        assert (plan.scans, plan.most <= _MOST) == ([], True), plan


# What a message costs in the database


@pytest.mark.parametrize("again", [False, True])
async def test_posting(town: Town, store: MessageStore, again: bool) -> None:
    several = [town.big, *map(ChatId, town.chats[:20])]
    drafts = [Draft(town.first, chat, Nonce(2**40 + chat), _NEVER, b"") for chat in several]
    if again:
        await store.post(drafts)
    with observed() as plans:
        committed = await store.post(drafts)
    assert None not in committed.results
    assert any("messages" in plan.statement for plan in plans)
    _check(plans)


async def test_marking_as_read(town: Town, store: MessageStore) -> None:
    with observed() as plans:
        spans = [ReadRange(town.first, town.big, 10, 20), ReadRange(town.first, ChatId(town.chats[7]), 1, 2)]
        await store.mark_read(spans, 1_000)
    assert any("cursors" in plan.statement for plan in plans)
    _check(plans)


_READINGS: dict[str, Callable[[Snapshot, Town], object]] = {
    "a page at the end of a history": lambda now, town: list(now.messages([(town.big, _LENGTH - 49, _LENGTH)])),
    "a page in the middle of it": lambda now, town: list(now.messages([(town.big, 10_001, 10_050)])),
    "a page of the last chat": lambda now, town: list(now.messages([(ChatId(town.chats[-1]), 1, 50)])),
    "what was missed in many chats": lambda now, town: list(
        now.messages([(ChatId(chat), 3, 4) for chat in town.chats[:50]], AccountId(town.first + 1))
    ),
    "how much waits": lambda now, town: now.count([(town.big, 19_951, _LENGTH)], town.first),
    "the oldest that waits": lambda now, town: now.oldest([(town.big, 19_951, _LENGTH)], town.first, 10),
    "heads": lambda now, town: now.heads([town.big, *map(ChatId, town.chats[:50])]),
    "cursors": lambda now, town: now.cursors([(town.first, ChatId(chat)) for chat in town.chats[:50]]),
}


@pytest.mark.parametrize("name", _READINGS)
async def test_reading(town: Town, store: MessageStore, name: str) -> None:
    with observed() as plans:
        found = await store.read(lambda now: _READINGS[name](now, town))
    assert found
    _check(plans)


# What is asked of session meanwhile


_QUESTIONS: dict[str, Callable[[sa.Connection, Town], object]] = {
    "the version of a chat": lambda now, town: chats.version_of(now, town.big),
    "who has come and gone": lambda now, town: chats.list_changes(now, GetMembership(town.big, since=0), 100),
    "that nobody has": lambda now, town: chats.list_changes(now, GetMembership(town.big, since=1), 100),
    "a page of many chats": lambda now, town: chats.list_chats(now, town.first, ChatId(town.chats[2_000]), 100),
    "the chats of some": lambda now, town: chats.list_chats_with_others(
        now, lambda _: ChatList([]), [AccountId(one) for one in town.people[2:10]], 600
    ),
    "those of two who have many": lambda now, town: chats.list_chats_with_others(
        now, lambda _: ChatList([]), [AccountId(one) for one in town.people[:2]], 100
    ),
    "the newest of many chats": lambda now, town: chats.chats_of(now, town.first, 100),
    "whether somebody is a member": lambda now, town: sql.role_of(now, town.big, town.first),
    "a private chat": lambda now, town: chats.find_private(now, (town.first, AccountId(town.first + 1))),
    "some members": lambda now, town: chats.view_chat(now, town.big, town.first, 100),
    "how senders are called": lambda now, town: profiles.summaries_of(
        now, [AccountId(one) for one in town.people[:50]]
    ),
    "people by their own ids": lambda now, town: profiles.find_by_uuids(
        now, [uuid_of(one) for one in town.people[:50]]
    ),
    "who logs in": lambda now, town: profiles.account_state(now, town.first),
    "who can be told notices": lambda now, town: profiles.list_active(now, town.first, 100),
}


@pytest.mark.parametrize("name", _QUESTIONS)
async def test_asking_session(town: Town, name: str) -> None:
    database = Database(town.settings.database_url("session"))
    with observed() as plans:
        await database.read(lambda now: _QUESTIONS[name](now, town))
    await database.close()
    _check(plans)


@pytest.mark.parametrize("kind", IdentifierKind)
async def test_finding_an_account(town: Town, kind: IdentifierKind) -> None:
    database = Database(town.settings.database_url("auth"))
    with observed() as plans:
        await database.read(lambda now: auth.find(now, kind, str(town.first)))
    await database.close()
    _check(plans)
