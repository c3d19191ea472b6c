"""Tests which replicas of message lead chats, and which are standbys."""

from services.message.adapters.leadership import ProcessorLoad, StandbyDecision


def is_standby(decision: StandbyDecision, loads: dict[str, float], now: float = 0.0) -> bool:
    for replica, load in loads.items():
        decision.note(replica, load)
    return decision.is_standby(loads.__contains__, now)


def test_leaders_are_as_many_as_the_load_needs() -> None:
    for loads, leaders in (
        ((0.0, 0.0, 0.0), "a"),
        ((0.4, 0.1, 0.0), "a"),
        ((0.5, 0.1, 0.1), "ab"),
        ((0.3, 0.3, 0.3), "ab"),
        ((0.9, 0.9, 0.9), "abc"),
        ((9.0, 0.0, 0.0), "abc"),
    ):
        announced = dict(zip("abc", loads, strict=True))
        decided = {replica: is_standby(StandbyDecision(replica, 0.6), announced) for replica in announced}
        assert "".join(replica for replica in decided if not decided[replica]) == leaders


def test_a_leader_that_is_not_needed_any_more_stays_for_a_while() -> None:
    decision = StandbyDecision("b", 0.6)
    assert not is_standby(decision, {"a": 0.5, "b": 0.5}, 0.0)
    assert not is_standby(decision, {"a": 0.5, "b": 0.0}, 29.0)
    assert is_standby(decision, {"a": 0.5, "b": 0.0}, 31.0)
    assert not is_standby(decision, {"a": 0.7, "b": 0.0}, 32.0)


def test_the_load_of_a_replica_that_is_gone_does_not_count() -> None:
    decision = StandbyDecision("b", 0.6)
    assert not is_standby(decision, {"a": 0.0, "b": 0.0, "c": 2.0}, 0.0)
    assert not is_standby(decision, {"b": 0.0, "c": 0.0}, 100.0)
    decision = StandbyDecision("c", 0.6)
    is_standby(decision, {"a": 2.0, "b": 0.0, "c": 0.0}, 0.0)
    assert is_standby(decision, {"b": 0.0, "c": 0.0}, 100.0)


def test_a_replica_that_knows_of_none_yet_is_a_standby() -> None:
    assert is_standby(StandbyDecision("b", 0.6), {})


def test_without_the_setting_all_replicas_are_leaders() -> None:
    assert not is_standby(StandbyDecision("b", 0.0), {"a": 0.0, "b": 0.0})


def test_the_load_is_that_of_the_time_since_it_was_last_taken() -> None:
    load = ProcessorLoad()
    load.take(100.0, 5.0)
    assert load.take(101.0, 5.25) == 0.25
    assert load.take(101.2, 5.45) == 0.25
    assert load.take(102.0, 5.75) == 0.5
