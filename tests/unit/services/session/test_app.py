"""Tests the service as a process: outages of its dependencies, events, replicas, start and shutdown."""

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.session.adapters import edge_notifier
from services.session.app import serve
from services.session.service import message_reader
from services.session.store import departures, profiles
from shared.bus.client import Bus, WorkerFailed, pack
from shared.bus.durable import DurableWorker
from shared.clock import now_ms
from shared.contract import subjects as on
from shared.contract.admin import ListAccounts
from shared.contract.edge import ChatCreated, PresenceIncomplete
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import Profile
from shared.contract.session import ChatEntry, ChatList, EnsureProfile, GetAccount, ListChats
from shared.database import Database
from shared.schema import NotMigrated
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings, NatsSettings
from shared.vapid import make_key
from tests.support.commands import ROOT
from tests.support.ops_port import ops_get
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.session.service_harness import BusPeers, eventually, rejection, running_service, settings_for

ANN, BOB = AccountId(1), AccountId(2)
LOBBY = ChatId(1)


@pytest.fixture
def peers(nats_server: NatsServer, valkey_server: ValkeyServer) -> BusPeers:
    peers = BusPeers(nats_server, valkey_server)
    peers.subscribe()
    return peers


@pytest.fixture
def settings(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> Settings:
    return settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path / 'session.db'}")


async def profile(peers: BusPeers, account: AccountId) -> Profile | None:
    """Requests a profile. Returns None if there is none yet."""
    try:
        return (await peers.edge.send(GetAccount(account))).profile
    except RequestError:
        return None


# Without Redis


async def test_without_redis_chats_are_created_and_all_nodes_notified(
    peers: BusPeers, settings: Settings, valkey_server: ValkeyServer
) -> None:
    async with peers.running(), running_service(settings):
        await peers.register(ANN, BOB)
        valkey_server.kill()
        chat = (await peers.create(BOB, actor=ANN)).chat.id

        async def broadcast_events() -> list[object]:
            return [one.event for one in peers.events[on.NOTIFY_ALL]]

        created = ChatCreated(chat, ANN, [ANN, BOB], 1, "n1、n2", await peers.pending_numbers(BOB))
        await eventually(broadcast_events, lambda found: found == [created])
        assert (await ops_get(settings, "/readyz"))[0] == 200
        valkey_server.restart()
        assert await eventually(partial(peers.version, chat), bool) == 1


