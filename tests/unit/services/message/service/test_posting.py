"""Batches: bounded, in order, each request answered, whatever the database says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.message.adapters.fanout import Fanout
from services.message.adapters.roster_cache import RosterCache
from services.message.metrics import MessageMetrics
from services.message.service import posting as batches
from services.message.service.posting import OVERLOADED, SHUTTING_DOWN, PostingBatcher
from services.message.store import MessageStore, PostedBatch
from shared.contract.edge import Envelope
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages, PostResults
from shared.contract.model import Role
from shared.contract.session import GetMembership, Member, Membership
from shared.database import Database, DatabaseUnavailable
from shared.migrate import upgrade
from shared.presence import Presence
from shared.settings import Message as MessageSettings
from shared.settings import Redis

T = TypeVar("T")

ANN, MONSTER = AccountId(1), AccountId(2**64 - 1)
"""MONSTER is an account that no database can hold."""
ROOM = ChatId(1)
NODE = NodeId("north-1")


class GatedStore(MessageStore):
    """Its transactions begin when they may, and are counted."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate = asyncio.Event()
        self.gate.set()
        self.sizes: list[int] = []
        self.threaded = False
        self.seconds = 0.0
        """Of each transaction, at least."""

    @property
    def commits_inline(self) -> bool:
        return not self.threaded and super().commits_inline

    async def post(self, drafts: Sequence[Draft]) -> PostedBatch:
        self.sizes.append(len(drafts))
        await self.gate.wait()
        await asyncio.sleep(self.seconds)
        return await super().post(drafts)


class BatcherHarness:
    """A batcher on a real database, without Redis; `log` is all that leaves it, in order."""

    def __init__(self, database: Database, batch_rows: int = 4, queue_seconds: float = 60.0) -> None:
        self.registry = CollectorRegistry()
        metrics = MessageMetrics(self.registry)
        settings = MessageSettings(batch_rows=batch_rows, queue_seconds=queue_seconds)
        self.log: list[tuple[str, object]] = []
        self.store = GatedStore(database)
        self.presence = Presence(Redis(url=SecretStr("redis://127.0.0.1:1/0")))
        self.rosters = RosterCache(self._membership, metrics)
        self.fanout = Fanout(self.publish, self.presence, self.rosters, metrics, settings)
        self.batcher = PostingBatcher(self.store, self.rosters, self.fanout, metrics, settings, self.flush)
        self._nonce = 0
        self.session_answers = asyncio.Event()
        """While it is not set, session does not answer."""
        self.session_answers.set()

    async def _membership(self, request: GetMembership) -> Membership:
        await self.session_answers.wait()
        return Membership(request.chat, 1, [Member(ANN, Role.MEMBER, 1, 1, 1), Member(MONSTER, Role.MEMBER, 1, 1, 1)])

    async def publish(self, subject: str, payload: bytes) -> None:
        envelope = msgspec.msgpack.decode(payload, type=Envelope)
        self.log.append(("told", [(one.message.chat, one.message.index) for one in envelope.deliveries]))

    def flush(self) -> None:
        self.log.append(("sent", None))

    def draft(self, sender: AccountId = ANN, chat: ChatId = ROOM, body: bytes = b"x") -> Draft:
        self._nonce += 1
        return Draft(sender, chat, Nonce(self._nonce), 2**62, body)

    def submit(self, name: str, *drafts: Draft) -> "RecordedReply":
        answer = RecordedReply(name, self.log)
        self.batcher.submit(PostMessages(NODE, list(drafts)), answer)
        return answer

    async def wait_for_transactions(self, transactions: int) -> None:
        """So many are begun, or wait at the gate."""
        async with asyncio.timeout(5):
            while len(self.store.sizes) < transactions:
                await asyncio.sleep(0.01)

    async def close(self, running: asyncio.Task[None]) -> None:
        self.batcher.close()
        async with asyncio.timeout(5):
            await running

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"dragoman_message_{name}", labels) or 0.0


