"""The loss detector reports every loss of a delivery batch, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.delivery.ordering import BROADCAST, FIRST_SECONDS, PATIENCE_SECONDS, SILENCE_SECONDS, LossDetector
from shared.contract.edge import Heartbeat
from shared.contract.ids import NodeId

NODE = NodeId("edge-1-abc")
LATER = FIRST_SECONDS + 100.0


def detector() -> LossDetector:
    """Returns a detector that has run for a while."""
    return LossDetector(now=0.0)


def beat(broadcasts: int = 0, *, epoch: int = 1, leaving: bool = False) -> Heartbeat:
    return Heartbeat("replica", epoch, {BROADCAST: broadcasts}, leaving)


@pytest.mark.parametrize("subject", [str(NODE), BROADCAST])
def test_a_skipped_counter_is_reported_once(subject: str) -> None:
    losses = detector()
    reported = [losses.batch("replica", 1, subject, counter, LATER) for counter in (1, 2, 4, 5)]
    assert reported == [False, False, True, False]
    assert losses.on_timer(LATER + 1) == []


def test_a_repeated_batch_is_not_a_loss() -> None:
    losses = detector()
    assert not any(losses.batch("replica", 1, NODE, counter, LATER) for counter in (1, 2, 2, 1, 3))


def test_subjects_and_replicas_are_counted_separately() -> None:
    losses = detector()
    for replica in ("one", "two"):
        for subject in (str(NODE), BROADCAST):
            assert not losses.batch(replica, 1, subject, 1, LATER)


def test_a_heartbeat_reveals_the_loss_of_the_last_batch() -> None:
    losses = detector()
    losses.batch("replica", 1, BROADCAST, 1, LATER)
    losses.heartbeat(beat(2), LATER)
    assert losses.on_timer(LATER + PATIENCE_SECONDS - 0.1) == []
    assert losses.on_timer(LATER + PATIENCE_SECONDS + 0.1) == ["delivery batches of replica"]
    assert losses.on_timer(LATER + PATIENCE_SECONDS + 0.2) == []


def test_the_next_heartbeat_reveals_the_loss_without_the_timer() -> None:
    losses = detector()
    assert not losses.heartbeat(beat(1), LATER)
    assert losses.heartbeat(beat(1), LATER + 1)
    assert not losses.heartbeat(beat(1), LATER + 2)


def test_a_heartbeat_may_overtake_its_batch() -> None:
    losses = detector()
    losses.heartbeat(beat(1), LATER)
    assert not losses.batch("replica", 1, BROADCAST, 1, LATER + 0.1)
    assert losses.on_timer(LATER + 1) == []


def test_two_heartbeats_announce_one_batch_each() -> None:
    losses = detector()
    losses.heartbeat(beat(1), LATER)
    losses.heartbeat(beat(2, leaving=True), LATER + 0.5)
    assert not losses.batch("replica", 1, BROADCAST, 1, LATER + 0.6)
    assert losses.on_timer(LATER + 1.0) == []
    assert losses.on_timer(LATER + 1.5) == ["delivery batches of replica"]


def test_silence_is_a_loss_unless_the_replica_announced_its_end() -> None:
    losses = detector()
    losses.heartbeat(beat(), LATER)
    losses.heartbeat(beat(epoch=2, leaving=True), LATER)
    assert losses.on_timer(LATER + SILENCE_SECONDS - 0.1) == []
    assert losses.on_timer(LATER + SILENCE_SECONDS + 0.1) == ["silence of replica"]
    assert losses.on_timer(LATER + 100) == []


def test_a_replica_that_is_heard_is_not_missed() -> None:
    losses = detector()
    for second in range(0, 20, 2):
        losses.heartbeat(beat(), LATER + second)
        losses.batch("other", 1, NODE, second // 2 + 1, LATER + second)
        assert losses.on_timer(LATER + second + 1.9) == []
    assert sorted(losses.on_timer(LATER + 18 + SILENCE_SECONDS + 0.1)) == ["silence of other", "silence of replica"]


def test_a_restarted_replica_counts_as_a_new_one() -> None:
    losses = detector()
    losses.batch("replica", 1, NODE, 1, LATER)
    assert not losses.batch("replica", 2, NODE, 1, LATER + 1)
    assert losses.on_timer(LATER + SILENCE_SECONDS + 0.1) == ["silence of replica"]


def test_broadcasts_during_the_silence_of_a_replica_are_lost() -> None:
    losses = detector()
    losses.heartbeat(beat(), LATER)
    assert losses.on_timer(LATER + 10) == ["silence of replica"]
    losses.heartbeat(beat(3), LATER + 11)
    assert losses.on_timer(LATER + 12) == ["delivery batches of replica"]


def test_broadcasts_before_the_start_of_this_node_are_not_lost() -> None:
    losses = detector()
    losses.heartbeat(beat(1_000), FIRST_SECONDS / 2)
    assert losses.on_timer(FIRST_SECONDS / 2 + 1) == []
    assert not losses.batch("replica", 1, BROADCAST, 1_001, 3.0)
    assert losses.batch("replica", 1, BROADCAST, 1_003, 3.0)
    assert not LossDetector(0.0).batch("replica", 1, BROADCAST, 8, FIRST_SECONDS / 2)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_exactly_the_losses_are_reported(arrivals: list[bool]) -> None:
    """A delivery batch is sent every 0.1 s, and a heartbeat every second and at the end."""
    losses, reports = detector(), 0
    losses.heartbeat(Heartbeat("replica", 1, {}), LATER)
    for number, arrived in enumerate(arrivals):
        now = LATER + number / 10
        if arrived:
            reports += losses.batch("replica", 1, BROADCAST, number + 1, now)
        if number % 10 == 9:
            reports += losses.heartbeat(Heartbeat("replica", 1, {BROADCAST: number + 1}), now)
        reports += len(losses.on_timer(now))
    end = LATER + len(arrivals) / 10
    reports += losses.heartbeat(Heartbeat("replica", 1, {BROADCAST: len(arrivals)}), end)
    reports += len(losses.on_timer(end + PATIENCE_SECONDS + 0.1))
    assert bool(reports) == (not all(arrivals))
