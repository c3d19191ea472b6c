"""Tests the posting batcher: its bounded queue, order, replies, and failures of the database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.testing import capture_logs

from services.message.adapters.fanout import Fanout
from services.message.adapters.member_list_cache import MemberListCache
from services.message.metrics import MessageMetrics
from services.message.service import posting
from services.message.service.posting import OVERLOADED, SHUTTING_DOWN, PostingBatcher
from services.message.store import MessageStore, PostedBatch
from shared.contract.edge import DeliveryBatch
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages, PostResults
from shared.contract.model import Role
from shared.contract.session import GetMembership, Member, Membership
from shared.database import Database, DatabaseUnavailable
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings.messages import MessageSettings
from shared.settings.servers import RedisSettings
from tests.support.databases import create_tables
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.message.environment import sole_leadership

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ANN, BAD_ACCOUNT = AccountId(1), AccountId(2**64 - 1)
"""BAD_ACCOUNT is a number that does not fit into a column of the database."""
ROOM = ChatId(1)
NODE = NodeId("north-1")
SETTINGS = MessageSettings(batch_rows=4, queue_seconds=60.0)


class GatedStore(MessageStore):
    """A store whose transactions wait for `gate`. It records the sizes of the transactions."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate = asyncio.Event()
        self.gate.set()
        self.sizes: list[int] = []
        self.inline: bool | None = None
        """Overrides `commits_inline`, which otherwise depends on the speed of the disk."""
        self.seconds = 0.0
        """The minimum duration of each transaction in seconds."""

    @property
    def commits_inline(self) -> bool:
        return super().commits_inline if self.inline is None else self.inline

    async def post(self, drafts: Sequence[Draft]) -> PostedBatch:
        self.sizes.append(len(drafts))
        await self.gate.wait()
        await asyncio.sleep(self.seconds)
        return await super().post(drafts)


class BatcherHarness:
    """A batcher on a real database, without Redis.

    `log` contains all delivery batches, replies and flushes in order.
    """

    def __init__(self, database: Database, settings: MessageSettings) -> None:
        self.registry = CollectorRegistry()
        metrics = MessageMetrics(self.registry)
        self.log: list[tuple[str, object]] = []
        self.store = GatedStore(database)
        self.presence = Presence(RedisSettings(url=SecretStr("redis://127.0.0.1:1/0")))
        self.member_lists = MemberListCache(self._membership, metrics)
        self.fanout = Fanout(
            self.publish, self.presence, self.member_lists, metrics, settings, sole_leadership(), lambda *_: None
        )
        self.batcher = PostingBatcher(self.store, self.member_lists, self.fanout, metrics, settings, self.flush)
        self._nonce = 0
        self.session_answers = asyncio.Event()
        """While this event is not set, session does not reply."""
        self.session_answers.set()

    async def _membership(self, request: GetMembership) -> Membership:
        await self.session_answers.wait()
        return Membership(
            request.chat, 1, [Member(ANN, Role.MEMBER, 1, 1, 1), Member(BAD_ACCOUNT, Role.MEMBER, 1, 1, 1)]
        )

    async def publish(self, subject: str, payload: bytes) -> None:
        batch = msgspec.msgpack.decode(payload, type=DeliveryBatch)
        self.log.append(("delivered", [(one.message.chat, one.message.index) for one in batch.deliveries]))

    def flush(self) -> None:
        self.log.append(("flushed", None))

    def draft(self, sender: AccountId = ANN, chat: ChatId = ROOM, body: bytes = b"x") -> Draft:
        self._nonce += 1
        return Draft(sender, chat, Nonce(self._nonce), 2**62, body)

    def submit(self, name: str, *drafts: Draft) -> "RecordedReply":
        answer = RecordedReply(name, self.log)
        self.batcher.submit(PostMessages(NODE, list(drafts)), answer)
        return answer

    async def wait_for_transactions(self, transactions: int) -> None:
        """Waits until this number of transactions have begun, or wait for the gate."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.store.sizes) < transactions:
                await asyncio.sleep(0.01)

    async def close(self, running: asyncio.Task[None]) -> None:
        self.batcher.close()
        async with asyncio.timeout(WAIT_SECONDS):
            await running

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"dragoman_message_{name}", labels) or 0.0


class RecordedReply:
    """The responder of one request, which records the reply."""

    cause = ""

    def __init__(self, name: str, log: list[tuple[str, object]]) -> None:
        self._name = name
        self._log = log
        self.result: asyncio.Future[PostResults | Failure] = asyncio.get_running_loop().create_future()

    def to_wall_clock(self, requester_ms: int) -> int:
        return requester_ms

    async def reply(self, reply: object) -> None:
        assert isinstance(reply, PostResults)
        self._log.append(("answered", self._name))
        self.result.set_result(reply)

    async def reply_error(self, failure: Failure) -> None:
        self.result.set_result(failure)

    async def indexes(self) -> list[int | None]:
        async with asyncio.timeout(WAIT_SECONDS):
            results = await self.result
        assert isinstance(results, PostResults)
        return [posted.index if posted else None for posted in results.posted]

    async def failures(self) -> list[ErrorCode]:
        async with asyncio.timeout(WAIT_SECONDS):
            results = await self.result
        assert isinstance(results, PostResults)
        return [results.failures[position].code for position in sorted(results.failures)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = create_tables("message", f"sqlite:///{tmp_path / 'message.db'}")
    database = Database(url)
    yield database
    await database.close()


@pytest.fixture
async def harness(database: Database) -> AsyncIterator[BatcherHarness]:
    async for harness in running_harness(database):
        yield harness


async def running_harness(database: Database, settings: MessageSettings = SETTINGS) -> AsyncIterator[BatcherHarness]:
    harness = BatcherHarness(database, settings)
    task = asyncio.create_task(harness.batcher.run())
    yield harness
    await harness.close(task)
    assert harness.metric("queue_rows") == 0
    await harness.member_lists.close()
    await harness.presence.close()


async def test_queued_requests_share_a_transaction_and_none_is_split(harness: BatcherHarness) -> None:
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


async def test_replies_follow_their_batches_and_chats_keep_their_order(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fan-out is slow, so the next batch is committed meanwhile."""
    publish = harness.fanout._publish

    async def slowly(subject: str, payload: bytes) -> None:
        await asyncio.sleep(0.01)
        await publish(subject, payload)

    monkeypatch.setattr(harness.fanout, "_publish", slowly)
    answers = [harness.submit(str(number), harness.draft(), harness.draft()) for number in range(10)]
    indexes = [await answer.indexes() for answer in answers]
    delivered: list[int] = []
    for what, value in harness.log:
        if what == "delivered":
            assert isinstance(value, list)
            delivered += [index for _, index in value]
        elif what == "answered":
            assert set(indexes[int(str(value))]) <= set(delivered)
    assert delivered == list(range(1, 21))


