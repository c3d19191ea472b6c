"""Committed events reach the broker once and in order, even when the broker is killed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.auth.adapters import publishing
from services.auth.adapters.publishing import OutboxRelay
from services.auth.metrics import AuthMetrics
from services.auth.store import outbox
from shared.bus.client import Bus, pack
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId
from shared.contract.subjects import ACCOUNT_DELETED, Topic
from shared.database import Database
from shared.settings.servers import TracingSettings
from shared.telemetry import trace
from shared.tracing import Tracer
from tests.support.collector import Collector
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

Q = TypeVar("Q")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.close()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats_server.settings("auth"), "auth", CollectorRegistry())
    await bus.start()
    yield bus
    await bus.stop()


class DeletionListener:
    """The consumer of deleted accounts in the message service.

    `received` has each account, with the trace of its event.
    """

    def __init__(self, nats: NatsServer) -> None:
        self.bus = Bus(nats.settings("message"), "message", CollectorRegistry())
        self.bus.consume(ACCOUNT_DELETED, self._on_deletion)
        self.received: list[tuple[AccountId, str]] = []

    async def _on_deletion(self, event: AccountDeleted) -> None:
        self.received.append((event.account, trace.get()))

    async def receive(self, count: int) -> list[AccountId]:
        """Waits for `count` accounts.

        Returns them in order of their first arrival, because an event that is not acknowledged is received again.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while len(accounts := list(dict.fromkeys(account for account, _ in self.received))) < count:
                await asyncio.sleep(0.01)
        return accounts


@pytest.fixture
async def message(nats_server: NatsServer) -> AsyncIterator[DeletionListener]:
    message = DeletionListener(nats_server)
    await message.bus.start()
    yield message
    await message.bus.stop()


async def commit(database: Database, *accounts: int) -> None:
    def step(connection: sa.Connection) -> None:
        for account in accounts:
            outbox.add_event(connection, ACCOUNT_DELETED, AccountDeleted(AccountId(account)))

    await database.write(step)


async def is_empty(database: Database) -> bool:
    return await database.read(partial(outbox.oldest, limit=1)) == []


async def test_events_are_published_in_order_with_their_trace(
    database: Database, bus: Bus, message: DeletionListener, metrics: AuthMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BATCH", 4)
    relay = OutboxRelay(database, bus, metrics)
    trace.set("a" * 32)
    await commit(database, *range(1, 11))
    task = asyncio.create_task(relay.run())
    assert await message.receive(10) == list(range(1, 11))
    assert {event_trace for _, event_trace in message.received} == {"a" * 32}
    await commit(database, 11)
    relay.wake()
    assert await message.receive(11) == list(range(1, 12))
    relay.finish()
    await task
    assert await is_empty(database)


async def test_events_belong_to_the_trace_that_committed_them(
    database: Database, nats_server: NatsServer, metrics: AuthMetrics, collector: Collector
) -> None:
    tracer = Tracer(TracingSettings(endpoint=collector.endpoint), "auth")
    bus, message = (Bus(nats_server.settings(name), name, CollectorRegistry(), tracer) for name in ("auth", "message"))
    handled = asyncio.Event()

    async def handle(_: AccountDeleted) -> None:
        handled.set()

    message.consume(ACCOUNT_DELETED, handle)
    await asyncio.gather(bus.start(), message.start())
    relay = OutboxRelay(database, bus, metrics, tracer)
    trace.set("b" * 32)
    await commit(database, 1)
    relay.finish()
    await relay.run()
    await handled.wait()
    await asyncio.gather(bus.stop(), message.stop())
    await tracer.shut_down()
    publishing, handling = sorted(collector.spans(lambda spans: len(spans) >= 2), key=lambda span: span.parent)
    assert {(span.name, span.trace) for span in (publishing, handling)} == {(ACCOUNT_DELETED.subject, "b" * 32)}
    assert handling.parent == publishing.id


async def test_replicas_publish_an_event_once(
    database: Database, bus: Bus, message: DeletionListener, metrics: AuthMetrics
) -> None:
    await commit(database, *range(1, 41))
    relays = [OutboxRelay(database, bus, metrics) for _ in range(3)]
    tasks = [asyncio.create_task(one.run()) for one in relays]
    await message.receive(40)
    for one in relays:
        one.finish()
    await asyncio.gather(*tasks)
    assert sorted(account for account, _ in message.received) == list(range(1, 41))
    assert await is_empty(database)


async def test_events_committed_before_the_end_are_published(
    database: Database, bus: Bus, message: DeletionListener, metrics: AuthMetrics
) -> None:
    relay = OutboxRelay(database, bus, metrics)
    await commit(database, 1)
    relay.finish()
    await relay.run()
    assert await message.receive(1) == [1]


async def test_events_survive_the_broker_being_killed(
    database: Database, bus: Bus, message: DeletionListener, metrics: AuthMetrics, nats_server: NatsServer,
    registry: CollectorRegistry,
) -> None:  # fmt: skip
    relay = OutboxRelay(database, bus, metrics)
    task = asyncio.create_task(relay.run())
    for number in range(1, 31):
        await commit(database, number)
        relay.wake()
        if number % 10 == 5:
            nats_server.kill()
        if number == 16:
            await has_failed(registry)
        if number % 10 == 0:
            nats_server.start()
            await message.receive(number)
    relay.finish()
    await task
    assert await message.receive(30) == list(range(1, 31))
    assert await is_empty(database)


async def has_failed(registry: CollectorRegistry) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not registry.get_sample_value("dragoman_auth_relay_failures_total"):
            await asyncio.sleep(0.01)


class NextAccountDeleted(msgspec.Struct):
    """The event of a deletion as the next version may define it, with an additional field."""

    account: AccountId
    reason: str


async def test_events_of_the_next_version_are_published_unchanged(
    database: Database, nats_server: NatsServer, metrics: AuthMetrics
) -> None:
    """A replica of the next version commits an event with a field and a topic that this version does not have."""
    later: Topic[NextAccountDeleted] = Topic("events.auth.something_new", NextAccountDeleted)
    known = replace(later, subject=ACCOUNT_DELETED.subject)
    published: list[tuple[str, bytes]] = []

    class Recording(Bus):
        async def publish_event(self, topic: Topic[Q], event: Q, *, key: str) -> None:
            published.append((topic.subject, pack(event)))

    def step(connection: sa.Connection) -> None:
        outbox.add_event(connection, known, NextAccountDeleted(AccountId(7), "gdpr"))
        outbox.add_event(connection, later, NextAccountDeleted(AccountId(8), ""))

    await database.write(step)
    relay = OutboxRelay(database, Recording(nats_server.settings("auth"), "auth", CollectorRegistry()), metrics)
    relay.finish()
    await relay.run()
    assert [(subject, msgspec.msgpack.decode(payload)) for subject, payload in published] == [
        (ACCOUNT_DELETED.subject, {"account": 7, "reason": "gdpr"}),
        (later.subject, {"account": 8, "reason": ""}),
    ]
    assert await is_empty(database)


async def test_event_keys_are_unique_in_a_new_database_too(database: Database) -> None:
    """Keys of events are not used again after earlier entries were removed."""
    await commit(database, 1)
    [first] = await database.read(partial(outbox.oldest, limit=9))
    await database.write(partial(outbox.remove, entries=[first.id]))
    await commit(database, 1)
    [second] = await database.read(partial(outbox.oldest, limit=9))
    assert first.key != second.key
    assert second.id > first.id
    assert msgspec.msgpack.encode(second.event) == msgspec.msgpack.encode(first.event)
