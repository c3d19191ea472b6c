"""Tests the events for chats with outgoing webhooks, which go over a real stream, and the events for notifications."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters import announcing
from services.message.adapters.announcing import PushAnnouncer, WebhookAnnouncer
from shared.bus.client import Bus
from shared.contract.events import OutgoingWebhooksDue
from shared.contract.ids import ChatId
from shared.contract.push import PushDue
from shared.contract.subjects import OUTGOING_WEBHOOKS_DUE
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.message.environment import wait_until

CHAT, OTHER = (ChatId(secrets.randbelow(2**40)) for _ in range(2))


class Listeners:
    """The message service, and the session service, which handles its events."""

    def __init__(self, nats_server: NatsServer) -> None:
        self.message, self.session = (
            Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("message", "session")
        )
        self.found: asyncio.Queue[OutgoingWebhooksDue] = asyncio.Queue()
        self.session.consume(OUTGOING_WEBHOOKS_DUE, self._receive)

    async def _receive(self, event: OutgoingWebhooksDue) -> None:
        if event.chat in (CHAT, OTHER):
            self.found.put_nowait(event)

    async def next(self) -> OutgoingWebhooksDue:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.found.get()


@pytest.fixture
async def listeners(nats_server: NatsServer) -> AsyncIterator[Listeners]:
    listeners = Listeners(nats_server)
    await listeners.session.start()
    await listeners.message.start()
    yield listeners
    await listeners.message.stop()
    await listeners.session.stop()


async def test_the_messages_of_a_moment_are_one_event_for_each_chat(listeners: Listeners) -> None:
    announcer = WebhookAnnouncer(listeners.message)
    for chat, index in ((CHAT, 4), (OTHER, 9), (CHAT, 6), (CHAT, 5)):
        announcer.announce(chat, index)
    assert {await listeners.next(), await listeners.next()} == {
        OutgoingWebhooksDue(CHAT, 6),
        OutgoingWebhooksDue(OTHER, 9),
    }
    announcer.announce(CHAT, 7)
    await announcer.close()
    assert await listeners.next() == OutgoingWebhooksDue(CHAT, 7)
    assert listeners.found.empty()


async def test_few_chats_wait(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcing, "_CHATS", 1)
    announcer = WebhookAnnouncer(listeners.message)
    for chat, index in ((CHAT, 14), (OTHER, 19), (CHAT, 15)):
        announcer.announce(chat, index)
    await announcer.close()
    assert await listeners.next() == OutgoingWebhooksDue(CHAT, 15)
    assert listeners.found.empty()


async def test_an_event_that_is_not_stored_is_dropped(
    nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Session finds the messages of lost events by itself."""
    with nats_server.configured(lambda settings: settings.pop("jetstream")):
        message = Bus(nats_server.settings("message"), "message", CollectorRegistry())
        await message.start()
        announcer = WebhookAnnouncer(message)
        announcer.announce(CHAT, 24)
        await announcer.close()
        await message.stop()
    assert announcer._heads == {}
    assert "task failed" not in capsys.readouterr().out


class SlowStream:
    """A stream. While it stores an event, chats change."""

    def __init__(self) -> None:
        self.events: list[list[ChatId]] = []
        self.announcer = PushAnnouncer(cast(Bus, self), "m", self._recent, lambda: False)
        self.error: Exception | None = None
        self.recent: list[ChatId] = []

    async def _recent(self, _: int) -> list[ChatId]:
        return self.recent

    async def publish_event(self, _: object, event: PushDue, *, key: str) -> None:
        self.events.append(event.chats)
        if self.error is not None:
            raise self.error
        if len(self.events) == 1:
            self.announcer.moved({CHAT})


async def test_a_chat_that_moves_while_it_is_announced_is_announced_again() -> None:
    stream = SlowStream()
    stream.announcer.moved({CHAT})
    await stream.announcer.publish()
    assert stream.events == [[CHAT], [CHAT]]
    stream.error = TimeoutError()
    stream.announcer.moved({OTHER})
    await stream.announcer.publish()
    stream.error = None
    await stream.announcer.publish()
    assert stream.events[2:] == [[OTHER], [OTHER]]


async def test_chats_with_recent_messages_are_announced_at_the_start() -> None:
    """Another replica may have ended before its announcement."""
    stream = SlowStream()
    stream.recent = [OTHER]
    running = asyncio.create_task(stream.announcer.run())
    await wait_until(lambda: stream.events != [])
    running.cancel()
    assert stream.events[0] == [OTHER]
