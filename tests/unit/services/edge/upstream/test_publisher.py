"""The edge posts to the message service: repeated requests, results, and the limit of messages in flight."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.upstream import attempt, publisher
from services.edge.upstream.attempt import UNCONFIRMED, Leaders, PendingPosts
from services.edge.upstream.publisher import OVERLOADED, SERVICE_DOWN, MessagePublisher, NotAcknowledged
from shared.bus.client import Bus, Responder
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.telemetry import trace
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

BUSY = Failure(ErrorCode.RATE_LIMITED, "busy")
GOING = Failure(ErrorCode.UNAVAILABLE, "going")


class RecordingSubmitter:
    """Records the results of drafts in order. The result of a committed draft is None."""

    def __init__(self) -> None:
        self.results: list[Failure | None] = []
        self._something = asyncio.Event()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self._note(None)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._note(failure)

    def crashed(self) -> None:
        raise AssertionError

    def _note(self, failure: Failure | None) -> None:
        self.results.append(failure)
        self._something.set()

    async def until(self, count: int) -> list[Failure | None]:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.results) < count:
                self._something.clear()
                await self._something.wait()
        return self.results


class Replica(NamedTuple):
    """A publisher, and a message service that replies only when the test wants it."""

    publisher: MessagePublisher
    requests: "asyncio.Queue[tuple[list[Draft], Responder]]"

    def post(self, submitter: RecordingSubmitter, messages: int) -> None:
        self.post_bodies(submitter, [b"x"] * messages)

    def post_bodies(self, submitter: RecordingSubmitter, bodies: Iterable[bytes]) -> None:
        """Posts messages with these bodies as one submission."""
        edge, now = self.publisher, asyncio.get_running_loop().time()
        drafts = [Draft(AccountId(1), ChatId(1), edge.new_nonce(), edge.deadline(now), body) for body in bodies]
        edge.post(submitter, drafts, now)
        edge.flush()

    async def next_request(self) -> tuple[list[Draft], Responder]:
        return await asyncio.wait_for(self.requests.get(), WAIT_SECONDS)

    async def answer(self) -> int:
        """Confirms the next request. Returns its number of messages."""
        drafts, responder = await self.next_request()
        await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * len(drafts), {}))
        return len(drafts)


@pytest.fixture
async def replica(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Replica]:
    """A replica whose window has space for ten messages."""
    monkeypatch.setattr(publisher, "_MIN_MESSAGES", 10)
    monkeypatch.setattr(attempt, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(attempt, "_SLACK_SECONDS", 0.1)
    edge = Bus(nats_server.settings("edge"), "edge", CollectorRegistry())
    message = Bus(nats_server.settings("message"), "message", CollectorRegistry())
    requests: asyncio.Queue[tuple[list[Draft], Responder]] = asyncio.Queue()
    message.serve_deferred(
        PostMessages.route, lambda request, responder: requests.put_nowait((request.drafts, responder)), queue="message"
    )
    await message.start()
    await edge.start()
    upstream = MessagePublisher(
        edge, NodeId("edge-1"), 1.0, Leaders(256), EdgeMetrics(CollectorRegistry()), MessageJournal()
    )
    yield Replica(upstream, requests)
    await upstream.finish(0)
    await edge.stop()
    await message.stop()


async def test_a_delivered_request_without_a_reply_delays_no_other(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_GATHER_SECONDS", 60.0)
    submitter = RecordingSubmitter()
    for _ in range(3):
        replica.post(submitter, 1)
    first, responder = await replica.next_request()
    await replica.next_request()
    await replica.next_request()
    replica.post(submitter, 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(replica.requests.get(), 0.1)
    replica.publisher.pending.done(first[0].nonce)
    replica.publisher.flush()
    assert len((await replica.next_request())[0]) == 2
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)], {}))


async def test_an_overloaded_replica_is_believed(replica: Replica) -> None:
    submitter = RecordingSubmitter()
    replica.post(submitter, 3)
    _, responder = await replica.next_request()
    await responder.reply_error(BUSY)
    assert await submitter.until(3) == [BUSY] * 3
    replica.post(submitter, 1)
    assert await replica.answer() == 1
    assert await submitter.until(4) == [BUSY, BUSY, BUSY, None]


async def test_an_internal_error_names_the_trace_of_its_line_in_the_log(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces, submitter = list[str](), RecordingSubmitter()
    monkeypatch.setattr(attempt, "_log", SimpleNamespace(exception=lambda _: traces.append(trace.get())))
    replica.post(submitter, 1)
    _, responder = await replica.next_request()
    await responder.reply(PostResults([], {}))  # this reply has too few results
    assert await submitter.until(1) == [replace(INTERNAL_ERROR, request=traces[0])]
    replica.post(submitter, 1)
    _, responder = await replica.next_request()
    await responder.reply_error(INTERNAL_ERROR)  # the service has logged the error in the trace of the request
    (_, failure) = await submitter.until(2)
    assert failure is not None
    assert failure.request not in ("", traces[0])


async def test_what_nats_has_no_room_for_is_divided_and_one_message_is_rejected_for_good(replica: Replica) -> None:
    """NATS accepts at most 1 MiB."""
    submitter = RecordingSubmitter()
    bodies = [b"1" * 400_000, b"2" * 400_000, b"3" * 2_000_000, b"4" * 400_000]
    replica.post_bodies(submitter, bodies)
    received: list[bytes] = []
    for count in (2, 1):
        drafts, responder = await replica.next_request()
        assert len(drafts) == count
        received += [draft.body for draft in drafts]
        await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * count, {}))
    assert received == [bodies[0], bodies[1], bodies[3]]
    results = await submitter.until(4)
    assert [one and one.code for one in results] == [None, None, ErrorCode.TOO_LARGE, None]


async def test_no_error_is_reported_while_an_attempt_may_still_be_carried_out(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "_ATTEMPT_SECONDS", 0.2)
    submitter = RecordingSubmitter()
    replica.post(submitter, 1)
    first, _ = await replica.next_request()
    _, responder = await replica.next_request()
    await responder.reply_error(BUSY)
    last, responder = await replica.next_request()
    assert last == first
    assert submitter.results == []
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)], {}))
    assert await submitter.until(1) == [None]


async def test_messages_in_flight_are_bounded_by_the_window(replica: Replica) -> None:
    submitter = RecordingSubmitter()
    for _ in range(4):
        replica.post(submitter, 5)
    for _ in range(2):
        drafts, responder = await replica.next_request()
        assert len(drafts) == 5
    assert replica.requests.empty()
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 5, {}))
    assert await replica.answer() == 10  # the reply came quickly, so the window has grown
    assert await submitter.until(15) == [None] * 15


async def test_a_delivered_message_that_is_sent_again_leaves_room_for_others(replica: Replica) -> None:
    """If each such case took some space, the window would be used up in the end."""
    submitter = RecordingSubmitter()
    for sent in range(1, 7):
        replica.post(submitter, 2)
        drafts, first = await replica.next_request()
        for draft in drafts:
            replica.publisher.pending.done(draft.nonce)
        again = [replace(draft) for draft in drafts]
        replica.publisher.post(submitter, again, asyncio.get_running_loop().time())
        replica.publisher.flush()
        _, second = await replica.next_request()
        for responder in (first, second):
            await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 2, {}))
        assert await submitter.until(2 * sent) == [None] * 2 * sent


async def test_submissions_queued_too_long_while_others_are_answered_are_rejected(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(publisher, "_SOON_SECONDS", 0.0)
    early, late, new = RecordingSubmitter(), RecordingSubmitter(), RecordingSubmitter()
    for submitter in (early, early, late):
        replica.post(submitter, 10)
    _, responder = await replica.next_request()
    await asyncio.sleep(0.2)
    replica.post(new, 1)
    await responder.reply(PostResults([Posted(MessageId(1), 1, 1)] * 10, {}))
    assert await late.until(10) == [OVERLOADED] * 10
    assert await replica.answer() == 10
    assert await replica.answer() == 1
    assert (await early.until(20), await new.until(1)) == ([None] * 20, [None])


async def test_submissions_queued_while_no_request_is_answered_are_not_rejected(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_QUEUE_SECONDS", 0.1)
    first, other = RecordingSubmitter(), RecordingSubmitter()
    replica.post(first, 10)
    await replica.next_request()
    await asyncio.sleep(0.6)  # the deadline of the next draft is later
    replica.post(other, 1)
    assert await first.until(10) == [UNCONFIRMED] * 10
    assert await replica.answer() == 1
    assert await other.until(1) == [None]


async def test_everything_is_sent_at_the_end(replica: Replica) -> None:
    submitter = RecordingSubmitter()
    for _ in range(4):
        replica.post(submitter, 8)
    finishing = asyncio.create_task(replica.publisher.finish(5.0))
    assert [await replica.answer() for _ in range(4)] == [8] * 4
    assert await submitter.until(32) == [None] * 32
    await finishing


@pytest.mark.parametrize("answers", [False, True])
async def test_during_an_outage_new_submissions_are_rejected_at_once(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """The message that is in flight shows when the service works again."""
    monkeypatch.setattr("services.edge.upstream.attempt._OUTAGE_SECONDS", 0.3)
    monkeypatch.setattr(attempt, "_ATTEMPT_SECONDS", 0.1)
    early, probe, late, new = (RecordingSubmitter() for _ in range(4))
    replica.post(early, 1)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 0.6:
        _, responder = await replica.next_request()
        if answers:
            await responder.reply_error(GOING)
    replica.post(probe, 1)
    replica.post(late, 2)
    assert late.results == [SERVICE_DOWN] * 2
    with pytest.raises(NotAcknowledged, match="no message was acknowledged for"):
        await replica.publisher.check()
    assert probe.results == []
    while None not in (*early.results, *probe.results):
        await replica.answer()
    replica.post(new, 1)
    while not new.results:
        await replica.answer()
        await asyncio.sleep(0.01)
    assert new.results == [None]


class FailingSubmitter(RecordingSubmitter):
    """Fails when it must handle a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.crashes = 0

    def failed(self, draft: Draft, failure: Failure) -> None:
        raise RuntimeError

    def crashed(self) -> None:
        self.crashes += 1


def test_a_submitter_that_cannot_handle_a_rejection_leaves_the_other_drafts_accepted() -> None:
    first, second = (Draft(AccountId(1), ChatId(1), Nonce(nonce), 0, b"x") for nonce in (1, 2))
    pending, submitter = PendingPosts(), FailingSubmitter()
    pending.add([first], RecordingSubmitter())
    assert pending.add([second, replace(first)], submitter) == [second]
    assert submitter.crashes == 1
