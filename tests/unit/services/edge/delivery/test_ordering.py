"""Any order of arrivals leaves in the order of the index: each message once, none before its predecessors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.edge.delivery.ordering import RECENT_MESSAGES, WAITING_MESSAGES, ChatSequencer
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message

ALICE, BOB = AccountId(1), AccountId(2)
MOST = 12


def message(index: int) -> Message:
    return Message(ChatId(7), index, MessageId(index), ALICE, index, b"", Nonce(index))


def explicit(index: int, version: int = 1) -> Delivery:
    return Delivery(message(index), [ALICE], version)


def broadcast(index: int, version: int = 1) -> Delivery:
    return Delivery(message(index), None, version)


def fetched(index: int) -> Delivery:
    return Delivery(message(index), [BOB], 0)


def started(head: int, version: int = 1) -> ChatSequencer:
    stream = ChatSequencer()
    stream.start(head)
    stream.version = version
    return stream


def indexes(offers: list[Delivery]) -> list[int]:
    return [offer.message.index for offer in offers]


class Streaming(RuleBasedStateMachine):
    """Messages arrive in any order, repeatedly, as broadcasts of any version or not; the head becomes known at some
    time, the service is asked now and then. `version_of` is the membership's version when a message was posted."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = ChatSequencer()
        self.left: list[Delivery] = []
        self.first: int | None = None
        self.live: set[int] = set()
        self.version_of: list[int] = []

    @initialize(changes=st.lists(st.integers(0, 1), min_size=MOST, max_size=MOST))
    def post(self, changes: list[int]) -> None:
        version = 1
        for change in changes:
            version += change
            self.version_of.append(version)

    def version(self, index: int) -> int:
        return self.version_of[index - 1]

    def leaves(self, offers: list[Delivery]) -> None:
        for offer in offers:
            if offer.recipients is None:
                assert offer.version == self.stream.version
        self.left += offers

    @rule(index=st.integers(1, MOST), to_all=st.booleans())
    def arrive(self, index: int, to_all: bool) -> None:
        if self.first is None:
            self.live.add(index)
        self.leaves(self.stream.receive((broadcast if to_all else explicit)(index, self.version(index))))

    @precondition(lambda self: self.stream.head is None)
    @rule(head=st.integers(0, MOST))
    def begin(self, head: int) -> None:
        self.first = min({head + 1, *self.live})
        self.leaves(self.stream.start(head))

    @precondition(lambda self: self.stream.head is not None)
    @rule(pages=st.integers(1, MOST), newest=st.booleans())
    def ask(self, pages: int, newest: bool) -> None:
        """A page of what is there; the service may know only an older membership."""
        head = self.stream.head or 0
        upto = min(head + pages, MOST)
        version = self.version_of[-1] if newest else max(1, self.version_of[-1] - 1)
        self.stream.version = max(self.stream.version, version)
        offers = [fetched(index) for index in range(head + 1, upto + 1)]
        self.leaves(self.stream.fill(offers, upto, version))

    @invariant()
    def everything_left_once_in_order(self) -> None:
        assert indexes(self.left) == list(range(self.first or 1, (self.first or 1) + len(self.left)))
        if self.first is not None:
            assert self.stream.head == self.first - 1 + len(self.left)

    @invariant()
    def nothing_waits_that_has_left(self) -> None:
        assert all(not self.stream.delivered(index) for index in self.stream.waiting)
        assert not self.stream.waiting or self.stream.behind

    def teardown(self) -> None:
        """In the end the service's newest answer brings all there is."""
        if self.stream.head is None:
            self.begin(MOST)
        self.ask(MOST, True)
        assert self.stream.head == MOST
        assert not self.stream.behind


TestStreaming = Streaming.TestCase


def test_what_arrives_in_order_leaves_at_once() -> None:
    stream = started(4)
    assert indexes(stream.receive(explicit(5))) == [5]
    assert indexes(stream.receive(explicit(6))) == [6]
    assert not stream.behind


def test_a_gap_holds_up_what_is_above_it() -> None:
    stream = started(4)
    assert stream.receive(explicit(6)) == []
    assert stream.behind
    assert indexes(stream.receive(explicit(5))) == [5, 6]
    assert not stream.behind


