"""The audit trail: what it contains and omits, how it is searched, and how long its entries are stored."""

from functools import partial

import pytest

from services.auth.adapters import housekeeping
from services.auth.service.login_trail import LoginTrail
from services.auth.store import trail
from shared.bus.client import Bus
from shared.contract.admin import (
    Act,
    FindUser,
    Kick,
    OperatorAct,
    RecordAct,
    RecordOperatorAct,
    ResetPassword,
    SearchTrail,
    SetDisabled,
    SetMaintenance,
    Trail,
)
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    EndLogin,
    IdentifierKind,
    Logout,
    RecordTokenLogins,
    TokenLogin,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.recovery import Recover, SetSecurity
from shared.contract.subjects import DELETE_USER
from shared.database import Database
from shared.settings.accounts import AuthSettings
from tests.unit.services.auth.cluster import ORIGIN, AuthCluster, EdgeProbe, plain, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH

EMAIL = "ann@example.org"
DAY_MS = 86_400_000


@pytest.fixture
async def operator(cluster: AuthCluster, edge: EdgeProbe) -> Bus:
    return await cluster.operator()


async def acts(operator: Bus, wanted: SearchTrail) -> list[str]:
    """Returns the acts from the oldest to the newest, in the form `by act`."""
    found = await operator.send(wanted)
    return [f"{one.by} {one.act}" for one in reversed(found.acts)]


