"""Forgotten passwords: the answer to the security question opens the account to a new one, and to nobody else."""

import asyncio
import hashlib
import time
from functools import partial
from typing import Any

import msgspec
import pytest

from services.auth import domain
from services.auth.store import accounts
from shared import settings as given
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    GetKeys,
    IdentifierKind,
    ListRevocations,
    Recover,
    SetSecurity,
)
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.session import Ack
from shared.contract.subjects import DELETE_ACCOUNT, GET_KEYS, LIST_REVOCATIONS, RECOVER, SET_SECURITY
from shared.database import Database
from shared.tokens import Claims, Verifier
from tests.unit.services.auth.conftest import MakeWorld
from tests.unit.services.auth.gate import Gate
from tests.unit.services.auth.service.test_accounts import entered, refusal
from tests.unit.services.auth.test_entrance import ELSEWHERE
from tests.unit.services.auth.world import ORIGIN, Edge, World, plain

EMAIL = "ann@example.org"


@pytest.fixture
def world(make_world: MakeWorld, sqlite_url: str) -> World:
    return make_world(sqlite_url)


@pytest.fixture
async def edge(world: World) -> Edge:
    world.auth()
    return await world.edge()


def recovery(username: str = "ann", answer: str = "Rex", password: str = "new", **more: Any) -> Recover:
    request = Recover(username=username, question_id=2, answer=answer, secret=plain(password), origin=ORIGIN)
    return msgspec.structs.replace(request, **more)


async def ann(edge: Edge, **more: Any) -> Authenticated:
    return await edge.register(EMAIL, username="ann", question_id=2, answer="Rex", **more)


async def claims(edge: Edge, entered: Authenticated) -> Claims:
    return Verifier(await edge.ask(GET_KEYS, GetKeys())).verify(entered.token, time.time())


async def unopened(edge: Edge, request: Recover) -> ErrorCode:
    return (await refusal(edge.ask(RECOVER, request))).failure.code


