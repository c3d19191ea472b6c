"""Only messages that have certainly arrived count as read."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.edge.confirmations import read_state
from services.edge.confirmations.confirmation import UnconfirmedPushes
from services.edge.confirmations.read_state import Ranges, ReadBuffer, ReadStateFlusher, merge_spans
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract.ephemeral import ReadPlace
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, DeviceId, NodeId
from shared.contract.message import DevicePosition, MarkRead, ReadRange
from tests.support.waiting import WAIT_SECONDS

BYTES = 10
"""The size of each message in bytes."""
ANN, BOB = AccountId(1), AccountId(2)
TEAM, OTHER = ChatId(7), ChatId(8)
LAPTOP, PHONE = DeviceId(3), DeviceId(4)

Spans = list[tuple[int, int]]
spans = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def indexes(ranges: Ranges) -> set[tuple[int, int]]:
    return {(chat, index) for chat, spans in ranges.items() for low, high in spans for index in range(low, high + 1)}


def covered(spans: Spans) -> set[int]:
    return {index for low, high in spans for index in range(low, high + 1)}


class PushMachine(RuleBasedStateMachine):
    """Pushes, pings and pongs in any order.

    The peer has received everything from before the last ping that it answered. At the end, it has received everything
    in the bytes that arrived, if it was pushed early enough for the peer to handle it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unconfirmed = UnconfirmedPushes()
        self.before_ping: set[tuple[int, int]] = set()
        self.since_ping: set[tuple[int, int]] = set()
        self.confirmed: set[tuple[int, int]] = set()
        self.next = {1: 1, 2: 1}
        self.position = 0
        self.now = 0.0
        self.places: dict[tuple[int, int], tuple[int, float]] = {}

    @rule(chat=st.sampled_from([1, 2]), skipped=st.integers(0, 2))
    def push(self, chat: int, skipped: int) -> None:
        index = self.next[chat] + skipped
        self.next[chat] = index + 1
        self.position += BYTES
        self.now += skipped
        self.unconfirmed.pushed(ChatId(chat), index, self.position)
        self.unconfirmed.timed(self.now)
        self.places[chat, index] = self.position, self.now
        self.since_ping.add((chat, index))

    @rule()
    def ping(self) -> None:
        self.unconfirmed.pinged()
        self.before_ping |= self.since_ping
        self.since_ping = set()

    @rule()
    def pong(self) -> None:
        confirmed = indexes(self.unconfirmed.ponged())
        assert confirmed == self.before_ping
        self.confirmed |= confirmed
        self.before_ping = set()

    @rule(missing=st.integers(0, 5 * BYTES), unhandled=st.integers(0, 5))
    def end(self, missing: int, unhandled: int) -> None:
        arrived, until = self.position - missing, self.now - unhandled

        def was_handled(one: tuple[int, int]) -> bool:
            position, at = self.places[one]
            return position <= arrived and at <= until

        expected = set(filter(was_handled, self.before_ping | self.since_ping))
        assert indexes(self.unconfirmed.ended(arrived, until)) == expected
        self.before_ping, self.since_ping = set(), set()

    @invariant()
    def it_is_true_while_something_is_open(self) -> None:
        assert bool(self.unconfirmed) == bool(self.before_ping | self.since_ping)

    @invariant()
    def it_contains_what_is_open(self) -> None:
        contained = {one for one in self.places if self.unconfirmed.contains(ChatId(one[0]), one[1])}
        assert contained == self.before_ping | self.since_ping


TestPushMachine = PushMachine.TestCase


def test_consecutive_indexes_are_one_range() -> None:
    unconfirmed = UnconfirmedPushes()
    for index in (4, 5, 6, 8):
        unconfirmed.pushed(TEAM, index, BYTES)
    assert unconfirmed.ended(BYTES, None) == {7: [(4, 6), (8, 8)]}


@given(spans)
def test_merging_keeps_the_indexes_in_as_few_ranges_as_possible(spans: Spans) -> None:
    result = merge_spans(spans)
    assert covered(result) == covered(spans)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(result))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), spans), max_size=10), st.integers(1, 5))
