"""Tests how accounts and secrets are stored in SQLite and PostgreSQL."""

import asyncio
import threading
from dataclasses import replace
from functools import partial

import msgspec
import pytest
import sqlalchemy as sa

from services.auth.domain import VerificationPurpose, VerificationSubject
from services.auth.store import accounts as store
from services.auth.store import outbox, verifications
from services.auth.store.accounts import AccountSnapshot, IdentifierTaken, NewAccount, NotVerified
from services.auth.tables import accounts, secrets
from shared.contract.auth import IdentifierKind, Origin
from shared.contract.events import AccountRegistered, MailRequested
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme
from shared.contract.subjects import ACCOUNT_DELETED, ACCOUNT_REGISTERED
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.unit.services.auth.cluster import registration
from tests.unit.services.auth.conftest import ON_BOTH

pytestmark = ON_BOTH

UUID = "00000000-0000-4000-8000-000000000001"
NOW = 1_800_000_000_000
WAITING = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


def new(email: str = "ann@example.org", uuid: str = UUID, subject: VerificationSubject | None = None) -> NewAccount:
    return NewAccount(
        request=registration(email, uuid=uuid, username=email.split("@")[0], signature="hi"),
        uuid=uuid,
        created=NOW,
        lobby=False,
        verifiers={Scheme.PLAIN: "$plain", Scheme.MD5: "$md5"},
        answer="$answer",
        subject=subject,
    )


async def made(database: Database, email: str = "ann@example.org", uuid: str = UUID) -> AccountId:
    found = await database.write(partial(store.register, new=new(email, uuid)))
    assert found.account is not None
    return found.account.id


async def found(database: Database, kind: IdentifierKind, identifier: str) -> AccountSnapshot:
    return await database.read(partial(store.find, kind=kind, identifier=identifier))


async def execute(database: Database, change: sa.Update) -> None:
    await database.write(lambda connection: connection.execute(change))


async def test_an_account_is_found_with_all_its_secrets(database: Database) -> None:
    first = await made(database)
    await made(database, "bob@example.org", UUID[:-1] + "2")
    account = (await found(database, IdentifierKind.ID, str(first))).account
    assert account is not None
    assert account.verifiers == {Scheme.PLAIN: "$plain", Scheme.MD5: "$md5"}
    assert (account.id, account.email, account.profile.uuid) == (first, "ann@example.org", UUID)
    assert (account.profile.nickname, account.profile.signature, account.profile.created) == ("Ann", "hi", NOW)


async def test_registration_and_its_event_are_one_transaction(database: Database) -> None:
    account = await made(database)
    with pytest.raises(IdentifierTaken):
        await made(database)
    [entry] = await database.read(partial(outbox.oldest, limit=10))
    assert entry.topic.subject == ACCOUNT_REGISTERED.subject
    event = msgspec.msgpack.decode(entry.event, type=AccountRegistered)
    assert (event.profile.account, event.profile.uuid) == (account, UUID)


@pytest.mark.parametrize(
    ("email", "uuid", "field"),
    [
        ("ANN@example.org", UUID[:-1] + "2", "email"),
        ("ann@other.org", UUID[:-1] + "2", "username"),
        ("bob@example.org", UUID, "uuid"),
    ],
)
async def test_the_store_names_the_taken_field(database: Database, email: str, uuid: str, field: str) -> None:
    await made(database)
    with pytest.raises(IdentifierTaken) as caught:
        await made(database, email, uuid)
    assert caught.value.field == field
    assert len(await database.read(lambda connection: connection.execute(sa.select(accounts)).all())) == 1


async def test_a_registration_consumes_its_verification(database: Database) -> None:
    subject = VerificationSubject(VerificationPurpose.REGISTER, "ann@example.org", NO_ACCOUNT)
    with pytest.raises(NotVerified):
        await database.write(partial(store.register, new=new(subject=subject)))
    consuming = new(subject=subject)
    consuming.request.ticket = await passed(database, subject)
    await database.write(partial(store.register, new=consuming))
    assert not await database.read(partial(verifications.list_passed, subject=subject, now=NOW))


async def test_a_link_verifies_the_spelling_of_the_address_that_it_was_mailed_to(database: Database) -> None:
    """Both spellings count as one address here, but their domains may belong to two different persons."""
    mailed = VerificationSubject(VerificationPurpose.REGISTER, "ann@faß.example", NO_ACCOUNT)
    typed = "ann@fass.example"
    registering = new(typed, subject=replace(mailed, email=typed))
    registering.request.ticket = await passed(database, mailed)
    registered = (await database.write(partial(store.register, new=registering))).account
    assert registered is not None
    assert (registered.email, registered.email_verified) == ("ann@faß.example", True)