class RecordedReply:
    """One request's responder."""

    cause = ""

    def __init__(self, name: str, log: list[tuple[str, object]]) -> None:
        self._name = name
        self._log = log
        self.result: asyncio.Future[PostResults | Failure] = asyncio.get_running_loop().create_future()

    async def reply(self, reply: object) -> None:
        assert isinstance(reply, PostResults)
        self._log.append(("answered", self._name))
        self.result.set_result(reply)

    async def reply_error(self, failure: Failure) -> None:
        self.result.set_result(failure)

    async def indexes(self) -> list[int | None]:
        async with asyncio.timeout(5):
            results = await self.result
        assert isinstance(results, PostResults)
        return [posted.index if posted else None for posted in results.posted]

    async def failures(self) -> list[ErrorCode]:
        async with asyncio.timeout(5):
            results = await self.result
        assert isinstance(results, PostResults)
        return [results.failures[position].code for position in sorted(results.failures)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'message.db'}"
    upgrade("message", url)
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def harness(database: Database) -> AsyncIterator[BatcherHarness]:
    async for harness in running_harness(database):
        yield harness


async def running_harness(database: Database, queue_seconds: float = 60.0) -> AsyncIterator[BatcherHarness]:
    harness = BatcherHarness(database, queue_seconds=queue_seconds)
    task = asyncio.create_task(harness.batcher.run())
    yield harness
    await harness.close(task)
    assert harness.metric("queue_rows") == 0
    await harness.rosters.close()
    await harness.presence.close()


async def test_what_waits_becomes_one_transaction_and_no_request_is_split(harness: BatcherHarness) -> None:
    harness.store.gate.clear()
    answers = [harness.submit("first", harness.draft())]
    await harness.wait_for_transactions(1)
    sizes = (2, 1, 2, 9, 1)
    answers += [harness.submit(str(size), *(harness.draft() for _ in range(size))) for size in sizes]
    harness.store.gate.set()
    assert [await answer.indexes() for answer in answers] == [
        [1], [2, 3], [4], [5, 6], list(range(7, 16)), [16],
    ]  # fmt: skip
    assert harness.store.sizes == [1, 3, 2, 9, 1]
    assert harness.metric("batch_rows_sum") == 16
    assert harness.metric("acknowledged_total") == 16


async def test_every_answer_follows_its_envelopes_and_every_chat_its_order(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fan-out is slow; the next batch is committed meanwhile."""
    publish = harness.fanout._publish

    async def slowly(subject: str, payload: bytes) -> None:
        await asyncio.sleep(0.01)
        await publish(subject, payload)

    monkeypatch.setattr(harness.fanout, "_publish", slowly)
    answers = [harness.submit(str(number), harness.draft(), harness.draft()) for number in range(10)]
    indexes = [await answer.indexes() for answer in answers]
    told: list[int] = []
    for what, value in harness.log:
        if what == "told":
            assert isinstance(value, list)
            told += [index for _, index in value]
        elif what == "answered":
            assert set(indexes[int(str(value))]) <= set(told)
    assert told == list(range(1, 21))


async def test_what_was_told_is_sent_before_a_commit_holds_up_the_event_loop(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = harness.store.post

    async def noted(drafts: Sequence[Draft]) -> PostedBatch:
        harness.log.append(("commit", len(drafts)))
        return await post(drafts)

    monkeypatch.setattr(harness.store, "post", noted)
    answers = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(2)]
    for answer in answers:
        await answer.indexes()
    assert [what for what, _ in harness.log] == ["commit", "told", "answered", "sent"] * 2


async def test_the_next_batch_commits_while_one_is_fanned_out(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that takes its time."""
    harness.store.threaded = True
    assert await harness.submit("first", harness.draft()).indexes() == [1]
    publish, gate = harness.fanout._publish, asyncio.Event()

    async def gated(subject: str, payload: bytes) -> None:
        await gate.wait()
        await publish(subject, payload)

    monkeypatch.setattr(harness.fanout, "_publish", gated)
    answers = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(3)]
    await harness.wait_for_transactions(3)
    assert not any(answer.result.done() for answer in answers)
    gate.set()
    assert [await answer.indexes() for answer in answers][2] == [10, 11, 12, 13]


