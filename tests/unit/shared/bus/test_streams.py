"""Each process creates the streams and consumers that it needs, even after the broker has lost its stored data."""

import asyncio
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from shared.bus import streams
from shared.bus.client import Bus
from shared.bus.nats_client import UnfitServer
from shared.contract import subjects as on
from shared.contract.events import AccountDeleted, MailRequested
from shared.contract.permissions import BUS_USERS, needed_consumers
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.shared.bus.test_client import running
from tests.unit.shared.bus.test_durable import DELETED, DurableService, deletion, stream, until_empty


def everything_allowed(settings: dict[str, Any]) -> None:
    settings["authorization"]["users"].append({"user": "root", "password": "root"})


def auth_service(server: NatsServer) -> Bus:
    """A service that consumes and publishes events, as auth does."""

    async def deliver(_: MailRequested) -> None:
        """Handles requests for mails without sending a mail."""

    bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
    bus.consume(on.MAIL_REQUESTED, deliver)
    return bus


async def publish_until_stored(bus: Bus, account: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await bus.publish_event(DELETED, deletion(account), key=f"deleted-{account}")
            except (nats.errors.Error, TimeoutError):
                await asyncio.sleep(0.1)


async def root(server: NatsServer) -> Client:
    return await nats.connect(f"nats://127.0.0.1:{server.port}", user="root", password="root")


async def test_a_service_creates_what_is_missing_at_its_start(nats_server: NatsServer) -> None:
    nats_server.make_bare()
    auth, session, message = (
        auth_service(nats_server),
        DurableService(nats_server, "session"),
        DurableService(nats_server, "message"),
    )
    async with running(auth, session.bus, message.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        async with asyncio.timeout(WAIT_SECONDS):
            assert await session.done.get() == await message.done.get() == 7


async def test_the_publisher_of_an_event_creates_all_its_consumers(nats_server: NatsServer) -> None:
    """If the publisher did not create a consumer, the event would not be stored for a service that starts later."""
    nats_server.make_bare()
    auth, message = auth_service(nats_server), DurableService(nats_server, "message")
    async with running(auth):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        async with running(message.bus), asyncio.timeout(WAIT_SECONDS):
            assert await message.done.get() == 7


async def test_events_flow_again_after_the_broker_lost_its_store(nats_server: NatsServer) -> None:
    auth, session = auth_service(nats_server), DurableService(nats_server, "session")
    lost: list[str] = []
    session.bus.notify_events_lost(lambda: lost.append("session"))
    async with running(auth, session.bus):
        await auth.publish_event(DELETED, deletion(7), key="deleted-7")
        assert await session.done.get() == 7
        assert lost == []
        await asyncio.to_thread(nats_server.make_bare)
        await publish_until_stored(auth, 8)
        async with asyncio.timeout(WAIT_SECONDS):
            while await session.done.get() != 8:
                pass  # NATS may have lost the acknowledgement of event 7
            while lost != ["session"]:
                await asyncio.sleep(0.01)


async def test_a_lost_consumer_is_noticed(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_READY_CHECK_SECONDS", 0.5)
    with nats_server.configured(everything_allowed):
        auth, session = auth_service(nats_server), DurableService(nats_server, "session")
        async with running(auth, session.bus):
            client = await root(nats_server)
            await client.jetstream().delete_consumer(on.STREAM, "session-account_deleted")
            async with asyncio.timeout(WAIT_SECONDS):
                while not await has_consumer(client, "session-account_deleted"):
                    await asyncio.sleep(0.05)
            await auth.publish_event(DELETED, deletion(7), key="deleted-7")
            async with asyncio.timeout(WAIT_SECONDS):
                assert await session.done.get() == 7
            await client.close()


async def test_a_lost_stream_is_noticed_when_nothing_stores_an_event(nats_server: NatsServer) -> None:
    with nats_server.configured(everything_allowed):
        auth = auth_service(nats_server)
        async with running(auth):
            client = await root(nats_server)
            await client.jetstream().delete_stream(on.STREAM)
            await publish_until_stored(auth, 7)
            assert await has_consumer(client, "message-account_deleted")
            await client.close()


async def has_consumer(client: Client, name: str) -> bool:
    try:
        await client.jetstream().consumer_info(on.STREAM, name)
    except NotFoundError:
        return False
    return True


async def test_a_probe_is_stored_and_removed(nats_server: NatsServer) -> None:
    session = DurableService(nats_server, "session")
    async with running(session.bus):
        await session.bus.check_events()
        assert (await stream(nats_server, on.STREAM)).state.last_seq == 1
        await until_empty(nats_server)


async def test_a_probe_fails_without_a_stream(nats_server: NatsServer) -> None:
    with nats_server.configured(lambda settings: settings.pop("jetstream")):
        session = DurableService(nats_server, "session")
        async with running(session.bus):
            with pytest.raises(UnfitServer, match="NATS runs without JetStream"):
                await session.bus.check_events()


async def test_a_service_starts_while_jetstream_does_not_answer(nats_server: NatsServer) -> None:
    with nats_server.configured(lambda settings: settings.pop("jetstream")):
        session = DurableService(nats_server, "session")
        async with running(session.bus):
            await session.bus.check()


def test_only_consumers_of_events_create_any() -> None:
    names = {user: {on.durable(service, topic) for service, topic in needed_consumers(user)} for user in BUS_USERS}
    assert names == {
        "auth": {
            "auth-mail_requested",
            "auth-mail_digest",
            "session-account_registered",
            "session-bot_registered",
            "session-account_deleted",
            "message-account_deleted",
            "auth-health",
        },
        "session": {
            "session-account_registered",
            "session-bot_registered",
            "session-account_deleted",
            "session-outgoing_hooks_due",
            "session-push_due",
            "session-health",
            "auth-mail_digest",
        },
        "message": {"message-account_deleted", "message-health", "session-outgoing_hooks_due", "session-push_due"},
        "edge": set(),
        "admin": set(),
        "dashboard": set(),
        "search": set(),
    }
    assert AccountDeleted is DELETED.event
