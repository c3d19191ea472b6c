"""Tests that a search names no time before which it lacks a message, whatever happens to the message service.

The clock of search is a minute ahead of that of the message service. A message is as old for search as if its
announcement came a minute late.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.message import store as message_store
from services.message.adapters.announcing import MovedAnnouncer
from services.message.store import PostedBatch, posting
from services.search.service import following
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.following import MovedChats
from shared.contract.ids import ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Message, Text
from shared.database import Database
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.search.conftest import ON_BOTH
from tests.unit.services.search.peers import ANN, ROOM, Peers

pytestmark = ON_BOTH
_THREADED = 200
"""A commit of so many messages does not block the event loop."""


class Announcing:
    """A replica of the message service, whose announcements reach search at once."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.received = list[MovedChats]()
        self.announcer = MovedAnnouncer(self._publish, peers.store, "message-7")
        self._running = asyncio.create_task(self.announcer.run())

    async def _publish(self, _: str, payload: bytes) -> None:
        self.received.append(msgspec.msgpack.decode(payload, type=MovedChats))
        self.peers.follower.receive(self.received[-1])

    async def hear(self) -> None:
        """Waits for another announcement."""
        heard = len(self.received)
        await until(lambda: len(self.received) > heard)

    async def die(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])

    async def post(self, count: int = 1) -> Message:
        body = pack_segments((Text("word"),))
        posted = await self.peers.store.post(
            [Draft(ANN, ROOM, Nonce(number), 2**62, body) for number in range(1, count + 1)]
        )
        assert posted.results[0] is not None
        return posted.results[0]

    async def indexed_to(self) -> int:
        return (await self.peers.page("word")).indexed_to


@pytest.fixture
async def replica(database: Database, tmp_path: Path) -> AsyncIterator[Announcing]:
    peers = Peers(database, tmp_path / "index", now=now_ms)
    peers.clock = lambda: now_ms() + 60_000
    replica = Announcing(peers)
    await replica.hear()
    await peers.follower.catch_up()
    assert await replica.indexed_to()
    yield replica
    await replica.die()
    await peers.close()


async def test_a_message_with_a_slow_commit_counts_as_indexed_only_when_it_is_found(
    replica: Announcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_commit = threading.Event()

    def post_slowly(*args: Any, **others: Any) -> PostedBatch:
        posted = posting.post(*args, **others)
        assert may_commit.wait(WAIT_SECONDS)
        return posted

    monkeypatch.setattr(message_store, "post", post_slowly)
    task = asyncio.create_task(replica.post(_THREADED))
    for _ in range(2):
        await replica.hear()
    may_commit.set()
    message = await task
    assert await replica.indexed_to() <= message.time
    await until(lambda: replica.received[-1].chats)
    assert await replica.indexed_to() <= message.time
    await replica.peers.follower.catch_up()
    await until(lambda: replica.peers.follower.indexed_to() > message.time)
    assert len(await replica.peers.found("word", count=50)) == 50


async def test_the_last_message_of_a_replica_that_stops_is_announced(replica: Announcing) -> None:
    message = await replica.post()
    await replica.die()
    await replica.announcer.close()
    assert await replica.indexed_to() <= message.time
    await replica.peers.follower.catch_up()
    assert await replica.peers.found("word") == [(ROOM, 1)]
    assert await replica.indexed_to() > message.time


async def test_the_last_message_of_a_replica_that_is_killed_is_found_without_its_announcement(
    replica: Announcing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_WATCH_SECONDS", 0.01)
    message, follower = await replica.post(), replica.peers.follower
    await replica.die()
    assert await replica.indexed_to() <= message.time
    replica.peers.clock = lambda: now_ms() + 120_000
    assert await replica.indexed_to() <= message.time
    following_it = [asyncio.create_task(work()) for work in (follower.run, follower.watch)]
    await until(lambda: follower.indexed_to() > message.time)
    assert await replica.peers.found("word") == [(ROOM, 1)]
    for task in following_it:
        task.cancel()
    await asyncio.wait(following_it)


async def test_a_loss_during_a_comparison_causes_another_one(replica: Announcing) -> None:
    """The lost message may be in a chat that was already compared."""
    peers, listed = replica.peers, replica.peers.positions
    await replica.die()

    async def list_and_lose(request: object) -> object:
        page = await listed(request)  # type: ignore[arg-type]
        peers.positions = listed  # type: ignore[method-assign]
        await replica.post()
        peers.store.take_moved()
        peers.follower.receive(MovedChats("message-8", 1, 2, [ChatId(9)]))
        return page

    peers.positions = list_and_lose  # type: ignore[method-assign, assignment]
    peers.follower.doubt(0)
    await peers.follower.catch_up()
    assert await replica.indexed_to() == 0
    await peers.follower.catch_up()
    assert await peers.found("word") == [(ROOM, 1)]
    assert await replica.indexed_to()
