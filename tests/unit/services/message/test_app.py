"""Tests the service as a process: subjects, heartbeats, shutdown, and unavailable dependencies."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.message.app import serve
from shared.bus.client import Bus, WorkerFailed, pack
from shared.bus.durable import DurableWorker
from shared.clock import now_ms
from shared.contract import subjects as on
from shared.contract.edge import Heartbeat, PresenceIncomplete
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.message import (
    ChatSynced,
    GetHeads,
    GetHistory,
    GetUnread,
    Marked,
    MarkRead,
    PostMessages,
    ReadRange,
    Sync,
    SyncChat,
    Unread,
)
from shared.contract.model import Message
from shared.contract.routes import Ack
from shared.contract.session import EraseAccount
from shared.partitions import STOPPING
from shared.schema import NotMigrated
from shared.settings import Settings
from shared.settings.servers import DatabaseSettings, NatsSettings
from tests.support.databases import forgotten_transaction
from tests.support.ops_port import ops_get
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    HALL,
    NORTH,
    ROOM,
    SOUTH,
    MessageEnvironment,
    locked_database,
    metric_value,
    running_replica,
    second_replica,
    settings_for,
    wait_until,
)


@asynccontextmanager
async def bus_user(nats_server: NatsServer, name: str) -> AsyncIterator[Bus]:
    """Connects as another user of NATS."""
    bus = Bus(nats_server.settings(name), name, CollectorRegistry())
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


# Subjects


async def test_every_subject_answers_its_users(
    env: MessageEnvironment, settings: Settings, nats_server: NatsServer
) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    edge = env.edges.bus
    async with (
        running_replica(settings),
        bus_user(nats_server, "auth") as auth,
        bus_user(nats_server, "admin") as admin,
    ):
        posted = await env.edges.send(ANN, ROOM, b"hello")
        message = Message(ROOM, 1, posted.id, ANN, posted.time, b"hello", env.edges.last_nonce)
        synced = await edge.send(Sync(BOB))
        assert [(entry.chat, entry.head, entry.messages) for entry in synced.chats] == [(ROOM, 1, [message])]
        assert await edge.send(SyncChat(ROOM, [BOB], 0)) == ChatSynced(ROOM, 1, 1, [message], {BOB: 1}, {BOB: 1}, 2)
        assert await edge.send(GetUnread(BOB, 5)) == Unread(1, [message])
        assert await edge.send(MarkRead([ReadRange(BOB, ROOM, 1, 1)])) == Marked()
        assert (await edge.send(Sync(BOB))).chats[0].messages == []
        assert (await env.session.bus.send(GetHeads([ROOM, HALL]))).heads == {ROOM: 1, HALL: 0}
        assert (await admin.send(GetHistory(ROOM, -1, 1, all=True))).messages == [message]
        assert await auth.request(on.ERASE_READ_STATE, EraseAccount(BOB)) == Ack()
        assert (await edge.send(Sync(BOB))).chats[0].messages == [message]
        with pytest.raises(RequestError) as rejected:
            await edge.send(SyncChat(HALL, [BOB], 0))
        assert rejected.value.failure.code is ErrorCode.NOT_FOUND
        errors = re.findall(r"dragoman_bus_errors_total\{.*} (.*)", (await ops_get(settings, "/metrics"))[1])
        assert set(errors) == {"0.0"}


async def test_an_account_deleted_during_downtime_is_erased_after_the_restart(
    env: MessageEnvironment, settings: Settings, nats_server: NatsServer
) -> None:
    await env.session.add_members(ROOM, ANN, BOB)
    async with running_replica(settings):
        await env.edges.send(ANN, ROOM)
        await env.edges.bus.send(MarkRead([ReadRange(BOB, ROOM, 1, 1)]))
    async with bus_user(nats_server, "auth") as auth:
        await auth.publish_event(on.ACCOUNT_DELETED, AccountDeleted(BOB), key="deleted-2")
    async with running_replica(settings), asyncio.timeout(WAIT_SECONDS):
        while not (await env.edges.bus.send(Sync(BOB), retry=True)).chats[0].messages:
            await asyncio.sleep(0.02)


async def test_on_the_wire_batches_precede_their_reply(
    env: MessageEnvironment, settings: Settings, nats_server: NatsServer
) -> None:
    """A plain connection receives both, in the order in which NATS delivers them."""
    await env.session.add_members(ROOM, ANN)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings):
        await env.wait_for_replicas()
        reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
        edge = nats_server.settings("edge")
        login = {"user": edge.user, "pass": edge.password.get_secret_value(), "verbose": False}
        inbox, deliver = b"inbox.edge.bare", on.deliver(NORTH).encode()
        writer.write(b"CONNECT %s\r\nSUB %s 1\r\nSUB %s 2\r\n" % (json.dumps(login).encode(), inbox, deliver))
        for _ in range(20):
            request = msgspec.msgpack.encode(PostMessages(NORTH, [env.edges.draft(ANN, ROOM)]))
            writer.write(b"PUB message.post %s %d\r\n%s\r\n" % (inbox, len(request), request))
        arrived: list[bytes] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while arrived.count(inbox) < 20:
                line = await reader.readline()
                if line.startswith(b"MSG "):
                    _, subject, *_, size = line.split()
                    arrived.append(subject)
                    await reader.readexactly(int(size) + 2)
        writer.close()
    assert arrived[0] == deliver
    sizes = [len(batch.deliveries) for batch in env.edges.batches[NORTH]]
    answered = 0
    for position, subject in enumerate(arrived):
        if subject == inbox:
            answered += 1
            assert answered <= sum(sizes[: arrived[:position].count(deliver)])
    assert sum(sizes) == 20


# Heartbeats and shutdown


async def test_a_node_that_lost_redis_is_sent_the_messages_of_all_chats(
    env: MessageEnvironment, settings: Settings
) -> None:
    """Presence does not name that node. Another node still gets only messages for its own accounts."""
    await env.session.add_members(ROOM, ANN, BOB)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings):
        await env.wait_for_replicas()
        await env.edges.bus.publish(on.PRESENCE_INCOMPLETE, pack(PresenceIncomplete(SOUTH, 10_000, [ANN, BOB])))
        await env.edges.send(ANN, ROOM)
        await wait_until(lambda: len(env.edges.received(SOUTH)) == 1)
        await env.edges.bus.publish(on.PRESENCE_INCOMPLETE, pack(PresenceIncomplete(SOUTH, 0, [])))
        await env.edges.send(ANN, ROOM)
        await wait_until(lambda: len(env.edges.received(NORTH)) == 2)
    assert [set(one.recipients or ()) for one in env.edges.batches[SOUTH][0].deliveries] == [{ANN, BOB}]
    assert (len(env.edges.received(SOUTH)), env.edges.batches["all"]) == (1, [])


async def test_heartbeats_are_sent_every_second_and_announce_the_shutdown(
    env: MessageEnvironment, settings: Settings
) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings):
        await env.wait_for_replicas()
        started = time.monotonic()
        await env.edges.send(ANN, ROOM)
        await wait_until(lambda: bool(env.edges.empty_batches[NORTH]))
        beats = len(env.edges.heartbeats)
        await wait_until(lambda: len(env.edges.heartbeats) == beats + 2)
        assert 1.5 < time.monotonic() - started < 15
        assert not any(beat.leaving for beat in env.edges.heartbeats)
    await wait_until(lambda: env.edges.heartbeats[-1].leaving)
    (batch,), (after, *_) = env.edges.batches[NORTH], env.edges.empty_batches[NORTH]
    assert (batch.counter, after.counter) == (1, 2)
    last = env.edges.heartbeats[-1]
    assert last == Heartbeat(batch.replica, batch.epoch, {}, True, last.now, STOPPING, load=last.load)
    assert abs(last.now - now_ms()) < 60_000


async def test_shutdown_commits_delivers_and_answers_queued_requests(
    env: MessageEnvironment, settings: Settings
) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.edges.join(NORTH, ANN)
    async with running_replica(settings) as stopping:
        await env.edges.send(ANN, ROOM)
        async with locked_database(settings) as release:
            posts = [asyncio.create_task(env.edges.send(ANN, ROOM)) for _ in range(5)]
            async with asyncio.timeout(WAIT_SECONDS):
                while await metric_value(settings, "dragoman_message_queue_rows") < 5:
                    await asyncio.sleep(0.01)
            stopping.set()
            await asyncio.sleep(0.2)
            assert (await ops_get(settings, "/readyz"))[0] == 503
            release.set()
            assert sorted([posted.index for posted in await asyncio.gather(*posts)]) == [2, 3, 4, 5, 6]
    assert [index for _, index, _ in env.edges.received(NORTH)] == [1, 2, 3, 4, 5, 6]
    await wait_until(lambda: env.edges.heartbeats[-1].leaving)


async def test_a_rolling_restart_posts_each_message_once(env: MessageEnvironment, settings: Settings) -> None:
    await env.session.add_members(ROOM, ANN)
    done = asyncio.Event()
    indexes: list[int] = []

    async def send_messages() -> None:
        while not done.is_set():
            request = PostMessages(NORTH, [env.edges.draft(ANN, ROOM)])
            posted = (await env.edges.bus.send(request, retry=True)).posted
            indexes.extend(one.index for one in posted if one is not None)

    async with running_replica(settings) as first:
        sending = asyncio.create_task(send_messages())
        async with running_replica(second_replica(settings)):
            await env.wait_for_replicas(2)
            await wait_until(lambda: len(indexes) > 10)
            first.set()
            await wait_until(lambda: any(beat.leaving for beat in env.edges.heartbeats))
            before = len(indexes)
            await wait_until(lambda: len(indexes) > before + 10)
            done.set()
            await sending
    assert indexes == list(range(1, len(indexes) + 1))


# Unavailable dependencies


async def test_readiness_needs_the_database_and_nats_but_not_redis(
    env: MessageEnvironment, settings: Settings, valkey_server: ValkeyServer, nats_server: NatsServer
) -> None:
    async with running_replica(settings):
        await env.wait_for_replicas()
        assert await ops_get(settings, "/readyz") == (200, '{"status":"ready"}\n')
        valkey_server.kill()
        assert (await ops_get(settings, "/readyz"))[0] == 200
        nats_server.pause()
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := await ops_get(settings, "/readyz"))[0] == 200:
                await asyncio.sleep(0.05)
        nats_server.resume()
        assert found[0] == 503
        assert "nats" in found[1]


async def test_readiness_needs_a_database_that_commits_and_a_stream_that_stores(
    nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer
) -> None:
    with postgres_server.database() as url:
        settings = settings_for(nats_server, valkey_server, url)
        async with running_replica(settings):
            await until_ready(settings, "")
            with postgres_server.read_only(url):
                await until_ready(settings, "database")
            await until_ready(settings, "")
            with forgotten_transaction(settings.database_url("message"), "LOCK TABLE heads"):
                await until_ready(settings, "database")
                assert (await ops_get(settings, "/healthz"))[0] == 200
                assert "(a report, idle in transaction" in (await ops_get(settings, "/readyz"))[1]
            await until_ready(settings, "")
            with nats_server.configured(lambda server: server.pop("jetstream")):
                await until_ready(settings, "events")
            await until_ready(settings, "")


async def until_ready(settings: Settings, failed: str) -> None:
    """Waits until the service is ready. The wait also ends when only this dependency fails."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            status, body = await ops_get(settings, "/readyz")
            if (status == 200) if not failed else (status == 503 and list(json.loads(body)) == [failed]):
                return
            await asyncio.sleep(0.05)


