"""Guests: accounts without a secret that end with their connection."""

import asyncio

import msgspec
import pytest
from pydantic import SecretStr

from services.auth.adapters import housekeeping
from services.auth.service import deletion, guests
from shared.contract.auth import Authenticated, ChangePassword, DeleteAccount, IdentifierKind
from shared.contract.errors import ErrorCode, Reason
from shared.contract.guests import KeepGuests, RegisterGuest, RenameGuest
from shared.contract.model import Scheme, Secret
from shared.settings.edge import IrcSettings
from shared.settings.limits import LimitsSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import ORIGIN, AuthCluster, EdgeProbe, plain, registration, rejection
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster, StartCluster


@pytest.fixture
def cluster(make_cluster: MakeCluster, tables_url: str) -> AuthCluster:
    return make_cluster(tables_url, irc=IrcSettings(guests=True))


def guest(nick: str, user: str = "~g") -> RegisterGuest:
    return RegisterGuest(nick=nick, guest=user, signature="Real Name", origin=ORIGIN)


async def test_a_guest_has_no_name_that_looks_like_one_of_an_account(edge: EdgeProbe) -> None:
    await edge.register("paul@example.org", username="Paul")
    for nick in ("Paul", "pauI", "PAUL"):
        assert (await rejection(edge.send(guest(nick)))).failure.reason == Reason.TAKEN
    visitor = await edge.send(guest("Gus"))
    assert (visitor.nick, visitor.guest) == ("Gus", "~g")
    assert (await rejection(edge.send(guest("gus")))).failure.reason == Reason.TAKEN
    assert (await rejection(edge.send(RenameGuest("pauI", visitor.account)))).failure.reason == Reason.TAKEN
    await edge.send(RenameGuest("GUS", visitor.account))
    await edge.send(RenameGuest("Rob", visitor.account))
    assert (await edge.send(guest("Gus"))).nick == "Gus"
    await edge.send(DeleteAccount(visitor.account, reason="x" * 500))
    assert (await edge.send(guest("Rob"))).nick == "Rob"


async def test_names_that_are_no_words_of_irc_are_rejected(edge: EdgeProbe) -> None:
    for nick in ("Gus|7", "Gü", "", "系统通知", "NickServ"):
        assert (await rejection(edge.send(guest(nick)))).failure.code is ErrorCode.INVALID
    for user in ("", "a@b"):
        assert (await rejection(edge.send(guest("Gus", user)))).failure.code is ErrorCode.INVALID


async def test_nobody_logs_in_as_a_guest_and_no_user_is_renamed(edge: EdgeProbe) -> None:
    user, visitor = await edge.register("ann@example.org", username="ann"), await edge.send(guest("Gus"))
    for secret in ("", "secret"):
        login = edge.login("Gus", secret, kind=IdentifierKind.ANY)
        assert (await rejection(login)).failure.code in (ErrorCode.UNAUTHENTICATED, ErrorCode.INVALID)
    change = ChangePassword(old=plain("x"), new=plain("another"), actor=visitor.account, origin=ORIGIN)
    assert (await rejection(edge.send(change))).failure.code is ErrorCode.UNAUTHENTICATED
    assert (await rejection(edge.send(RenameGuest("Rob", user.account)))).failure.code is ErrorCode.FORBIDDEN


@ON_BOTH
async def test_a_guest_becomes_the_account_that_it_registers(edge: EdgeProbe) -> None:
    visitor, other = await edge.send(guest("Gus")), await edge.send(guest("Rob"))
    taken = registration(username="Rob", guest=visitor.account)
    assert (await rejection(edge.send(taken))).failure.reason == Reason.TAKEN
    user = await edge.send(registration(username="Gus", guest=visitor.account))
    assert isinstance(user, Authenticated)
    assert (user.account, user.uuid, user.nick, user.guest) == (visitor.account, visitor.uuid, "Gus", "")
    login = await edge.login("Gus", kind=IdentifierKind.ANY)
    assert isinstance(login, Authenticated)
    assert login.account == visitor.account
    again = registration(username="Gus", guest=visitor.account)
    assert (await rejection(edge.send(again))).failure.code is ErrorCode.FORBIDDEN
    for account in (visitor.account, other.account):
        await edge.send(DeleteAccount(account, of_guest=True))
    assert isinstance(await edge.login("Gus", kind=IdentifierKind.ANY), Authenticated)
    assert (await edge.send(guest("Rob"))).nick == "Rob"


async def test_without_the_setting_there_are_no_guests(start: StartCluster) -> None:
    _, edge = await start()
    assert (await rejection(edge.send(guest("Gus")))).failure.code is ErrorCode.FORBIDDEN


async def test_a_guest_gives_the_password_of_the_server(start: StartCluster) -> None:
    _, edge = await start(irc=IrcSettings(guests=True, guest_password=SecretStr("orange")))
    for password in ("", "Orange"):
        rejected = msgspec.structs.replace(guest("Gus"), password=Secret(Scheme.PLAIN, password))
        assert (await rejection(edge.send(rejected))).failure.code is ErrorCode.UNAUTHENTICATED
    admitted = msgspec.structs.replace(guest("Gus"), password=Secret(Scheme.PLAIN, "orange"))
    assert (await edge.send(admitted)).nick == "Gus"


async def test_no_error_shows_that_a_password_is_right(start: StartCluster) -> None:
    irc = IrcSettings(guests=True, guest_password=SecretStr("orange"))
    _, edge = await start(irc=irc, limits=LimitsSettings(registrations_per_minute=1))
    failures = []
    for nick in ("Gus", "Gus", "no nick"):
        for password in ("Orange", "orange"):
            attempt = msgspec.structs.replace(guest(nick), password=Secret(Scheme.PLAIN, password))
            failures.append((await rejection(edge.send(attempt))).failure.code)
    wrong, *limited = failures[:4]
    assert (wrong, {*limited}) == (ErrorCode.UNAUTHENTICATED, {ErrorCode.RATE_LIMITED})
    assert failures[4] == failures[5] == ErrorCode.INVALID


@ON_BOTH
async def test_abandoned_guests_end_and_others_do_not(cluster: AuthCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a guest does not wait for other services, which do not answer here."""
    monkeypatch.setattr(deletion, "_ERASE_SECONDS", 2 * WAIT_SECONDS)
    monkeypatch.setattr(housekeeping, "_INTERVAL_SECONDS", 0.05)
    for module in (guests, housekeeping):
        monkeypatch.setattr(module, "ABANDONED_SECONDS", 2)
    session = await cluster.session()
    cluster.start_auth()
    edge = await cluster.edge()
    user = await edge.register("ann@example.org")
    *abandoned, kept = [(await edge.send(guest(nick))).account for nick in ("Gus", "Tom", "Rob")]

    async def keep() -> None:
        while True:
            await edge.send(KeepGuests([kept, user.account]))
            await asyncio.sleep(0.2)

    keeping = asyncio.create_task(keep())
    async with asyncio.timeout(WAIT_SECONDS):
        assert {(await session.deleted.get()).account for _ in abandoned} == {*abandoned}
    assert session.deleted.empty()
    keeping.cancel()
