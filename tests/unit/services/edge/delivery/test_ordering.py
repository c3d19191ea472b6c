"""Messages arrive in any order, and are released once and in the order of their indexes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.edge.delivery import ordering
from services.edge.delivery.ordering import RECENT_MESSAGES, WAITING_MESSAGES, ChatSequencer
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message

ALICE, BOB = AccountId(1), AccountId(2)
LAST = 12


def message(index: int) -> Message:
    return Message(ChatId(7), index, MessageId(index), ALICE, index, b"", Nonce(index))


def explicit(index: int, version: int = 1) -> Delivery:
    return Delivery(message(index), [ALICE], version)


def broadcast(index: int, version: int = 1) -> Delivery:
    return Delivery(message(index), None, version)


def fetched(index: int) -> Delivery:
    return Delivery(message(index), [BOB], 0)


def started(head: int, version: int = 1) -> ChatSequencer:
    sequencer = ChatSequencer()
    sequencer.start(head)
    sequencer.version = version
    return sequencer


def indexes(deliveries: list[Delivery]) -> list[int]:
    return [delivery.message.index for delivery in deliveries]


class SequencerMachine(RuleBasedStateMachine):
    """Messages arrive in any order and repeatedly, with recipients or as broadcasts of any version.

    The last index becomes known at some time, and pages are fetched sometimes. `version_of` is the version of the
    member list for each message.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sequencer = ChatSequencer()
        self.released_all: list[Delivery] = []
        self.first: int | None = None
        self.live: set[int] = set()
        self.version_of: list[int] = []

    @initialize(changes=st.lists(st.integers(0, 1), min_size=LAST, max_size=LAST))
    def post(self, changes: list[int]) -> None:
        version = 1
        for change in changes:
            version += change
            self.version_of.append(version)

    def version(self, index: int) -> int:
        return self.version_of[index - 1]

    def releases(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.recipients is None:
                assert delivery.version <= self.sequencer.version
        self.released_all += deliveries

    @rule(index=st.integers(1, LAST), to_all=st.booleans())
    def receive(self, index: int, to_all: bool) -> None:
        if self.first is None:
            self.live.add(index)
        self.releases(self.sequencer.receive((broadcast if to_all else explicit)(index, self.version(index))))

    @precondition(lambda self: self.sequencer.head is None)
    @rule(head=st.integers(0, LAST))
    def start(self, head: int) -> None:
        self.first = min({head + 1, *self.live})
        self.releases(self.sequencer.start(head))

    @precondition(lambda self: self.sequencer.head is not None)
    @rule(pages=st.integers(1, LAST), newest=st.booleans())
    def fill_page(self, pages: int, newest: bool) -> None:
        """The edge gets a page of messages. The service may have only an older member list."""
        head = self.sequencer.head or 0
        upto = min(head + pages, LAST)
        version = self.version_of[-1] if newest else max(1, self.version_of[-1] - 1)
        self.sequencer.version = max(self.sequencer.version, version)
        deliveries = [fetched(index) for index in range(head + 1, upto + 1)]
        self.releases(self.sequencer.fill(deliveries, upto, version))

    @invariant()
    def everything_left_once_in_order(self) -> None:
        assert indexes(self.released_all) == list(range(self.first or 1, (self.first or 1) + len(self.released_all)))
        if self.first is not None:
            assert self.sequencer.head == self.first - 1 + len(self.released_all)

    @invariant()
    def nothing_waits_that_has_left(self) -> None:
        assert all(not self.sequencer.delivered(index) for index in self.sequencer.waiting)
        assert not self.sequencer.waiting or self.sequencer.behind

    def teardown(self) -> None:
        """At the end, the newest reply of the service fills all gaps. So every message must have been released."""
        if self.sequencer.head is None:
            self.start(LAST)
        self.fill_page(LAST, True)
        assert self.sequencer.head == LAST
        assert not self.sequencer.behind


TestSequencerMachine = SequencerMachine.TestCase


def test_a_broadcast_does_not_wait_when_a_later_membership_is_known() -> None:
    """Bob joined in a later version, so he must not see the message."""
    sequencer = started(0, version=3)
    sequencer.add_member(ALICE, 1)
    assert sequencer.change_member(BOB, 3, 4, 2)
    assert sequencer.deliver_if_next(broadcast(1, version=3))
    assert sequencer.visible_to(1) == [ALICE]


def test_an_earlier_event_that_comes_later_changes_nothing_in_what_is_known_ahead() -> None:
    sequencer = started(0, version=3)
    for version in (6, 5):
        sequencer.know_ahead(ALICE, version)
    assert [sequencer.known_after(ALICE, version) for version in (5, 6)] == [True, False]


def test_accounts_known_ahead_are_bounded() -> None:
    """The account whose last event is the oldest is forgotten."""
    sequencer = started(0, version=3)
    for account in (*range(ordering.ACCOUNTS_AHEAD), 0, ordering.ACCOUNTS_AHEAD):
        sequencer.know_ahead(AccountId(account), 4 + account)
    assert (len(sequencer._ahead), sequencer.forgotten_version) == (ordering.ACCOUNTS_AHEAD, 5)
    assert [sequencer.known_after(AccountId(account), 3) for account in (0, 1, 2)] == [True, False, True]


class MembershipMachine(RuleBasedStateMachine):
    """Accounts join and leave. Each change has its own version. Its event comes late, repeatedly or never.

    The edge keeps only a few events with a later version. `heard` is the last change of each account, from the events
    that came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limit = pytest.MonkeyPatch()
        self.limit.setattr(ordering, "ACCOUNTS_AHEAD", 1)
        self.sequencer = started(0, version=1)
        self.changes: dict[int, tuple[AccountId, bool]] = {}
        self.heard: dict[AccountId, int] = {}

    @rule(account=st.sampled_from([AccountId(number) for number in range(4)]))
    def change(self, account: AccountId) -> None:
        joins = account not in self.members_by(len(self.changes) + 1)
        self.changes[len(self.changes) + 2] = account, joins

    def members_by(self, version: int) -> set[AccountId]:
        last = {account: joins for at, (account, joins) in self.changes.items() if at <= version}
        return {account for account, joins in last.items() if joins}

    @precondition(lambda self: self.changes)
    @rule(data=st.data())
    def event(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.changes)))
        account, joins = self.changes[version]
        self.heard[account] = max(version, self.heard.get(account, 0))
        self.sequencer.change_member(account, version - 1, version, 1 if joins else None)

    @invariant()
    def nobody_is_a_member_after_its_departure(self) -> None:
        for account, version in self.heard.items():
            assert self.changes[version][1] or account not in self.sequencer.members

    @invariant()
    def the_membership_of_the_version_or_of_a_later_one_is_known(self) -> None:
        """The changes since the known version explain every difference of the member list."""
        known = self.sequencer.version
        for account in self.members_by(known) ^ self.sequencer.members.keys():
            assert any(at > known and account == other for at, (other, _) in self.changes.items())

    def teardown(self) -> None:
        self.limit.undo()


TestMembershipMachine = MembershipMachine.TestCase


@pytest.mark.parametrize(("known", "releases"), [(3, []), (4, [1]), (5, [1])])
def test_a_reply_with_an_older_membership_does_not_release_a_broadcast(known: int, releases: list[int]) -> None:
    sequencer = started(0, version=0)
    sequencer.receive(broadcast(1, version=4))
    sequencer.version = known
    released = sequencer.fill([fetched(1)], 1, known)
    assert indexes(released) == releases
    assert all(delivery.recipients == [BOB] for delivery in released if known != 4)


def test_the_recipients_of_a_live_message_win_over_fetched_ones() -> None:
    sequencer = started(0)
    sequencer.receive(explicit(2))
    released = sequencer.fill([fetched(index) for index in (1, 2)], 2, 9)
    assert [delivery.recipients for delivery in released] == [[BOB], [ALICE]]


def test_a_deleted_message_blocks_nothing() -> None:
    sequencer = started(0)
    sequencer.receive(explicit(5))
    assert indexes(sequencer.fill([fetched(2)], 4, 1)) == [2, 5]


def test_waiting_messages_are_bounded_and_the_head_includes_dropped_ones() -> None:
    sequencer = started(0)
    for index in range(2, WAITING_MESSAGES + 10):
        sequencer.receive(explicit(index))
    assert len(sequencer.waiting) == WAITING_MESSAGES
    assert indexes(sequencer.receive(explicit(1))) == list(range(1, WAITING_MESSAGES + 2))
    assert sequencer.known_head == WAITING_MESSAGES + 9
    assert sequencer.behind


def test_several_members_leave_by_one_version() -> None:
    sequencer = started(0, version=3)
    for account in (ALICE, BOB):
        sequencer.add_member(account, 1)
    assert [sequencer.change_member(account, 3, 4, None) for account in (ALICE, BOB, BOB)] == [True, True, False]
    assert sequencer.members == {}


def test_callbacks_are_due_when_the_head_has_passed_their_message() -> None:
    sequencer, called = started(0), list[int]()
    for index in (3, 2, 4):
        sequencer.expected[index] = lambda index=index: called.append(index)  # type: ignore[misc]
    sequencer.receive(explicit(1))
    assert sequencer.due_callbacks() == []
    sequencer.fill([], 3, 1)
    for call in sequencer.due_callbacks():
        call()
    assert called == [2, 3]
    assert list(sequencer.expected) == [4]


@given(st.integers(1, 3 * RECENT_MESSAGES), st.integers(0, 3 * RECENT_MESSAGES))
def test_a_reader_changes_over_without_a_gap(count: int, after: int) -> None:
    sequencer = started(0)
    sequencer.begin_reading()
    for index in range(1, count + 1):
        sequencer.receive(explicit(index))
    recent = sequencer.recent_after(after)
    if count - after > RECENT_MESSAGES:
        assert recent is None
    else:
        assert recent is not None
        assert [each.index for each in recent] == list(range(after + 1, count + 1))


def test_recent_messages_are_kept_only_for_readers() -> None:
    sequencer = started(0)
    sequencer.receive(explicit(1))
    sequencer.begin_reading()
    sequencer.begin_reading()
    assert sequencer.recent_after(0) is None
    sequencer.receive(explicit(2))
    sequencer.end_reading()
    assert sequencer.recent_after(1) == [message(2)]
    assert not sequencer.idle
    sequencer.end_reading()
    assert sequencer.recent_after(1) is None
    assert sequencer.idle