def test_ranges_are_popped_once_and_put_back_whole(batches: list[tuple[int, int, Spans]], limit: int) -> None:
    state, expected = ReadBuffer(), set[tuple[int, int, int]]()
    for account, chat, ranges in batches:
        state.add(AccountId(account), {ChatId(chat): ranges} if ranges else {})
        expected |= {(account, chat, index) for index in covered(ranges)}
    first = state.pop_batch(limit)
    state.put_back(first, state)
    popped: list[ReadRange] = []
    while batch := state.pop_batch(limit).ranges:
        popped += batch
    assert {(one.account, one.chat, index) for one in popped for index in range(one.low, one.high + 1)} == expected
    assert not state


@given(st.lists(st.lists(st.integers(1, 12), min_size=1), min_size=1))
def test_posted_indexes_are_kept_in_any_order(batches: list[list[int]]) -> None:
    buffer = ReadBuffer()
    for batch in batches:
        buffer.add_posted(ANN, TEAM, batch, 0.0)
    ranges = buffer.pop_batch(1).ranges
    posted = {index for batch in batches for index in batch}
    assert {index for one in ranges for index in range(one.low, one.high + 1)} == posted
    assert max(one.read for one in ranges) == max(posted)


@given(spans, st.integers(1, 15), st.integers(1, 15))
def test_the_first_undelivered_index_is_the_first_not_in_the_buffer(ranges: Spans, stored: int, end: int) -> None:
    buffer = ReadBuffer()
    buffer.add(ANN, {TEAM: ranges} if ranges else {})
    expected = next((index for index in range(stored, end) if not buffer.covers(ANN, TEAM, index)), end)
    assert buffer.first_undelivered(ANN, TEAM, stored, end) == expected
    assert buffer.first_undelivered(BOB, TEAM, stored, end) == min(stored, end)


def test_marking_and_posting_read_and_receiving_does_not() -> None:
    buffer = ReadBuffer()
    buffer.add_posted(ANN, TEAM, [4, 5], 0.0, 8)
    buffer.add(ANN, {TEAM: [(1, 2)], OTHER: [(2, 2)]})
    buffer.add_read(ReadPlace(BOB, OTHER, 3, 9))
    taken = buffer.take(0.0)
    batch = taken.pop_batch(10)
    ranges = batch.ranges
    assert set(ranges) == {
        ReadRange(ANN, TEAM, 1, 2, 5), ReadRange(ANN, TEAM, 4, 5, 0), ReadRange(ANN, OTHER, 2, 2, 0),
        ReadRange(BOB, OTHER, 1, 3, 3),
    }  # fmt: skip
    reads = [ReadPlace(ANN, TEAM, 5, 8), ReadPlace(BOB, OTHER, 3, 9)]
    assert sorted(taken.reads_of(ranges), key=lambda one: one.account) == reads
    buffer.add_read(ReadPlace(BOB, OTHER, 1, 7))
    buffer.put_back(batch, taken)
    again = buffer.take(0.0)
    assert sorted(again.reads_of(again.pop_batch(10).ranges), key=lambda one: one.account) == reads
    assert not buffer.take(9.0)


def test_accounts_that_have_only_posted_are_taken_later_unless_named() -> None:
    buffer = ReadBuffer()
    buffer.add_posted(ANN, TEAM, [1], 5.0)
    buffer.add_posted(ANN, TEAM, [3], 9.0)
    buffer.add_posted(BOB, TEAM, [2], 6.0)
    assert not buffer.take(4.9)
    assert buffer.covers(ANN, TEAM, 3)
    buffer.add(BOB, {TEAM: [(1, 1)]})
    first = buffer.take(4.9)
    assert first.accounts == {BOB}
    ranges = first.pop_batch(10).ranges
    assert ranges == [ReadRange(BOB, TEAM, 1, 2, 2)]
    buffer.add_posted(BOB, TEAM, [4], 7.0)
    assert buffer.take(4.9, [BOB]).pop_batch(10).ranges == [ReadRange(BOB, TEAM, 4, 4, 4)]
    posted = buffer.take(5.0)
    ranges = posted.pop_batch(10).ranges
    assert ranges == [ReadRange(ANN, TEAM, 1, 1, 3), ReadRange(ANN, TEAM, 3, 3, 0)]
    buffer.add_posted(ANN, TEAM, [5], 8.0)
    assert not buffer.take(7.9)
    assert buffer.take(8.0)


