"""Tests how the messages that a client has given are compared with the server's messages."""

import pytest

from tests.conformance.case_run import GROUP
from tests.conformance.deliveries import Deliveries
from tests.conformance.driver_lines import CacheDropped, DriverLine, GivenChange, GivenMessage, NamedGap, SendDone
from tests.conformance.served_chats import ServedChats


def message(index: int) -> GivenMessage:
    return GivenMessage(GROUP, index, f"message {index}")


def faults(*lines: DriverLine) -> list[str]:
    served = ServedChats()
    served.fill(GROUP, 9)
    deliveries = Deliveries(served)
    return [*(fault for line in lines for fault in deliveries.faults_of(line)), *deliveries.final_faults()]


@pytest.mark.parametrize(
    "lines",
    [
        [message(1), message(2), message(3)],
        [message(7), message(8)],
        [NamedGap(GROUP, 1, 6), message(7)],
        [message(3), NamedGap(GROUP, 4, 5), message(6)],
        [message(3), SendDone("a", GROUP, 4), message(5)],
        [message(3), message(5), SendDone("a", GROUP, 4)],
        [message(3), message(4), SendDone("a", GROUP, 4)],
        [message(3), GivenChange(GROUP, 1, 3), GivenChange(GROUP, 4, 3)],
        [message(3), CacheDropped(), message(1), message(2)],
    ],
)
def test_right_ones(lines: list[DriverLine]) -> None:
    assert faults(*lines) == []


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([message(3), message(5)], "message 4 of chat 5 was neither given nor named by a gap"),
        ([message(3), message(4), message(3)], "message 3 of chat 5 was given twice"),
        ([message(3), NamedGap(GROUP, 4, 5), message(5)], "message 5 of chat 5 was given twice, or after it was named"),
        ([message(2), message(1)], "message 1 of chat 5 came too late"),
        ([message(3), NamedGap(GROUP, 2, 3)], "a gap of chat 5 begins at 2"),
        ([NamedGap(GROUP, 3, 2)], "a gap of chat 5 goes from 3 to 2"),
        ([message(9), NamedGap(GROUP, 10, 11)], "a gap of chat 5 goes to message 11, which the server does not have"),
        ([message(9), message(10)], "message 10 of chat 5 was given, which the server does not have"),
        ([GivenMessage(GROUP, 3, "another")], "message 3 of chat 5 was given as 'another', and is 'message 3'"),
        ([GivenChange(GROUP, 1, 3)], "change 1 of chat 5 was given before its message, 3"),
        ([message(3), GivenChange(GROUP, 2, 3), GivenChange(GROUP, 2, 3)], "change 2 of chat 5 was given after"),
    ],
)
def test_wrong_ones(lines: list[DriverLine], text: str) -> None:
    assert faults(*lines)[0].startswith(text)
