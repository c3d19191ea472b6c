"""Accounts, secrets and revocations on SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa

from services.auth.domain import VerificationPurpose, VerificationSubject
from services.auth.store import accounts as store
from services.auth.store import outbox, verifications
from services.auth.store.accounts import AccountSnapshot, IdentifierTaken, NewAccount, NotVerified
from services.auth.tables import accounts, secrets
from shared.contract.auth import IdentifierKind, Origin, Revocations
from shared.contract.events import AccountDeleted, AccountRegistered, MailRequested
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme
from shared.database import Database
from tests.unit.services.auth.world import registration

UUID = "00000000-0000-4000-8000-000000000001"
NOW = 1_800_000_000_000


def new(email: str = "ann@example.org", uuid: str = UUID, holder: VerificationSubject | None = None) -> NewAccount:
    return NewAccount(
        request=registration(email, uuid=uuid, username=email.split("@")[0], signature="hi"),
        uuid=uuid,
        created=NOW,
        lobby=False,
        verifiers={Scheme.PLAIN: "$plain", Scheme.MD5: "$md5"},
        answer="$answer",
        holder=holder,
    )


async def made(database: Database, email: str = "ann@example.org", uuid: str = UUID) -> AccountId:
    found = await database.write(partial(store.register, new=new(email, uuid)))
    assert found.account is not None
    return found.account.id


async def found(database: Database, kind: IdentifierKind, identifier: str) -> AccountSnapshot:
    return await database.read(partial(store.find, kind=kind, identifier=identifier))


async def test_an_account_is_found_with_all_its_secrets(database: Database) -> None:
    first = await made(database)
    await made(database, "bob@example.org", UUID[:-1] + "2")
    account = (await found(database, IdentifierKind.ID, str(first))).account
    assert account is not None
    assert account.verifiers == {Scheme.PLAIN: "$plain", Scheme.MD5: "$md5"}
    assert (account.id, account.email, account.profile.uuid) == (first, "ann@example.org", UUID)
    assert (account.profile.nickname, account.profile.signature, account.profile.created) == ("Ann", "hi", NOW)


async def test_registration_and_its_event_are_one(database: Database) -> None:
    account = await made(database)
    with pytest.raises(IdentifierTaken):
        await made(database)
    [entry] = await database.read(partial(outbox.oldest, limit=10))
    assert isinstance(entry.event, AccountRegistered)
    assert (entry.event.profile.account, entry.event.profile.uuid) == (account, UUID)


@pytest.mark.parametrize(
    ("email", "uuid", "field"),
    [
        ("ANN@example.org", UUID[:-1] + "2", "email"),
        ("ann@other.org", UUID[:-1] + "2", "username"),
        ("bob@example.org", UUID, "uuid"),
    ],
)
async def test_the_database_names_what_is_taken(database: Database, email: str, uuid: str, field: str) -> None:
    await made(database)
    with pytest.raises(IdentifierTaken) as caught:
        await made(database, email, uuid)
    assert caught.value.field == field
    assert len(await database.read(lambda connection: connection.execute(sa.select(accounts)).all())) == 1


async def test_accounts_without_names_do_not_clash(database: Database) -> None:
    for number in range(2):
        nameless = replace(new(), request=registration(), uuid=str(number))
        assert (await database.write(partial(store.register, new=nameless))).account is not None


async def test_a_registration_uses_its_verification_up(database: Database) -> None:
    holder = VerificationSubject(VerificationPurpose.REGISTER, "ann@example.org", NO_ACCOUNT)
    with pytest.raises(NotVerified):
        await database.write(partial(store.register, new=new(holder=holder)))
    await passed(database, holder)
    await database.write(partial(store.register, new=new(holder=holder)))
    assert not await database.read(partial(verifications.has_passed, holder=holder, now=NOW))


async def test_a_refused_registration_leaves_its_verification(database: Database) -> None:
    holder = VerificationSubject(VerificationPurpose.REGISTER, "ann@example.org", NO_ACCOUNT)
    await made(database, "bob@example.org")
    await passed(database, holder)
    with pytest.raises(IdentifierTaken):
        await database.write(partial(store.register, new=new(holder=holder)))
    assert await database.read(partial(verifications.has_passed, holder=holder, now=NOW))


async def passed(database: Database, holder: VerificationSubject) -> None:
    def letter(mailing: verifications.VerificationMail) -> MailRequested:
        return MailRequested(mailing.email, "", "", mailing.expires)

    def step(connection: sa.Connection) -> None:
        ticket = verifications.create(connection, "", holder, Origin(), NOW, NOW + 1000).ticket
        verifications.request_mail(connection, ticket, Origin(), "digest", letter, NOW)
        verifications.open_link(connection, ticket, "digest", NOW)

    await database.write(step)


async def test_a_verifier_is_replaced_once(database: Database) -> None:
    account = await made(database)
    change = partial(store.replace_verifier, account=account, scheme=Scheme.MD5, old="$md5", new="$better")
    assert await database.write(change)
    assert not await database.write(change)
    holds = partial(store.holds_verifier, account=account, scheme=Scheme.MD5)
    assert await database.read(partial(holds, verifier="$better"))
    assert not await database.read(partial(holds, verifier="$md5"))


async def test_erasing_leaves_the_number_alone(database: Database) -> None:
    account = await made(database)
    revocation = await database.write(partial(store.erase, account=account, seconds=NOW // 1000))
    assert revocation is not None
    assert (revocation.account, revocation.sid, revocation.time) == (account, "", NOW // 1000)
    assert await database.write(partial(store.erase, account=account, seconds=NOW // 1000)) is None

    [row] = await database.read(lambda connection: connection.execute(sa.select(accounts)).all())
    assert {value for value in row if value} == {account}
    assert await database.read(lambda connection: connection.execute(sa.select(secrets)).all()) == []
    for kind in IdentifierKind:
        for identifier in (str(account), "ann", "ann@example.org", UUID, "", "None"):
            assert (await found(database, kind, identifier)).account is None
    assert await made(database) > account


async def test_a_number_is_not_given_again(database: Database) -> None:
    last = await made(database)
    await database.write(lambda connection: connection.execute(accounts.delete().where(accounts.c.id == last)))
    assert await made(database) > last


async def test_the_event_of_an_erasure_comes_after_that_of_the_registration(database: Database) -> None:
    account = await made(database)
    await database.write(partial(store.erase, account=account, seconds=1))
    events = [entry.event for entry in await database.read(partial(outbox.oldest, limit=10))]
    assert [type(event) for event in events] == [AccountRegistered, AccountDeleted]


# Revocations


async def revoke(database: Database, sid: str, seconds: int = 1) -> int:
    revocation = await database.write(partial(store.revoke, account=AccountId(1), sid=sid, seconds=seconds))
    return revocation.number


async def watched(database: Database, since: int) -> Revocations:
    return await database.read(partial(store.list_revocations, since=since))


async def test_watching_begins_after_a_number_and_goes_in_pages(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REVOCATIONS_PER_PAGE", 2)
    assert await watched(database, 0) == Revocations(0, [], False, False)
    numbers = [await revoke(database, f"s{n}") for n in range(4)]
    assert numbers == [1, 2, 3, 4]
    pages = [await watched(database, since) for since in range(6)]
    assert [[revocation.number for revocation in page.revocations] for page in pages] == [
        [1, 2], [2, 3], [3, 4], [4], [], [],
    ]  # fmt: skip
    assert [page.more for page in pages] == [True, True, False, False, False, False]
    assert {page.last for page in pages} == {4}
    assert (await found(database, IdentifierKind.ID, "1")).revision == 4


async def test_numbers_grow_in_the_order_of_commits(database: Database) -> None:
    """A watcher that has seen a number never misses a lower one that commits later."""
    seen: list[int] = []
    ended = asyncio.Event()

    async def watcher() -> None:
        while not (ended.is_set() and (await watched(database, len(seen))).last == len(seen)):
            seen.extend(one.number for one in (await watched(database, max(seen, default=0))).revocations)

    watching = asyncio.create_task(watcher())
    await asyncio.gather(*(revoke(database, f"s{n}") for n in range(60)))
    ended.set()
    await asyncio.wait_for(watching, 10)
    assert seen == list(range(1, 61))


async def test_what_was_revoked_is_known(database: Database) -> None:
    await revoke(database, "s1")
    known = partial(store.is_revoked, account=AccountId(1))
    assert await database.read(partial(known, sid="s1"))
    assert not await database.read(partial(known, sid="s2"))
    assert not await database.read(partial(store.is_revoked, account=AccountId(2), sid="s1"))


async def test_an_account_knows_from_when_its_tokens_are_good(database: Database) -> None:
    """Since the last revocation of all of them; those of single logins, and of others, do not count."""
    account = await made(database)
    assert account == 1
    for sid, seconds in (("", 7), ("", 5), ("s1", 9)):
        await revoke(database, sid, seconds)
    await database.write(partial(store.revoke, account=AccountId(2), sid="", seconds=11))
    known = (await found(database, IdentifierKind.ID, str(account))).account
    assert known is not None
    assert known.tokens_from == 7


async def test_old_revocations_are_purged_and_numbers_go_on(database: Database) -> None:
    for seconds in (10, 20, 30):
        await revoke(database, f"s{seconds}", seconds)
    await database.write(partial(store.purge_revocations, before_seconds=30))
    assert [one.time for one in (await watched(database, 0)).revocations] == [30]
    await database.write(partial(store.purge_revocations, before_seconds=99))
    assert await watched(database, 0) == Revocations(3, [], False, False)
    assert await revoke(database, "s") == 4


async def test_maintenance_stays(database: Database) -> None:
    for on in (True, True, False):
        await database.write(partial(store.set_maintenance, on=on))
        assert (await watched(database, 0)).maintenance is on
