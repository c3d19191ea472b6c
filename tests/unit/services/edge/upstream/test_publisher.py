"""On the way to message: what is repeated, what is told, how much is under way."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from services.edge.upstream import congestion_window
from services.edge.upstream import publisher as ways
from services.edge.upstream.publisher import OVERLOADED, UNCONFIRMED, MessagePublisher
from shared.bus.client import Bus, Responder
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId
from shared.contract.message import Draft, Posted, PostResults
from tests.support.servers import NatsServer

BUSY = Failure(ErrorCode.RATE_LIMITED, "busy")
GOING = Failure(ErrorCode.UNAVAILABLE, "going")


class Author:
    """Keeps what becomes of each draft, in order."""

    def __init__(self) -> None:
        self.told: list[Failure | None] = []
        self._something = asyncio.Event()

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        self._note(None)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._note(failure)

    def crashed(self) -> None:
        raise AssertionError

    def _note(self, failure: Failure | None) -> None:
        self.told.append(failure)
        self._something.set()

    async def until(self, count: int) -> list[Failure | None]:
        async with asyncio.timeout(5):
            while len(self.told) < count:
                self._something.clear()
                await self._something.wait()
        return self.told


class Way(NamedTuple):
    """From an edge to a replica that does nothing by itself."""

    upstream: MessagePublisher
    requests: "asyncio.Queue[tuple[list[Draft], Responder]]"

    def say(self, author: Author, messages: int) -> None:
        bodies = [b"x"] * messages
        drafts = self.upstream.make_drafts(AccountId(1), ChatId(1), bodies, None)
        self.upstream.post(author, drafts, asyncio.get_running_loop().time())
        self.upstream.flush()

    async def asked(self) -> tuple[list[Draft], Responder]:
        return await asyncio.wait_for(self.requests.get(), 5)

    async def answer(self) -> int:
        """How many messages the next request has."""
        drafts, responder = await self.asked()
        await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * len(drafts), {}))
        return len(drafts)


@pytest.fixture
async def way(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """With room for ten messages."""
    monkeypatch.setattr(congestion_window, "_MIN_MESSAGES", 10)
    monkeypatch.setattr(ways, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(ways, "_SLACK_SECONDS", 0.1)
    edge = Bus(nats_server.settings("edge"), "edge", CollectorRegistry())
    message = Bus(nats_server.settings("message"), "message", CollectorRegistry())
    requests: asyncio.Queue[tuple[list[Draft], Responder]] = asyncio.Queue()
    message.serve_deferred(
        subjects.POST_MESSAGES,
        lambda request, responder: requests.put_nowait((request.drafts, responder)),
        queue="message",
    )
    await message.start()
    await edge.start()
    upstream = MessagePublisher(edge, NodeId("edge-1"), 1.0)
    yield Way(upstream, requests)
    await upstream.finish(0)
    await edge.stop()
    await message.stop()


async def test_what_is_all_delivered_holds_up_nobody_though_its_answer_is_still_to_come(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "_GATHER_SECONDS", 60.0)
    author = Author()
    for _ in range(3):
        way.say(author, 1)
    first, responder = await way.asked()
    await way.asked()
    await way.asked()
    way.say(author, 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(way.requests.get(), 0.1)
    way.upstream.done(first[0].nonce)
    way.upstream.flush()
    assert len((await way.asked())[0]) == 2
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)], {}))


async def test_a_replica_that_has_too_much_to_do_is_believed(way: Way) -> None:
    author = Author()
    way.say(author, 3)
    _, responder = await way.asked()
    await responder.reply_error(BUSY)
    assert await author.until(3) == [BUSY] * 3
    way.say(author, 1)
    assert await way.answer() == 1
    assert await author.until(4) == [BUSY, BUSY, BUSY, None]


async def test_one_that_is_going_is_not_and_another_is_asked(way: Way) -> None:
    author = Author()
    way.say(author, 3)
    first, responder = await way.asked()
    await responder.reply_error(GOING)
    again, responder = await way.asked()
    assert again == first
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 3, {}))
    assert await author.until(3) == [None] * 3


async def test_while_an_attempt_may_still_be_carried_out_nothing_is_called_refused(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "_ATTEMPT_SECONDS", 0.2)
    author = Author()
    way.say(author, 1)
    first, _ = await way.asked()
    _, responder = await way.asked()
    await responder.reply_error(BUSY)
    last, responder = await way.asked()
    assert last == first
    assert author.told == []
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)], {}))
    assert await author.until(1) == [None]


async def test_no_more_is_under_way_than_there_is_room_for(way: Way) -> None:
    author = Author()
    for _ in range(4):
        way.say(author, 5)
    for _ in range(2):
        drafts, responder = await way.asked()
        assert len(drafts) == 5
    assert way.requests.empty()
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 5, {}))
    assert await way.answer() == 10  # it was soon there, and the window has opened
    assert await author.until(15) == [None] * 15


async def test_what_waits_while_others_are_answered_is_refused(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(ways, "_SOON_SECONDS", 0.0)
    early, late, new = Author(), Author(), Author()
    for author in (early, early, late):
        way.say(author, 10)
    _, responder = await way.asked()
    await asyncio.sleep(0.2)
    way.say(new, 1)
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 10, {}))
    assert await late.until(10) == [OVERLOADED] * 10
    assert await way.answer() == 10
    assert await way.answer() == 1
    assert (await early.until(20), await new.until(1)) == ([None] * 20, [None])


async def test_what_waits_while_nobody_answers_is_not(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_QUEUE_SECONDS", 0.1)
    first, other = Author(), Author()
    way.say(first, 10)
    way.say(other, 1)
    await way.asked()
    assert await first.until(10) == [UNCONFIRMED] * 10
    assert await way.answer() == 1
    assert await other.until(1) == [None]


async def test_at_the_end_all_is_sent(way: Way) -> None:
    author = Author()
    for _ in range(4):
        way.say(author, 8)
    finishing = asyncio.create_task(way.upstream.finish(5.0))
    assert [await way.answer() for _ in range(4)] == [8] * 4
    assert await author.until(32) == [None] * 32
    await finishing
