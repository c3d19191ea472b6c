"""The owner of a chat as an edge sees it: liveness, time-outs, suspensions."""

import pytest

from services.edge.upstream.owners import ANY, Owners
from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId

CHATS = [ChatId(number) for number in range(1, 1_001)]


def hear(owners: Owners, replica: str, now: float, partitions: int = 256) -> None:
    owners.heartbeat(Heartbeat(replica, 1, {}, partitions=partitions), now)


def owned_by(owners: Owners, now: float) -> set[str]:
    return {owners.owner(chat, now) for chat in CHATS}


@pytest.fixture
def owners() -> Owners:
    owners = Owners(256)
    hear(owners, "a", 0.0)
    hear(owners, "b", 0.0)
    return owners


def test_a_single_replica_is_requested_through_the_queue_group() -> None:
    owners = Owners(256)
    assert owned_by(owners, 0.0) == {ANY}
    hear(owners, "a", 0.0)
    assert owned_by(owners, 0.0) == {ANY}
    hear(owners, "b", 0.0)
    assert owned_by(owners, 0.0) == {"a", "b"}


def test_while_a_replica_of_an_older_version_lives_any_replica_is_requested(owners: Owners) -> None:
    hear(owners, "old", 0.0, partitions=0)
    assert owned_by(owners, 0.0) == {ANY}
    hear(owners, "a", 2.0)
    hear(owners, "b", 2.0)
    assert owned_by(owners, 3.0) == {"a", "b"}


def test_the_queue_group_is_avoided_while_a_dead_replica_may_be_in_it(owners: Owners) -> None:
    hear(owners, "a", 2.0)
    assert owned_by(owners, 3.0) == {"a"}
    hear(owners, "a", 61.0)
    owners.owner(CHATS[0], 61.0)
    assert owned_by(owners, 61.0) == {ANY}


def test_the_rest_serve_the_partitions_of_a_silent_replica(owners: Owners) -> None:
    """Not the queue group, in which the silent one may still be."""
    owners.silent("a", 0.0)
    assert owned_by(owners, 0.0) == {"b"}
    assert owners.after(CHATS[0], "a", 0.0) == "b"


def test_the_last_replica_is_suspended_only_if_it_does_not_serve(owners: Owners) -> None:
    """It gets more time instead: it may wait for what the others hold."""
    owners.silent("a", 0.0)
    assert owners.seconds("b") == 2.0
    owners.silent("b", 0.0)
    assert owned_by(owners, 0.0) == {"b"}
    owners.gone("b", 0.0)
    assert owned_by(owners, 0.0) == {ANY}
    assert owners.after(CHATS[0], "b", 0.0) == ANY


def test_a_suspension_lasts_twice_as_long_each_time_until_a_reply(owners: Owners) -> None:
    now = 0.0
    for seconds in (1, 2, 4, 8, 16, 16):
        for _ in range(10):  # requests that were sent together
            owners.silent("a", now)
        for _ in range(seconds):
            hear(owners, "a", now)
            hear(owners, "b", now)
            assert owned_by(owners, now) == {"b"}
            now += 1.0
        hear(owners, "a", now)
        hear(owners, "b", now)
        assert owned_by(owners, now) == {"a", "b"}
    owners.replied("a", 0.01)
    owners.silent("a", now)
    hear(owners, "a", now + 1.0)
    hear(owners, "b", now + 1.0)
    assert owned_by(owners, now + 1.0) == {"a", "b"}


def test_the_time_for_a_reply_follows_the_slowest_recent_one(owners: Owners) -> None:
    assert owners.seconds("a") == 0.5
    owners.replied("a", 0.01)
    assert owners.seconds("a") == 0.5
    owners.replied("a", 0.4)
    assert owners.seconds("a") == pytest.approx(1.2)
    owners.replied("a", 5.0)
    assert owners.seconds("a") == 2.0
    for _ in range(60):
        owners.replied("a", 0.01)
    assert owners.seconds("a") == 0.5


def test_a_replica_that_was_silent_gets_more_time(owners: Owners) -> None:
    """Else one that needs longer than the shortest time would never get a chance to show it."""
    owners.silent("a", 0.0)
    assert owners.seconds("a") == 1.5


def test_replicas_that_are_gone_are_forgotten(owners: Owners) -> None:
    for number in range(100):
        hear(owners, f"r{number}", float(number))
        owned_by(owners, float(number))
    owners.replied("a", 0.1)
    owners.silent("a", 100.0)
    assert len(owners._replies) < 10
