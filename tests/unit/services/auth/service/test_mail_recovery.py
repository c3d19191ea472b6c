"""An account is recovered with a ticket in a mail, by requests over NATS."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from services.auth.store import recoveries
from services.auth.store.recoveries import NewTicket
from services.auth.tables import accounts
from services.auth.tables import recoveries as tickets
from shared.clock import now_ms
from shared.contract.admin import FindUser, ResetPassword, SearchTrail, SetDisabled
from shared.contract.auth import Authenticated, ChangePassword, DeleteAccount, IdentifierKind, ListLogins
from shared.contract.bots import CreateBot
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.events import MailRequested
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import ExportLogins
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, RecoverByTicket, Recovered, RequestRecovery
from shared.contract.routes import Ack
from shared.database import Database
from shared.settings.accounts import MailSettings, VerificationSettings
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
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster, StartCluster, cheap_auth
from tests.unit.services.auth.service.test_verification import open_link, pending, request_link

EMAIL = "ann@example.org"
BOB = "bob@example.org"
NEW = plain("new")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends mails at the next check of the outbox."""
    monkeypatch.setattr("services.auth.adapters.publishing._POLL_SECONDS", 0.05)


@pytest.fixture
def start_any(start: StartCluster, tmp_path: Path) -> StartCluster:
    """A function that starts clusters. These mail tickets to any address."""
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"mail_recovery": "any"})
    return partial(start, auth=auth)


@pytest.fixture
def cluster(make_cluster: MakeCluster, tables_url: str, tmp_path: Path) -> AuthCluster:
    return make_cluster(tables_url, auth=cheap_auth(tmp_path / "keys").model_copy(update={"mail_recovery": "any"}))


async def request_mail(edge: EdgeProbe, identifier: str = EMAIL, **more: Any) -> None:
    request = msgspec.structs.replace(RequestRecovery(identifier, ORIGIN), **more)
    assert await edge.send(request) == Ack()


def ticket_in(mail: str) -> str:
    """Returns the ticket in a mail. It is on a line of its own."""
    [ticket] = [line for line in mail.splitlines() if len(line) == 32 and line.isalnum() and line.isascii()]
    return ticket


async def mailed(cluster: AuthCluster, edge: EdgeProbe, number: int = 1, identifier: str = EMAIL) -> str:
    await request_mail(edge, identifier)
    return ticket_in(await cluster.mail(number))


async def recover(edge: EdgeProbe, ticket: str, secret: Secret = NEW) -> Recovered:
    return await edge.send(RecoverByTicket(ticket, secret, ORIGIN))


async def is_valid(edge: EdgeProbe, ticket: str) -> bool:
    """Returns whether the ticket is accepted. All rejected tickets get the same reply."""
    try:
        await recover(edge, ticket)
    except RequestError as error:
        failure = error.failure
    else:
        return True
    assert failure == Failure(ErrorCode.UNAUTHENTICATED, "the ticket is not valid, or has expired", "ticket")
    return False


