"""Tests how revocations and maintenance mode are stored in SQLite and PostgreSQL."""

import asyncio
from functools import partial

import pytest

from services.auth.store import accounts, revocations
from shared.contract.auth import IdentifierKind, Revocations
from shared.contract.ids import AccountId
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.conftest import ON_BOTH

pytestmark = ON_BOTH


async def revoke(database: Database, sid: str, seconds: int = 1) -> int:
    revocation = await database.write(partial(revocations.revoke, account=AccountId(1), sid=sid, seconds=seconds))
    return revocation.number


async def listed(database: Database, since: int) -> Revocations:
    return await database.read(partial(revocations.list_revocations, since=since))


async def test_revocations_are_listed_after_a_number_in_pages(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "REVOCATIONS_PER_PAGE", 2)
    assert await listed(database, 0) == Revocations(0, [], False, False)
    numbers = [await revoke(database, f"s{n}") for n in range(4)]
    assert numbers == [1, 2, 3, 4]
    pages = [await listed(database, since) for since in range(6)]
    assert [[revocation.number for revocation in page.revocations] for page in pages] == [
        [1, 2], [2, 3], [3, 4], [4], [], [],
    ]  # fmt: skip
    assert [page.more for page in pages] == [True, True, False, False, False, False]
    assert {page.last for page in pages} == {4}
    assert (await database.read(partial(accounts.find, kind=IdentifierKind.ID, identifier="1"))).revision == 4


async def test_numbers_grow_in_the_order_of_commits(database: Database) -> None:
    """When a reader has received a number, no lower number can be committed later."""
    seen: list[int] = []
    ended = asyncio.Event()

    async def read_all() -> None:
        while not (ended.is_set() and (await listed(database, len(seen))).last == len(seen)):
            seen.extend(one.number for one in (await listed(database, max(seen, default=0))).revocations)

    task = asyncio.create_task(read_all())
    await asyncio.gather(*(revoke(database, f"s{n}") for n in range(60)))
    ended.set()
    await asyncio.wait_for(task, WAIT_SECONDS)
    assert seen == list(range(1, 61))


async def test_a_revoked_session_is_found(database: Database) -> None:
    await revoke(database, "s1")
    is_revoked = partial(revocations.is_revoked, account=AccountId(1))
    assert await database.read(partial(is_revoked, sid="s1"))
    assert not await database.read(partial(is_revoked, sid="s2"))
    assert not await database.read(partial(revocations.is_revoked, account=AccountId(2), sid="s1"))


async def test_old_revocations_are_purged_and_numbers_continue(database: Database) -> None:
    for seconds in (10, 20, 30):
        await revoke(database, f"s{seconds}", seconds)
    await database.write(partial(revocations.purge, before_seconds=30))
    assert [one.time for one in (await listed(database, 0)).revocations] == [30]
    await database.write(partial(revocations.purge, before_seconds=99))
    assert await listed(database, 0) == Revocations(3, [], False, False)
    assert await revoke(database, "s") == 4