async def test_database_downtime_is_reported_and_recovered_from(
    env: MessageEnvironment, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer
) -> None:
    await env.session.add_members(ROOM, ANN)
    await env.edges.join(NORTH, ANN)
    with postgres_server.database() as url:
        settings = settings_for(nats_server, valkey_server, url)
        async with running_replica(settings):
            await env.edges.send(ANN, ROOM)
            postgres_server.stop()
            try:
                results = await env.edges.post(env.edges.draft(ANN, ROOM, b"lost"))
                assert results.failures[0].code is ErrorCode.UNAVAILABLE
                with pytest.raises(RequestError) as rejected:
                    await env.edges.bus.send(Sync(ANN))
                assert rejected.value.failure.code is ErrorCode.UNAVAILABLE
                await until_ready(settings, "database")
            finally:
                postgres_server.start()
            assert (await env.edges.send(ANN, ROOM)).index == 2
            await wait_until(lambda: len(env.edges.received(NORTH)) == 2)


async def test_stops_while_dependencies_are_unavailable(valkey_server: ValkeyServer) -> None:
    settings = Settings(
        nats=NatsSettings(url="nats://127.0.0.1:1"),
        redis=valkey_server.settings("message"),
        database=DatabaseSettings(url=SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/none")),
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(serve(settings, stopping))
    await asyncio.sleep(0.2)
    stopping.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await running


async def test_ends_when_a_worker_of_events_ends(
    nats_server: NatsServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(DurableWorker, "run", fail)
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(ExceptionGroup) as caught:
            await serve(settings, asyncio.Event())
    assert caught.value.subgroup(WorkerFailed) is not None


async def test_does_not_start_without_migrations(settings: Settings, tmp_path: object) -> None:
    bare = settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path}/bare.db"))})
    with pytest.raises(NotMigrated):
        await serve(bare, asyncio.Event())
