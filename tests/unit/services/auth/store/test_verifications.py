"""Tests how verifications are stored in SQLite and PostgreSQL."""

import asyncio
import threading
from functools import partial

import pytest
import sqlalchemy as sa

from services.auth.domain import VerificationPurpose, VerificationSubject
from services.auth.store import verifications
from services.auth.store.verifications import LinkResult, OpenedLink, PassedTicket, TooManyMails, VerificationMail
from services.auth.tables import tickets
from shared.contract.auth import Origin, Requester
from shared.contract.events import MailRequested
from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.unit.services.auth.conftest import ON_BOTH
from tests.unit.services.auth.store.test_accounts import WAITING

pytestmark = ON_BOTH

NOW, END = 1_800_000_000_000, 1_800_000_600_000
ANN = VerificationSubject(VerificationPurpose.REGISTER, "Ann@example.org", NO_ACCOUNT)
LOGIN = VerificationSubject(VerificationPurpose.LOGIN, "Ann@example.org", AccountId(7))
ORIGIN = Origin(NodeId("edge-1"), 5, "192.0.2.1", "pipe")
LATER = Origin(NodeId("edge-2"), 6)
GONE = OpenedLink(LinkResult.EXPIRED)


def template(mailing: VerificationMail) -> MailRequested:
    return MailRequested(mailing.email, mailing.requester.purpose, "text", mailing.expires)


async def add(database: Database, subject: VerificationSubject = ANN, named: str = "") -> str:
    step = partial(
        verifications.create, named=named, subject=subject, origin=ORIGIN, secret="hash", now=NOW, expires=END
    )
    waiting = await database.write(step)
    assert waiting.expires == END
    return waiting.ticket


async def request_mail(database: Database, ticket: str, code: str = "right", now: int = NOW) -> bool:
    return await database.write(
        partial(verifications.request_mail, ticket=ticket, origin=LATER, code=code, template=template, now=now)
    )


async def open_link(database: Database, ticket: str, code: str, now: int = NOW) -> OpenedLink:
    return await database.write(partial(verifications.open_link, ticket=ticket, code=code, now=now))


async def list_passed(database: Database, subject: VerificationSubject = ANN) -> list[PassedTicket]:
    return await database.read(partial(verifications.list_passed, subject=subject, now=NOW))


async def consume(database: Database, ticket: str, subject: VerificationSubject = ANN, now: int = NOW) -> bool:
    step = partial(verifications.consume, subject=subject, ticket=ticket, now=now)
    return await database.write(step) is not None


async def passed(database: Database, subject: VerificationSubject = ANN) -> str:
    ticket = await add(database, subject)
    await request_mail(database, ticket)
    assert (await open_link(database, ticket, "right")).result is LinkResult.PASSED
    return ticket


async def test_no_code_is_right_before_the_first_mail(database: Database) -> None:
    t = await add(database)
    assert (await open_link(database, t, "")).result is LinkResult.WRONG


async def test_wrong_codes_are_bounded(database: Database) -> None:
    t = await add(database)
    await request_mail(database, t)
    for _ in range(verifications.WRONG_CODES):
        assert (await open_link(database, t, "wrong")).result is LinkResult.WRONG
    assert await open_link(database, t, "right") == GONE


async def test_a_link_with_an_expired_or_unknown_ticket_is_expired(database: Database) -> None:
    t = await passed(database)
    assert await open_link(database, t, "right", now=END) == GONE
    assert await open_link(database, "u", "right") == GONE
    assert not await request_mail(database, t, now=END)
    assert not await consume(database, t, now=END)


