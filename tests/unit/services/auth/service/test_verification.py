"""E-mail addresses are verified by links in mails. Requests go over NATS."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.auth import verifiers
from shared.clock import now_ms
from shared.contract.auth import (
    Authenticated,
    DescribeVerification,
    IdentifierKind,
    Opened,
    OpenVerification,
    Origin,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.edge import VerificationOpened
from shared.contract.errors import ErrorCode
from shared.contract.events import MailRequested
from shared.contract.ids import NodeId
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack
from shared.contract.subjects import MAIL_DIGEST
from shared.settings.accounts import MailSettings, VerificationSettings
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import (
    ELSEWHERE,
    NODE,
    ORIGIN,
    AuthCluster,
    EdgeProbe,
    plain,
    registration,
    rejection,
    rejection_code,
)
from tests.unit.services.auth.conftest import MakeCluster, MakeSmtpServer, StartCluster

ANN = "ann@example.org"
BASE = "http://chat.example:8080"
VERIFY = VerificationSettings(registration=True)
AFTER_THREE = VerificationSettings(after_failed_logins=3)


def link_in(mail: str) -> str:
    """Returns the first address in the text, as a mail program finds it."""
    found = re.search(r"https?://[^\s\"'<>\\]+", mail)
    assert found
    return found.group(0)


def parse_link(link: str) -> OpenVerification:
    assert link.startswith(f"{BASE}/verify/")
    ticket, code = link.removeprefix(f"{BASE}/verify/").split(".")
    assert len(code) > 6
    return OpenVerification(ticket, code)


def with_wrong_code(link: str) -> str:
    return link[:-6] + ("0" if link[-6] != "0" else "1") + link[-5:]


async def pending(edge: EdgeProbe, email: str = ANN, ticket: str = "") -> VerificationNeeded:
    reply = await edge.send(registration(email, ticket=ticket))
    assert isinstance(reply, VerificationNeeded)
    return reply


async def request_link(cluster: AuthCluster, edge: EdgeProbe, ticket: str, number: int = 1) -> str:
    assert await edge.send(SendVerification(ticket, ORIGIN, BASE)) == Ack()
    return link_in(await cluster.mail(number))


async def open_link(edge: EdgeProbe, link: str) -> str:
    return (await edge.send(parse_link(link))).outcome


@pytest.fixture
def cluster(make_cluster: MakeCluster, sqlite_url: str) -> AuthCluster:
    return make_cluster(sqlite_url, verification=VERIFY)


async def test_a_registration_is_pending_until_its_link_is_opened(start: StartCluster) -> None:
    cluster, edge = await start(2, verification=VERIFY)
    needed = await pending(edge)
    assert 0 < needed.expires - now_ms() <= 600_000
    assert await rejection_code(edge.login(ANN)) == ErrorCode.UNAUTHENTICATED

    link = await request_link(cluster, edge, needed.ticket)
    assert await open_link(edge, with_wrong_code(link)) == "wrong"
    assert await edge.receive(VerificationOpened) == VerificationOpened(needed.ticket, 7, False)
    assert await pending(edge, ticket=needed.ticket) == needed

    assert await open_link(edge, link) == "passed"
    assert await edge.receive(VerificationOpened) == VerificationOpened(needed.ticket, 7, True)
    made = await edge.register(ANN, ticket=needed.ticket)
    assert isinstance(await edge.login(ANN), Authenticated)
    assert await open_link(edge, link) == "expired"
    taken = await rejection(edge.register(ANN, ticket=needed.ticket))
    assert (taken.failure.code, taken.failure.field) == (ErrorCode.CONFLICT, "email")
    assert made.account >= 1


async def test_a_passed_link_verifies_the_next_attempt_of_its_address_only(
    cluster: AuthCluster, edge: EdgeProbe
) -> None:
    needed = await pending(edge)
    await open_link(edge, await request_link(cluster, edge, needed.ticket))
    other = await pending(edge, "bob@example.org", needed.ticket)
    assert other.ticket != needed.ticket
    assert isinstance(await edge.register(ANN.upper(), origin=Origin(NodeId("edge-2"), 1)), Authenticated)


async def test_an_opened_link_verifies_no_attempt_with_another_secret(cluster: AuthCluster, edge: EdgeProbe) -> None:
    """The account gets the password of the user whose request waited for the link."""
    needed = await pending(edge)
    link = await request_link(cluster, edge, needed.ticket)
    assert await open_link(edge, link) == "passed"
    for other in (plain("attacker's"), Secret(Scheme.SHA256, verifiers.verifier_texts(plain("secret"))[Scheme.SHA256])):
        theirs = await edge.send(registration(ANN, secret=other, origin=ELSEWHERE))
        assert isinstance(theirs, VerificationNeeded)
        assert theirs.ticket != needed.ticket
    assert isinstance(await edge.register(ANN, origin=ELSEWHERE), Authenticated)
    assert isinstance(await edge.login(ANN), Authenticated)


async def test_after_the_time_limit_a_new_verification_is_needed(start: StartCluster) -> None:
    short = VerificationSettings(registration=True, time_limit_seconds=1.0)
    cluster, edge = await start(verification=short)
    first, passed = await pending(edge), await pending(edge)
    link = await request_link(cluster, edge, first.ticket)
    passed_link = await request_link(cluster, edge, passed.ticket, 2)
    assert await open_link(edge, passed_link) == "passed"
    await asyncio.sleep((passed.expires - now_ms()) / 1000 + 0.01)
    assert await open_link(edge, link) == "expired"
    assert await open_link(edge, passed_link) == "expired"
    late = SendVerification(first.ticket, ORIGIN, BASE)
    assert await rejection_code(edge.send(late)) == ErrorCode.NOT_FOUND
    assert (await pending(edge, ticket=passed.ticket)).ticket not in (first.ticket, passed.ticket)


async def test_mail_is_sent_again_a_few_times_and_the_newest_link_is_valid(
    cluster: AuthCluster, edge: EdgeProbe
) -> None:
    needed = await pending(edge)
    links = [await request_link(cluster, edge, needed.ticket, number) for number in (1, 2, 3)]
    again = SendVerification(needed.ticket, ORIGIN, BASE)
    assert await rejection_code(edge.send(again)) == ErrorCode.RATE_LIMITED
    assert [await open_link(edge, link) for link in links] == ["wrong", "wrong", "passed"]


async def test_mails_requested_from_one_address_are_limited(start: StartCluster) -> None:
    cluster, edge = await start(verification=VERIFY, limits=LimitsSettings(mails_per_address=2))
    tickets = [(await pending(edge, f"{name}@example.org")).ticket for name in ("ann", "bob", "cem")]
    for number, ticket in enumerate(tickets[:2], 1):
        await request_link(cluster, edge, ticket, number)
    from_home = SendVerification(tickets[2], ORIGIN, BASE)
    assert await rejection_code(edge.send(from_home)) == ErrorCode.RATE_LIMITED
    elsewhere = SendVerification(tickets[2], Origin(NODE, 8, "198.51.100.1"), BASE)
    assert await edge.send(elsewhere) == Ack()


async def test_the_connection_that_requested_the_mail_is_notified(cluster: AuthCluster, edge: EdgeProbe) -> None:
    needed = await pending(edge)
    request = SendVerification(needed.ticket, Origin(NODE, 99), BASE)
    await edge.send(request)
    await open_link(edge, link_in(await cluster.mail()))
    assert (await edge.receive(VerificationOpened)).connection == 99


async def test_verified_registration_needs_an_email_address(edge: EdgeProbe) -> None:
    failure = (await rejection(edge.register(username="ann"))).failure
    assert (failure.code, failure.field) == (ErrorCode.INVALID, "email")


async def test_a_link_starts_with_an_http_address_only(edge: EdgeProbe) -> None:
    needed = await pending(edge)
    for base in ("", "chat.example", "javascript:alert(1)", "http://a b", "http://a/\nhttp://evil.example", "http://"):
        wrong = SendVerification(needed.ticket, ORIGIN, base)
        assert (await rejection(edge.send(wrong))).failure.field == "base_url"


async def test_an_unknown_ticket_is_expired_and_gets_no_mail(edge: EdgeProbe) -> None:
    assert await edge.send(OpenVerification("unknown", "code")) == Opened("expired")
    unknown = SendVerification("unknown", ORIGIN, BASE)
    assert await rejection_code(edge.send(unknown)) == ErrorCode.NOT_FOUND
    described = DescribeVerification("unknown", "code")
    assert await rejection_code(edge.send(described)) == ErrorCode.NOT_FOUND
    malformed = OpenVerification("x" * 1000, "\0")
    assert await rejection_code(edge.send(malformed)) == ErrorCode.INVALID


# After failed logins


async def test_after_failures_the_right_secret_needs_a_link_too(start: StartCluster) -> None:
    cluster, edge = await start(verification=AFTER_THREE)
    made = await edge.register(ANN)
    await edge.register("bob@example.org")
    for _ in range(3):
        assert isinstance(await edge.login(ANN), Authenticated)
        assert await rejection_code(edge.login(ANN, "wrong")) == ErrorCode.UNAUTHENTICATED
    needed = await edge.login(str(made.account), kind=IdentifierKind.ID)
    assert isinstance(needed, VerificationNeeded)
    assert await rejection_code(edge.login(ANN, "wrong")) == ErrorCode.UNAUTHENTICATED
    assert isinstance(await edge.login("bob@example.org"), Authenticated)

    link = await request_link(cluster, edge, needed.ticket)
    assert await open_link(edge, with_wrong_code(link)) == "wrong"
    assert await open_link(edge, link) == "passed"
    wrong = edge.login(ANN, "wrong", ticket=needed.ticket)
    assert await rejection_code(wrong) == ErrorCode.UNAUTHENTICATED
    for ticket in (needed.ticket, "", needed.ticket):
        assert isinstance(await edge.login(ANN, ticket=ticket), Authenticated)

    for _ in range(3):
        await rejection(edge.login(ANN, "wrong"))
    assert isinstance(await edge.login(ANN, ticket=needed.ticket), VerificationNeeded)


async def test_a_link_for_a_login_verifies_the_device_that_it_names(start: StartCluster) -> None:
    """The link must not verify another device.

    Another person may have the password, and may have made the failed attempts.
    """
    cluster, edge = await start(verification=VerificationSettings(after_failed_logins=1))
    await edge.register(ANN)
    await rejection(edge.login(ANN, "wrong"))
    here = Origin(NODE, 7, "192.0.2.1", "pipe")
    needed = await edge.login(ANN, origin=here)
    assert isinstance(needed, VerificationNeeded)
    link = await request_link(cluster, edge, needed.ticket)
    shown = await edge.send(DescribeVerification(**msgspec.structs.asdict(parse_link(link))))
    assert (shown.purpose, shown.address, shown.client) == ("login", "192.0.2.1", "pipe")
    assert 0 <= now_ms() - shown.time < 60_000
    assert "192.0.2.1, with pipe" in await cluster.mail()
    assert await open_link(edge, link) == "passed"
    for other in (Origin(NODE, 8, "198.51.100.1", "pipe"), Origin(NODE, 8, "192.0.2.1", "ourchat-v2")):
        assert isinstance(await edge.login(ANN, origin=other), VerificationNeeded)
    assert isinstance(await edge.login(ANN, origin=here), Authenticated)


async def test_an_account_without_an_email_address_needs_no_verification(start: StartCluster) -> None:
    _, edge = await start(verification=AFTER_THREE)
    await edge.register(username="ann")
    for _ in range(5):
        await rejection(edge.login("ann", "wrong", kind=IdentifierKind.USERNAME))
    assert isinstance(await edge.login("ann", kind=IdentifierKind.USERNAME), Authenticated)


@pytest.mark.parametrize(("tried", "used"), [(ANN, "1"), ("1", ANN)])
async def test_a_username_that_is_a_number_hides_no_failures_of_that_number(
    start: StartCluster, tried: str, used: str
) -> None:
    _, edge = await start(verification=VerificationSettings(after_failed_logins=1))
    assert (await edge.register(ANN)).account == 1
    await edge.register("bob@example.org", username="1", secret=plain("another secret"))
    await rejection(edge.login(tried, "wrong", kind=IdentifierKind.ANY))
    assert isinstance(await edge.login(used, kind=IdentifierKind.ANY), VerificationNeeded)


async def test_a_link_for_a_login_verifies_no_registration(start: StartCluster) -> None:
    both = VerificationSettings(registration=True, after_failed_logins=1)
    cluster, edge = await start(verification=both)
    needed = await pending(edge)
    await open_link(edge, await request_link(cluster, edge, needed.ticket))
    await edge.register(ANN, secret=Secret(Scheme.PLAIN, "secret"))
    await rejection(edge.login(ANN, "wrong"))
    for_login = await edge.login(ANN)
    assert isinstance(for_login, VerificationNeeded)
    await open_link(edge, await request_link(cluster, edge, for_login.ticket, 2))
    assert (await pending(edge, "bob@example.org", for_login.ticket)).ticket != for_login.ticket
    assert isinstance(await edge.login(ANN, ticket=for_login.ticket), Authenticated)


# Mail


async def test_links_start_with_the_public_url_of_the_settings(start: StartCluster) -> None:
    cluster, edge = await start(verification=VERIFY, edge=EdgeSettings(public_url=f"{BASE}/"))
    needed = await pending(edge)
    await edge.send(SendVerification(needed.ticket, ORIGIN, "http://elsewhere.example"))
    link = link_in(await cluster.mail(1))
    assert link.startswith(f"{BASE}/verify/")
    assert await open_link(edge, link) == "passed"


async def test_mail_waits_for_a_server_that_is_down(
    start: StartCluster, make_smtp_server: MakeSmtpServer, tmp_path: Path
) -> None:
    server = make_smtp_server()
    smtp = MailSettings(smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", outbox=tmp_path / "outbox")
    _, edge = await start(verification=VERIFY, mail=smtp)
    needed = await pending(edge)
    await edge.send(SendVerification(needed.ticket, ORIGIN, BASE))
    await asyncio.sleep(0.3)
    await server.start()
    async with asyncio.timeout(WAIT_SECONDS):
        while not server.mails:
            await asyncio.sleep(0.01)
    [mail] = server.mails
    assert mail["To"] == ANN
    assert await open_link(edge, link_in(mail.get_content())) == "passed"
    assert not smtp.outbox.exists()


async def test_a_user_does_not_wait_for_the_digests_of_others(
    make_cluster: MakeCluster, sqlite_url: str, make_smtp_server: MakeSmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, reached, free = make_smtp_server(), asyncio.Event(), asyncio.Event()
    accept = server.handle_DATA

    async def hold(smtp: Any, session: Any, envelope: Any) -> str:
        if envelope.rcpt_tos != [ANN]:
            reached.set()
            await free.wait()
        return await accept(smtp, session, envelope)

    monkeypatch.setattr(server, "handle_DATA", hold)
    await server.start()
    smtp = MailSettings(
        smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", smtp_timeout_seconds=2 * WAIT_SECONDS
    )
    cluster = make_cluster(sqlite_url, verification=VERIFY, mail=smtp)
    cluster.start_auth()
    edge, session = await cluster.edge(), await cluster.operator()
    digest = MailRequested("bob@example.org", "1 unread message", "", now_ms() + 60_000)
    await session.publish_event(MAIL_DIGEST, digest, key="1")
    async with asyncio.timeout(WAIT_SECONDS):
        await reached.wait()
        await edge.send(SendVerification((await pending(edge)).ticket, ORIGIN, BASE))
        while not server.mails:
            await asyncio.sleep(0.01)
        assert [mail["To"] for mail in server.mails] == [ANN]
        free.set()
        while len(server.mails) < 2:
            await asyncio.sleep(0.01)