async def test_replies_are_flushed_before_a_commit_blocks_the_event_loop(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.store.inline = True
    post = harness.store.post

    async def recorded(drafts: Sequence[Draft]) -> PostedBatch:
        harness.log.append(("commit", len(drafts)))
        return await post(drafts)

    monkeypatch.setattr(harness.store, "post", recorded)
    answers = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(2)]
    for answer in answers:
        await answer.indexes()
    assert [what for what, _ in harness.log] == ["commit", "delivered", "answered", "flushed"] * 2


async def test_a_batch_commits_during_the_fan_out_of_the_one_before(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds if the database commits in a thread.

    Then the event loop can start the next commit during the fan-out.
    """
    harness.store.inline = False
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


def gate_lookups(harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Makes each lookup set the second event, and then wait for the first."""
    lookup, answers, requested = harness.presence.lookup, asyncio.Event(), asyncio.Event()

    async def gated(accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()) -> PresenceSnapshot:
        requested.set()
        await answers.wait()
        return await lookup(accounts, chats)

    monkeypatch.setattr(harness.presence, "lookup", gated)
    return answers, requested


@pytest.mark.parametrize(("broadcast_members", "waits"), [(1, False), (100, True)])
async def test_only_named_recipients_wait_for_the_lookup_of_the_next_batch(
    database: Database, monkeypatch: pytest.MonkeyPatch, broadcast_members: int, waits: bool
) -> None:
    settings = MessageSettings(batch_rows=4, broadcast_members_per_edge=broadcast_members)
    async for harness in running_harness(database, settings):
        harness.store.inline = True
        assert await harness.submit("warm", harness.draft()).indexes() == [1]
        harness.store.gate.clear()
        first = harness.submit("first", harness.draft())
        await harness.wait_for_transactions(2)
        answers, requested = gate_lookups(harness, monkeypatch)
        second = harness.submit("second", harness.draft())
        harness.store.gate.set()
        async with asyncio.timeout(WAIT_SECONDS):
            await requested.wait()
        assert first.result.done() is not waits
        answers.set()
        assert [await one.indexes() for one in (first, second)] == [[2], [3]]


async def test_only_the_draft_that_the_database_rejects_fails(harness: BatcherHarness) -> None:
    harness.store.gate.clear()
    harness.submit("first", harness.draft())
    await harness.wait_for_transactions(1)
    one = harness.submit("one", harness.draft(), harness.draft(BAD_ACCOUNT))
    other = harness.submit("other", harness.draft(), harness.draft())
    with capture_logs() as lines:
        harness.store.gate.set()
        assert await one.indexes() == [2, None]
    assert await one.failures() == [ErrorCode.INTERNAL]
    results = await one.result
    assert isinstance(results, PostResults)
    assert [line["request"] for line in lines if line["log_level"] == "error"] == [results.failures[1].request]
    assert await other.indexes() == [3, 4]
    assert harness.metric("refused_total", code="internal") == 1
    assert harness.metric("retries_total", cause="content") == 2


async def test_requests_beyond_the_queue_limit_are_rejected_until_it_drains(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_MAX_QUEUED_BATCHES", 2)
    harness.store.gate.clear()
    queued = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(2)]
    rejected = harness.submit("rejected", harness.draft())
    assert await rejected.result == OVERLOADED
    assert harness.metric("refused_total", code="rate_limited") == 1
    harness.store.gate.set()
    assert [await answer.indexes() for answer in queued] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert await harness.submit("later", harness.draft()).indexes() == [9]


async def test_requests_with_too_long_an_estimated_delay_are_rejected_at_once(database: Database) -> None:
    async for harness in running_harness(database, MessageSettings(batch_rows=4, queue_seconds=0.1)):
        harness.store.seconds = 0.02
        queued = [harness.submit(str(number), *(harness.draft() for _ in range(4))) for number in range(20)]
        await harness.wait_for_transactions(10)
        rejected = harness.submit("rejected", harness.draft())
        assert await rejected.result == OVERLOADED
        assert [await answer.indexes() for answer in queued][-1] == [77, 78, 79, 80]
        assert await harness.submit("later", harness.draft()).indexes() == [81]
        assert harness.metric("refused_total", code="rate_limited") == 1


async def test_queued_bytes_are_bounded(harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_MAX_QUEUED_BYTES", 10_000)
    harness.store.gate.clear()
    queued = harness.submit("queued", harness.draft(body=b"x" * 10_000))
    assert await harness.submit("rejected", harness.draft()).result == OVERLOADED
    harness.store.gate.set()
    assert await queued.indexes() == [1]


async def test_a_failed_fan_out_is_announced_and_not_answered(
    harness: BatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = harness.fanout._publish
    monkeypatch.setattr(harness.fanout, "_publish", None)
    draft = harness.draft()
    failed = harness.submit("failed", draft)
    async with asyncio.timeout(WAIT_SECONDS):
        while not harness.metric("losses_total"):
            await asyncio.sleep(0.01)
    monkeypatch.setattr(harness.fanout, "_publish", publish)
    assert await harness.submit("again", draft).indexes() == [1]
    assert not failed.result.done()
    assert harness.metric("duplicates_total") == 1


async def test_close_answers_queued_requests(database: Database) -> None:
    harness = BatcherHarness(database, SETTINGS)
    harness.store.gate.clear()
    task = asyncio.create_task(harness.batcher.run())
    queued = [harness.submit(str(number), harness.draft()) for number in range(7)]
    await asyncio.sleep(0.05)
    harness.batcher.close()
    assert await harness.submit("late", harness.draft()).result == SHUTTING_DOWN
    harness.store.gate.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await task
    assert [await answer.indexes() for answer in queued] == [[number] for number in range(1, 8)]
    await harness.presence.close()


async def test_close_answers_requests_that_load_their_member_lists(database: Database) -> None:
    harness = BatcherHarness(database, SETTINGS)
    harness.session_answers.clear()
    task = asyncio.create_task(harness.batcher.run())
    loading = harness.submit("loading", harness.draft())
    await asyncio.sleep(0.05)
    harness.batcher.close()
    await asyncio.sleep(0.05)
    harness.session_answers.set()
    assert await loading.indexes() == [1]
    async with asyncio.timeout(WAIT_SECONDS):
        await task
    await harness.presence.close()


async def test_run_can_be_cancelled_during_a_commit(database: Database) -> None:
    harness = BatcherHarness(database, SETTINGS)
    harness.store.gate.clear()
    task = asyncio.create_task(harness.batcher.run())
    harness.submit("stuck", harness.draft())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await harness.member_lists.close()
    await harness.presence.close()


async def test_without_a_database_nothing_is_acknowledged_or_delivered() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    async for harness in running_harness(database):
        answer = harness.submit("one", harness.draft(), harness.draft())
        assert await answer.failures() == [ErrorCode.UNAVAILABLE] * 2
        assert harness.log == [("answered", "one"), ("flushed", None)]
    await database.close()


class FailingThirdWrite(Database):
    """A database whose third transaction fails; with `after_work`, at its commit."""

    def __init__(self, url: str, *, after_work: bool) -> None:
        super().__init__(url)
        self.calls = 0
        self.after_work = after_work

    async def write(
        self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False, background: bool = False
    ) -> T:
        self.calls += 1
        if self.calls != 3:
            return await super().write(work, *args, brief=brief, background=background)
        if self.after_work:
            with pytest.raises(ZeroDivisionError):
                await super().write(
                    lambda connection: work(connection, *args) and 1 / 0, brief=brief, background=background
                )
        raise DatabaseUnavailable


@pytest.mark.parametrize("after_work", [True, False])
async def test_no_draft_overtakes_one_that_the_database_was_unavailable_for(
    database: Database, after_work: bool
) -> None:
    """One draft of the batch is wrong, so the batch is divided into parts.

    The database is unavailable for one of the parts.
    """
    failing = FailingThirdWrite(database.url.render_as_string(), after_work=after_work)
    async for harness in running_harness(failing):
        run = [harness.draft() for _ in range(3)]
        drafts = [run[0], harness.draft(BAD_ACCOUNT), *run[1:]]
        answer = harness.submit("run", *drafts)
        assert await answer.failures() == [ErrorCode.UNAVAILABLE] * 4
        assert await harness.submit("again", *drafts).indexes() == [1, None, 2, 3]
    await failing.close()


class UnconfirmedCommit(Database):
    """A database that does not confirm its first commit, and is then unavailable for a while."""

    def __init__(self, url: str, *, commits: bool) -> None:
        super().__init__(url)
        self.calls = 0
        self.commits = commits

    async def write(
        self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False, background: bool = False
    ) -> T:
        self.calls += 1
        if 1 < self.calls < 4:
            raise DatabaseUnavailable
        if self.calls > 1:
            return await super().write(work, *args, brief=brief, background=background)
        if self.commits:
            await super().write(work, *args, brief=brief, background=background)
        else:
            with pytest.raises(ZeroDivisionError):
                await super().write(
                    lambda connection: work(connection, *args) and 1 / 0, brief=brief, background=background
                )
        raise DatabaseUnavailable


@pytest.mark.parametrize("commits", [True, False])
async def test_an_unconfirmed_commit_is_resolved(
    database: Database, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    """A committed message is delivered and acknowledged although the confirmation was lost.

    A message that is not committed is never delivered.
    """
    monkeypatch.setattr(posting, "_RETRY_SECONDS", 0.01)
    unconfirmed = UnconfirmedCommit(database.url.render_as_string(), commits=commits)
    async for harness in running_harness(unconfirmed):
        answer = harness.submit("one", harness.draft())
        if commits:
            assert await answer.indexes() == [1]
            assert harness.log == [("delivered", [(ROOM, 1)]), ("answered", "one"), ("flushed", None)]
        else:
            assert await answer.failures() == [ErrorCode.UNAVAILABLE]
            assert harness.log == [("answered", "one"), ("flushed", None)]
            assert await harness.submit("two", harness.draft()).indexes() == [1]
        assert harness.metric("retries_total", cause="unknown") == 3
        assert harness.metric("duplicates_total") == 0
    await unconfirmed.close()


async def test_a_repeated_message_has_its_first_result_and_another_one_is_a_conflict(harness: BatcherHarness) -> None:
    first = harness.draft(body=b"one")
    assert await harness.submit("first", first).indexes() == [1]
    repeated = harness.submit("again", msgspec.structs.replace(first, body=b"o" + b"ne"), harness.draft())
    posted = await repeated.result
    assert isinstance(posted, PostResults)
    assert ([one.index for one in posted.posted if one], posted.again) == ([1, 2], [0])
    bodies = [
        msgspec.msgpack.encode([["i", ["00ff", "cat.png", 512, "ab", "image/png", *more]]]) for more in ([0], [0, 9, 9])
    ]
    pictures = [msgspec.structs.replace(harness.draft(body=body), nonce=Nonce(77)) for body in bodies]
    repeated_elsewhere = [await harness.submit(str(one), one).indexes() for one in pictures]
    assert repeated_elsewhere == [[3], [3]], "an edge of an older version packs fewer fields"
    other = await harness.submit("other", msgspec.structs.replace(first, body=b"two"), harness.draft()).result
    assert isinstance(other, PostResults)
    assert other.failures[0].code is ErrorCode.CONFLICT
    assert (other.posted[0], other.again) == (None, [])
