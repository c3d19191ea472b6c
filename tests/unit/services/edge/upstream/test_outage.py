"""An edge detects that the message service does not reply."""

from services.edge.upstream.attempt import OutageDetector


def test_a_short_failure_rejects_nothing() -> None:
    outage = OutageDetector()
    outage.attempt_failed(100.0)
    outage.attempt_failed(102.0)
    assert not outage.rejects(103.9)
    outage.answered()
    outage.attempt_failed(104.0)
    assert not outage.rejects(105.0)


def test_during_an_outage_one_submission_a_second_is_let_through() -> None:
    outage = OutageDetector()
    outage.attempt_failed(100.0)
    assert [outage.rejects(now) for now in (104.0, 104.1, 104.9, 105.0, 105.1)] == [False, True, True, False, True]
    outage.answered()
    assert not outage.rejects(105.2)


def test_an_outage_has_a_duration_while_attempts_fail() -> None:
    outage = OutageDetector()
    outage.attempt_failed(100.0)
    assert (outage.seconds(103.9), outage.seconds(105.0)) == (0, 5)
    outage.attempt_failed(120.0)
    assert (outage.seconds(150.0), outage.seconds(150.1)) == (50, 0)
    outage.answered()
    assert outage.seconds(121.0) == 0