async def test_what_the_database_does_not_take_fails_alone(harness: BatcherHarness) -> None:
    harness.store.gate.clear()
    harness.submit("first", harness.draft())
    await harness.wait_for_transactions(1)
    one = harness.submit("one", harness.draft(), harness.draft(MONSTER))
    other = harness.submit("other", harness.draft(), harness.draft())
    harness.store.gate.set()
    assert await one.indexes() == [2, None]
    assert await one.failures() == [ErrorCode.INTERNAL]
    assert await other.indexes() == [3, 4]
    assert harness.metric("refused_total", code="internal") == 1
    assert harness.metric("retries_total", cause="content") == 2


async def test_beyond_the_bound_requests_are_refused_and_later_ones_are_not(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MAX_QUEUED_BATCHES", 2)
    harness.store.gate.clear()
    taken = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(2)]
    refused = harness.submit("refused", harness.draft())
    assert await refused.result == OVERLOADED
    assert harness.metric("refused_total", code="rate_limited") == 1
    harness.store.gate.set()
    assert [await answer.indexes() for answer in taken] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert await harness.submit("later", harness.draft()).indexes() == [9]


async def test_what_would_wait_too_long_is_refused_before_anything_is_spent_on_it(database: Database) -> None:
    async for harness in running_harness(database, queue_seconds=0.1):
        harness.store.seconds = 0.02
        taken = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(20)]
        await harness.wait_for_transactions(10)
        refused = harness.submit("refused", harness.draft())
        assert await refused.result == OVERLOADED
        assert [await answer.indexes() for answer in taken][-1] == [77, 78, 79, 80]
        assert await harness.submit("later", harness.draft()).indexes() == [81]
        assert harness.metric("refused_total", code="rate_limited") == 1