def test_a_device_has_received_everything_up_to_its_position() -> None:
    buffer = ReadBuffer()
    buffer.add(ANN, {TEAM: [(3, 4)], OTHER: [(9, 9)]}, LAPTOP)
    buffer.add(ANN, {TEAM: [(5, 5), (8, 8)]}, PHONE)
    buffer.add(ANN, {TEAM: [(2, 2)]}, LAPTOP)
    found = [buffer.first_undelivered(ANN, TEAM, 3, end, device) for device in (LAPTOP, PHONE) for end in (4, 20)]
    assert found == [4, 5, 4, 9]
    assert buffer.first_undelivered(ANN, OTHER, 3, 20, PHONE) == 3
    taken = buffer.take(0.0)
    assert buffer.first_undelivered(ANN, TEAM, 3, 20, PHONE) == 3
    batch = taken.pop_batch(1)
    assert set(batch.positions) == {
        DevicePosition(ANN, LAPTOP, TEAM, 4),
        DevicePosition(ANN, LAPTOP, OTHER, 9),
        DevicePosition(ANN, PHONE, TEAM, 8),
    }
    buffer.add(ANN, {TEAM: [(9, 9)]}, PHONE)
    buffer.put_back(batch, taken)
    again = buffer.take(0.0).pop_batch(9)
    assert {one.index for one in again.positions} == {4, 9}
    assert again.ranges


class FailingMessageService:
    """A fake message service that holds each commit until `release` is set. The commit fails while `fails` is true."""

    def __init__(self) -> None:
        self.fails = True
        self.began, self.release, self.stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(self, _: MarkRead, **_options: object) -> None:
        self.began.set()
        await self.release.wait()
        if self.fails:
            raise RequestError(ErrorCode.UNAVAILABLE, "not now")
        self.stored.set()


class RejectingMessageService:
    """Rejects everything that contains the read state of Ann."""

    def __init__(self) -> None:
        self.stored: set[AccountId] = set()

    async def send(self, request: MarkRead, **_options: object) -> None:
        accounts = {one.account for one in request.ranges}
        if ANN in accounts:
            raise RequestError(ErrorCode.INTERNAL, "a test")
        self.stored |= accounts


class NobodyLeaves:
    presence_unknown = False

    def awaiting_leave(self) -> list[AccountId]:
        return []

    def get(self, _: AccountId) -> None: ...

    async def leave(self, _: object) -> None: ...


async def test_what_another_flush_fails_to_commit_is_committed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flush loop waits for work. It finds an empty buffer while another flush has the read state."""
    monkeypatch.setattr(read_state, "_LEAVE_SECONDS", 0)
    message = FailingMessageService()
    flusher = ReadStateFlusher(cast(Bus, message), NodeId("a"), cast(LocalAccounts, NobodyLeaves()))
    flusher.mark_delivered(ANN, {TEAM: [(1, 1)]})
    other = asyncio.create_task(flusher.flush())
    await message.began.wait()
    running = asyncio.create_task(flusher.run())
    for _ in range(20):
        await asyncio.sleep(0)
    message.release.set()
    assert not await other
    message.fails = False
    async with asyncio.timeout(WAIT_SECONDS):
        await message.stored.wait()
    running.cancel()


async def test_an_account_with_rejected_read_state_delays_no_other() -> None:
    message = RejectingMessageService()
    flusher = ReadStateFlusher(cast(Bus, message), NodeId("a"), cast(LocalAccounts, NobodyLeaves()))
    others = {AccountId(number) for number in range(2, 10)}
    for account in (ANN, *others):
        flusher.mark_read(ReadPlace(account, TEAM, 1, 5))
    assert await flusher.flush()
    assert message.stored == others
    assert flusher.covers(ANN, TEAM, 1)
