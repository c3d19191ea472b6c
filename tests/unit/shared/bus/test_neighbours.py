"""Services compare their databases over NATS.

A service does not serve if the database of another service contains higher numbers than its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from shared.bus import neighbours
from shared.bus.client import Bus
from shared.bus.neighbours import Neighbours
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.installation import DatabaseState
from shared.installation import DatabasesApart
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS


class NumberGiver:
    """A service that assigns numbers. `state` is the state of its database."""

    def __init__(self, server: NatsServer, name: str, state: DatabaseState) -> None:
        self.state = state
        self.bus = Bus(server.settings(name), name, CollectorRegistry())
        self.neighbours = Neighbours(self.bus, name, self._read)

    async def _read(self) -> DatabaseState:
        return self.state

    async def give(self) -> str:
        async def handle(request: str) -> str:
            return request

        return await self.neighbours.gated(handle)("given")


def state(account: int = 0, chat: int = 0) -> DatabaseState:
    return DatabaseState("us", True, AccountId(account), 0, ChatId(chat))


@contextlib.asynccontextmanager
async def running(*services: NumberGiver) -> AsyncIterator[None]:
    for one in services:
        await one.bus.start(one.neighbours.compare)
    try:
        yield
    finally:
        await asyncio.gather(*(one.bus.stop() for one in services))


async def test_does_not_start_beside_a_database_that_knows_more(nats_server: NatsServer) -> None:
    session = NumberGiver(nats_server, "session", state(account=2, chat=5))
    async with running(session):
        auth = NumberGiver(nats_server, "auth", state(account=1))
        with pytest.raises(DatabasesApart, match="of auth is older than that of session"):
            await auth.bus.start(auth.neighbours.compare)
        message = NumberGiver(nats_server, "message", state(account=2, chat=6))
        with pytest.raises(DatabasesApart, match="of session is older than that of message"):
            await message.bus.start(message.neighbours.compare)


async def test_ends_when_a_neighbour_comes_that_knows_more(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_LONGEST_RETRY_SECONDS", 0.1)
    auth = NumberGiver(nats_server, "auth", state(account=1))
    session = NumberGiver(nats_server, "session", state(account=2))
    async with running(auth), asyncio.timeout(WAIT_SECONDS):
        comparing = asyncio.create_task(auth.neighbours.run())
        await session.bus.start()
        with pytest.raises(DatabasesApart):
            await comparing
        await session.bus.stop()


async def test_gives_no_number_before_the_neighbour_has_come(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison does not make other requests wait forever."""
    monkeypatch.setattr(neighbours, "_LONGEST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(neighbours, "_GATE_SECONDS", 0.1)
    auth, session = NumberGiver(nats_server, "auth", state()), NumberGiver(nats_server, "session", state())
    async with running(auth), asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(RequestError) as rejected:
            await auth.give()
        assert rejected.value.failure.code == ErrorCode.UNAVAILABLE
        monkeypatch.setattr(neighbours, "_GATE_SECONDS", WAIT_SECONDS)
        giving, comparing = asyncio.create_task(auth.give()), asyncio.create_task(auth.neighbours.run())
        await session.bus.start()
        assert await giving == "given"
        comparing.cancel()
        await session.bus.stop()


async def test_numbers_given_meanwhile_are_no_loss(nats_server: NatsServer) -> None:
    """Auth assigns a number after it has read its own state. Session replies with this number."""
    auth = NumberGiver(nats_server, "auth", state(account=1))
    session = NumberGiver(nats_server, "session", state(account=1))

    async def register_and_read() -> DatabaseState:
        auth.state = session.state = state(account=2)
        return session.state

    session.neighbours._read_own = register_and_read
    async with running(session):
        auth.state = session.state = state(account=1)
        async with running(auth):
            assert auth.state.account == 2