async def test_waiting_bytes_are_bounded_too(harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_MAX_QUEUED_BYTES", 10_000)
    harness.store.gate.clear()
    taken = harness.submit("taken", harness.draft(body=b"x" * 10_000))
    assert await harness.submit("refused", harness.draft()).result == OVERLOADED
    harness.store.gate.set()
    assert await taken.indexes() == [1]


async def test_a_fan_out_that_fails_is_announced_and_not_answered(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = harness.fanout._publish
    monkeypatch.setattr(harness.fanout, "_publish", None)
    draft = harness.draft()
    failed = harness.submit("failed", draft)
    async with asyncio.timeout(5):
        while not harness.metric("losses_total"):
            await asyncio.sleep(0.01)
    monkeypatch.setattr(harness.fanout, "_publish", publish)
    assert await harness.submit("again", draft).indexes() == [1]
    assert not failed.result.done()
    assert harness.metric("duplicates_total") == 1


async def test_after_the_close_what_was_taken_is_answered(database: Database) -> None:
    harness = BatcherHarness(database)
    harness.store.gate.clear()
    task = asyncio.create_task(harness.batcher.run())
    taken = [harness.submit(str(number), harness.draft()) for number in range(7)]
    await asyncio.sleep(0.05)
    harness.batcher.close()
    assert await harness.submit("late", harness.draft()).result == SHUTTING_DOWN
    harness.store.gate.set()
    async with asyncio.timeout(5):
        await task
    assert [await answer.indexes() for answer in taken] == [[number] for number in range(1, 8)]
    await harness.presence.close()


async def test_a_request_that_stands_aside_at_the_close_is_answered(database: Database) -> None:
    harness = BatcherHarness(database)
    harness.session_answers.clear()
    task = asyncio.create_task(harness.batcher.run())
    aside = harness.submit("aside", harness.draft())
    await asyncio.sleep(0.05)
    harness.batcher.close()
    await asyncio.sleep(0.05)
    harness.session_answers.set()
    assert await aside.indexes() == [1]
    async with asyncio.timeout(5):
        await task
    await harness.presence.close()


async def test_it_can_be_cancelled_while_it_waits(database: Database) -> None:
    harness = BatcherHarness(database)
    harness.store.gate.clear()
    task = asyncio.create_task(harness.batcher.run())
    harness.submit("stuck", harness.draft())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await harness.rosters.close()
    await harness.presence.close()


async def test_without_a_database_nothing_is_acknowledged_or_told() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    async for harness in running_harness(database):
        answer = harness.submit("one", harness.draft(), harness.draft())
        assert await answer.failures() == [ErrorCode.UNAVAILABLE] * 2
        assert harness.log == [("answered", "one"), ("sent", None)]
    await database.close()


class FailingThirdWrite(Database):
    """Its third transaction comes to nothing; `asked` says whether it got as far as the commit."""

    def __init__(self, url: str, *, asked: bool) -> None:
        super().__init__(url)
        self.calls = 0
        self.after_work = asked

    async def write(self, work: Callable[[sa.Connection], T], *, brief: bool = False) -> T:
        self.calls += 1
        if self.calls != 3:
            return await super().write(work, brief=brief)
        if self.after_work:
            with pytest.raises(ZeroDivisionError):
                await super().write(lambda connection: work(connection) and 1 / 0, brief=brief)
        raise DatabaseUnavailable


@pytest.mark.parametrize("asked", [True, False])
async def test_nothing_overtakes_what_was_not_stored_for_want_of_a_database(database: Database, asked: bool) -> None:
    """The batch is halved for its content, and then the database is away for one of the parts."""
    stumbling = FailingThirdWrite(database.url.render_as_string(), asked=asked)
    async for harness in running_harness(stumbling):
        run = [harness.draft() for _ in range(3)]
        drafts = [run[0], harness.draft(MONSTER), *run[1:]]
        answer = harness.submit("run", *drafts)
        assert await answer.failures() == [ErrorCode.UNAVAILABLE] * 4
        assert await harness.submit("again", *drafts).indexes() == [1, None, 2, 3]
    await stumbling.close()


class UnconfirmedCommit(Database):
    """The answer to its first commit is lost, and then it is away for a while."""

    def __init__(self, url: str, *, commits: bool) -> None:
        super().__init__(url)
        self.calls = 0
        self.commits = commits

    async def write(self, work: Callable[[sa.Connection], T], *, brief: bool = False) -> T:
        self.calls += 1
        if 1 < self.calls < 4:
            raise DatabaseUnavailable
        if self.calls > 1:
            return await super().write(work, brief=brief)
        if self.commits:
            await super().write(work, brief=brief)
        else:
            with pytest.raises(ZeroDivisionError):
                await super().write(lambda connection: work(connection) and 1 / 0, brief=brief)
        raise DatabaseUnavailable


@pytest.mark.parametrize("commits", [True, False])
async def test_a_commit_without_an_answer_is_cleared_up(
    database: Database, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    """What was committed is told to its recipients and acknowledged, whatever the connection says; what was not, will
    not be."""
    monkeypatch.setattr(batches, "_RETRY_SECONDS", 0.01)
    unsure = UnconfirmedCommit(database.url.render_as_string(), commits=commits)
    async for harness in running_harness(unsure):
        answer = harness.submit("one", harness.draft())
        if commits:
            assert await answer.indexes() == [1]
            assert harness.log == [("told", [(ROOM, 1)]), ("answered", "one"), ("sent", None)]
        else:
            assert await answer.failures() == [ErrorCode.UNAVAILABLE]
            assert harness.log == [("answered", "one"), ("sent", None)]
            assert await harness.submit("two", harness.draft()).indexes() == [1]
        assert harness.metric("retries_total", cause="unknown") == 3
        assert harness.metric("duplicates_total") == 0
    await unsure.close()
