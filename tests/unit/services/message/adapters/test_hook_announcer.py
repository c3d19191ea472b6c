"""Events for chats with outgoing hooks, over a real stream."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters import hook_announcer
from services.message.adapters.hook_announcer import HookAnnouncer
from shared.bus.client import Bus
from shared.contract.events import OutgoingHooksDue
from shared.contract.ids import ChatId
from shared.contract.subjects import OUTGOING_HOOKS_DUE
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

CHAT, OTHER = (ChatId(secrets.randbelow(2**40)) for _ in range(2))


class Listeners:
    """Message, and session, which handles its events."""

    def __init__(self, nats_server: NatsServer) -> None:
        self.message, self.session = (
            Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("message", "session")
        )
        self.found: asyncio.Queue[OutgoingHooksDue] = asyncio.Queue()
        self.session.consume(OUTGOING_HOOKS_DUE, self._receive)

    async def _receive(self, event: OutgoingHooksDue) -> None:
        if event.chat in (CHAT, OTHER):
            self.found.put_nowait(event)

    async def next(self) -> OutgoingHooksDue:
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
    announcer = HookAnnouncer(listeners.message)
    for chat, index in ((CHAT, 4), (OTHER, 9), (CHAT, 6), (CHAT, 5)):
        announcer.announce(chat, index)
    assert {await listeners.next(), await listeners.next()} == {OutgoingHooksDue(CHAT, 6), OutgoingHooksDue(OTHER, 9)}
    announcer.announce(CHAT, 7)
    await announcer.close()
    assert await listeners.next() == OutgoingHooksDue(CHAT, 7)
    assert listeners.found.empty()


async def test_few_chats_wait(listeners: Listeners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_announcer, "_CHATS", 1)
    announcer = HookAnnouncer(listeners.message)
    for chat, index in ((CHAT, 14), (OTHER, 19), (CHAT, 15)):
        announcer.announce(chat, index)
    await announcer.close()
    assert await listeners.next() == OutgoingHooksDue(CHAT, 15)
    assert listeners.found.empty()


async def test_an_event_that_is_not_stored_is_dropped(
    nats_server: NatsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Session finds its messages by itself."""
    with nats_server.configured(lambda settings: settings.pop("jetstream")):
        message = Bus(nats_server.settings("message"), "message", CollectorRegistry())
        await message.start()
        announcer = HookAnnouncer(message)
        announcer.announce(CHAT, 24)
        await announcer.close()
        await message.stop()
    assert announcer._heads == {}
    assert "task failed" not in capsys.readouterr().out
