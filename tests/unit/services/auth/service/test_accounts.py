"""The use cases over the bus: registration, login, logout, deletion, what edges watch."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    GetKeys,
    IdentifierKind,
    ListRevocations,
    Logout,
)
from shared.contract.edge import MaintenanceSet, Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_UUID, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.session import Ack
from shared.contract.subjects import (
    DELETE_ACCOUNT,
    GET_KEYS,
    LIST_REVOCATIONS,
    LOGOUT,
    REGISTER,
)
from shared.tokens import Verifier
from tests.unit.services.auth.conftest import MakeWorld
from tests.unit.services.auth.world import Edge, World, plain, registration


@pytest.fixture
def world(make_world: MakeWorld, sqlite_url: str) -> World:
    return make_world(sqlite_url)


@pytest.fixture
async def edge(world: World) -> Edge:
    world.auth()
    return await world.edge()


async def refusal(work: Awaitable[Any]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await work
    return caught.value


async def entered(edge: Edge, email: str, secret: Secret) -> bool:
    try:
        await edge.login(email, secret=secret)
    except RequestError as refused:
        return refused.failure.code != ErrorCode.UNAUTHENTICATED
    return True


async def test_registration_gives_a_token_that_everybody_can_verify(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    edge = await world.edge()
    first = await edge.register("ann@example.org", nickname="Ann", signature="hi", icon_id=3)
    second = await edge.register(username="bob", nickname="Bob")
    assert first.account >= 1
    assert second.account > first.account
    assert (first.nickname, first.signature, first.icon_id) == ("Ann", "hi", 3)
    assert abs(first.created - time.time() * 1000) < 60_000

    claims = Verifier(await edge.ask(GET_KEYS, GetKeys())).verify(first.token, time.time())
    assert (claims.account, claims.sid, claims.expires) == (first.account, first.sid, first.expires)
    assert claims.expires - claims.issued == 30 * 86_400


async def test_registration_is_told_to_session(world: World, edge: Edge) -> None:
    session = await world.session()
    made = await edge.register("ann@example.org", nickname="Ann", vip=2, lobby=True)
    profile = (await session.registered.get()).profile
    assert (profile.account, profile.uuid, profile.nickname, profile.vip, profile.lobby) == (
        made.account, made.uuid, "Ann", 2, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("taken", "field"),
    [
        ({"email": "ANN@example.org"}, "email"),
        ({"username": "ann"}, "username"),
        ({"uuid": "00000000-0000-4000-8000-000000000001"}, "uuid"),
        ({"uuid": SYSTEM_UUID}, "uuid"),
        ({"uuid": SYSTEM_UUID.upper()}, "uuid"),
    ],
)
async def test_what_is_taken_is_named(edge: Edge, taken: dict[str, str], field: str) -> None:
    await edge.register("ann@example.org", username="ann", uuid="00000000-0000-4000-8000-000000000001")
    failure = (await refusal(edge.register(**taken))).failure
    assert (failure.code, failure.field) == (ErrorCode.CONFLICT, field)


async def test_of_two_registrations_at_once_one_wins(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    world.auth()
    edge = await world.edge()
    attempts = [edge.ask(REGISTER, registration("ann@example.org", f"password {n}")) for n in range(6)]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    won = [n for n, answer in enumerate(answers) if isinstance(answer, Authenticated)]
    lost = [answer for answer in answers if isinstance(answer, RequestError)]
    assert len(won) == 1
    assert [(answer.failure.code, answer.failure.field) for answer in lost] == [(ErrorCode.CONFLICT, "email")] * 5
    assert isinstance(await edge.login("ann@example.org", f"password {won[0]}"), Authenticated)


async def test_an_unacceptable_request_is_invalid(edge: Edge) -> None:
    wrong = [
        edge.ask(REGISTER, registration("no-address")),
        edge.login("", kind=IdentifierKind.EMAIL),
        edge.ask(LOGOUT, Logout("", AccountId(1))),
    ]
    for work in wrong:
        assert (await refusal(work)).failure.code == ErrorCode.INVALID


async def test_login_by_every_identifier(edge: Edge) -> None:
    made = await edge.register(
        "Ann@example.org", username="ann", uuid="00000000-0000-4000-8000-000000000001", nickname="Ann"
    )
    names = [
        (IdentifierKind.EMAIL, "aNN@EXAMPLE.org"),
        (IdentifierKind.USERNAME, "ann"),
        (IdentifierKind.UUID, made.uuid),
        (IdentifierKind.ID, str(made.account)),
        (IdentifierKind.ID, f"{made.account:010}"),
        (IdentifierKind.ANY, "ann"),
        (IdentifierKind.ANY, "ann@example.org"),
        (IdentifierKind.ANY, f"{made.account:010}"),
    ]
    for kind, name in names:
        again = await edge.login(name, kind=kind)
        assert isinstance(again, Authenticated)
        assert (again.account, again.uuid, again.nickname) == (made.account, made.uuid, "Ann")
        assert again.sid != made.sid


async def test_a_username_goes_before_a_number(edge: Edge) -> None:
    first = await edge.register("ann@example.org")
    second = await edge.register(username=str(first.account))
    answer = await edge.login(str(first.account), kind=IdentifierKind.ANY)
    assert isinstance(answer, Authenticated)
    assert answer.account == second.account


async def test_whatever_is_wrong_the_answer_is_the_same(edge: Edge) -> None:
    await edge.register("ann@example.org")
    wrong = [
        ("ann@example.org", "wrong", IdentifierKind.EMAIL),
        ("nobody@example.org", "secret", IdentifierKind.EMAIL),
        ("999999999999", "secret", IdentifierKind.ID),
        ("9" * 200, "secret", IdentifierKind.ID),
        ("ann@example.org", "secret", IdentifierKind.USERNAME),
        ("٣", "secret", IdentifierKind.ANY),
    ]
    failures = {(await refusal(edge.login(name, word, kind=kind))).failure for name, word, kind in wrong}
    assert len(failures) == 1
    assert failures.pop().code == ErrorCode.UNAUTHENTICATED


async def test_a_plain_password_opens_from_every_client_a_hash_only_its_own(edge: Edge) -> None:
    word = b"secret"
    sha256 = Secret(Scheme.SHA256, hashlib.sha256(word).hexdigest())
    md5 = Secret(Scheme.MD5, hashlib.md5(word, usedforsecurity=False).hexdigest())
    service = Secret(Scheme.SERVICE, "secret")
    upper = Secret(Scheme.SHA256, sha256.value.upper())
    await edge.register("plain@example.org", secret=plain("secret"))
    await edge.register("hashed@example.org", secret=sha256)
    await edge.register("service@example.org", secret=service, uuid="00000000-0000-4000-8000-000000000001")
    opens = {
        "plain@example.org": [plain("secret"), sha256, md5, upper],
        "hashed@example.org": [plain("secret"), sha256, upper],
        "service@example.org": [service],
    }
    for email, secrets in opens.items():
        for secret in [plain("secret"), sha256, md5, service, upper]:
            assert await entered(edge, email, secret) == (secret in secrets), (email, secret)


async def test_logout_is_told_to_all_edges_once(world: World, edge: Edge) -> None:
    made = await edge.register("ann@example.org")
    assert await edge.ask(LOGOUT, Logout(made.sid, made.account)) == Ack()
    [revocation] = (await edge.hears(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (made.account, made.sid)
    assert revocation.number > made.revision
    await edge.ask(LOGOUT, Logout(made.sid, made.account))
    watched = await edge.ask(LIST_REVOCATIONS, ListRevocations(made.revision))
    assert (watched.revocations, watched.last, watched.more) == ([revocation], revocation.number, False)
    assert (await edge.ask(LIST_REVOCATIONS, ListRevocations(watched.last))).revocations == []
    answer = await edge.login("ann@example.org")
    assert isinstance(answer, Authenticated)
    assert answer.revision == revocation.number
    assert edge.has_heard_nothing


async def test_maintenance_is_told_and_outlives_the_service(world: World, edge: Edge) -> None:
    assert not (await edge.ask(LIST_REVOCATIONS, ListRevocations())).maintenance
    await world.set_maintenance(True)
    assert (await edge.hears(MaintenanceSet)).on
    await world.stop_auth()
    world.auth()
    assert (await edge.ask(LIST_REVOCATIONS, ListRevocations())).maintenance


async def test_deletion_erases_at_once_where_somebody_answers(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    edge, session, message = await world.edge(), await world.session(), await world.message()
    uuid = "00000000-0000-4000-8000-000000000001"
    made = await edge.register("ann@example.org", username="ann", uuid=uuid)
    assert await edge.ask(DELETE_ACCOUNT, DeleteAccount(made.account)) == Ack()
    assert session.asked == message.asked == [made.account]
    [revocation] = (await edge.hears(Revoked)).revocations
    claims = Verifier(await edge.ask(GET_KEYS, GetKeys())).verify(made.token, time.time())
    assert (revocation.account, revocation.sid) == (made.account, "")
    assert claims.issued < revocation.time
    assert (await session.deleted.get()).account == (await message.deleted.get()).account == made.account

    for kind, name in ((IdentifierKind.EMAIL, "ann@example.org"), (IdentifierKind.ID, str(made.account))):
        assert (await refusal(edge.login(name, kind=kind))).failure.code == ErrorCode.UNAUTHENTICATED
    again = await edge.register("ann@example.org", username="ann", uuid=uuid)
    assert again.account > made.account


async def test_deletion_goes_on_when_the_others_come_back(world: World, edge: Edge) -> None:
    made = await edge.register("ann@example.org")
    started = time.monotonic()
    assert await edge.bus.request(DELETE_ACCOUNT, DeleteAccount(made.account), seconds=8, retry=True) == Ack()
    assert time.monotonic() - started < 4
    session, message = await world.session(), await world.message()
    async with asyncio.timeout(10):
        assert (await session.deleted.get()).account == (await message.deleted.get()).account == made.account


async def test_deletion_again_changes_nothing(world: World, edge: Edge) -> None:
    session = await world.session()
    await world.message()
    made = await edge.register("ann@example.org")
    await edge.ask(DELETE_ACCOUNT, DeleteAccount(made.account))
    await edge.hears(Revoked)
    assert await edge.ask(DELETE_ACCOUNT, DeleteAccount(made.account)) == Ack()
    assert edge.has_heard_nothing
    assert session.asked == [made.account]
    assert len((await edge.ask(LIST_REVOCATIONS, ListRevocations())).revocations) == 1


@pytest.mark.parametrize("actor", [NO_ACCOUNT, AccountId(-1)])
async def test_nobody_deletes_nothing(edge: Edge, actor: AccountId) -> None:
    for work in (edge.ask(DELETE_ACCOUNT, DeleteAccount(actor)), edge.ask(LOGOUT, Logout("s", actor))):
        assert (await refusal(work)).failure.code == ErrorCode.UNAUTHENTICATED


async def test_edges_are_told_which_keys_verify(edge: Edge) -> None:
    keys = (await edge.ask(GET_KEYS, GetKeys())).keys
    assert (await edge.ask(LIST_REVOCATIONS, ListRevocations())).keys == [key.kid for key in keys]
    assert len(keys) == 1
