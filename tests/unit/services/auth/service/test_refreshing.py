"""Refresh tokens rotate: each use gives a new token.

After a lost reply, a client gets the same new token again. If a token is used after its successor was used, it ends its
login.
"""

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.auth import domain
from services.auth.service.login_trail import LoginTrail
from services.auth.store import logins
from services.auth.store.logins import NewLogin, RotatedLogin, Rotation
from shared.contract.admin import SearchTrail, SetDisabled
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    EndLogin,
    GetKeys,
    ListLogins,
    LoginView,
    Logout,
    RecordTokenLogins,
    Refresh,
    Refreshed,
    Revocation,
    TokenLogin,
)
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.database import Database
from shared.tokens import Claims, Verifier
from tests.unit.services.auth.cluster import ELSEWHERE, ORIGIN, AuthCluster, EdgeProbe, plain, rejection, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster, cheap_auth
from tests.unit.services.auth.store.test_accounts import made

EMAIL = "ann@example.org"
DAY = 86_400


async def registered(edge: EdgeProbe) -> Authenticated:
    return await edge.register(EMAIL, refreshable=True)


async def refreshed(edge: EdgeProbe, refresh: str) -> Refreshed:
    return await edge.send(Refresh(refresh, ELSEWHERE))


async def is_rejected(edge: EdgeProbe, refresh: str) -> bool:
    error = await rejection(refreshed(edge, refresh))
    return (error.failure.code, error.failure.field) == (ErrorCode.UNAUTHENTICATED, "refresh")


async def claims(edge: EdgeProbe, token: str) -> Claims:
    return Verifier(await edge.send(GetKeys())).verify(token, time.time())


@pytest.fixture
def without_grace(make_cluster: MakeCluster, tables_url: str, tmp_path: Path) -> AuthCluster:
    """Auth without a grace period for refresh tokens."""
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"refresh_grace_seconds": 0.0})
    return make_cluster(tables_url, auth=auth)


async def test_a_refresh_replaces_both_tokens_of_the_same_login(edge: EdgeProbe) -> None:
    made = await registered(edge)
    first = await claims(edge, made.token)
    assert abs(first.expires - first.issued - 3600) <= 1
    assert abs(made.refresh_expires - time.time() - 60 * DAY) < 600
    assert made.refresh not in repr(made)
    renewed = await refreshed(edge, made.refresh)
    assert (renewed.account, renewed.sid) == (made.account, made.sid)
    assert renewed.refresh != made.refresh
    assert renewed.refresh not in repr(renewed)
    second = await claims(edge, renewed.token)
    assert (second.account, second.sid, second.expires) == (made.account, made.sid, renewed.expires)
    [login] = (await edge.send(ListLogins(made.account))).logins
    assert (login.sid, login.expires, login.address) == (made.sid, renewed.refresh_expires, ORIGIN.address)
    assert (await refreshed(edge, renewed.refresh)).sid == made.sid
    assert edge.has_received_nothing


async def test_a_login_has_no_refresh_token_by_default(edge: EdgeProbe) -> None:
    made = await edge.register(EMAIL)
    assert (made.refresh, made.refresh_expires) == ("", 0)
    assert (await claims(edge, made.token)).expires - time.time() > 29 * DAY