async def test_a_passed_ticket_is_consumed_once_by_its_subject_only(database: Database) -> None:
    t = await passed(database)
    others = [
        LOGIN,
        VerificationSubject(VerificationPurpose.REGISTER, "bob@example.org", NO_ACCOUNT),
        VerificationSubject(VerificationPurpose.LOGIN, ANN.email, NO_ACCOUNT),
    ]
    assert [await consume(database, t, other) for other in others] == [False, False, False]
    assert [len(await list_passed(database, other)) for other in others] == [0, 0, 0]
    requested = Requester("register", "192.0.2.1", "pipe", NOW)
    assert await list_passed(database) == [PassedTicket(t, "hash", requested)]
    capitals = VerificationSubject(VerificationPurpose.REGISTER, "ANN@EXAMPLE.ORG", NO_ACCOUNT)
    assert await consume(database, t, capitals)
    assert not await consume(database, t)
    assert (await open_link(database, t, "right")) == GONE


async def test_the_right_link_alone_shows_the_requester(database: Database) -> None:
    t = await add(database, LOGIN)
    await request_mail(database, t)
    find = partial(verifications.find_requester, ticket=t, now=NOW)
    assert await database.read(partial(find, code="right")) == Requester("login", "192.0.2.1", "pipe", NOW)
    assert await database.read(partial(find, code="wrong")) is None
    assert await database.read(partial(find, code="right", now=END)) is None
    assert await list_passed(database, LOGIN) == []


async def test_a_passed_ticket_is_consumed_by_one_of_concurrent_requests(database: Database) -> None:
    t = await passed(database)
    assert sorted(await asyncio.gather(*(consume(database, t) for _ in range(5)))) == [False] * 4 + [True]


async def test_mails_per_ticket_and_per_address_are_limited(database: Database) -> None:
    many = [await add(database) for _ in range(verifications.MAILS_PER_ADDRESS)]
    for ticket in many:
        assert await request_mail(database, ticket)
    with pytest.raises(TooManyMails) as of_address:
        await request_mail(database, many[0])
    assert await request_mail(database, await add(database, LOGIN)), "strangers use up the mails of the owner"
    other = await add(database, VerificationSubject(VerificationPurpose.REGISTER, "bob@example.org", NO_ACCOUNT))
    for _ in range(verifications.MAILS_PER_TICKET):
        assert await request_mail(database, other)
    with pytest.raises(TooManyMails) as of_ticket:
        await request_mail(database, other)
    assert of_address.value.until == of_ticket.value.until == END


async def test_expired_tickets_and_those_of_deleted_accounts_are_deleted(database: Database) -> None:
    await passed(database, LOGIN)
    await database.write(partial(verifications.purge_expired, now=END - 1))
    assert await list_passed(database, LOGIN)
    await database.write(partial(verifications.delete_of_account, account=AccountId(7)))
    assert not await list_passed(database, LOGIN)
    await passed(database, LOGIN)
    await database.write(partial(verifications.purge_expired, now=END))
    assert not await list_passed(database, LOGIN)


async def test_mails_that_are_requested_at_once_stay_within_the_limit(database: Database) -> None:
    many = [await add(database) for _ in range(verifications.MAILS_PER_ADDRESS + 5)]
    sent = await asyncio.gather(*(request_mail(database, ticket) for ticket in many), return_exceptions=True)
    assert sent.count(True) == verifications.MAILS_PER_ADDRESS
    assert {type(one) for one in sent} == {bool, TooManyMails}


async def test_a_mail_that_is_requested_while_its_account_is_deleted_causes_no_deadlock(database: Database) -> None:
    many, began = [await add(database, LOGIN)], threading.Event()
    while (first := min(many)) == many[0]:  # until the database finds the lowest ticket after another one
        many.append(await add(database, LOGIN))

    def mail(connection: sa.Connection) -> bool:
        connection.execute(sa.select(tickets).where(tickets.c.ticket == first).with_for_update())
        began.set()
        if connection.dialect.name == "postgresql":
            block_until(lambda: connection.execute(WAITING).scalar_one() > 0)
        return verifications.request_mail(connection, first, LATER, "right", template, NOW)

    mailing = asyncio.create_task(database.write(mail))
    await asyncio.to_thread(began.wait, WAIT_SECONDS)
    await database.write(partial(verifications.delete_of_account, account=AccountId(7)))
    assert await mailing
    assert not await request_mail(database, first)
