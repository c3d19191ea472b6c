"""An account is recovered with the answer to its security question, by requests over NATS."""

import asyncio
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.auth import domain
from services.auth.store import accounts
from shared.contract.auth import Authenticated, DeleteAccount, GetKeys, IdentifierKind, ListRevocations
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, SetSecurity
from shared.contract.routes import Ack
from shared.database import Database
from shared.settings.limits import LimitsSettings
from shared.tokens import Claims, Verifier
from tests.unit.services.auth.blocking_hasher import BlockingHasher
from tests.unit.services.auth.cluster import (
    ELSEWHERE,
    ORIGIN,
    AuthCluster,
    EdgeProbe,
    logs_in,
    plain,
    rejection,
    rejection_code,
)
from tests.unit.services.auth.conftest import ON_BOTH, StartCluster, cheap_auth

EMAIL = "ann@example.org"


def recovery(username: str = "ann", answer: str = "Rex", password: str = "new", **more: Any) -> Recover:
    request = Recover(username=username, question_id=2, answer=answer, secret=plain(password), origin=ORIGIN)
    return msgspec.structs.replace(request, **more)


async def register_ann(edge: EdgeProbe, **more: Any) -> Authenticated:
    return await edge.register(EMAIL, username="ann", question_id=2, answer="Rex", **more)


async def claims(edge: EdgeProbe, login: Authenticated) -> Claims:
    return Verifier(await edge.send(GetKeys())).verify(login.token, time.time())


async def recovery_error(edge: EdgeProbe, request: Recover) -> ErrorCode:
    return await rejection_code(edge.send(request))


async def test_the_answer_replaces_every_secret_of_the_account(edge: EdgeProbe) -> None:
    made = await register_ann(edge)
    md5 = Secret(Scheme.MD5, hashlib.md5(b"new", usedforsecurity=False).hexdigest())
    for number, name in enumerate(("ann", EMAIL, str(made.account)), 1):
        assert await edge.send(recovery(name, secret=md5))
        assert len((await edge.send(ListRevocations())).revocations) == number
    old = [plain("secret"), Secret(Scheme.SHA256, hashlib.sha256(b"secret").hexdigest())]
    assert [await logs_in(edge, EMAIL, secret) for secret in (md5, plain("new"), *old)] == [True, True, False, False]


async def test_every_failed_recovery_gets_the_same_reply_and_costs_one_hash(
    hasher: BlockingHasher, edge: EdgeProbe
) -> None:
    made = await register_ann(edge)
    await edge.register("bob@example.org", username="bob", question_id=2)
    wrong = [
        recovery("nobody"), recovery(answer="rex"), recovery(answer=""), recovery(question_id=1),
        recovery("bob"), recovery("bob", answer=""), recovery(f"{made.account + 9}"),
    ]  # fmt: skip
    failures = set()
    for request in wrong:
        hasher.threads.clear()
        failures.add((await rejection(edge.send(request))).failure)
        assert len(hasher.threads) == 1, request
    assert [failure.code for failure in failures] == [ErrorCode.UNAUTHENTICATED]
    assert edge.has_received_nothing
    assert isinstance(await edge.login(EMAIL), Authenticated)


async def test_failures_count_as_failed_logins(start: StartCluster) -> None:
    _, edge = await start(limits=LimitsSettings())
    await register_ann(edge)
    wrong = recovery(answer="wrong", origin=ELSEWHERE)
    for name, login in (("ann", "ann"), ("nobody", "nobody")):
        request = msgspec.structs.replace(wrong, username=name)
        codes = [await recovery_error(edge, request) for _ in range(3)]
        tries = [edge.login(login, "wrong", origin=ELSEWHERE, kind=IdentifierKind.ANY) for _ in range(2)]
        codes += [await rejection_code(one) for one in tries]
        assert codes == [ErrorCode.UNAUTHENTICATED] * 5
        assert await recovery_error(edge, recovery(name, origin=ELSEWHERE)) == ErrorCode.RATE_LIMITED
        again = edge.login(login, origin=ELSEWHERE, kind=IdentifierKind.ANY)
        assert await rejection_code(again) == ErrorCode.RATE_LIMITED
    assert await edge.send(recovery())


async def test_a_recovery_revokes_every_login_before_it_and_none_after(edge: EdgeProbe) -> None:
    """A recovery also revokes logins from the same second."""
    made = await register_ann(edge)
    second = await edge.login(EMAIL)
    assert isinstance(second, Authenticated)
    await edge.send(recovery())
    after = await edge.login(EMAIL, "new")
    assert isinstance(after, Authenticated)
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (made.account, "")
    for login, ended in ((made, True), (second, True), (after, False)):
        assert (await claims(edge, login)).is_voided_by(revocation) == ended
    assert (await edge.send(ListRevocations(made.revision))).revocations == [revocation]