def test_nothing_leaves_before_the_head_is_known_and_the_first_live_message_is_above_it() -> None:
    stream = ChatSequencer()
    assert stream.receive(explicit(6)) == []
    assert stream.receive(explicit(5)) == []
    assert indexes(stream.start(8)) == [5, 6]
    assert stream.known_head == 8
    assert stream.behind


def test_a_broadcast_waits_for_the_membership_of_its_version() -> None:
    stream = started(0, version=3)
    stream.receive(broadcast(1, version=4))
    assert stream.waits_for_membership
    assert stream.change_member(BOB, 4, member=True)
    assert indexes(stream.drain()) == [1]
    assert not stream.waits_for_membership


@pytest.mark.parametrize(("known", "leaves"), [(3, []), (4, [1]), (5, [1])])
def test_an_answer_of_an_older_membership_does_not_say_for_whom_a_broadcast_is(known: int, leaves: list[int]) -> None:
    stream = started(0, version=0)
    stream.receive(broadcast(1, version=4))
    stream.version = known
    passed = stream.fill([fetched(1)], 1, known)
    assert indexes(passed) == leaves
    assert all(offer.recipients == [BOB] for offer in passed if known != 4)


def test_a_live_message_knows_better_for_whom_it_is_than_a_fetched_one() -> None:
    stream = started(0)
    stream.receive(explicit(2))
    passed = stream.fill([fetched(index) for index in (1, 2)], 2, 9)
    assert [offer.recipients for offer in passed] == [[BOB], [ALICE]]


def test_a_message_that_is_not_there_any_more_holds_nothing_up() -> None:
    stream = started(0)
    stream.receive(explicit(5))
    assert indexes(stream.fill([fetched(2)], 4, 1)) == [2, 5]


def test_what_waits_is_bounded_and_what_was_left_out_is_known_to_be_there() -> None:
    stream = started(0)
    for index in range(2, WAITING_MESSAGES + 10):
        stream.receive(explicit(index))
    assert len(stream.waiting) == WAITING_MESSAGES
    assert indexes(stream.receive(explicit(1))) == list(range(1, WAITING_MESSAGES + 2))
    assert stream.known_head == WAITING_MESSAGES + 9
    assert stream.behind


def test_changes_of_membership_are_taken_once_and_in_order() -> None:
    stream = started(0, version=3)
    assert not stream.change_member(BOB, 3, member=True)
    assert BOB not in stream.members
    assert stream.change_member(BOB, 5, member=True)
    assert (stream.version, stream.latest_version) == (3, 5)
    assert stream.change_member(BOB, 4, member=False)
    assert (stream.version, stream.latest_version, stream.members) == (4, 5, set())


def test_who_expects_a_message_is_called_when_the_head_has_passed_it() -> None:
    stream, called = started(0), list[int]()
    for index in (3, 2, 4):
        stream.expected[index] = lambda index=index: called.append(index)  # type: ignore[misc]
    stream.receive(explicit(1))
    assert stream.due_callbacks() == []
    stream.fill([], 3, 1)
    for call in stream.due_callbacks():
        call()
    assert called == [2, 3]
    assert list(stream.expected) == [4]


@given(st.integers(1, 3 * RECENT_MESSAGES), st.integers(0, 3 * RECENT_MESSAGES))
def test_a_reader_changes_over_without_a_gap_or_not_at_all(count: int, after: int) -> None:
    stream = started(0)
    stream.begin_reading()
    for index in range(1, count + 1):
        stream.receive(explicit(index))
    recent = stream.recent_after(after)
    if count - after > RECENT_MESSAGES:
        assert recent is None
    else:
        assert recent is not None
        assert [each.index for each in recent] == list(range(after + 1, count + 1))


def test_recent_messages_are_kept_for_readers_only() -> None:
    stream = started(0)
    stream.receive(explicit(1))
    stream.begin_reading()
    stream.begin_reading()
    assert stream.recent_after(0) is None
    stream.receive(explicit(2))
    stream.end_reading()
    assert stream.recent_after(1) == [message(2)]
    assert not stream.idle
    stream.end_reading()
    assert stream.recent_after(1) is None
    assert stream.idle