async def test_the_answer_replaces_every_secret_of_the_account(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    edge = await world.edge()
    made = await ann(edge)
    md5 = Secret(Scheme.MD5, hashlib.md5(b"new", usedforsecurity=False).hexdigest())
    for number, name in enumerate(("ann", EMAIL, str(made.account)), 1):
        assert await edge.ask(RECOVER, recovery(name, secret=md5)) == Ack()
        assert len((await edge.ask(LIST_REVOCATIONS, ListRevocations())).revocations) == number
    old = [plain("secret"), Secret(Scheme.SHA256, hashlib.sha256(b"secret").hexdigest())]
    assert [await entered(edge, EMAIL, secret) for secret in (md5, plain("new"), *old)] == [True, True, False, False]


async def test_whatever_is_wrong_the_answer_is_the_same_and_costs_one_hash(gate: Gate, edge: Edge) -> None:
    made = await ann(edge)
    await edge.register("bob@example.org", username="bob", question_id=2)
    wrong = [
        recovery("nobody"), recovery(answer="rex"), recovery(answer=""), recovery(question_id=1),
        recovery("bob"), recovery("bob", answer=""), recovery(f"{made.account + 9}"),
    ]  # fmt: skip
    failures = set()
    for request in wrong:
        gate.threads.clear()
        failures.add((await refusal(edge.ask(RECOVER, request))).failure)
        assert len(gate.threads) == 1, request
    assert [failure.code for failure in failures] == [ErrorCode.UNAUTHENTICATED]
    assert edge.has_heard_nothing
    assert isinstance(await edge.login(EMAIL), Authenticated)


async def test_failures_count_as_failed_logins(make_world: MakeWorld, sqlite_url: str) -> None:
    world = make_world(sqlite_url, limits=given.Limits())
    world.auth()
    edge = await world.edge()
    await ann(edge)
    wrong = recovery(answer="wrong", origin=ELSEWHERE)
    for name, login in (("ann", EMAIL), ("nobody", "nobody")):
        request = msgspec.structs.replace(wrong, username=name)
        codes = [await unopened(edge, request) for _ in range(3)]
        tries = [edge.login(login, "wrong", origin=ELSEWHERE, kind=IdentifierKind.ANY) for _ in range(2)]
        codes += [(await refusal(one)).failure.code for one in tries]
        assert codes == [ErrorCode.UNAUTHENTICATED] * 5
        assert await unopened(edge, recovery(name, origin=ELSEWHERE)) == ErrorCode.RATE_LIMITED
        again = edge.login(login, origin=ELSEWHERE, kind=IdentifierKind.ANY)
        assert (await refusal(again)).failure.code == ErrorCode.RATE_LIMITED
    assert await edge.ask(RECOVER, recovery()) == Ack()


async def test_a_recovery_ends_every_login_before_it_and_none_after(edge: Edge) -> None:
    """Within one second, too."""
    made = await ann(edge)
    second = await edge.login(EMAIL)
    assert isinstance(second, Authenticated)
    await edge.ask(RECOVER, recovery())
    after = await edge.login(EMAIL, "new")
    assert isinstance(after, Authenticated)
    [revocation] = (await edge.hears(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (made.account, "")
    for login, ended in ((made, True), (second, True), (after, False)):
        assert ((await claims(edge, login)).issued < revocation.time) == ended
        assert (login.revision < revocation.number) == ended
    assert (await edge.ask(LIST_REVOCATIONS, ListRevocations(made.revision))).revocations == [revocation]


async def test_a_login_that_is_under_way_during_a_recovery_is_refused(gate: Gate, world: World, edge: Edge) -> None:
    made = await ann(edge)
    database = Database(world.settings.database_url("auth"))
    account = (
        await database.read(partial(accounts.find, kind=IdentifierKind.ID, identifier=str(made.account)))
    ).account
    assert account is not None
    assert account.answer is not None
    gate.open.clear()
    gate.reached.clear()
    login = asyncio.create_task(edge.login(EMAIL))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    verifiers = {Scheme.MD5: "$another"}
    await database.write(
        partial(accounts.recover, account=account.id, answer=account.answer, verifiers=verifiers, seconds=1)
    )
    gate.open.set()
    assert (await refusal(login)).failure.code == ErrorCode.UNAUTHENTICATED
    await database.close()


async def test_of_two_recoveries_at_once_the_later_counts(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    world.auth()
    edge = await world.edge()
    await ann(edge)
    words = [f"new {number}" for number in range(6)]
    await asyncio.gather(*(edge.ask(RECOVER, recovery(password=word)) for word in words))
    assert [await entered(edge, EMAIL, plain(word)) for word in words].count(True) == 1
    assert len((await edge.ask(LIST_REVOCATIONS, ListRevocations())).revocations) == 6


async def test_an_answer_that_is_replaced_meanwhile_opens_nothing(gate: Gate, edge: Edge) -> None:
    made = await ann(edge)
    gate.open.clear()
    gate.reached.clear()
    recovering = asyncio.create_task(edge.ask(RECOVER, recovery()))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    await edge.ask(SET_SECURITY, SetSecurity(2, "", made.account))
    gate.open.set()
    assert (await refusal(recovering)).failure.code == ErrorCode.UNAUTHENTICATED
    assert edge.has_heard_nothing


async def test_the_security_question_is_replaced_with_its_answer(tables_url: str, make_world: MakeWorld) -> None:
    world = make_world(tables_url)
    world.auth()
    edge = await world.edge()
    made = await ann(edge)
    assert await edge.ask(SET_SECURITY, SetSecurity(3, "Bello", made.account)) == Ack()
    assert await unopened(edge, recovery()) == ErrorCode.UNAUTHENTICATED
    assert await edge.ask(RECOVER, recovery(question_id=3, answer="Bello")) == Ack()
    await edge.ask(SET_SECURITY, SetSecurity(3, "", made.account))
    for answer in ("Bello", ""):
        assert await unopened(edge, recovery(question_id=3, answer=answer)) == ErrorCode.UNAUTHENTICATED


async def test_who_is_gone_sets_and_recovers_nothing(edge: Edge) -> None:
    made = await ann(edge)
    await edge.ask(DELETE_ACCOUNT, DeleteAccount(made.account))
    for actor in (made.account, NO_ACCOUNT, AccountId(-1)):
        failure = (await refusal(edge.ask(SET_SECURITY, SetSecurity(2, "Rex", actor)))).failure
        assert failure.code == ErrorCode.UNAUTHENTICATED
    for name in ("ann", str(made.account)):
        assert await unopened(edge, recovery(name)) == ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("username", {"username": ""}),
        ("username", {"username": "x" * 255}),
        ("question_id", {"question_id": -1}),
        ("answer", {"answer": "x" * 1025}),
        ("secret", {"secret": plain("")}),
        ("secret", {"secret": Secret(Scheme.MD5, "short")}),
        ("secret", {"secret": Secret(Scheme.SERVICE, "of a service")}),
        ("node", {"origin": msgspec.structs.replace(ORIGIN, node=">")}),
    ],
)
def test_an_unacceptable_recovery_names_the_field(field: str, more: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        domain.check_recovery(recovery(**more))
    assert (caught.value.failure.code, caught.value.failure.field) == (ErrorCode.INVALID, field)


def test_answers_are_not_printed() -> None:
    assert "Rex" not in repr((recovery(), SetSecurity(2, "Rex")))
