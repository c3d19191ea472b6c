"""Tests the start, readiness and shutdown of the service."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from local.ports import free_port
from local.process_group import ProcessGroup
from services.auth.adapters import publishing
from shared.bus import neighbours
from shared.bus.client import Bus, WorkerFailed
from shared.bus.durable import DurableWorker
from shared.bus.node_identity import new_identity
from shared.contract.auth import Authenticated, ListRevocations
from shared.contract.bots import CreateBot, CreateWebhookAccount
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountRegistered
from shared.contract.ids import AccountId
from shared.contract.subjects import ACCOUNT_REGISTERED, CREATE_OPERATOR_BOT
from shared.errors import StartupError
from shared.schema import NotMigrated
from shared.settings.servers import OpsSettings
from tests.support.nodes_nats import NodesNatsServer
from tests.support.ops_port import ops_get
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import AuthCluster, registration, rejection_code
from tests.unit.services.auth.conftest import MakeCluster


@pytest.fixture
def cluster(make_cluster: MakeCluster, sqlite_url: str) -> AuthCluster:
    return make_cluster(sqlite_url, ops=OpsSettings(port=free_port()))


async def becomes(cluster: AuthCluster, status: int, path: str = "/readyz") -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        while (seen := await ops_get(cluster.settings, path))[0] != status:
            await asyncio.sleep(0.02)
    return seen[1]


async def test_ready_without_redis_not_without_the_broker(
    cluster: AuthCluster, nats_server: NatsServer, valkey_server: ValkeyServer
) -> None:
    cluster.start_auth()
    await becomes(cluster, 200)
    valkey_server.kill()
    edge = await cluster.edge()
    await edge.register("ann@example.org")
    await becomes(cluster, 200)
    nats_server.kill()
    assert "nats" in await becomes(cluster, 503)
    await becomes(cluster, 200, "/healthz")
    nats_server.start()
    await becomes(cluster, 200)
    assert isinstance(await edge.login("ann@example.org"), Authenticated)
    assert "dragoman_auth_logins_total" in await becomes(cluster, 200, "/metrics")


async def test_it_stops_while_the_broker_is_away(cluster: AuthCluster, nats_server: NatsServer) -> None:
    nats_server.kill()
    cluster.start_auth()
    await becomes(cluster, 503)
    async with asyncio.timeout(WAIT_SECONDS):
        await cluster.stop_auth()


async def test_a_database_without_tables_ends_the_process(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = make_cluster(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(NotMigrated, match="dragoman migrate"):
        await cluster.start_auth()
    cluster.drop_auth()


async def test_no_account_gets_a_number_without_session(
    cluster: AuthCluster, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database of session says which numbers are taken. This holds for every request that creates an account."""
    monkeypatch.setattr(neighbours, "_GATE_SECONDS", 0.1)
    cluster.start_auth()
    await becomes(cluster, 200)
    buses = {user: Bus(nats_server.settings(user), user, CollectorRegistry()) for user in ("edge", "admin", "session")}
    await asyncio.gather(*(bus.start() for bus in buses.values()))
    makes = (
        buses["edge"].send(registration("ann@example.com")),
        buses["edge"].send(CreateBot("Bot", AccountId(1))),
        buses["admin"].request(CREATE_OPERATOR_BOT, CreateBot("Bot")),
        buses["session"].send(CreateWebhookAccount("Hook", "", AccountId(1))),
    )
    for make in makes:
        assert await rejection_code(make) is ErrorCode.UNAVAILABLE
    await asyncio.gather(*(bus.stop() for bus in buses.values()))


async def test_unusable_keys_end_the_process(make_cluster: MakeCluster, sqlite_url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k.pem").write_text("no key")
    cluster = make_cluster(sqlite_url)
    with pytest.raises(StartupError, match=r"k\.pem"):
        await cluster.start_auth()
    cluster.drop_auth()


async def test_it_ends_when_a_worker_of_events_ends(cluster: AuthCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(DurableWorker, "run", fail)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(ExceptionGroup) as caught:
            await cluster.start_auth()
    assert caught.value.subgroup(WorkerFailed) is not None
    cluster.drop_auth()


async def test_requests_in_progress_at_shutdown_are_completed_and_published(
    cluster: AuthCluster, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, only the shutdown can publish the events, because the relay is not notified and does not poll."""
    monkeypatch.setattr(publishing, "_POLL_SECONDS", 60.0)
    monkeypatch.setattr(publishing.OutboxRelay, "wake", lambda _self: None)
    cluster.start_auth()
    edge = await cluster.edge()
    await edge.send(ListRevocations())
    requests = [asyncio.create_task(edge.send(registration(f"u{n}@example.org"))) for n in range(40)]
    await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
    await cluster.stop_auth()
    for request in requests:
        request.cancel()
    replies = await asyncio.gather(*requests, return_exceptions=True)
    made = {reply.account for reply in replies if isinstance(reply, Authenticated)}
    assert not [reply for reply in replies if isinstance(reply, RequestError)]
    assert made
    assert made <= await published_registrations(nats_server, len(made))


async def published_registrations(nats_server: NatsServer, count: int) -> set[int]:
    """Returns the accounts whose registration session receives after auth has stopped."""
    received: set[int] = set()
    enough = asyncio.Event()

    async def receive(event: AccountRegistered) -> None:
        received.add(event.profile.account)
        if len(received) >= count:
            enough.set()

    session = Bus(nats_server.settings("session"), "session", CollectorRegistry())
    session.consume(ACCOUNT_REGISTERED, receive)
    await session.start()
    async with asyncio.timeout(WAIT_SECONDS):
        await enough.wait()
    await session.stop()
    return received


@pytest.fixture
async def nodes_server(server_directory: Path, process_group: ProcessGroup) -> AsyncIterator[NodesNatsServer]:
    server = NodesNatsServer(server_directory / "auth-nodes-nats", process_group)
    await server.make_fresh()
    yield server
    server.stop()


async def test_it_decides_on_nodes_of_the_bus(
    make_cluster: MakeCluster, sqlite_url: str, nodes_server: NodesNatsServer
) -> None:
    cluster = make_cluster(sqlite_url, nats=nodes_server.settings("auth"), callout=nodes_server.callout)
    node = Bus(nodes_server.settings("edge"), "edge", CollectorRegistry(), node=new_identity("edge-1"))
    cluster.start_auth()
    async with asyncio.timeout(WAIT_SECONDS):
        await node.start()
    try:
        assert (await node.send(ListRevocations(since=0))).last == 0
    finally:
        await node.stop()
