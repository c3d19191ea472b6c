"""Edges report logins by token to auth's audit trail: in batches, once a day, and later if auth is unavailable."""

import asyncio

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from services.edge.client.connection import Connection
from services.edge.login import account_lookup, token_logins
from services.edge.login.token_logins import TokenLoginReports
from shared.bus.client import Bus
from shared.contract.auth import RecordTokenLogins, TokenLogin
from shared.contract.ids import AccountId
from shared.contract.routes import Ack
from shared.tokens import Claims
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import dial, reply_to
from tests.unit.services.edge.login.test_login import REQUESTS, TokenChecks

CLAIMS = Claims(AccountId(1), "sid", 0, 2**31, "jti")


class TrailOfAuth:
    def __init__(self, cluster: EdgeCluster) -> None:
        self.bus = Bus(cluster.nats.settings("auth"), "auth", CollectorRegistry())
        self.bus.serve(RecordTokenLogins.route, self._record)
        self.batches: asyncio.Queue[list[TokenLogin]] = asyncio.Queue()

    async def _record(self, request: RecordTokenLogins) -> Ack:
        self.batches.put_nowait(request.logins)
        return Ack()

    async def batch(self) -> list[TokenLogin]:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.batches.get()


@pytest.fixture
def trail(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> TrailOfAuth:
    monkeypatch.setattr(account_lookup, "_UNREAD_SECONDS", 0.1)  # no service counts undelivered messages here
    return TrailOfAuth(cluster)


async def test_logins_by_token_are_reported_and_others_are_not(
    cluster: EdgeCluster, trail: TrailOfAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_logins, "_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(token_logins, "_REQUEST_SECONDS", 0.3)
    TokenChecks(monkeypatch)
    edge = await cluster.add_edge()
    await reply_to(dial(edge.endpoint, "/ws/pipe"), "login|101|right")
    for _ in range(3):
        await reply_to(dial(edge.endpoint, "/ws/pipe"), REQUESTS[1].format(1))
    await asyncio.sleep(0.5)  # auth is unavailable
    await cluster.run(trail.bus)
    assert await trail.batch() == [TokenLogin(AccountId(1), "192.0.2.1", "pipe", "sid", 0)]
    await reply_to(dial(edge.endpoint, "/ws/pipe"), REQUESTS[1].format(1))
    await asyncio.sleep(0.3)
    assert trail.batches.empty()


async def test_batches_and_what_waits_are_bounded(
    cluster: EdgeCluster, trail: TrailOfAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_logins, "_PENDING", 1_200)
    edge = await cluster.add_edge()
    await cluster.run(trail.bus)
    reports = TokenLoginReports(edge.bus)
    wire = dial(edge.endpoint, "/ws/pipe")
    await reply_to(wire, "login|101|right")
    connection: Connection = next(iter(edge.endpoint.clients.values())).connection
    for number in range(1, 2_001):
        reports.note(replace(CLAIMS, account=AccountId(number)), connection)
    await reports.send()
    assert [len(await trail.batch()) for _ in range(3)] == [500, 500, 200]
    reports.note(replace(CLAIMS, account=AccountId(1)), connection)
    reports.note(replace(CLAIMS, account=AccountId(2_000)), connection)  # there was no space for this login before
    reports.note(
        replace(CLAIMS, account=AccountId(1), issued=CLAIMS.issued + 1), connection
    )  # a refreshed token counts as another token
    await reports.send()
    assert [one.account for one in await trail.batch()] == [2_000, 1]