async def test_a_node_that_lost_redis_is_notified_of_all_accounts(
    nats_server: NatsServer, valkey_server: ValkeyServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this time, presence does not show which accounts are online."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    node = NodeId("edge-1")
    peers = BusPeers(nats_server, valkey_server)
    peers.subscribe(node)
    admin = Bus(nats_server.settings("admin"), "admin", CollectorRegistry())
    await admin.start()
    async with peers.running(), running_service(settings):
        await peers.presence.beat(node, 10)
        await peers.register(ANN, BOB)
        await peers.edge.publish(on.PRESENCE_INCOMPLETE, pack(PresenceIncomplete(node, 10_000, [ANN, BOB])))
        await peers.create(BOB, actor=ANN)
        [event] = await peers.wait_for_events(on.notify(node))
        assert event.recipients == [ANN, BOB]
        await peers.edge.publish(on.PRESENCE_INCOMPLETE, pack(PresenceIncomplete(node, 0, [])))
        await peers.register(ANN)
        assert (await admin.send(ListAccounts(online=True))).accounts == []
        await peers.edge.publish(on.PRESENCE_INCOMPLETE, pack(PresenceIncomplete(node, 10_000, [BOB])))
        await peers.register(ANN)
        online = (await admin.send(ListAccounts(online=True))).accounts
        assert online == [BOB]
    await admin.stop()
    assert peers.events[on.NOTIFY_ALL] == []


async def test_deletion_event_waits_for_redis_beyond_the_end_of_the_process(
    peers: BusPeers, settings: Settings, valkey_server: ValkeyServer
) -> None:
    async with peers.running():
        async with running_service(settings):
            await peers.register(ANN, BOB)
            chat = (await peers.create(BOB, actor=ANN)).chat.id
            valkey_server.kill()
            await peers.auth.publish_event(on.ACCOUNT_DELETED, AccountDeleted(ANN), key="deleted-1")
            await eventually(partial(profile, peers, ANN), lambda found: found is not None and found.deleted)
            await eventually(partial(ops_get, settings, "/metrics"), lambda page: "versions_untold 1.0" in page[1])
            await asyncio.sleep(0.5)  # in this time, the event would be acknowledged if it could be
        valkey_server.restart()
        async with running_service(settings):
            assert await eventually(partial(peers.version, chat), bool) == 2


async def test_number_of_unpublished_versions_is_bounded(
    peers: BusPeers, settings: Settings, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_notifier, "_UNPUBLISHED_CHATS", 2)
    async with peers.running(), running_service(settings):
        await peers.register(ANN)
        valkey_server.kill()
        numbers = [(await peers.create(actor=ANN)).chat.id for _ in range(3)]
        body = (await ops_get(settings, "/metrics"))[1]
        assert "dragoman_session_versions_untold 2.0" in body
        assert "dragoman_session_versions_dropped_total 1.0" in body
        valkey_server.restart()
        assert await eventually(partial(peers.version, numbers[1]), bool) == 1
        assert await peers.version(numbers[2]) is None
        assert (await peers.changes(numbers[2])).version == 1


# Events


async def test_deletion_event_from_before_the_start_is_processed(peers: BusPeers, settings: Settings) -> None:
    async with peers.running():
        async with running_service(settings):
            await peers.register(ANN, BOB)
            chat = (await peers.create(BOB, actor=ANN)).chat.id
        await peers.auth.publish_event(on.ACCOUNT_DELETED, AccountDeleted(ANN), key="deleted-1")
        async with running_service(settings):
            await eventually(partial(profile, peers, ANN), lambda found: found is not None and found.deleted)
            assert await eventually(partial(peers.version, chat), lambda found: found == 2)
            changes = await peers.changes(chat)
            assert [(one.account, int(one.role)) for one in changes.members] == [(ANN, 0), (BOB, 3)]


async def test_deletion_interrupted_before_publishing_is_published_later(peers: BusPeers, settings: Settings) -> None:
    async with peers.running():
        async with running_service(settings):
            await peers.register(ANN, BOB)
            chat = (await peers.create(BOB, actor=ANN)).chat.id
        database = Database(settings.database_url("session"))
        await database.write(partial(profiles.erase_profile, account=ANN, uuid="x", now=now_ms()))
        await database.write(partial(departures.leave_chats, account=ANN, now=now_ms(), broadcast_from=9))
        await database.close()
        await peers.auth.publish_event(on.ACCOUNT_DELETED, AccountDeleted(ANN), key="deleted-1")
        assert await peers.version(chat) == 1
        async with running_service(settings):
            assert await eventually(partial(peers.version, chat), lambda found: found == 2)


async def test_registration_event_creates_the_profile_without_a_request(peers: BusPeers, settings: Settings) -> None:
    seed = EnsureProfile(account=ANN, uuid="u", nickname="Ann", lobby=True)
    peers.heads[LOBBY] = 3
    async with peers.running():
        await peers.auth.publish_event(on.ACCOUNT_REGISTERED, AccountRegistered(seed), key="registered-1")
        async with running_service(settings):
            entries = await eventually(
                partial(peers.message.request, ListChats.route, ListChats(ANN)), lambda found: bool(found.entries)
            )
            assert entries == ChatList([ChatEntry(LOBBY, 1, 4)])
            assert await peers.version(LOBBY) == (await peers.changes(LOBBY)).version


async def test_lobby_is_joined_later_when_message_service_was_unavailable(
    nats_server: NatsServer,
    peers: BusPeers,
    settings: Settings,
    valkey_server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_reader, "_REQUEST_SECONDS", 0.5)
    without_message = BusPeers(nats_server, valkey_server)
    async with without_message.running(), running_service(settings):
        await without_message.message.drain()
        failure = await rejection(without_message.register(ANN, lobby=True))
        assert failure.code == ErrorCode.UNAVAILABLE
        assert (await without_message.chats(ANN)) == []
        async with peers.running():
            peers.heads[LOBBY] = 7
            await peers.register(ANN, lobby=True)
            assert await peers.message.send(ListChats(ANN)) == ChatList([ChatEntry(LOBBY, 1, 8)])


async def test_disabled_lobby_is_not_joined(peers: BusPeers, settings: Settings) -> None:
    without_lobby = settings.model_copy(update={"auth": settings.auth.model_copy(update={"lobby": False})})
    async with peers.running(), running_service(without_lobby):
        await peers.register(ANN, lobby=True)
        assert await peers.chats(ANN) == []


# Replicas


async def test_two_replicas_share_one_lobby_and_its_versions(
    peers: BusPeers, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer
) -> None:
    accounts = range(1, 31)
    with postgres_server.database() as url:
        one, other = (settings_for(nats_server, valkey_server, url) for _ in range(2))
        async with peers.running(), running_service(one), running_service(other):
            await asyncio.gather(*(peers.register(account, lobby=True) for account in accounts))
            changes = await peers.changes(LOBBY)
            assert changes.version == 61
            assert sorted(one.account for one in changes.members) == list(accounts)
            assert await peers.version(LOBBY) == 61
            created = await asyncio.gather(*(peers.create(*accounts, actor=account) for account in accounts))
            assert len({view.chat.id for view in created}) == 30
            await asyncio.gather(*(peers.erase(account) for account in range(2, 12)))
            views = [await peers.changes(view.chat.id) for view in created]
            assert {view.version for view in views} == {11}
            assert [await peers.version(view.chat) for view in views] == [11] * 30


# Start and shutdown


async def test_ready_when_nats_and_database_answer(
    peers: BusPeers, settings: Settings, nats_server: NatsServer
) -> None:
    ready = partial(ops_get, settings, "/readyz")
    async with peers.running(), running_service(settings):
        assert await eventually(ready, lambda found: found[0] == 200)
        assert (await ops_get(settings, "/healthz"))[0] == 200
        nats_server.pause()
        assert "nats" in (await eventually(ready, lambda found: found[0] == 503))[1]
        nats_server.resume()
        await eventually(ready, lambda found: found[0] == 200)


async def test_requests_in_progress_are_answered_before_shutdown(peers: BusPeers, settings: Settings) -> None:
    async with peers.running(), running_service(settings) as stopping:
        # a heartbeat shows that requests are handled, even before the start is complete
        await eventually(peers.announcements, bool)
        await peers.register(ANN, BOB)
        requests = [asyncio.ensure_future(peers.create(BOB, actor=ANN)) for _ in range(20)]
        await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        created = await asyncio.gather(*requests)
        assert len({view.chat.id for view in created}) == 20
        last = (await eventually(peers.announcements, lambda messages: messages[-1].leaving))[-1]
        assert last.versions == {}


async def test_ends_when_a_worker_of_events_ends(
    peers: BusPeers, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(DurableWorker, "run", fail)
    async with peers.running(), asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(ExceptionGroup) as caught:
            await serve(settings, asyncio.Event())
    assert caught.value.subgroup(WorkerFailed) is not None


async def stops_before_it_is_ready(settings: Settings) -> None:
    """Stops the service while it still waits for a dependency."""
    stopping = asyncio.Event()
    task = asyncio.create_task(serve(settings, stopping))
    await eventually(partial(ops_get, settings, "/healthz"), lambda found: found[0] == 200)
    assert (await ops_get(settings, "/readyz"))[0] == 503
    stopping.set()
    await asyncio.wait_for(task, WAIT_SECONDS)


async def test_stops_while_waiting_for_the_broker(settings: Settings) -> None:
    await stops_before_it_is_ready(settings.model_copy(update={"nats": NatsSettings(url="nats://127.0.0.1:1")}))


async def test_stops_while_waiting_for_the_database(settings: Settings) -> None:
    nowhere = DatabaseSettings(url=SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    await stops_before_it_is_ready(settings.model_copy(update={"database": nowhere}))


async def test_does_not_start_without_migrated_tables(settings: Settings, tmp_path: Path) -> None:
    empty = DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path / 'empty.db'}"))
    with pytest.raises(NotMigrated, match="dragoman migrate"):
        await serve(settings.model_copy(update={"database": empty}), asyncio.Event())


async def test_recovers_after_a_database_outage(
    peers: BusPeers, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer
) -> None:
    with postgres_server.database() as url:
        settings = settings_for(nats_server, valkey_server, url)
        async with peers.running(), running_service(settings):
            await peers.register(ANN)
            postgres_server.stop()
            assert (await rejection(peers.create(actor=ANN))).code == ErrorCode.UNAVAILABLE
            await eventually(partial(ops_get, settings, "/readyz"), lambda found: "database" in found[1])
            postgres_server.start()
            chat = (await peers.create(actor=ANN)).chat.id
            assert await peers.chats(ANN) == [chat]


# Memory


_LOADED = """
import asyncio, sys
from services.session.app import serve
from shared.settings import Settings

async def start_and_stop():
    stopping = asyncio.Event()
    stopping.set()
    settings = Settings(push={"key": sys.argv[1]}, database={"url": "sqlite:///session.db"}, ops={"port": 0})
    await serve(settings, stopping)

asyncio.run(start_and_stop())
print([name for name in sys.modules if name.startswith("cryptography.hazmat")])
"""


def test_cryptography_is_not_loaded_until_a_device_needs_it(tmp_path: Path) -> None:
    command, environment = [sys.executable, "-c", _LOADED, make_key()], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"
