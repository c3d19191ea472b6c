"""Tests how an edge finds the leader of a chat: heartbeats, timeouts, and suspensions."""

import pytest

from services.edge.upstream.attempt import ANY, Leaders
from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId
from shared.partitions import STOPPING

CHATS = [ChatId(number) for number in range(1, 1_001)]


def hear(leaders: Leaders, replica: str, now: float, partitions: int = 256) -> None:
    leaders.heartbeat(Heartbeat(replica, 1, {}, partitions=partitions), now)


def owned_by(leaders: Leaders, now: float) -> set[str]:
    return {leaders.leader(chat, now) for chat in CHATS}


@pytest.fixture
def leaders() -> Leaders:
    leaders = Leaders(256)
    hear(leaders, "a", 0.0)
    hear(leaders, "b", 0.0)
    return leaders


def test_a_single_replica_is_requested_through_the_queue_group() -> None:
    leaders = Leaders(256)
    assert owned_by(leaders, 0.0) == {ANY}
    hear(leaders, "a", 0.0)
    assert owned_by(leaders, 0.0) == {ANY}
    hear(leaders, "b", 0.0)
    assert owned_by(leaders, 0.0) == {"a", "b"}


def test_the_queue_group_is_avoided_while_a_dead_replica_may_be_in_it(leaders: Leaders) -> None:
    hear(leaders, "a", 2.0)
    assert owned_by(leaders, 3.0) == {"a"}
    hear(leaders, "a", 61.0)
    leaders.leader(CHATS[0], 61.0)
    assert owned_by(leaders, 61.0) == {ANY}


def test_the_rest_serve_the_partitions_of_a_silent_replica(leaders: Leaders) -> None:
    """The edge does not send the requests to the queue group, because the silent replica may still be in it."""
    leaders.silent("a", 0.0)
    assert owned_by(leaders, 0.0) == {"b"}
    assert leaders.after(CHATS[0], "a", 0.0) == "b"


def test_the_last_replica_is_suspended_only_if_it_does_not_serve(leaders: Leaders) -> None:
    """The last replica gets more time instead, because it may wait for locks of the other replicas."""
    leaders.silent("a", 0.0)
    assert leaders.seconds("b") == 2.0
    leaders.silent("b", 0.0)
    assert owned_by(leaders, 0.0) == {"b"}
    leaders.gone("b", 0.0)
    assert owned_by(leaders, 0.0) == {ANY}
    assert leaders.after(CHATS[0], "b", 0.0) == ANY


def test_a_suspension_lasts_twice_as_long_each_time_until_a_reply(leaders: Leaders) -> None:
    now = 0.0
    for seconds in (1, 2, 4, 8, 16, 16):
        for _ in range(10):  # these requests were sent together
            leaders.silent("a", now)
        for _ in range(seconds):
            hear(leaders, "a", now)
            hear(leaders, "b", now)
            assert owned_by(leaders, now) == {"b"}
            now += 1.0
        hear(leaders, "a", now)
        hear(leaders, "b", now)
        assert owned_by(leaders, now) == {"a", "b"}
    leaders.replied("a", 0.01)
    leaders.silent("a", now)
    hear(leaders, "a", now + 1.0)
    hear(leaders, "b", now + 1.0)
    assert owned_by(leaders, now + 1.0) == {"a", "b"}


def test_a_chosen_replica_may_end_while_another_one_starts(leaders: Leaders) -> None:
    chosen = leaders.leader(CHATS[0], 0.0)
    hear(leaders, chosen, 0.1, partitions=STOPPING)
    hear(leaders, "c", 0.1)
    assert leaders.seconds(chosen) == 0.5


def test_the_time_for_a_reply_follows_the_slowest_recent_one(leaders: Leaders) -> None:
    assert leaders.seconds("a") == 0.5
    leaders.replied("a", 0.01)
    assert leaders.seconds("a") == 0.5
    leaders.replied("a", 0.4)
    assert leaders.seconds("a") == pytest.approx(1.2)
    leaders.replied("a", 5.0)
    assert leaders.seconds("a") == 2.0
    for _ in range(60):
        leaders.replied("a", 0.01)
    assert leaders.seconds("a") == 0.5


def test_a_replica_that_was_silent_gets_more_time(leaders: Leaders) -> None:
    """A replica may need longer than the shortest time. If the time did not increase, it could never show this."""
    leaders.silent("a", 0.0)
    assert leaders.seconds("a") == 1.5


def test_replicas_that_are_gone_are_forgotten(leaders: Leaders) -> None:
    for number in range(100):
        hear(leaders, f"r{number}", float(number))
        owned_by(leaders, float(number))
    leaders.replied("a", 0.1)
    leaders.silent("a", 100.0)
    assert len(leaders._replies) < 10