async def test_a_login_in_progress_during_a_recovery_is_rejected(
    hasher: BlockingHasher, cluster: AuthCluster, edge: EdgeProbe
) -> None:
    made = await register_ann(edge)
    database = Database(cluster.settings.database_url("auth"))
    account = (
        await database.read(partial(accounts.find, kind=IdentifierKind.ID, identifier=str(made.account)))
    ).account
    assert account is not None
    assert account.answer is not None
    hasher.open.clear()
    hasher.reached.clear()
    login = asyncio.create_task(edge.login(EMAIL))
    assert await asyncio.to_thread(hasher.reached.wait, 10)
    verifiers = {Scheme.MD5: "$another"}
    await database.write(
        partial(accounts.recover, account=account.id, answer=account.answer, verifiers=verifiers, seconds=1)
    )
    hasher.open.set()
    assert await rejection_code(login) == ErrorCode.UNAUTHENTICATED
    await database.close()


@ON_BOTH
async def test_of_concurrent_recoveries_one_password_is_valid(cluster: AuthCluster, edge: EdgeProbe) -> None:
    cluster.start_auth()
    await register_ann(edge)
    words = [f"new {number}" for number in range(6)]
    await asyncio.gather(*(edge.send(recovery(password=word)) for word in words))
    assert [await logs_in(edge, EMAIL, plain(word)) for word in words].count(True) == 1
    assert len((await edge.send(ListRevocations())).revocations) == 6


async def test_an_answer_replaced_during_a_recovery_is_rejected(hasher: BlockingHasher, edge: EdgeProbe) -> None:
    made = await register_ann(edge)
    hasher.open.clear()
    hasher.reached.clear()
    recovering = asyncio.create_task(edge.send(recovery()))
    assert await asyncio.to_thread(hasher.reached.wait, 10)
    await edge.send(SetSecurity(2, "", actor=made.account))
    hasher.open.set()
    assert await rejection_code(recovering) == ErrorCode.UNAUTHENTICATED
    assert edge.has_received_nothing


async def test_the_security_question_is_replaced_with_its_answer(edge: EdgeProbe) -> None:
    made = await register_ann(edge)
    assert await edge.send(SetSecurity(3, "Bello", actor=made.account)) == Ack()
    assert await recovery_error(edge, recovery()) == ErrorCode.UNAUTHENTICATED
    assert await edge.send(recovery(question_id=3, answer="Bello"))
    await edge.send(SetSecurity(3, "", actor=made.account))
    for answer in ("Bello", ""):
        assert await recovery_error(edge, recovery(question_id=3, answer=answer)) == ErrorCode.UNAUTHENTICATED


async def test_after_too_many_wrong_answers_the_right_one_is_wrong_under_any_identifier(start: StartCluster) -> None:
    """The reply does not show that the identifiers belong to the same account. Logins are not blocked."""
    _, edge = await start(limits=LimitsSettings(failed_recoveries_per_account=2))
    await register_ann(edge)
    for number in range(2):
        elsewhere = msgspec.structs.replace(ELSEWHERE, address=f"192.0.2.{number}")
        assert await recovery_error(edge, recovery(answer="wrong", origin=elsewhere)) == ErrorCode.UNAUTHENTICATED
    assert await recovery_error(edge, recovery(EMAIL)) == ErrorCode.UNAUTHENTICATED
    assert isinstance(await edge.login(EMAIL), Authenticated)


async def test_recovery_may_be_switched_off(start: StartCluster, tmp_path: Path) -> None:
    """While recovery is switched off, the right answer gets the same reply as a wrong one."""
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"recovery": False})
    _, edge = await start(auth=auth)
    await register_ann(edge)
    assert await recovery_error(edge, recovery()) == ErrorCode.UNAUTHENTICATED
    assert isinstance(await edge.login(EMAIL), Authenticated)


async def test_a_deleted_account_cannot_be_recovered_or_changed(edge: EdgeProbe) -> None:
    made = await register_ann(edge)
    await edge.send(DeleteAccount(made.account))
    for actor in (made.account, NO_ACCOUNT, AccountId(-1)):
        failure = (await rejection(edge.send(SetSecurity(2, "Rex", actor=actor)))).failure
        assert failure.code == ErrorCode.UNAUTHENTICATED
    for name in ("ann", str(made.account)):
        assert await recovery_error(edge, recovery(name)) == ErrorCode.UNAUTHENTICATED


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


def test_answers_are_not_in_a_repr() -> None:
    assert "Rex" not in repr((recovery(), SetSecurity(2, "Rex")))
