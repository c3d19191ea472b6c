"""Accounts are deleted by requests over NATS."""

import asyncio
import time

import pytest

from services.auth.adapters.publishing import OutboxRelay
from shared.contract.auth import DeleteAccount, GetKeys, IdentifierKind, ListDeletedAccounts, ListRevocations, Logout
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Ack
from shared.tokens import Verifier
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import ORIGIN, AuthCluster, EdgeProbe, logs_in, plain, rejection, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH


def deletion(account: AccountId, secret: str) -> DeleteAccount:
    return DeleteAccount(account, plain(secret), ORIGIN)


@ON_BOTH
async def test_deletion_erases_at_once_where_services_reply(cluster: AuthCluster, edge: EdgeProbe) -> None:
    session, message = await cluster.session(), await cluster.message()
    uuid = "00000000-0000-4000-8000-000000000001"
    made = await edge.register("ann@example.org", username="ann", uuid=uuid)
    assert await edge.send(DeleteAccount(made.account)) == Ack()
    assert session.erased == message.erased == [made.account]
    listed = await session.bus.send(ListDeletedAccounts())
    assert listed.accounts == [made.account]
    [revocation] = (await edge.receive(Revoked)).revocations
    claims = Verifier(await edge.send(GetKeys())).verify(made.token, time.time())
    assert (revocation.account, revocation.sid) == (made.account, "")
    assert claims.issued <= revocation.time
    assert (await session.deleted.get()).account == (await message.deleted.get()).account == made.account

    for kind, name in ((IdentifierKind.EMAIL, "ann@example.org"), (IdentifierKind.ID, str(made.account))):
        assert await rejection_code(edge.login(name, kind=kind)) == ErrorCode.UNAUTHENTICATED
    again = await edge.register("ann@example.org", username="ann", uuid=uuid)
    assert again.account > made.account


async def test_the_durable_event_follows_the_requests_because_it_has_no_reason(
    cluster: AuthCluster, edge: EdgeProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, message = await cluster.session(), await cluster.message()
    made = await edge.register("ann@example.org")
    woken: list[tuple[list[AccountId], list[AccountId]]] = []
    monkeypatch.setattr(OutboxRelay, "wake", lambda _: woken.append(([*session.erased], [*message.erased])))
    assert await edge.send(DeleteAccount(made.account, reason="bye")) == Ack()
    assert woken == [([made.account], [made.account])]


async def test_a_secret_is_checked_if_there_is_one(edge: EdgeProbe) -> None:
    made = await edge.register("ann@example.org")
    error = await rejection(edge.send(deletion(made.account, "wrong")))
    assert (error.failure.code, error.failure.field) == (ErrorCode.UNAUTHENTICATED, "secret")
    assert await logs_in(edge, "ann@example.org", plain("secret"))
    assert await edge.send(deletion(made.account, "secret")) == Ack()
    assert not await logs_in(edge, "ann@example.org", plain("secret"))
    assert await edge.send(deletion(made.account, "secret")) == Ack(), "its reply was lost"


async def test_guesses_of_the_secret_are_limited(limited: AuthCluster) -> None:
    limited.start_auth()
    edge = await limited.edge()
    made = await edge.register("ann@example.org")
    for _ in range(5):
        wrong = edge.send(deletion(made.account, "wrong"))
        assert await rejection_code(wrong) == ErrorCode.UNAUTHENTICATED
    right = edge.send(deletion(made.account, "secret"))
    assert await rejection_code(right) == ErrorCode.RATE_LIMITED
    assert await logs_in(edge, "ann@example.org", plain("secret"))


async def test_deletion_continues_when_the_other_services_are_back(cluster: AuthCluster, edge: EdgeProbe) -> None:
    made = await edge.register("ann@example.org")
    assert await edge.bus.send(DeleteAccount(made.account), seconds=8, retry=True) == Ack()
    session, message = await cluster.session(), await cluster.message()
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await session.deleted.get()).account == (await message.deleted.get()).account == made.account


async def test_a_repeated_deletion_changes_nothing(cluster: AuthCluster, edge: EdgeProbe) -> None:
    session = await cluster.session()
    await cluster.message()
    made = await edge.register("ann@example.org")
    await edge.send(DeleteAccount(made.account))
    await edge.receive(Revoked)
    assert await edge.send(DeleteAccount(made.account)) == Ack()
    assert edge.has_received_nothing
    assert session.erased == [made.account]
    assert len((await edge.send(ListRevocations())).revocations) == 1


async def test_logout_and_deletion_need_an_account(edge: EdgeProbe) -> None:
    for actor in (NO_ACCOUNT, AccountId(-1)):
        for work in (edge.send(DeleteAccount(actor)), edge.send(Logout("s", actor))):
            assert await rejection_code(work) == ErrorCode.UNAUTHENTICATED
