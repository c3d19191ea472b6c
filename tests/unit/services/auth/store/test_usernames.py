"""The keys by which usernames that look alike are equal, on SQLite and PostgreSQL.

Some accounts were registered with an earlier table of similar characters, by which their names did not look alike.
"""

import asyncio
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.auth.store import accounts as store
from services.auth.store import usernames
from services.auth.store.accounts import IdentifierTaken
from services.auth.store.usernames import key_all
from services.auth.tables import accounts, state
from shared.contract.auth import IdentifierKind
from shared.contract.ids import AccountId
from shared.database import Database
from shared.names import keys_version, name_key
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.unit.services.auth.cluster import registration
from tests.unit.services.auth.conftest import ON_BOTH
from tests.unit.services.auth.store.test_accounts import WAITING, found, new

pytestmark = ON_BOTH

_OLD_ROW: dict[str, Any] = {
    "created": 0, "question_id": 0, "nickname": "n", "icon_id": 0, "signature": "", "vip": 0, "lobby": False
}  # fmt: skip


async def registered(database: Database, username: str) -> AccountId:
    one = replace(new(), request=registration(username=username), uuid=username)
    account = (await database.write(partial(store.register, new=one))).account
    assert account is not None
    return account.id


async def registered_before(database: Database, *usernames: str) -> None:
    """Registers accounts with a table of characters in which no names look alike."""
    keys = ("uuid", "username_key", "username_look")
    rows = [{**_OLD_ROW, "username": name, **dict.fromkeys(keys, f"old {name}")} for name in usernames]
    await database.write(lambda connection: connection.execute(accounts.insert(), rows))


async def keys(database: Database) -> list[tuple[str | None, str | None, int]]:
    columns = sa.select(accounts.c.username, accounts.c.username_key, accounts.c.username_twin)
    return [tuple(row) for row in await database.read(lambda c: c.execute(columns.order_by(accounts.c.id)).all())]


@pytest.mark.parametrize("name", ["ann", "ANN", "Ａnn", "Аnn", "Ann", "PaveI"])
async def test_a_name_that_looks_like_another_is_taken(database: Database, name: str) -> None:
    for first in ("Ann", "Pavel"):
        await registered(database, first)
    with pytest.raises(IdentifierTaken) as caught:
        await registered(database, name)
    assert caught.value.field == "username"
    await registered(database, "Anna")


async def test_a_deleted_account_frees_its_name(database: Database) -> None:
    account = await registered(database, "Ann")
    await database.write(partial(store.erase, account=account, seconds=0))
    assert await keys(database) == [(None, None, 0)]
    await registered(database, "ann")


async def test_accounts_with_names_that_look_alike_keep_them_and_are_reported(database: Database) -> None:
    await registered_before(database, "Ann", "bob", "ann", "Аnn", "BOB")
    assert key_all(database.url.render_as_string(hide_password=False)) == [
        "accounts 1, 3, 4 have usernames that look alike",
        "accounts 2, 5 have usernames that look alike",
    ]
    assert await keys(database) == [
        ("Ann", "ann", 0), ("bob", "bob", 0), ("ann", "ann", 3), ("Аnn", "ann", 4), ("BOB", "bob", 5)
    ]  # fmt: skip
    for name, number in (("Ann", 1), ("ann", 3), ("Аnn", 4)):
        account = (await found(database, IdentifierKind.USERNAME, name)).account
        assert account is not None
        assert account.id == number
    for number in (1, 3):
        await database.write(partial(store.erase, account=AccountId(number), seconds=0))
        with pytest.raises(IdentifierTaken):
            await registered(database, "ANN")
    await database.write(partial(store.erase, account=AccountId(4), seconds=0))
    await registered(database, "ANN")


async def test_accounts_that_differ_by_capitals_that_look_alike_keep_their_names(database: Database) -> None:
    await registered_before(database, "Pavel", "PaveI", "ann")
    assert key_all(database.url.render_as_string(hide_password=False)) == [
        "accounts 1, 2 have usernames that look alike"
    ]
    assert await keys(database) == [("Pavel", "pavel", 0), ("PaveI", "pavei", 2), ("ann", "ann", 0)]
    for name in ("PAVEL", "pavei"):
        with pytest.raises(IdentifierTaken):
            await registered(database, name)


async def test_keys_follow_their_data(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    url = database.url.render_as_string(hide_password=False)
    monkeypatch.setattr(usernames, "_BATCH", 2)
    for number in range(5):
        await registered(database, f"name {number}")
    stored = await keys(database)
    assert key_all(url) == []
    assert await keys(database) == stored
    monkeypatch.setattr(usernames, "name_key", lambda name: name_key(name)[::-1])
    assert key_all(url) == []
    assert await keys(database) == stored
    monkeypatch.setattr(usernames, "keys_version", lambda: 7)
    assert key_all(url) == []
    assert await keys(database) == [(name, str(key)[::-1], 0) for name, key, _ in stored]
    version = sa.select(state.c.value).where(state.c.name == "username_keys")
    assert await database.read(lambda connection: connection.scalars(version).all()) == [7]


async def test_two_upgrades_at_once_note_the_version_of_the_keys(database: Database) -> None:
    url, noted = database.url.render_as_string(hide_password=False), threading.Event()

    def upgrade(connection: sa.Connection) -> None:
        connection.execute(state.insert().values(name="username_keys", value=0))
        noted.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(WAITING).scalar_one() > 0)

    upgrading = asyncio.create_task(database.write(upgrade))
    await asyncio.to_thread(noted.wait, WAIT_SECONDS)
    assert await asyncio.to_thread(key_all, url) == []
    await upgrading
    version = sa.select(state.c.value).where(state.c.name == "username_keys")
    assert await database.read(lambda connection: connection.scalars(version).all()) == [keys_version()]
