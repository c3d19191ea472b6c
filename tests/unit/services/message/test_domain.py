"""Tests the pure rules of message: permission to post, order and time, read state, history, and pages."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.message.domain import (
    MAX_HISTORY_COUNT,
    Cursor,
    IndexRange,
    assign_indexes,
    chunks,
    first_undelivered,
    from_joining,
    history_range,
    merge_delivered,
    read_up_to,
    undelivered_ranges,
    unread_range,
)
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import Draft, GetHistory
from shared.contract.model import Message

ANN, BOB = AccountId(1), AccountId(2)
ROOM = ChatId(7)
NOW = 1_700_000_000_000
MANY = 10_000

spans = st.lists(st.tuples(st.integers(1, 60), st.integers(-1, 8)).map(lambda span: (span[0], span[0] + span[1])))


def draft(nonce: int, chat: int = 7, sender: int = 1, deadline: int = NOW + 1000) -> Draft:
    return Draft(AccountId(sender), ChatId(chat), Nonce(nonce), deadline, b"body %d" % nonce)


def delivered_indexes(state: Cursor) -> set[int]:
    return indexes([(1, state.delivered_index), *state.above])


def indexes(of: Iterable[IndexRange]) -> set[int]:
    return {index for low, high in of for index in range(low, high + 1)}


# Posting


def test_duplicate_nonces_are_posted_once_within_a_batch_and_across_batches() -> None:
    before = Message(ROOM, 3, MessageId(9), ANN, NOW - 5, b"before", Nonce(1))
    drafts = [draft(1), draft(2), draft(2), draft(1, sender=2)]
    batch = assign_indexes(drafts, {ROOM: (4, NOW)}, {(ROOM, ANN, Nonce(1)): before}, NOW)
    assert batch.results == [before, 0, 0, 1]
    assert [row[1] for row in batch.rows] == [5, 6]


def test_late_drafts_use_no_index_and_posted_ones_are_never_late() -> None:
    before = Message(ROOM, 3, MessageId(9), ANN, NOW - 5, b"before", Nonce(1))
    late = [draft(1, deadline=NOW), draft(2, deadline=NOW), draft(3)]
    batch = assign_indexes(late, {ROOM: (4, 0)}, {(ROOM, ANN, Nonce(1)): before}, NOW)
    assert batch.results == [before, None, 0]
    assert batch.heads == {ROOM: (5, NOW)}


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 20), st.booleans())),
    st.dictionaries(st.integers(1, 3), st.tuples(st.integers(0, 9), st.integers(0, 2 * NOW))),
)
def test_indexes_are_dense_and_times_increase(
    posts: list[tuple[int, int, bool]], before: dict[int, tuple[int, int]]
) -> None:
    heads = {ChatId(chat): before.get(chat, (0, 0)) for chat in (1, 2, 3)}
    drafts = [draft(nonce, chat, deadline=NOW if late else NOW + 1) for chat, nonce, late in posts]
    batch = assign_indexes(drafts, heads, {}, NOW)
    for chat, head in heads.items():
        rows = [row for row in batch.rows if row[0] == chat]
        last_index, last_time = head
        assert [row[1] for row in rows] == list(range(last_index + 1, last_index + 1 + len(rows)))
        times = [last_time, *(row[4] for row in rows)]
        assert times == sorted(set(times))
        assert all(time >= NOW for time in times[1:])
        assert batch.heads.get(chat, head) == ((rows[-1][1], rows[-1][4]) if rows else head)


# Delivered and read messages


@given(spans, st.randoms(use_true_random=False))
def test_merging_delivered_ranges_is_a_union_in_any_order(ranges: list[IndexRange], random: object) -> None:
    shuffled = list(ranges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    at_once = merge_delivered(Cursor(), ranges, MANY)
    one_by_one = Cursor()
    for span in [*shuffled, *shuffled]:
        one_by_one = merge_delivered(one_by_one, [span], MANY)
    assert at_once == one_by_one
    assert delivered_indexes(at_once) == indexes(ranges)
    edges = [(0, at_once.delivered_index), *at_once.above]
    assert all(below[1] + 1 < above[0] <= above[1] for below, above in pairwise(edges))


@given(spans, st.integers(1, 5))
def test_beyond_the_limit_the_shortest_ranges_are_forgotten(ranges: list[IndexRange], limit: int) -> None:
    """Some ranges are forgotten. Even so, no undelivered message counts as delivered."""
    complete, bounded = merge_delivered(Cursor(), ranges, MANY), merge_delivered(Cursor(), ranges, limit)
    assert bounded.delivered_index == complete.delivered_index
    assert len(bounded.above) == min(limit, len(complete.above))
    assert set(bounded.above) <= set(complete.above)
    assert bounded.above[-1:] == complete.above[-1:]
    forgotten = [high - low for low, high in set(complete.above) - set(bounded.above)]
    assert all(high - low >= longest for longest in forgotten for low, high in bounded.above[:-1])


@given(spans, st.integers(0, 80), st.integers(0, 80))
def test_reading_and_delivery_are_two_marks(ranges: list[IndexRange], marked: int, index: int) -> None:
    read = read_up_to(Cursor(20, read_index=marked), index)
    assert (read.delivered_index, read.above) == (20, ())
    assert read.read_index == max(index, marked)
    assert merge_delivered(read, ranges, MANY).read_index == read.read_index


@given(spans, st.integers(0, 80), st.integers(0, 90))
def test_undelivered_ranges_are_the_newest_ones(ranges: list[IndexRange], head: int, limit: int) -> None:
    state = merge_delivered(Cursor(), ranges, MANY)
    expected = sorted(set(range(1, head + 1)) - delivered_indexes(state))
    gaps = undelivered_ranges(state, head, limit)
    assert [index for low, high in gaps for index in range(low, high + 1)] == (expected[-limit:] if limit else [])
    assert first_undelivered(state, gaps) == (expected[-limit:][0] if limit and expected else state.delivered_index + 1)


def test_indexes_before_the_join_are_not_unread() -> None:
    assert from_joining(Cursor(), 1) == Cursor()
    assert from_joining(Cursor(), 100) == Cursor(99, read_index=99)
    assert from_joining(Cursor(0, ((100, 120), (130, 131))), 100) == Cursor(120, ((130, 131),), 99)
    assert from_joining(Cursor(150), 100) == Cursor(150, read_index=99)
    assert unread_range(from_joining(Cursor(150), 100), 160, 1_000) == (100, 160)
    assert unread_range(Cursor(150, read_index=150), 160, 4) == (157, 160)


# History


def test_history_range() -> None:
    for start, count, older, first_index, expected in (
        (10, 3, True, 1, (8, 10)),
        (2, 5, True, 1, (1, 2)),
        (-1, 3, True, 1, (8, 10)),
        (-4, 2, True, 1, (6, 7)),
        (-10, 5, True, 1, (1, 1)),
        (99, 2, True, 1, (9, 10)),
        (3, 3, False, 1, (3, 5)),
        (9, 5, False, 1, (9, 10)),
        (-2, 5, False, 1, (9, 10)),
        (7, 9, True, 5, (5, 7)),
        (1, 3, False, 5, (5, 7)),
    ):
        assert history_range(GetHistory(ROOM, start, count, older), 10, first_index) == expected


@pytest.mark.parametrize(
    ("start", "older", "first_index"), [(0, True, 1), (0, False, 1), (-11, True, 1), (11, False, 1), (4, True, 5)]
)
def test_history_range_outside_of_the_chat_is_empty(start: int, older: bool, first_index: int) -> None:
    low, high = history_range(GetHistory(ROOM, start, 5, older), 10, first_index)
    assert low > high


@pytest.mark.parametrize("count", [0, -1, MAX_HISTORY_COUNT + 1])
def test_history_count_out_of_bounds_is_rejected(count: int) -> None:
    with pytest.raises(RequestError, match="count"):
        history_range(GetHistory(ROOM, 1, count), 10, 1)


# Pages


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 50), st.integers(-1, 30))), st.integers(1, 20))
def test_chunks_keep_all_indexes_in_order(ranges: list[tuple[int, int, int]], rows: int) -> None:
    whole = [(ChatId(chat), low, low + more) for chat, low, more in ranges]
    parts = list(chunks(whole, rows))
    assert [pair for part in parts for pair in flat(part)] == flat(whole)
    assert all(len(flat(part)) == rows for part in parts[:-1])
    assert all(0 < len(flat(part)) <= rows for part in parts)


def flat(of: Iterable[tuple[ChatId, int, int]]) -> list[tuple[int, int]]:
    return [(chat, index) for chat, low, high in of for index in range(low, high + 1)]
