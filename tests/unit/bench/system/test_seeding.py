"""Users that are written into the databases (seeded) can log in, post and read like registered users."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bench.load.plan import Load, conversations
from bench.load.protocol import HistoryPaging, Job, PagedChat, Seat
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.system.seeding import Seeder, uuid_of
from bench.system.system import MeasuredSystem
from local.installation import Installation
from services.auth import tables as auth
from services.auth.adapters.signing_keys import SigningKeys
from services.message import tables as message
from services.session import tables as session
from services.session.store.chats import find_private
from shared.contract.ids import AccountId
from shared.database import open_engine
from shared.migrate import upgrade
from shared.settings import Settings
from shared.settings.accounts import AuthSettings
from shared.settings.servers import DatabaseSettings
from tests.support.servers import PostgresServer

pytestmark = pytest.mark.xdist_group("bench")


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation with migrated databases, without services."""
    with _databases(request, tmp_path) as url:
        cheap = AuthSettings(keys=tmp_path / "keys", argon2_memory_kib=8, argon2_iterations=1)
        settings = Settings(database=DatabaseSettings(url=SecretStr(url)), auth=cheap)
        for service in ("auth", "session", "message"):
            upgrade(service, settings.database_url(service))
        yield Installation(settings, {})


@contextmanager
def _databases(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{directory}/{{service}}.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as url:
            yield url


def _rows(installation: Installation, service: str, statement: sa.Executable) -> list[tuple[object, ...]]:
    with open_engine(installation.settings.database_url(service)) as engine, engine.begin() as connection:
        found = [tuple(row) for row in connection.execute(statement).all()]
    return found


def test_seeded_rows_equal_those_of_the_services(installation: Installation) -> None:
    seeder = Seeder(installation)
    users = seeder.accounts(10)
    chats = seeder.chats(users, 3, each=2, unread_from=8)
    seeder.history(chats, 7, users[0])
    seeder.analyze()
    assert list(users) == list(range(1, 11))
    assert len(chats) == 6
    members = _rows(installation, "session", sa.select(session.member.c.chat, session.member.c.account))
    chat_members = [users[start : start + 3] for start in (0, 0, 3, 3, 6, 6)]
    expected = [(chat, account) for chat, circle in zip(chats, chat_members, strict=True) for account in circle]
    assert sorted(members) == expected
    assert _rows(installation, "session", sa.select(session.member.c.unread_from).distinct()) == [(8,)]
    owners = _rows(installation, "session", sa.select(session.chat.c.owner).order_by(session.chat.c.id))
    assert owners[-6:] == [(circle[0],) for circle in chat_members]
    indexes = sa.select(message.messages.c.chat_id, message.messages.c.index)
    assert sorted(_rows(installation, "message", indexes)) == [(chat, n) for chat in chats for n in range(1, 8)]
    assert _rows(installation, "message", sa.select(message.heads.c.last_index)) == [(7,)] * 6
    uuid = sa.select(auth.accounts.c.uuid).where(auth.accounts.c.id == 3)
    assert _rows(installation, "auth", uuid) == [(uuid_of(3),)]


def test_private_chats_are_those_that_the_services_find(installation: Installation) -> None:
    seeder = Seeder(installation)
    users = seeder.accounts(4)
    chats = seeder.private_chats(users[0], users[1:])
    with open_engine(installation.settings.database_url("session")) as engine, engine.connect() as connection:
        for number, other in zip(chats, users[1:], strict=True):
            pair = AccountId(users[0]), AccountId(other)
            assert find_private(connection, pair) == number
            members = sa.select(session.member.c.account).where(session.member.c.chat == number)
            assert sorted(connection.execute(members).scalars()) == [*pair]


def test_later_rows_get_new_numbers(installation: Installation) -> None:
    seeder = Seeder(installation)
    users = seeder.accounts(4)
    chats = seeder.chats(users, 2)
    assert seeder.accounts(2) == range(5, 7)
    assert seeder.chats(users, 4) == range(chats.stop, chats.stop + 1)
    row = sa.select(auth.accounts).where(auth.accounts.c.id == 6)
    ((_, _, *values),) = _rows(installation, "auth", row)
    names = [column.name for column in auth.accounts.columns][2:]
    new = auth.accounts.insert().values(dict(zip(names, values, strict=True))).returning(auth.accounts.c.id)
    assert _rows(installation, "auth", new) == [(7,)]


def test_tokens_are_the_accounts_own(installation: Installation) -> None:
    seeder = Seeder(installation)
    person, other = seeder.users(list(seeder.accounts(2)))
    public = SigningKeys(installation.settings.auth).public_keys()
    assert public.keys
    assert (person.number, other.number) == (1, 2)
    assert person.token != other.token


async def test_seeded_users_post_and_read_in_any_dialect(target: MeasuredSystem) -> None:
    assert target.installation is not None
    seeder = Seeder(target.installation)
    accounts = seeder.accounts(8)
    chats = seeder.chats(accounts, 8, unread_from=301)
    seeder.history(chats, 300, accounts[0])
    await seeder.publish(chats)
    users = seeder.users(list(accounts))
    dialects = ["ourchat-v2", "pipe", "service", "ourchat-v1"] * 2
    seats = [
        Seat(person, dialect, target.edges[n % 2], list(chats))
        for n, (person, dialect) in enumerate(zip(users, dialects, strict=True))
    ]  # fmt: skip
    jobs = conversations(secrets.randbits(32), seats, range(4), 1, Load(150, 0.0, 0.5, window=2))
    talk = await measured("talk", jobs, target, ProgressLine(), {}, warm_up=0.0, seconds=0.5)
    assert talk.passed, talk
    assert talk.measures["delivery"].count > talk.measures["acknowledgement"].count > 0
    readers = [seat for seat in seats if seat.dialect == "service"]
    leaf = Job(1, readers, HistoryPaging(50, 0.0, 2.0, [PagedChat("seeded", chats[0], 300)]))
    pages = await measured("pages", [leaf], target, ProgressLine(), {}, warm_up=0.0, seconds=2.0)
    assert pages.passed, pages