@ON_BOTH
async def test_a_repeated_request_gets_the_same_successor(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """The reply may be lost. Or several requests may arrive at the same time, at several replicas."""
    cluster.start_auth()
    made = await registered(edge)
    answers = await asyncio.gather(*(refreshed(edge, made.refresh) for _ in range(8)))
    assert len({one.refresh for one in answers}) == 1
    assert {one.sid for one in answers} == {made.sid}
    assert edge.has_received_nothing
    assert (await refreshed(edge, answers[0].refresh)).refresh == answers[0].refresh, "it is too new to be replaced"
    assert (await refreshed(edge, made.refresh)).refresh == answers[0].refresh


async def test_a_spent_token_ends_the_login(without_grace: AuthCluster) -> None:
    without_grace.start_auth()
    edge, operator = await without_grace.edge(), await without_grace.operator()
    made = await registered(edge)
    other = await edge.login(EMAIL, refreshable=True)
    assert isinstance(other, Authenticated)
    second = await refreshed(edge, made.refresh)
    third = await refreshed(edge, second.refresh)
    error = await rejection(refreshed(edge, made.refresh))
    assert (error.failure.code, error.failure.field) == (ErrorCode.UNAUTHENTICATED, "refresh")
    assert "used before" in error.failure.text
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (made.account, made.sid)
    for refresh in (made.refresh, second.refresh, third.refresh):
        assert await is_rejected(edge, refresh)
    assert [one.sid for one in (await edge.send(ListLogins(made.account))).logins] == [other.sid]
    assert (await refreshed(edge, other.refresh)).sid == other.sid
    found = (await operator.send(SearchTrail(act="reuse refresh token"))).acts
    assert [(one.account, one.by, one.address) for one in found] == [(made.account, "user", ELSEWHERE.address)]
    assert not any(one in str(found) for one in (made.refresh, second.refresh, third.refresh))


async def test_a_malformed_token_is_rejected(edge: EdgeProbe) -> None:
    made = await registered(edge)
    for changed in (made.refresh[:-1] + "g", made.refresh + "0", "", made.refresh.upper()):
        assert await is_rejected(edge, changed)
    assert (await refreshed(edge, made.refresh)).sid == made.sid


async def test_a_sid_ends_no_login(edge: EdgeProbe) -> None:
    """A token that does not belong to any family, and a token whose family is the name of the login."""
    made = await registered(edge)
    part = made.refresh.partition(".")[2]
    for family in ("0" * 32, made.sid):
        assert await is_rejected(edge, f"{family}.{part}")
    assert edge.has_received_nothing
    assert (await refreshed(edge, made.refresh)).sid == made.sid


@pytest.mark.parametrize("way", ["end_session", "logout", "password", "disable", "delete"])
async def test_what_ends_a_login_ends_its_refresh_token(cluster: AuthCluster, edge: EdgeProbe, way: str) -> None:
    made = await registered(edge)
    if way == "end_session":
        await edge.send(EndLogin(made.sid, made.account))
    elif way == "logout":
        await edge.send(Logout(made.sid, made.account))
    elif way == "password":
        change = ChangePassword(
            old=plain("secret"), new=plain("another"), actor=made.account, origin=ORIGIN, refreshable=True
        )
        renewed = await edge.send(change)
        after = await refreshed(edge, renewed.refresh)
        assert after.sid == renewed.sid
        assert (await claims(edge, after.token)).issued >= (await claims(edge, renewed.token)).issued
    elif way == "disable":
        await (await cluster.operator()).send(SetDisabled(made.account, True))
    else:
        await cluster.session()
        await cluster.message()
        await edge.send(DeleteAccount(made.account))
    assert await is_rejected(edge, made.refresh)


async def test_an_origin_that_is_none(edge: EdgeProbe) -> None:
    made = await registered(edge)
    origin = type(ORIGIN)(address="x" * 1000)
    assert await rejection_code(edge.send(Refresh(made.refresh, origin))) == ErrorCode.INVALID


# The tests below are about the times of refresh tokens in the store.


NOW = 1_795_262_400_000
FIRST = domain.RefreshToken("f" * 32, "0" * 64)


def rotation(spent: domain.RefreshToken, after_ms: int, salt: str = "salt") -> Rotation:
    return Rotation(spent, salt, NOW + after_ms, (NOW + after_ms) // 1000 + DAY, 60_000, "")


async def add_login(database: Database, seconds: int = NOW // 1000) -> AccountId:
    account = await made(database)
    new = NewLogin(LoginView("s1", seconds * 1000, seconds + DAY), revision=0, refresh=FIRST)
    assert await database.write(partial(logins.add, account=account, new=new, most=0, seconds=seconds)) == []
    return account


async def use(database: Database, token: TokenLogin) -> None:
    """Makes an edge report that the token was used."""
    await LoginTrail(database).record_token_logins(RecordTokenLogins([token]))


async def rotate(database: Database, one: Rotation) -> RotatedLogin | Revocation | None:
    return await database.write(partial(logins.rotate, rotation=one))


@ON_BOTH
async def test_a_lost_reply_is_given_again_until_its_token_is_used(database: Database) -> None:
    """A phone that was suspended repeats its request within hours.

    Another tab does so within seconds, even after the first tab has used the token.
    """
    account = await add_login(database)
    first = await rotate(database, rotation(FIRST, 1_000))
    assert isinstance(first, RotatedLogin)
    late = await rotate(database, rotation(FIRST, DAY * 500, "other salt"))
    assert late == replace(first, issued=NOW + DAY * 500), "a token from back then would have expired"
    for sid, issued in (("s1", NOW // 1000), ("s2", NOW // 1000 + 1), ("", NOW)):
        await use(database, TokenLogin(account, "", "native", sid, issued))
    assert await rotate(database, rotation(FIRST, DAY * 500)) == late, "an older token, another login, or none is known"
    await use(database, TokenLogin(account, "", "native", "s1", NOW // 1000 + 1))
    again = await rotate(database, rotation(FIRST, 60_999, "other salt"))
    assert again == replace(first, issued=NOW + 60_999)
    ended = await rotate(database, rotation(FIRST, 61_000))
    assert isinstance(ended, Revocation)
    assert ended.sid == "s1"
    assert await rotate(database, rotation(FIRST.successor(first.salt), 61_001)) is None


async def test_each_successor_is_unused_at_first(database: Database) -> None:
    account = await add_login(database)
    first = await rotate(database, rotation(FIRST, 1_000))
    assert isinstance(first, RotatedLogin)
    await use(database, TokenLogin(account, "", "native", "s1", NOW // 1000 + 1))
    following = FIRST.successor(first.salt)
    second = await rotate(database, rotation(following, 65_000))
    assert isinstance(second, RotatedLogin)
    assert await rotate(database, rotation(following, DAY * 500)) == replace(second, issued=NOW + DAY * 500)
    assert isinstance(await rotate(database, rotation(FIRST, 66_000)), Revocation)


@ON_BOTH
async def test_a_request_that_comes_late_ends_no_login(database: Database) -> None:
    """A page has sent the request and was then reloaded twice.

    The same request is treated as a theft when it comes a minute later.
    """
    await add_login(database)
    first = await rotate(database, rotation(FIRST, 1_000))
    assert isinstance(first, RotatedLogin)
    following = FIRST.successor(first.salt)
    stays = await rotate(database, rotation(following, 2_000, "other salt"))
    assert stays == replace(first, issued=NOW + 2_000, salt="")
    assert await rotate(database, rotation(FIRST, 60_999, "other salt")) == replace(first, issued=NOW + 60_999)
    second = await rotate(database, rotation(following, 61_000, "other salt"))
    assert isinstance(second, RotatedLogin)
    assert second.salt == "other salt"
    assert isinstance(await rotate(database, rotation(FIRST, 61_001)), Revocation)


async def test_a_token_that_stays_is_a_used_one(database: Database) -> None:
    """If a token is used, its owner has it, so the reply with this token was not lost."""
    await add_login(database)
    first = await rotate(database, rotation(FIRST, 1_000))
    assert isinstance(first, RotatedLogin)
    await rotate(database, rotation(FIRST.successor(first.salt), 2_000))
    assert isinstance(await rotate(database, rotation(FIRST, 61_001)), Revocation)


async def test_a_login_that_is_not_refreshed_in_time_ends(database: Database) -> None:
    await add_login(database)
    first = await rotate(database, rotation(FIRST, DAY * 1000))
    assert isinstance(first, RotatedLogin)
    assert first.expires == NOW // 1000 + 2 * DAY
    assert await rotate(database, rotation(FIRST.successor(first.salt), (2 * DAY + 1) * 1000)) is None


async def test_only_hashes_are_stored(database: Database) -> None:
    await add_login(database)
    first = await rotate(database, rotation(FIRST, 1))
    assert isinstance(first, RotatedLogin)
    stored = await database.read(lambda connection: str(connection.execute(sa.text("SELECT * FROM logins")).all()))
    for token in (FIRST, FIRST.successor(first.salt)):
        assert token.family not in stored
        assert token.part not in stored
        assert token.part_hash in stored
