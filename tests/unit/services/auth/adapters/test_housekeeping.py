"""Auth deletes revocations and tickets that no longer have an effect."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.auth.adapters import housekeeping
from services.auth.adapters.signing_keys import SigningKeys
from services.auth.domain import VerificationPurpose, VerificationSubject
from services.auth.service.login_trail import LoginTrail
from services.auth.store import revocations, verifications
from services.auth.tables import tickets as table
from shared.clock import now_ms
from shared.contract.auth import Origin
from shared.contract.ids import AccountId
from shared.database import Database, DatabaseUnavailable
from shared.settings.accounts import AuthSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.conftest import ON_BOTH, cheap_auth

DAY = 86_400
SUBJECT = VerificationSubject(VerificationPurpose.LOGIN, "ann@example.org", AccountId(1))


async def revoke(database: Database, age_days: float) -> int:
    seconds = int(time.time() - age_days * DAY)
    revocation = await database.write(partial(revocations.revoke, account=AccountId(1), sid="s", seconds=seconds))
    return revocation.number


async def create_ticket(database: Database, named: str, left_ms: int) -> str:
    step = partial(
        verifications.create,
        named=named,
        subject=SUBJECT,
        origin=Origin(),
        secret="hash",
        now=0,
        expires=now_ms() + left_ms,
    )
    return (await database.write(step)).ticket


async def nothing() -> None:
    pass


@ON_BOTH
async def test_revocations_and_tickets_without_effect_are_purged(database: Database) -> None:
    await revoke(database, 7.1)
    young = [await revoke(database, 6.9), await revoke(database, 0)]
    over, living = await create_ticket(database, "", -1), await create_ticket(database, "", 60_000)
    await housekeeping.purge_expired(database, AuthSettings(legacy_token_days=7))
    listed = await database.read(partial(revocations.list_revocations, since=0))
    assert [revocation.number for revocation in listed.revocations] == young
    assert await create_ticket(database, living, 1) == living
    assert await create_ticket(database, over, 1) != over


async def test_housekeeping_continues_after_a_failure(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_INTERVAL_SECONDS", 0.01)
    failed = asyncio.Event()

    async def fail(_database: Database, _settings: AuthSettings) -> None:
        failed.set()
        raise DatabaseUnavailable

    purge_expired = housekeeping.purge_expired
    monkeypatch.setattr(housekeeping, "purge_expired", fail)
    over = await create_ticket(database, "", -1)
    auth = cheap_auth(tmp_path / "keys")
    run = housekeeping.run(database, SigningKeys(auth), auth, LoginTrail(database), nothing, nothing)
    task = asyncio.create_task(run)
    await failed.wait()
    monkeypatch.setattr(housekeeping, "purge_expired", purge_expired)
    async with asyncio.timeout(WAIT_SECONDS):
        while over in await remaining(database):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_guests_end_only_after_edges_could_report_them_for_some_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "ABANDONED_SECONDS", 0.2)
    began, failed, ended = time.monotonic(), 0.0, asyncio.get_running_loop().create_future()

    async def check() -> None:
        nonlocal failed
        if time.monotonic() < began + 0.4:
            failed = time.monotonic()
            raise TimeoutError

    async def end() -> None:
        if not ended.done():
            ended.set_result(time.monotonic())

    auth = cheap_auth(tmp_path / "keys")
    run = housekeeping.run(database, SigningKeys(auth), auth, LoginTrail(database), end, check)
    task = asyncio.create_task(run)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await ended >= failed + 0.2 > began + 0.2
    task.cancel()
    await asyncio.wait([task])


async def remaining(database: Database) -> set[str]:
    return set(await database.read(lambda connection: connection.execute(sa.select(table.c.ticket)).scalars().all()))