def count_tickets(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    count: int = connection.execute(sa.select(sa.func.count()).select_from(tickets).where(*conditions)).scalar_one()
    return count


def valid_tickets(connection: sa.Connection) -> int:
    return count_tickets(connection, tickets.c.expires > now_ms())


def mails(cluster: AuthCluster) -> int:
    return len(list(cluster.settings.mail.outbox.glob("*.eml")))


async def run(cluster: AuthCluster, work: Callable[[sa.Connection], Any]) -> Any:
    database = Database(cluster.settings.database_url("auth"))
    try:
        return await database.write(work)
    finally:
        await database.close()


async def test_a_ticket_sets_a_new_password_and_ends_every_login(cluster: AuthCluster, edge: EdgeProbe) -> None:
    operator = await cluster.operator()
    made = await edge.register(EMAIL, username="ann", question_id=2, answer="Rex")
    for number, name in enumerate(("ann", EMAIL.upper(), f"{made.account:010d}"), 1):
        ticket, secret = await mailed(cluster, edge, number, name), plain(f"new {number}")
        assert await recover(edge, ticket, secret)
        assert (await edge.receive(Revoked)).revocations[0].account == made.account
        listed = (await edge.send(ListLogins(made.account))).logins
        assert made.sid not in [login.sid for login in listed]
        old = plain(f"new {number - 1}") if number > 1 else plain("secret")
        assert [await logs_in(edge, EMAIL, one) for one in (secret, old)] == [True, False]
        assert not await is_valid(edge, ticket)
    by_answer = Recover(username="ann", question_id=2, answer="Rex", secret=NEW, origin=ORIGIN)
    assert await rejection_code(edge.send(by_answer)) == ErrorCode.UNAUTHENTICATED
    acts = (await operator.send(SearchTrail(act="recover"))).acts
    assert {(act.account, act.address, act.detail) for act in acts} == {(made.account, ORIGIN.address, "by mail")}
    assert len(acts) == 3


async def test_only_a_verified_address_gets_a_ticket_by_default(start: StartCluster) -> None:
    cluster, edge = await start(verification=VerificationSettings(registration=True))
    operator = await cluster.operator()
    needed = await pending(edge)
    await open_link(edge, await request_link(cluster, edge, needed.ticket))
    ann = await edge.register(EMAIL, ticket=needed.ticket)
    assert await recover(edge, await mailed(cluster, edge, 2))
    assert (await edge.send(ExportLogins(ann.account))).email_verified
    await run(cluster, lambda connection: connection.execute(accounts.update().values(email_verified=False)))
    found = await operator.send(FindUser(IdentifierKind.EMAIL, EMAIL))
    assert not found.email_verified
    await request_mail(edge)
    assert await run(cluster, valid_tickets) == 0


async def test_a_verified_login_verifies_the_address(start: StartCluster) -> None:
    cluster, edge = await start(verification=VerificationSettings(after_failed_logins=1), limits=LimitsSettings())
    operator = await cluster.operator()
    await edge.register(EMAIL)
    assert not await logs_in(edge, EMAIL, plain("wrong"))
    needed = await edge.login(EMAIL)
    assert not isinstance(needed, Authenticated)
    await open_link(edge, await request_link(cluster, edge, needed.ticket))
    assert isinstance(await edge.login(EMAIL, ticket=needed.ticket), Authenticated)
    assert (await operator.send(FindUser(IdentifierKind.EMAIL, EMAIL))).email_verified
    assert await recover(edge, await mailed(cluster, edge, 2))


async def test_the_reply_does_not_show_whether_there_is_an_account(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """The number of written rows does not show the result either, because each request commits one row."""
    operator = await cluster.operator()
    await edge.register(EMAIL)
    disabled = await edge.register(BOB)
    await operator.send(SetDisabled(disabled.account, True))
    without = await edge.register(username="cleo")
    bot = await edge.send(CreateBot("Bot", without.account, ORIGIN))
    names = ["nobody", "nobody@example.org", "9999999999", BOB, "cleo", str(bot.account), EMAIL]
    for number, name in enumerate(names, 1):
        await request_mail(edge, name)
        assert await run(cluster, count_tickets) == number
    rows = await run(cluster, lambda one: one.execute(sa.select(tickets.c.account, tickets.c.expires)).all())
    assert sorted(account for account, _ in rows) == [NO_ACCOUNT] * 6 + [1]
    await run(cluster, partial(recoveries.purge_expired, now=now_ms()))
    assert await run(cluster, count_tickets) == await run(cluster, valid_tickets) == 1
    assert ticket_in(await cluster.mail())
    assert mails(cluster) == 1


async def test_further_requests_fill_no_mailbox_and_void_no_ticket(cluster: AuthCluster, edge: EdgeProbe) -> None:
    await edge.register(EMAIL)
    first = await mailed(cluster, edge)
    for _ in range(5):
        await request_mail(edge, origin=ELSEWHERE)
    assert await run(cluster, valid_tickets) == recoveries.TICKETS_PER_ACCOUNT
    assert await recover(edge, first)
    await mailed(cluster, edge, recoveries.TICKETS_PER_ACCOUNT + 1)
    assert mails(cluster) == recoveries.TICKETS_PER_ACCOUNT + 1


async def test_requests_of_a_client_are_limited_alike_for_any_identifier(start_any: StartCluster) -> None:
    _, edge = await start_any(limits=LimitsSettings(mails_per_address=2))
    await edge.register(EMAIL)
    for name, origin in ((EMAIL, ORIGIN), ("nobody@example.org", ELSEWHERE)):
        for _ in range(2):
            await request_mail(edge, name, origin=origin)
        failure = (await rejection(request_mail(edge, name, origin=origin))).failure
        assert (failure.code, failure.field) == (ErrorCode.RATE_LIMITED, "")


@ON_BOTH
async def test_of_concurrent_uses_of_a_ticket_one_succeeds(cluster: AuthCluster, edge: EdgeProbe) -> None:
    cluster.start_auth()
    await edge.register(EMAIL)
    ticket = await mailed(cluster, edge)
    assert await succeeded([recover(edge, ticket, plain(f"new {number}")) for number in range(6)]) == 1
    words = [f"new {number}" for number in range(6)]
    assert [await logs_in(edge, EMAIL, plain(word)) for word in words].count(True) == 1


@ON_BOTH
async def test_of_concurrent_uses_of_several_tickets_one_succeeds(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """A new password makes the other tickets invalid.

    No request waits forever for a row that another one has locked.
    """
    cluster.start_auth()
    await edge.register(EMAIL)
    found = {await mailed(cluster, edge, number) for number in (1, 2, 3)}
    assert len(found) == 3
    assert await succeeded([recover(edge, ticket) for ticket in found for _ in range(2)]) == 1


async def succeeded(works: list[Awaitable[Ack]]) -> int:
    """Runs all calls at the same time, and returns how many succeed. All others must be rejected."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for one in results:
        assert isinstance(one, Recovered) or (
            isinstance(one, RequestError) and one.failure.code is ErrorCode.UNAUTHENTICATED
        ), one
    return sum(isinstance(one, Recovered) for one in results)


async def test_a_ticket_expires(start_any: StartCluster) -> None:
    cluster, edge = await start_any(verification=VerificationSettings(time_limit_seconds=1.5))
    await edge.register(EMAIL)
    ticket = await mailed(cluster, edge)
    await asyncio.sleep(1.6)
    assert not await is_valid(edge, ticket)
    assert await logs_in(edge, EMAIL, plain("secret"))


async def test_a_new_password_by_another_way_voids_tickets(cluster: AuthCluster, edge: EdgeProbe) -> None:
    operator = await cluster.operator()
    made = await edge.register(EMAIL, question_id=2, answer="Rex")
    by_answer = Recover(username=EMAIL, question_id=2, answer="Rex", secret=plain("b"), origin=ORIGIN)
    changes: list[Callable[[], Awaitable[Any]]] = [
        lambda: edge.send(ChangePassword(old=plain("secret"), new=plain("a"), actor=made.account, origin=ORIGIN)),
        lambda: edge.send(by_answer),
        lambda: operator.send(ResetPassword(made.account, "c")),
    ]
    for number, change in enumerate(changes, 1):
        ticket = await mailed(cluster, edge, number)
        await change()
        assert not await is_valid(edge, ticket)
    assert await logs_in(edge, EMAIL, plain("c"))


async def test_a_ticket_is_for_the_address_that_it_was_mailed_to(cluster: AuthCluster, edge: EdgeProbe) -> None:
    await edge.register(EMAIL)
    ticket = await mailed(cluster, edge)
    changed = accounts.update().values(email="ann@example.net", email_key="ann@example.net")
    await run(cluster, lambda connection: connection.execute(changed))
    assert not await is_valid(edge, ticket)
    assert await logs_in(edge, "ann@example.net", plain("secret"))


@ON_BOTH
async def test_an_address_that_changes_meanwhile_gets_no_ticket(database: Database) -> None:
    mail = MailRequested(EMAIL, "subject", "text", 2_000)
    step = partial(recoveries.request_mail, ticket=NewTicket("d", AccountId(7), mail), now=1_000)
    assert await database.write(step) is False
    assert await database.read(partial(recoveries.find, digest="d", now=999)) == NO_ACCOUNT
    assert await database.read(partial(recoveries.find, digest="d", now=1_000)) is None


async def test_a_ticket_is_for_its_account_alone(cluster: AuthCluster, edge: EdgeProbe) -> None:
    await edge.register(EMAIL)
    await edge.register(BOB)
    anns, bobs = await mailed(cluster, edge), await mailed(cluster, edge, 2, BOB)
    assert await recover(edge, anns, plain("of ann"))
    assert [await logs_in(edge, BOB, plain(word)) for word in ("of ann", "secret")] == [False, True]
    assert await recover(edge, bobs, plain("of bob"))
    assert [await logs_in(edge, EMAIL, plain(word)) for word in ("of bob", "of ann")] == [False, True]


async def test_a_disabled_or_deleted_account_is_not_recovered(cluster: AuthCluster, edge: EdgeProbe) -> None:
    operator = await cluster.operator()
    await cluster.session()
    await cluster.message()
    ann, bob = await edge.register(EMAIL), await edge.register(BOB)
    anns, bobs = await mailed(cluster, edge), await mailed(cluster, edge, 2, BOB)
    await operator.send(SetDisabled(ann.account, True))
    await edge.send(DeleteAccount(bob.account))
    assert await run(cluster, count_tickets) == 1
    assert [await is_valid(edge, ticket) for ticket in (anns, bobs)] == [False, False]


async def test_a_recovery_forgets_failed_logins(start_any: StartCluster) -> None:
    verification = VerificationSettings(after_failed_logins=3)
    cluster, edge = await start_any(limits=LimitsSettings(), verification=verification)
    await edge.register(EMAIL)
    for _ in range(3):
        assert not await logs_in(edge, EMAIL, plain("wrong"))
    await recover(edge, await mailed(cluster, edge))
    assert isinstance(await edge.login(EMAIL, "new"), Authenticated)


async def test_hashes_alone_are_stored(cluster: AuthCluster, edge: EdgeProbe) -> None:
    await edge.register(EMAIL)
    ticket = await mailed(cluster, edge)
    [row] = await run(cluster, lambda connection: connection.execute(sa.select(tickets)).all())
    assert row.digest == hashlib.sha256(ticket.encode()).hexdigest()
    assert ticket not in repr((row, RecoverByTicket(ticket, NEW)))
    assert EMAIL not in repr(RequestRecovery(EMAIL))


@pytest.mark.parametrize(("section", "more"), [("auth", {"mail_recovery": "off"}), ("mail", {"outbox": Path()})])
async def test_without_mails_a_request_gets_a_clear_error(
    start_any: StartCluster, tmp_path: Path, section: str, more: dict[str, Any]
) -> None:
    sections = {"auth": cheap_auth(tmp_path / "keys"), "mail": MailSettings()}
    _, edge = await start_any(**{section: sections[section].model_copy(update=more)})
    await edge.register(EMAIL)
    for name in (EMAIL, "nobody"):
        failure = (await rejection(request_mail(edge, name))).failure
        assert failure.code == ErrorCode.FORBIDDEN
        assert failure.text == "this server does not mail tickets for a new password"
    assert await rejection_code(recover(edge, "x")) == ErrorCode.FORBIDDEN


async def test_an_unacceptable_recovery_names_the_field(start: StartCluster, tmp_path: Path) -> None:
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"mail_recovery": "any", "password_min_characters": 6})
    _, edge = await start(auth=auth)
    for field, ticket, secret in (
        ("ticket", "", NEW),
        ("ticket", "字", NEW),
        ("secret", "t", plain("")),
        ("secret", "t", Secret(Scheme.SERVICE, "x")),
        ("secret", "t", plain("short")),
    ):
        failure = (await rejection(edge.send(RecoverByTicket(ticket, secret, ORIGIN)))).failure
        assert (failure.code, failure.field) == (ErrorCode.INVALID, field)


async def test_an_unacceptable_identifier(edge: EdgeProbe) -> None:
    for name in ("", "x" * 255, "a\0"):
        failure = (await rejection(edge.send(RequestRecovery(name, ORIGIN)))).failure
        assert (failure.code, failure.field) == (ErrorCode.INVALID, "identifier")