async def test_a_user_s_and_an_operator_s_acts_are_recorded_without_secrets(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register(EMAIL)
    again = await edge.login(EMAIL)
    assert isinstance(again, Authenticated)
    await edge.send(SetSecurity(question_id=1, answer="the answer", actor=ann.account))
    await edge.send(EndLogin(again.sid, ann.account))
    await edge.send(ChangePassword(old=plain("secret"), new=plain("another"), actor=ann.account, origin=ORIGIN))
    await operator.send(FindUser(IdentifierKind.ANY, EMAIL))
    await operator.send(Kick(ann.account))
    await operator.send(SetDisabled(ann.account, True))
    await operator.send(SetDisabled(ann.account, False))
    await operator.send(ResetPassword(ann.account, "brand-new"))
    await operator.request(DELETE_USER, DeleteAccount(ann.account))
    assert await acts(operator, SearchTrail(ann.account)) == [
        "user log in", "user log in", "user change security question", "user end login", "user change password",
        "user log in", "admin find", "admin kick", "admin disable", "admin enable", "admin reset password",
        "admin delete",
    ]  # fmt: skip
    found = (await operator.send(SearchTrail(ann.account))).acts
    assert [one.address for one in found if one.act == "change password"] == [ORIGIN.address]
    assert not any(secret in str(found) for secret in ("secret'", "another", "brand-new", "the answer", EMAIL))


async def test_acts_that_fail_are_not_recorded(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register(EMAIL)
    assert await rejection_code(edge.send(EndLogin("none", ann.account))) is ErrorCode.NOT_FOUND
    await edge.send(DeleteAccount(ann.account))
    await edge.send(DeleteAccount(ann.account))
    assert await acts(operator, SearchTrail(ann.account)) == ["user log in", "user delete"]


async def test_acts_elsewhere_are_recorded_for_the_operator_alone(edge: EdgeProbe, operator: Bus) -> None:
    await operator.send(RecordAct("remove media", detail="x" * 5_000))
    await operator.send(SetMaintenance(True))
    assert await acts(operator, SearchTrail(act="remove media")) == ["admin remove media"]
    assert await acts(operator, SearchTrail()) == ["admin remove media", "admin maintenance"]


async def test_acts_of_operators_of_irc_name_the_operator(edge: EdgeProbe, operator: Bus) -> None:
    ann, bob = await edge.register(EMAIL), AccountId(77)
    for act, account in ((OperatorAct.OPER, ann.account), (OperatorAct.KILL, ann.account), (OperatorAct.WALLOPS, bob)):
        await edge.send(RecordOperatorAct(act, account, bob, ORIGIN))
    found = (await operator.send(SearchTrail())).acts
    assert [(one.act, one.by, one.account, one.detail, one.address) for one in reversed(found[:3])] == [
        ("oper", "operator", ann.account, f"by {bob}", ORIGIN.address),
        ("kill", "operator", ann.account, f"by {bob}", ORIGIN.address),
        ("wallops", "operator", bob, "", ORIGIN.address),
    ]
    assert await rejection_code(edge.send(RecordOperatorAct(OperatorAct.KILL, bob))) is ErrorCode.UNAUTHENTICATED


@ON_BOTH
async def test_pages_and_times(database: Database) -> None:
    for number in range(450):
        await database.write(partial(trail.add, act=Act("log in", AccountId(number % 2 + 1), "user")))
    page, seen = Trail([], True), list[int]()
    while page.more:
        wanted = SearchTrail(AccountId(1), before=seen[-1] if seen else 0)
        page = await database.read(partial(trail.search, request=wanted))
        seen += [one.number for one in page.acts]
    assert len(seen) == len(set(seen)) == 225
    assert seen == sorted(seen, reverse=True)
    later = SearchTrail(since=page.acts[0].time + DAY_MS)
    assert (await database.read(partial(trail.search, request=later))).acts == []


@ON_BOTH
async def test_old_acts_are_purged(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await database.write(partial(trail.add, act=Act("log in", AccountId(1))))
    await housekeeping.purge_expired(database, AuthSettings(audit_days=1))
    assert len((await database.read(partial(trail.search, request=SearchTrail()))).acts) == 1
    monkeypatch.setattr("services.auth.store.trail.now_ms", lambda: 0)
    await database.write(partial(trail.add, act=Act("delete", AccountId(2))))
    await housekeeping.purge_expired(database, AuthSettings(audit_days=1))
    assert [one.act for one in (await database.read(partial(trail.search, request=SearchTrail()))).acts] == ["log in"]


async def test_failures_are_counted_by_account_and_network(
    cluster: AuthCluster, edge: EdgeProbe, operator: Bus
) -> None:
    ann = await edge.register(EMAIL)
    for _ in range(3):
        assert await rejection_code(edge.login(EMAIL, "wrong-secret")) is ErrorCode.UNAUTHENTICATED
    assert await rejection_code(edge.login("a-secret-typed-as-a-name", "x")) is ErrorCode.UNAUTHENTICATED
    change = ChangePassword(old=plain("wrong"), new=plain("another"), actor=ann.account, origin=ORIGIN)
    assert await rejection_code(edge.send(change)) is ErrorCode.UNAUTHENTICATED
    deletion = DeleteAccount(ann.account, plain("wrong"), ORIGIN)
    assert await rejection_code(edge.send(deletion)) is ErrorCode.UNAUTHENTICATED
    recover = Recover(username=EMAIL, question_id=1, answer="wrong", secret=plain("another"), origin=ORIGIN)
    assert await rejection_code(edge.send(recover)) is ErrorCode.UNAUTHENTICATED
    assert await acts(operator, SearchTrail(act="failed login")) == []
    await cluster.stop_auth()  # this makes auth store the counts
    cluster.start_auth()
    found = (await operator.send(SearchTrail())).acts
    assert {(one.act, one.account, one.address, one.detail) for one in found if "failed" in one.act} == {
        ("failed login", ann.account, ORIGIN.address, "3 times"),
        ("failed login", 0, ORIGIN.address, "once"),
        ("failed password change", ann.account, ORIGIN.address, "once"),
        ("failed deletion", ann.account, ORIGIN.address, "once"),
        ("failed recovery", ann.account, ORIGIN.address, "once"),
    }
    assert "secret" not in str(found)


async def test_a_flood_of_failures_adds_a_bounded_number_of_entries(database: Database) -> None:
    failures = LoginTrail(database)
    for number in range(30_000):
        failures.note_failure("failed login", None, f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    for _ in range(7):
        failures.note_failure("failed login", None, "2001:db8::1")
        failures.note_failure("failed login", None, "2001:db8::2")
    await failures.flush()
    await failures.flush()
    found = (await database.read(partial(trail.search, request=SearchTrail()))).acts
    assert len(found) == 51
    assert found[0].act == "other failures"
    assert sum(_times(one) for one in found) == 30_014
    # the trail counts 10,000 addresses separately; this entry counts the failures from all others
    assert found[-1].detail == "20014 times"


def _times(act: Act) -> int:
    return 1 if act.detail == "once" else int(act.detail.removesuffix(" times"))


async def test_failures_wait_for_the_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = LoginTrail(database)
    failures.note_failure("failed login", None, "192.0.2.1")
    with monkeypatch.context() as patch:
        patch.setattr(trail, "add", _fail)
        with pytest.raises(RequestError):
            await failures.flush()
    failures.note_failure("failed login", None, "192.0.2.1")
    await failures.flush()
    (one,) = (await database.read(partial(trail.search, request=SearchTrail()))).acts
    assert one.detail == "2 times"


def _fail(*_: object) -> None:
    raise RequestError(ErrorCode.UNAVAILABLE, "unavailable")


async def test_a_logout_is_recorded_once(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register(EMAIL)
    for _ in range(2):
        await edge.send(Logout(ann.sid, ann.account))
    assert await acts(operator, SearchTrail(ann.account)) == ["user log in", "user log out"]


@ON_BOTH
async def test_a_login_by_token_is_recorded_once_a_day_for_each_network(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    login_trail = LoginTrail(database)
    ann, bob = AccountId(1), AccountId(2)
    batch = [TokenLogin(ann, "192.0.2.1", "native"), TokenLogin(ann, "192.0.2.2"), TokenLogin(bob, "192.0.2.1")]
    for _ in range(2):
        await login_trail.record_token_logins(RecordTokenLogins(batch + batch[:1]))
    everywhere = [TokenLogin(ann, f"10.0.0.{number}") for number in range(250)]
    await login_trail.record_token_logins(RecordTokenLogins(everywhere))
    found = (await database.read(partial(trail.search, request=SearchTrail(ann)))).acts
    assert len(found) == 20
    assert found[-1].detail == "native"
    monkeypatch.setattr("services.auth.service.login_trail.now_ms", lambda: found[0].time + 2 * DAY_MS)
    await login_trail.record_token_logins(RecordTokenLogins(batch[:1]))
    assert len((await database.read(partial(trail.search, request=SearchTrail(ann)))).acts) == 21
    with pytest.raises(RequestError):
        await login_trail.record_token_logins(RecordTokenLogins([batch[0]] * 501))
