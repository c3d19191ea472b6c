"""Runs a short absence drill: a real system passes. Also checks that each kind of missing data is flagged."""

from collections import Counter
from pathlib import Path

import pytest

from dragoman_client.codec.base import ClientAccount
from tests.drills.absence import Absence, Absentee, figures, violations
from tests.drills.mutants import MUTANTS
from tests.drills.native_messages import MessageState
from tests.drills.requested_changes import RequestedChange
from tests.support.drilling import drill

pytestmark = pytest.mark.xdist_group("absence")


def test_a_sync_gives_what_was_missed_in_three_days(tmp_path: Path) -> None:
    status, found = drill("absence", tmp_path, "--messages", "1500", "--chats", "20", "--seed", "7")
    assert (found["violations"], found["doubts"], found["result"], status) == ([], [], "passed", 0)
    assert 0 < found["pushed"] < found["acknowledged"] == 1500
    assert found["recalled"] > 0 < found["changed"]


def test_changes_that_are_not_sent_are_flagged(tmp_path: Path) -> None:
    broken = ("--seed", "7", "--break", "forget-changes")
    status, found = drill("absence", tmp_path, "--messages", "1500", "--chats", "20", *broken)
    assert (status, found["result"]) == (1, "failed")
    assert found["invariants"][MUTANTS["forget-changes"].invariant]


def returned() -> Absence:
    """Returns an absentee that got three messages of a chat.

    The second is edited, the third is recalled, and two of them were pushed.
    """
    absence = Absence(Absentee(ClientAccount("ann", "secret")))
    written, seen = absence.written, absence.absentee
    for index, text in enumerate(("one", "two", "three"), 1):
        written.written((5, index), text)
    for index, change in ((2, RequestedChange("edit", "new")), (3, RequestedChange("recall"))):
        written.requested((5, index), change)
        written.made((5, index), change)
    absence.kills["message"] += 1
    seen.messages.states = dict(written.acknowledged)
    seen.received_times = Counter(written.acknowledged.keys())
    seen.pushed = [(5, 2), (5, 3)]
    return absence


def found_in(absence: Absence) -> str:
    (text,) = violations(absence)
    return text


def test_what_is_as_it_was_written_is_no_violation() -> None:
    absence = returned()
    assert list(violations(absence)) == []
    assert figures(absence, [], 3)["result"] == "passed"


def test_each_way_of_missing_something_is_found() -> None:
    old = returned()
    old.absentee.messages.states[5, 2] = MessageState("before the edit")
    assert found_in(old) == "(5, 2) is 'before the edit', and should be 'new'"
    recalled = returned()
    recalled.absentee.messages.states[5, 3] = MessageState("three")
    assert found_in(recalled) == "(5, 3) is 'three', and should be recalled"
    twice = returned()
    twice.absentee.received_times[5, 1] += 1
    assert found_in(twice) == "(5, 1) came 2 times"
    late = returned()
    late.absentee.pushed.reverse()
    assert found_in(late) == "(5, 2) came after 3"
    missing = returned()
    del missing.absentee.messages.states[5, 1], missing.absentee.received_times[5, 1]
    assert found_in(missing) == "(5, 1) is missing"
    assert figures(missing, ["(5, 1) is missing"], 3)["result"] == "failed"


def test_a_run_without_kills_or_with_too_few_messages_proves_nothing() -> None:
    absence = returned()
    assert figures(absence, [], 1_000)["result"] == "inconclusive"
    absence.kills.clear()
    assert figures(absence, [], 3)["doubts"] == ["nothing was killed"]
