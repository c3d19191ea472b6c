"""The checker passes changes of messages that are kept.

It flags each change that is lost, made twice or wrongly numbered.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.records import (
    ChangeAcknowledged,
    ChangeRejected,
    ChangeRequested,
    ChangeSeen,
    DrillRecords,
    LastStatesSeen,
    MessageAcknowledged,
    Record,
    ShownState,
)
from tests.drills.sample_records import SampleRecords

CHAT = 7
DEVICE = "1/native"
ENOUGH = RequiredEvidence(ending=False)


class ChangingRecords:
    """Records of a chat with three messages: two of account 1, and one of account 2.

    Account 1 changes all three. A test may leave out or alter each step.
    """

    def __init__(self) -> None:
        self.sample = SampleRecords({CHAT: frozenset({1, 2})}, {DEVICE: "edge-1", "2/a": "edge-2"})
        for device in (DEVICE, DEVICE, "2/a"):
            self.sample.send(device, CHAT)
        self.changes = 0

    def request(self, index: int, kind: str, value: str = "") -> str:
        self.changes += 1
        name, msg_id = f"change-{self.changes}", self.sample.history[CHAT][index - 1].msg_id
        self.record(ChangeRequested(0, 0, name, CHAT, index, msg_id, kind, value))
        return name

    def acknowledge(self, name: str, rev: int) -> None:
        self.record(ChangeAcknowledged(0, 0, name, rev))

    def see(self, rev: int, index: int, kind: str, text: str = "", *, paged: bool = True) -> None:
        self.record(ChangeSeen(0, 0, CHAT, rev, index, kind, 1, text, paged))

    def make_all(self) -> None:
        """Account 1 edits the first message, recalls the second and reacts to the third."""
        self.acknowledge(self.request(1, "edit", "new"), 1)
        self.see(1, 1, "edit", "new")
        self.acknowledge(self.request(2, "recall"), 2)
        self.see(2, 2, "recall")
        self.acknowledge(self.request(3, "react", "+"), 3)
        self.see(3, 3, "reaction")

    def end(self, first: str | None = "new", second: str | None = None, mine: str = "+", rev: int = 3) -> None:
        shown = [ShownState(1, first, []), ShownState(2, second, []), ShownState(3, "text-3", list(mine))]
        for again in (False, True):
            self.record(LastStatesSeen(0, 0, CHAT, rev, shown, again))

    def record(self, record: Record) -> None:
        number = self.sample.connection(DEVICE)
        self.sample.records.append(replace(record, at=self.sample.advance(), connection=number))

    @property
    def recorded(self) -> DrillRecords:
        return replace(self.sample.recorded, followers=frozenset({1}))

    def failed(self) -> set[str]:
        return failures_of(self.recorded)


def failures_of(recorded: DrillRecords) -> set[str]:
    return {violation.invariant for violation in check(recorded, ENOUGH).violations}


@pytest.fixture
def changing() -> ChangingRecords:
    return ChangingRecords()


def test_changes_that_are_kept_are_no_violation(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.end()
    result = check(changing.recorded, ENOUGH)
    assert (result.violations, result.doubts) == ([], [])


@pytest.mark.parametrize(
    "lose",
    [
        lambda changing: changing.end(first="text-1"),
        lambda changing: changing.end(second="text-2"),
        lambda changing: changing.end(mine=""),
        lambda changing: changing.end(mine="+!"),
    ],
)
def test_a_lost_change_is_flagged(changing: ChangingRecords, lose: Callable[[ChangingRecords], None]) -> None:
    """The cases lose an edit, a recall or a reaction, or add a reaction that was never requested."""
    changing.make_all()
    lose(changing)
    assert changing.failed() == {"I10 changes"}


def test_a_message_that_is_gone_is_flagged(changing: ChangingRecords) -> None:
    changing.make_all()
    for again in (False, True):
        changing.record(LastStatesSeen(0, 0, CHAT, 3, [], again))
    assert changing.failed() == {"I10 changes"}


def test_the_last_acknowledged_edit_counts(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.acknowledge(changing.request(1, "edit", "newest"), 4)
    changing.end(first="newest", rev=4)
    assert changing.failed() == set()
    changing.end(rev=4)
    assert changing.failed() == {"I10 changes"}


def test_a_rejected_change_is_flagged(changing: ChangingRecords) -> None:
    """The follower of a drill requests only changes that are allowed and have an effect. So a rejection is a fault."""
    changing.make_all()
    changing.record(ChangeRejected(0, 0, changing.request(1, "edit", "newest"), "there is no such message"))
    changing.end()
    assert changing.failed() == {"I10 changes"}


@pytest.mark.parametrize(("first", "rev"), [("new", 3), ("newest", 4)])
def test_a_change_without_a_reply_may_have_been_made_or_not(changing: ChangingRecords, first: str, rev: int) -> None:
    changing.make_all()
    changing.request(1, "edit", "newest")
    changing.end(first=first, rev=rev)
    assert changing.failed() == set()
    changing.end(first="another", rev=rev)
    assert changing.failed() == {"I10 changes"}


def test_a_repeated_change_has_one_reply(changing: ChangingRecords) -> None:
    """Each attempt is recorded. Both attempts together have one reply."""
    changing.make_all()
    name = changing.request(1, "edit", "newest")
    (first,) = (one for one in changing.sample.records if isinstance(one, ChangeRequested) and one.name == name)
    changing.record(first)
    changing.acknowledge(name, 4)
    changing.see(4, 1, "edit", "newest")
    changing.end(first="newest", rev=4)
    assert changing.failed() == set()


# I10 rev


def test_a_gap_in_rev_is_flagged(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.acknowledge(changing.request(1, "edit", "newest"), 5)
    changing.end(first="newest", rev=5)
    assert changing.failed() == {"I10 rev"}


def test_an_edit_that_was_made_twice_is_flagged(changing: ChangingRecords) -> None:
    """The edit was made, but its reply was lost; then it was made again with the next `rev`.

    Only one edit was requested, so there is one `rev` too many.
    """
    changing.make_all()
    name = changing.request(1, "edit", "newest")
    changing.see(4, 1, "edit", "newest")
    changing.acknowledge(name, 5)
    changing.end(first="newest", rev=5)
    assert changing.failed() == {"I10 rev"}


@pytest.mark.parametrize("rev", [2, 4])
def test_another_last_rev_is_flagged(changing: ChangingRecords, rev: int) -> None:
    """If it is greater than that of the last known change, the server has made a repeated change a second time."""
    changing.make_all()
    changing.end(rev=rev)
    assert changing.failed() == {"I10 rev"}


def test_two_replies_with_two_revs_are_flagged(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.acknowledge("change-3", 4)
    changing.end(rev=4)
    assert "change-3 was made twice" in check(changing.recorded, ENOUGH).violations[0].text


def test_one_rev_for_two_changes_is_flagged(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.acknowledge(changing.request(3, "react", "!"), 3)
    changing.end(mine="+!")
    assert changing.failed() == {"I10 rev"}


def test_revs_out_of_turn_are_flagged(changing: ChangingRecords) -> None:
    changing.acknowledge(changing.request(1, "edit", "new"), 3)
    changing.acknowledge(changing.request(2, "recall"), 2)
    changing.acknowledge(changing.request(3, "react", "+"), 1)
    changing.end()
    assert changing.failed() == {"I10 rev"}


def test_another_content_is_flagged(changing: ChangingRecords) -> None:
    changing.make_all()
    changing.acknowledge(changing.request(1, "edit", "newest"), 4)
    changing.see(4, 1, "edit", "another")
    changing.end(first="newest", rev=4)
    assert changing.failed() == {"I10 rev"}


@pytest.mark.parametrize(
    ("revs", "paged", "expected"),
    [
        ((4, 4), True, {"I10 rev"}),
        ((5, 4), True, {"I10 rev"}),
        ((4, 5, 4), False, set()),
        ((4, 4, 4), False, {"I10 rev"}),
    ],
)
def test_changes_come_in_order_and_not_too_often(
    changing: ChangingRecords, revs: tuple[int, ...], paged: bool, expected: set[str]
) -> None:
    """An event about a change may come twice: as a live push, and by a sync."""
    changing.make_all()
    for rev in (4, 5):
        changing.acknowledge(changing.request(3, "unreact" if rev == 4 else "react", "+"), rev)
    for rev in revs:
        changing.see(rev, 3, "reaction", paged=paged)
    changing.end(rev=5)
    assert changing.failed() == expected


# Texts


def in_history(changing: ChangingRecords, index: int, text: str) -> DrillRecords:
    """Returns the records with a history in which the message has this text."""
    recorded = changing.recorded
    entries = [replace(one, text=text) if one.index == index else one for one in recorded.history[CHAT]]
    return replace(recorded, history={CHAT: entries})


@pytest.mark.parametrize(("index", "text"), [(1, "new"), (2, ""), (2, "[撤回]")])
def test_a_changed_message_stays_the_same_one(changing: ChangingRecords, index: int, text: str) -> None:
    """The delivery invariants hold for a changed message.

    It counts as stored, and a client that connects later gets its last state.
    """
    changing.make_all()
    changing.end()
    recorded = in_history(changing, index, text)
    assert failures_of(recorded) == set()
    acks = [one for one in recorded.records if isinstance(one, MessageAcknowledged)]
    assert acks[index - 1].text == f"text-{index}"


@pytest.mark.parametrize(("index", "text"), [(1, ""), (2, "new"), (3, "new")])
def test_a_text_that_nobody_requested_is_flagged(changing: ChangingRecords, index: int, text: str) -> None:
    changing.make_all()
    changing.end()
    assert "I6 phantoms" in failures_of(in_history(changing, index, text))


# Evidence


def test_a_follower_without_changes_or_last_states_proves_nothing(changing: ChangingRecords) -> None:
    assert check(changing.recorded, ENOUGH).doubts == ["no change of a message was acknowledged"]
    changing.make_all()
    doubts = check(changing.recorded, RequiredEvidence()).doubts
    assert doubts == ["account 1 never read the last states of its messages"]
