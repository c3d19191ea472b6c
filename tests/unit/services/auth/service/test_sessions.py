"""A user's own logins are listed and ended, and their number is limited. Also tests how the password is changed."""

import asyncio
import time
from pathlib import Path

import msgspec

from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    EndLogin,
    ListLogins,
    ListRevocations,
    LoginView,
    Logout,
)
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack
from shared.settings.limits import LimitsSettings
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


async def logged_in(edge: EdgeProbe, password: str = "secret") -> Authenticated:
    reply = await edge.login(EMAIL, password)
    assert isinstance(reply, Authenticated)
    return reply


async def listed(edge: EdgeProbe, account: AccountId) -> list[LoginView]:
    return (await edge.send(ListLogins(account))).logins


def change(made: Authenticated, old: str = "secret", new: Secret | None = None) -> ChangePassword:
    return ChangePassword(old=plain(old), new=new or plain("another"), actor=made.account, origin=ORIGIN)


async def test_logins_are_listed_and_ended_one_by_one(edge: EdgeProbe) -> None:
    first = await edge.register(EMAIL, device="Ann's phone")
    origin = msgspec.structs.replace(ELSEWHERE, client="ourchat_v2")
    second = await edge.login(EMAIL, origin=origin)
    assert isinstance(second, Authenticated)
    newest, oldest = await listed(edge, first.account)
    assert (newest.sid, newest.expires, newest.address, newest.client, newest.device) == (
        second.sid, second.expires, ELSEWHERE.address, "ourchat_v2", "",
    )  # fmt: skip
    assert (oldest.sid, oldest.address, oldest.client, oldest.device) == (first.sid, ORIGIN.address, "", "Ann's phone")
    assert abs(newest.created - time.time() * 1000) < 60_000

    assert await edge.send(EndLogin(first.sid, first.account)) == Ack()
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (first.account, first.sid)
    assert [login.sid for login in await listed(edge, first.account)] == [second.sid]
    assert await rejection_code(edge.send(EndLogin(first.sid, first.account))) == ErrorCode.NOT_FOUND
    await edge.send(Logout(second.sid, second.account))
    assert await listed(edge, first.account) == []


async def test_nobody_ends_or_lists_another_account_s_logins(edge: EdgeProbe) -> None:
    ann, bob = await edge.register(EMAIL), await edge.register("bob@example.org")
    assert await rejection_code(edge.send(EndLogin(bob.sid, ann.account))) == ErrorCode.NOT_FOUND
    assert [login.sid for login in await listed(edge, bob.account)] == [bob.sid]
    assert (await edge.send(ListRevocations())).revocations == []
    for work in (edge.send(ListLogins()), edge.send(EndLogin(bob.sid))):
        assert await rejection_code(work) == ErrorCode.UNAUTHENTICATED


@ON_BOTH
async def test_a_login_beyond_the_limit_ends_the_oldest(start: StartCluster, tmp_path: Path) -> None:
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"sessions_per_account": 2})
    _, edge = await start(auth=auth)
    first = await edge.register(EMAIL)
    second = await logged_in(edge)
    assert edge.has_received_nothing
    third = await logged_in(edge)
    assert [one.sid for one in (await edge.receive(Revoked)).revocations] == [first.sid]
    assert [login.sid for login in await listed(edge, first.account)] == [third.sid, second.sid]
    await asyncio.gather(*(logged_in(edge) for _ in range(6)))
    assert len(await listed(edge, first.account)) == 2


async def test_any_number_of_logins_by_default(edge: EdgeProbe) -> None:
    made = await edge.register(EMAIL)
    for _ in range(12):
        await logged_in(edge)
    assert len(await listed(edge, made.account)) == 13
    assert edge.has_received_nothing


async def test_a_changed_password_ends_all_logins_but_the_new_one(edge: EdgeProbe) -> None:
    made = await edge.register(EMAIL)
    await logged_in(edge)
    renewed = await edge.send(change(made))
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid, revocation.number) == (made.account, "", renewed.revision)
    assert renewed.account == made.account
    assert [login.sid for login in await listed(edge, made.account)] == [renewed.sid]
    assert await logs_in(edge, EMAIL, plain("another"))
    assert not await logs_in(edge, EMAIL, plain("secret"))


async def test_a_login_after_a_change_of_the_password_keeps_the_device_of_the_caller(edge: EdgeProbe) -> None:
    made = await edge.register(EMAIL, device="Ann's phone")
    bob = await edge.register("bob@example.org", device="Bob's phone")
    renewed = await edge.send(msgspec.structs.replace(change(made), caller_sid=made.sid))
    assert [(one.sid, one.device) for one in await listed(edge, made.account)] == [(renewed.sid, "Ann's phone")]
    await edge.send(msgspec.structs.replace(change(bob), caller_sid=renewed.sid))
    assert [one.device for one in await listed(edge, bob.account)] == [""]


async def test_the_old_password_is_needed_and_its_guesses_are_limited(limited: AuthCluster) -> None:
    limited.start_auth()
    edge = await limited.edge()
    made = await edge.register(EMAIL)
    wrong = [await rejection(edge.send(change(made, "wrong"))) for _ in range(5)]
    assert {(one.failure.code, one.failure.field) for one in wrong} == {(ErrorCode.UNAUTHENTICATED, "old")}
    assert await rejection_code(edge.send(change(made))) == ErrorCode.RATE_LIMITED
    assert await logs_in(edge, EMAIL, plain("secret"))
    assert len(await listed(edge, made.account)) == 2


async def test_an_unacceptable_new_password(start: StartCluster, tmp_path: Path) -> None:
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"password_min_characters": 6})
    _, edge = await start(auth=auth, limits=LimitsSettings(rates=False))
    made = await edge.register(EMAIL)
    for new in (Secret(Scheme.SERVICE, "x"), plain(""), plain("short")):
        assert await rejection_code(edge.send(change(made, new=new))) == ErrorCode.INVALID