async def test_only_a_verified_address_of_an_active_account_is_mailed(database: Database) -> None:
    ann, bob = await made(database), await made(database, "bob@example.org", UUID[:-1] + "2")
    addresses = partial(store.verified_addresses, wanted=[ann, bob])
    assert await database.read(addresses) == {}
    for account in (ann, bob):
        await database.write(partial(store.confirm_email, account=account))
    assert await database.read(addresses) == {ann: "ann@example.org", bob: "bob@example.org"}
    await database.write(partial(store.disable, account=ann, seconds=NOW // 1000))
    await database.write(partial(store.erase, account=bob, seconds=NOW // 1000))
    assert await database.read(addresses) == {}


async def test_a_rejected_registration_keeps_its_verification(database: Database) -> None:
    subject = VerificationSubject(VerificationPurpose.REGISTER, "ann@example.org", NO_ACCOUNT)
    await made(database, "bob@example.org")
    rejected = new(subject=subject)
    rejected.request.ticket = await passed(database, subject)
    with pytest.raises(IdentifierTaken):
        await database.write(partial(store.register, new=rejected))
    assert await database.read(partial(verifications.list_passed, subject=subject, now=NOW))


async def passed(database: Database, subject: VerificationSubject) -> str:
    def template(mailing: verifications.VerificationMail) -> MailRequested:
        return MailRequested(mailing.email, "", "", mailing.expires)

    def step(connection: sa.Connection) -> str:
        ticket = verifications.create(connection, "", subject, Origin(), "hash", NOW, NOW + 1000).ticket
        verifications.request_mail(connection, ticket, Origin(), "digest", template, NOW)
        verifications.open_link(connection, ticket, "digest", NOW)
        return ticket

    return await database.write(step)


async def test_a_verifier_is_replaced_once(database: Database) -> None:
    account = await made(database)
    change = partial(store.replace_verifier, account=account, scheme=Scheme.MD5, old="$md5", new="$better")
    assert await database.write(change)
    assert not await database.write(change)
    holds = partial(store.holds_verifier, account=account, scheme=Scheme.MD5)
    assert await database.read(partial(holds, verifier="$better"))
    assert not await database.read(partial(holds, verifier="$md5"))


async def test_one_old_password_is_good_for_one_change(database: Database) -> None:
    """Between the check of a password and the transaction, another request may replace the password or disable the
    account.
    """
    account = await made(database)
    change = partial(store.change_secrets, account=account, held=(Scheme.MD5, "$md5"), seconds=NOW // 1000)
    assert await database.write(partial(change, verifiers={Scheme.MD5: "$better"}))
    assert await database.write(partial(change, verifiers={Scheme.MD5: "$worse"})) is None
    found_now = (await found(database, IdentifierKind.ID, str(account))).account
    assert found_now is not None
    assert found_now.verifiers == {Scheme.MD5: "$better"}
    await database.write(partial(store.disable, account=account, seconds=NOW // 1000))
    again = partial(store.change_secrets, account=account, held=(Scheme.MD5, "$better"), seconds=NOW // 1000)
    assert await database.write(partial(again, verifiers={Scheme.MD5: "$worse"})) is None


async def test_an_act_by_a_secret_waits_for_a_change_of_the_secret_that_is_under_way(database: Database) -> None:
    """The old password must not be able to delete the account."""
    account, changed = await made(database), threading.Event()

    def change(connection: sa.Connection) -> None:
        new = {Scheme.MD5: "$better"}
        assert store.change_secrets(connection, account, (Scheme.MD5, "$md5"), new, NOW // 1000)
        changed.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(WAITING).scalar_one() > 0)

    changing = asyncio.create_task(database.write(change))
    await asyncio.to_thread(changed.wait, WAIT_SECONDS)
    assert not await database.write(partial(store.lock_verifier, account=account, held=(Scheme.MD5, "$md5")))
    await changing


async def test_erasing_keeps_only_the_number(database: Database) -> None:
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


async def test_an_account_number_is_never_reused(database: Database) -> None:
    last = await made(database)
    await database.write(lambda connection: connection.execute(accounts.delete().where(accounts.c.id == last)))
    assert await made(database) > last


async def test_erased_accounts_are_listed_in_order(database: Database) -> None:
    numbers = [await made(database, f"user{n}@example.org", f"{UUID[:-1]}{n}") for n in range(4)]
    for account in (numbers[2], numbers[0], numbers[3]):
        await database.write(partial(store.erase, account=account, seconds=1))
    listed = partial(store.list_deleted, limit=2)
    assert await database.read(partial(listed, after=NO_ACCOUNT)) == [numbers[0], numbers[2]]
    assert await database.read(partial(listed, after=numbers[2])) == [numbers[3]]


async def test_the_event_of_an_erasure_comes_after_that_of_the_registration(database: Database) -> None:
    account = await made(database)
    await database.write(partial(store.erase, account=account, seconds=1))
    subjects = [entry.topic.subject for entry in await database.read(partial(outbox.oldest, limit=10))]
    assert subjects == [ACCOUNT_REGISTERED.subject, ACCOUNT_DELETED.subject]


@pytest.mark.parametrize(
    ("kind", "identifier"),
    [
        (IdentifierKind.USERNAME, " ANN"),
        (IdentifierKind.ANY, "Ａnn "),
        (IdentifierKind.EMAIL, "Ann@Bücher.example "),
        (IdentifierKind.ANY, "ann@xn--bcher-kva.example"),
        (IdentifierKind.ID, " 1"),
        (IdentifierKind.UUID, UUID.replace("0", "A", 1).upper()),
    ],
)
async def test_an_account_is_found_by_any_spelling_of_its_identifiers(
    database: Database, kind: IdentifierKind, identifier: str
) -> None:
    account = await made(database, "ann@bücher.example", UUID.replace("0", "a", 1))
    snapshot = await found(database, kind, identifier)
    assert snapshot.account is not None
    assert snapshot.account.id == account
    with pytest.raises(IdentifierTaken):
        await made(database, "bob@xn--bcher-kva.example", UUID.replace("0", "A", 1))
