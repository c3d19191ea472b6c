"""If an account's e-mail address is not verified, a login mails a link that verifies it, only once."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa

from services.auth.domain import digest
from services.auth.store import verifications
from services.auth.tables import accounts
from shared.clock import now_ms
from shared.contract.auth import Authenticated, DeleteAccount, DescribeVerification, IdentifierKind, Origin
from shared.contract.errors import ErrorCode
from shared.contract.made import ExportLogins
from shared.contract.recovery import RequestRecovery
from shared.settings.limits import LimitsSettings
from tests.unit.services.auth.cluster import ELSEWHERE, ORIGIN, AuthCluster, EdgeProbe, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, StartCluster, cheap_auth
from tests.unit.services.auth.service.test_mail_recovery import mails, recover, run, ticket_in
from tests.unit.services.auth.service.test_verification import BASE, link_in, open_link, parse_link, with_wrong_code

EMAIL = "ann@example.org"
BOB = "bob@example.org"
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends mails at the next check of the outbox."""
    monkeypatch.setattr("services.auth.adapters.publishing._POLL_SECONDS", 0.05)


async def log_in(edge: EdgeProbe, email: str = EMAIL, origin: Origin = ORIGIN) -> None:
    assert isinstance(await edge.login(email, origin=origin, base_url=BASE), Authenticated)


async def is_verified(edge: EdgeProbe, account: Authenticated) -> bool:
    return (await edge.send(ExportLogins(account.account))).email_verified


async def offered(cluster: AuthCluster) -> int:
    """Returns the accounts whose mails are committed."""
    count = sa.select(sa.func.count()).select_from(accounts).where(accounts.c.verification_offered)
    found: int = await run(cluster, lambda connection: connection.execute(count).scalar_one())
    return found


@ON_BOTH
async def test_the_next_login_mails_one_link_which_verifies_the_address(cluster: AuthCluster, edge: EdgeProbe) -> None:
    cluster.start_auth()
    ann = await edge.register(EMAIL)
    await asyncio.gather(*(log_in(edge) for _ in range(4)))
    link = link_in(mail := await cluster.mail())
    assert "replaced by mail" in mail
    assert await open_link(edge, with_wrong_code(link)) == "wrong"
    assert not await is_verified(edge, ann)
    described = await edge.send(DescribeVerification(*_parts(link)))
    assert (described.purpose, described.address) == ("login", ORIGIN.address)
    assert not await is_verified(edge, ann), "the page with the button changes nothing"
    assert [await open_link(edge, link) for _ in range(2)] == ["passed", "passed"]
    assert await is_verified(edge, ann)
    await log_in(edge)
    await edge.send(RequestRecovery(EMAIL, ORIGIN))
    assert await recover(edge, ticket_in(await cluster.mail(2)))
    assert mails(cluster) == 2


def _parts(link: str) -> tuple[str, str]:
    opened = parse_link(link)
    return opened.ticket, opened.code


async def test_the_link_waits_for_a_week(cluster: AuthCluster, edge: EdgeProbe) -> None:
    await edge.register(EMAIL)
    await log_in(edge)
    ticket, code = _parts(link_in(await cluster.mail()))
    find = partial(verifications.find_requester, ticket=ticket, code=digest(code))
    assert await run(cluster, partial(find, now=now_ms() + 6 * DAY_MS)) is not None
    assert await run(cluster, partial(find, now=now_ms() + 7 * DAY_MS)) is None


async def test_nobody_else_gets_it(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """No mail is sent after a wrong secret, to an account without an address, or if the edge does not name the address
    of the client.
    """
    await edge.register(EMAIL)
    await edge.register(username="cleo")
    assert await rejection_code(edge.login(EMAIL, "wrong", base_url=BASE)) == ErrorCode.UNAUTHENTICATED
    await edge.login("cleo", kind=IdentifierKind.USERNAME, base_url=BASE)
    for base_url in ("", "http://evil.example/x?", "javascript:alert(1)"):
        await edge.login(EMAIL, base_url=base_url)
    assert await offered(cluster) == 0
    await log_in(edge)
    assert await offered(cluster) == 1


@pytest.mark.parametrize("recovery", ["any", "off"])
async def test_no_mail_is_sent_where_it_serves_nothing(
    recovery: str, start: StartCluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    auth = cheap_auth(tmp_path_factory.mktemp("keys")).model_copy(update={"mail_recovery": recovery})
    cluster, edge = await start(auth=auth)
    await edge.register(EMAIL)
    await log_in(edge)
    assert await offered(cluster) == 0


async def test_beyond_the_limit_a_later_login_sends_it_and_requested_mails_have_room(start: StartCluster) -> None:
    cluster, edge = await start(limits=LimitsSettings(mails_per_address=1))
    for email in (EMAIL, BOB):
        await edge.register(email)
        await log_in(edge, email)
    assert await offered(cluster) == 1
    await edge.send(RequestRecovery(EMAIL, ORIGIN))
    await log_in(edge, BOB, ELSEWHERE)
    assert await offered(cluster) == 2


async def test_the_link_of_a_deleted_account_verifies_no_later_one(cluster: AuthCluster, edge: EdgeProbe) -> None:
    first = await edge.register(EMAIL)
    await log_in(edge)
    link = link_in(await cluster.mail())
    await edge.send(DeleteAccount(first.account))
    later = await edge.register(EMAIL)
    assert await open_link(edge, link) == "expired"
    assert not await is_verified(edge, later)
