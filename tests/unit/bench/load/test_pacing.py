from bench.load.pacing import Pace

_MS = 1_000_000


def test_each_due_message_is_returned_once() -> None:
    pace = Pace(3_000, start=0, end=1_000 * _MS)
    due_messages = [due for now in range(0, 1_001 * _MS, _MS) for due in pace.pop_due(now)]
    assert len(due_messages) == 3_000
    assert due_messages == sorted(due_messages)
    assert pace.next is None


def test_due_messages_are_sent_at_whole_ticks() -> None:
    pace = Pace(2_500, start=0, end=10 * _MS)
    assert {due % _MS for due in pace.pop_due(10 * _MS)} == {0}


def test_after_a_stall_due_times_are_those_before_it() -> None:
    pace = Pace(1_000, start=0, end=1_000 * _MS)
    assert pace.pop_due(0) == [0]
    assert pace.pop_due(500 * _MS) == [number * _MS for number in range(1, 501)]
    assert pace.next == 501 * _MS
