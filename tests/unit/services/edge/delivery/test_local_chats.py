"""Tests the chats of local accounts: their members, the order of their messages, and how messages are delivered to
connections.
"""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.edge.canonical.events import ChatJoined, ChatLeft, Departure, Event, MessageChanged
from services.edge.delivery import local_chats, ordering
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import ChatSequencer, group_runs
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from shared.contract.edge import ChangeDelivery, ChatCreated, Delivery, JoinedAt, MembershipChanged, RecentJoins
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.message import ChangeKind, MessageChange
from shared.contract.model import Message, ProfileSummary, Role
from shared.presence.store import Presence
from shared.settings.limits import LimitsSettings
from shared.settings.servers import RedisSettings
from tests.unit.services.edge.presence.test_local_accounts import NullRecipient, silent_announcer

ALICE, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)


@pytest.fixture
def accounts() -> LocalAccounts:
    return LocalAccounts(NodeId("here"), Presence(RedisSettings()), LimitsSettings(), silent_announcer(NodeId("here")))


class RecordingGaps:
    """A fake gap watcher that records gaps and fetches nothing."""

    def __init__(self) -> None:
        self.watched: list[tuple[ChatId, int | None]] = []
        """The chats that were watched, with their last indexes at that time."""
        self.forgotten: list[ChatId] = []

    def watch(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> None:
        self.watched.append((chat, sequencer.head))

    def forget(self, chat: ChatId) -> None:
        self.forgotten.append(chat)


@pytest.fixture
def gaps() -> RecordingGaps:
    return RecordingGaps()


@pytest.fixture
def chats(accounts: LocalAccounts, gaps: RecordingGaps) -> LocalChats:
    return LocalChats(accounts, gaps, EdgeMetrics(CollectorRegistry()))


def attach(accounts: LocalAccounts, account: AccountId) -> LocalAccount:
    return accounts.attach(account, NullRecipient(), 0.0)


def detach(accounts: LocalAccounts, chats: LocalChats, local: LocalAccount) -> None:
    accounts.detach(local, local.recipients[0])
    chats.account_detached(local)


def message(index: int) -> Message:
    return Message(CHAT, index, MessageId(index), BOB, index, b"", Nonce(index))


def sequencer_of(chats: LocalChats) -> ChatSequencer:
    sequencer = chats.sequencer(CHAT)
    assert sequencer is not None
    return sequencer


def test_a_sequencer_lives_as_long_as_it_has_members(
    accounts: LocalAccounts, chats: LocalChats, gaps: RecordingGaps
) -> None:
    alice, bob = attach(accounts, ALICE), attach(accounts, BOB)
    for local in (alice, bob):
        chats.joined(local, CHAT, 4)
    detach(accounts, chats, alice)
    assert list(sequencer_of(chats).members) == [BOB]
    detach(accounts, chats, bob)
    assert (len(chats), gaps.forgotten) == (0, [CHAT])


def test_a_detached_account_joins_no_chat(accounts: LocalAccounts, chats: LocalChats) -> None:
    alice = attach(accounts, ALICE)
    detach(accounts, chats, alice)
    assert chats.joined(alice, CHAT, 4) is None
    again = attach(accounts, ALICE)
    assert chats.joined(alice, CHAT, 4) is None
    assert chats.joined(again, CHAT, 4) is not None


def test_a_reader_keeps_a_sequencer(accounts: LocalAccounts, chats: LocalChats) -> None:
    alice = attach(accounts, ALICE)
    sequencer = chats.joined(alice, CHAT, 4)
    assert sequencer is not None
    with chats.reading(CHAT, sequencer):
        detach(accounts, chats, alice)
        assert chats.sequencer(CHAT) is sequencer
    assert len(chats) == 0


def test_dropping_a_chat_calls_the_callbacks_of_expected_messages(accounts: LocalAccounts, chats: LocalChats) -> None:
    called: list[int] = []
    alice = attach(accounts, ALICE)
    chats.joined(alice, CHAT, 4)
    chats.expect(ALICE, CHAT, 4, lambda: called.append(4))
    chats.expect(ALICE, CHAT, 6, lambda: called.append(6))
    assert called == [4]
    chats.drop(CHAT)
    assert called == [4, 6]
    assert alice.chats == set()


def test_a_message_without_local_recipients_creates_no_sequencer(accounts: LocalAccounts, chats: LocalChats) -> None:
    attach(accounts, ALICE)
    chats.receive([Delivery(message(1), [BOB], 1)])
    chats.receive([Delivery(message(1), None, 1)])
    assert len(chats) == 0


@pytest.mark.parametrize("had_members", [False, True])
def test_a_broadcast_that_is_newer_than_the_snapshot_of_the_first_member_is_fetched(
    accounts: LocalAccounts, chats: LocalChats, gaps: RecordingGaps, had_members: bool
) -> None:
    """While many users log in at the same time, a snapshot may be seconds old when its account joins the chat."""
    if had_members:
        bob = attach(accounts, BOB)
        chats.joined(bob, CHAT, 3)
        chats.apply_membership(CHAT, [BOB], {BOB: 1}, 1, for_all=True)
        chats.receive([Delivery(message(4), None, 1)])
        chats.receive([Delivery(message(5), None, 1)])
        detach(accounts, chats, bob)
    else:
        chats.receive([Delivery(message(4), None, 1), Delivery(message(5), None, 1)])
    chats.joined(attach(accounts, ALICE), CHAT, 3)
    assert (sequencer_of(chats).head, sequencer_of(chats).known_head, gaps.watched) == (3, 5, [(CHAT, 3)])


def test_broadcasts_of_chats_without_members_are_remembered_for_some_chats_only(
    accounts: LocalAccounts, chats: LocalChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_chats, "_HEARD_CHATS", 2)
    for number in (1, 2, 3):
        one = message(9)
        chats.receive([Delivery(msgspec.structs.replace(one, chat=ChatId(number)), None, 1)])
    alice = attach(accounts, ALICE)
    known = [sequencer.known_head for n in (1, 2, 3) if (sequencer := chats.joined(alice, ChatId(n), 3))]
    assert known == [3, 9, 9]


def test_a_sequencer_that_is_behind_is_watched(accounts: LocalAccounts, chats: LocalChats, gaps: RecordingGaps) -> None:
    chats.joined(attach(accounts, ALICE), CHAT, 4)
    chats.receive([Delivery(message(5), [ALICE], 1)])
    assert gaps.watched == []
    chats.receive([Delivery(message(7), [ALICE], 1)])
    chats.expect(ALICE, CHAT, 8, lambda: None)
    assert gaps.watched == [(CHAT, 5), (CHAT, 5)]


class RecordingRecipient(NullRecipient):
    def __init__(self) -> None:
        self.delivered: list[tuple[ChatId, int]] = []

    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        self.delivered += [(encoded.message.chat, encoded.message.index) for encoded in messages]


def delivery(chat: int, index: int, recipients: list[AccountId] | None, version: int) -> Delivery:
    return Delivery(Message(ChatId(chat), index, MessageId(index), BOB, index, b"", Nonce(index)), recipients, version)


runs = st.builds(
    lambda chat, start, size, *to: [delivery(chat, index, *to) for index in range(start, start + size)],
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([[ALICE], [ALICE, BOB], [ALICE, BOB], None]),
    st.integers(0, 1),
)


def delivered(runs: list[list[Delivery]]) -> tuple[list[list[tuple[ChatId, int]]], float, int]:
    """Returns the messages that two recipients receive, and the counters."""
    metrics = EdgeMetrics(CollectorRegistry())
    accounts = LocalAccounts(
        NodeId("here"), Presence(RedisSettings()), LimitsSettings(), silent_announcer(NodeId("here"))
    )
    chats, recipients = LocalChats(accounts, RecordingGaps(), metrics), [RecordingRecipient(), RecordingRecipient()]
    for account, recipient in zip((ALICE, BOB), recipients, strict=True):
        local = accounts.attach(account, recipient, 0.0)
        for chat in (1, 2):
            chats.joined(local, ChatId(chat), 0)
    for run in runs:
        chats.receive(run)
    return [recipient.delivered for recipient in recipients], metrics.duplicates._value.get(), metrics.delivered


@given(st.lists(runs, max_size=6))
def test_a_run_is_delivered_like_single_messages(parts: list[list[Delivery]]) -> None:
    offered = [delivery for part in parts for delivery in part]
    runs = list(group_runs(offered))
    assert [delivery for run in runs for delivery in run] == offered
    assert delivered(runs) == delivered([[delivery] for delivery in offered])


def test_a_run_is_delivered_at_once(accounts: LocalAccounts, chats: LocalChats) -> None:
    recipient = RecordingRecipient()
    chats.joined(accounts.attach(ALICE, recipient, 0.0), CHAT, 0)
    sent = [Delivery(message(index), [ALICE], 1) for index in (1, 2, 3)]
    other = Delivery(message(4), [ALICE, BOB], 1)
    assert list(group_runs([*sent, other])) == [sent, [other]]
    chats.receive(sent)
    assert recipient.delivered == [(CHAT, 1), (CHAT, 2), (CHAT, 3)]


def changed(version: int, role: Role) -> MembershipChanged:
    return MembershipChanged(CHAT, ALICE, role, 1, version)


@pytest.mark.parametrize(
    ("events", "member"),
    [
        ([changed(2, Role.MEMBER)], True),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT)], False),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT), changed(2, Role.MEMBER)], False),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT), changed(4, Role.MEMBER)], True),
        ([changed(2, Role.MEMBER), changed(3, Role.ADMIN)], True),
    ],
)
def test_events_repeated_or_late_change_nothing(
    accounts: LocalAccounts, chats: LocalChats, events: list[MembershipChanged], member: bool
) -> None:
    alice = attach(accounts, ALICE)
    attach(accounts, BOB)
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB]))
    for event in events:
        chats.on_membership_changed(event)
    assert (ALICE in sequencer_of(chats).members) == (CHAT in alice.chats) == member
    assert sequencer_of(chats).version == max(event.version for event in events)


class NotifiedRecipient(NullRecipient):
    def __init__(self, number: int) -> None:
        self.number = number
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


SUMMARY = ProfileSummary("Bob", "u2")


def message_changed(rev: int, index: int, recipients: list[AccountId] | None) -> ChangeDelivery:
    return ChangeDelivery(MessageChange(CHAT, rev, index, ChangeKind.RECALL, BOB, 0), recipients, face=SUMMARY)


def test_a_change_goes_to_all_connections_but_the_one_that_made_it(accounts: LocalAccounts, chats: LocalChats) -> None:
    connections = [NotifiedRecipient(number) for number in (1, 2, 3)]
    for account, recipient in zip((ALICE, ALICE, BOB), connections, strict=True):
        chats.joined(accounts.attach(account, recipient, 0.0), CHAT, 0)
    chats.notify_changed(message_changed(1, 1, [ALICE, BOB]), 2)
    chats.notify_changed(message_changed(2, 1, [BOB]), None)
    seen = [
        [event.shown.change.rev for event in one.events if isinstance(event, MessageChanged)] for one in connections
    ]
    assert seen == [[1], [], [1, 2]]
    assert [event.shown.summary for event in connections[0].events if isinstance(event, MessageChanged)] == [SUMMARY]


def test_a_broadcast_change_goes_to_members_that_may_see_the_message(
    accounts: LocalAccounts, chats: LocalChats
) -> None:
    connections = [NotifiedRecipient(1), NotifiedRecipient(2)]
    for account, recipient, first in zip((ALICE, BOB), connections, (1, 5), strict=True):
        chats.joined(accounts.attach(account, recipient, 0.0), CHAT, 9, first)
    chats.notify_changed(message_changed(1, 4, None), None)
    chats.notify_changed(message_changed(2, 5, None), None)
    assert [len(one.events) for one in connections] == [2, 1]
    chats.notify_changed(ChangeDelivery(MessageChange(ChatId(99), 1, 1, ChangeKind.RECALL, BOB, 0), None), None)
    assert [len(one.events) for one in connections] == [2, 1]


def test_a_change_that_a_new_login_may_have_missed_is_left_to_its_resync(
    accounts: LocalAccounts, chats: LocalChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    for account in (ALICE, BOB):
        chats.joined(attach(accounts, account), CHAT, 0)
    chats.notify_changed(message_changed(1, 1, [BOB]), None)
    monkeypatch.setattr(type(accounts), "has_unconfirmed", True)
    monkeypatch.setattr(accounts, "is_unconfirmed", ALICE.__eq__)
    chats.notify_changed(message_changed(2, 1, [BOB]), None)
    assert sequencer_of(chats).rev == 1
    chats.notify_changed(message_changed(3, 1, [ALICE, BOB]), None)
    assert sequencer_of(chats).rev == 3


async def test_members_that_services_may_not_know_get_what_names_others(
    accounts: LocalAccounts, chats: LocalChats, gaps: RecordingGaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alice has just logged in. The member list of the batch's version decides whether she is still a member."""
    for account in (ALICE, BOB):
        chats.joined(attach(accounts, account), CHAT, 0)
    chats.receive([Delivery(message(1), [BOB], 3)])
    assert sequencer_of(chats).head == 1, "both are known"
    monkeypatch.setattr(type(accounts), "has_unconfirmed", True)
    monkeypatch.setattr(accounts, "is_unconfirmed", ALICE.__eq__)
    chats.receive([Delivery(message(2), [ALICE, BOB], 3)])
    assert sequencer_of(chats).head == 2
    chats.receive([Delivery(message(3), [BOB], 3)])
    assert (sequencer_of(chats).head, sequencer_of(chats).waits_for_membership) == (2, True)
    assert gaps.watched == [(CHAT, 2)]
    seen: list[list[AccountId]] = []
    monkeypatch.setattr(chats, "_deliver", lambda run, sequencer: seen.append(sorted(sequencer.visible_to(3))))
    chats.apply_membership(CHAT, [ALICE, BOB], {ALICE: 1, BOB: 1}, 3, for_all=True)
    chats.release(CHAT, sequencer_of(chats), sequencer_of(chats).drain())
    assert seen == [[ALICE, BOB]]


@pytest.mark.parametrize(("role", "first_index", "members"), [(Role.MEMBER, {}, [ALICE]), (Role.LEFT, {ALICE: 1}, [])])
def test_an_older_reply_changes_nothing_for_an_account_of_a_later_event(
    accounts: LocalAccounts, chats: LocalChats, role: Role, first_index: dict[AccountId, int], members: list[AccountId]
) -> None:
    """Version 3 is unknown. In version 4, Bob is not a member; then Alice's event arrives."""
    alice, bob, carol = (attach(accounts, account) for account in (ALICE, BOB, AccountId(3)))
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB, carol.account], 2))
    if role is Role.LEFT:
        chats.joined(alice, CHAT, None, 1)
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, role, 1, 5))
    requested = [alice.account, bob.account, carol.account]
    for _ in range(2):
        chats.apply_membership(CHAT, requested, {**first_index, carol.account: 1}, 4, for_all=True)
    assert sorted(sequencer_of(chats).members) == sorted([*members, carol.account])
    assert (CHAT in alice.chats, CHAT in bob.chats) == (bool(members), False)
    assert (sequencer_of(chats).version, sequencer_of(chats).latest_version) == (4, 5)


def test_an_older_reply_does_not_bring_back_an_account_that_left_before_the_chat_was_known_here(
    accounts: LocalAccounts, chats: LocalChats
) -> None:
    alice, bob = (attach(accounts, account) for account in (ALICE, BOB))
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.LEFT, 0, 5))
    chats.joined(bob, CHAT, 0, 1)
    chats.apply_membership(CHAT, [ALICE, BOB], {ALICE: 1, BOB: 1}, 4, for_all=True)
    assert list(sequencer_of(chats).members) == [BOB]
    assert CHAT not in alice.chats


def test_an_older_reply_does_not_bring_back_an_account_that_left_before_it_came_here(
    accounts: LocalAccounts, chats: LocalChats
) -> None:
    chats.joined(attach(accounts, BOB), CHAT, 0, 1)
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.LEFT, 0, 5))
    alice = attach(accounts, ALICE)
    chats.apply_membership(CHAT, [ALICE, BOB], {ALICE: 1, BOB: 1}, 4, for_all=True)
    assert list(sequencer_of(chats).members) == [BOB]
    assert CHAT not in alice.chats


def test_an_older_reply_does_not_end_a_membership_that_has_begun_since(
    accounts: LocalAccounts, chats: LocalChats
) -> None:
    """The removal comes as an event, or as a reply that names a chat that the account has left."""
    alice = attach(accounts, ALICE)
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.MEMBER, 1, 5))
    chats.apply_membership(CHAT, [ALICE], {}, 4, for_all=True)
    assert CHAT in alice.chats
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.LEFT, 0, 6))
    assert chats.sequencer(CHAT) is None
    chats.recheck_left(alice, CHAT)
    chats.apply_membership(CHAT, [ALICE], {}, 5, for_all=True)
    assert CHAT in alice.chats
    chats.apply_membership(CHAT, [ALICE], {}, 6, for_all=True)
    assert chats.sequencer(CHAT) is None


def test_a_reply_about_some_accounts_outdates_no_event_of_others(accounts: LocalAccounts, chats: LocalChats) -> None:
    alice, bob, carol = (attach(accounts, account) for account in (ALICE, BOB, AccountId(3)))
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB, carol.account], 2))
    chats.apply_membership(CHAT, [BOB, carol.account], {BOB: 1}, 5, for_all=False)
    assert (sequencer_of(chats).version, sequencer_of(chats).latest_version) == (2, 5)
    for account in (ALICE, carol.account):
        chats.on_membership_changed(MembershipChanged(CHAT, account, Role.MEMBER, 1, 4))
    assert sorted(sequencer_of(chats).members) == [ALICE, BOB], "Carol has left since"
    assert [CHAT in local.chats for local in (alice, bob, carol)] == [True, True, False]
    chats.apply_membership(CHAT, [], {}, 5, for_all=True)
    assert sequencer_of(chats).version == 5


def test_a_reply_from_before_what_is_forgotten_changes_nothing(
    accounts: LocalAccounts, chats: LocalChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply has a version in which Alice is not yet a member and Carol has not left."""
    monkeypatch.setattr(ordering, "ACCOUNTS_AHEAD", 1)
    alice, bob, carol = (attach(accounts, account) for account in (ALICE, BOB, AccountId(3)))
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB, carol.account], 2))
    for version, account, role in (
        (6, ALICE, Role.MEMBER),
        (7, carol.account, Role.LEFT),
        (8, AccountId(4), Role.ADMIN),
    ):
        chats.on_membership_changed(MembershipChanged(CHAT, account, role, 1, version))
    requested = [alice.account, bob.account, carol.account]
    chats.apply_membership(CHAT, requested, {BOB: 1, carol.account: 1}, 5, for_all=True)
    assert sorted(sequencer_of(chats).members) == [ALICE, BOB]
    assert sequencer_of(chats).version == 2, "changes are requested since then"
    chats.apply_membership(CHAT, requested, {ALICE: 1, BOB: 1}, 8, for_all=True)
    assert sorted(sequencer_of(chats).members) == [ALICE, BOB]
    assert sequencer_of(chats).version == 8


def test_a_late_event_of_a_join_does_not_make_a_departure_forgotten(accounts: LocalAccounts, chats: LocalChats) -> None:
    """A delivery batch from before the departure names the account."""
    alice = attach(accounts, ALICE)
    chats.joined(attach(accounts, BOB), CHAT, 0, 1)
    for version, role in ((6, Role.LEFT), (5, Role.MEMBER)):
        chats.on_membership_changed(MembershipChanged(CHAT, ALICE, role, 1, version))
    chats.receive([Delivery(message(1), [ALICE, BOB], 5)])
    assert list(sequencer_of(chats).members) == [BOB]
    assert CHAT not in alice.chats


def test_the_event_of_a_new_owner_does_not_skip_the_departure_of_the_former_one(
    accounts: LocalAccounts, chats: LocalChats
) -> None:
    """The event of the departure, which has the same version, arrives late."""
    alice, bob = attach(accounts, ALICE), attach(accounts, BOB)
    chats.on_chat_created(ChatCreated(CHAT, ALICE, [ALICE, BOB], 2))
    chats.on_membership_changed(MembershipChanged(CHAT, BOB, Role.OWNER, 1, 3, since=3))
    chats.receive([Delivery(message(1), None, 3)])
    assert not sequencer_of(chats).delivered(1)
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.LEFT, 0, 3))
    assert sequencer_of(chats).delivered(1)
    assert (CHAT in alice.chats, CHAT in bob.chats) == (False, True)


@pytest.mark.parametrize(
    ("joined_at", "expected"),
    [(JoinedAt(7, 3), ChatJoined(CHAT, head=7, first=8, rev=3)), (None, ChatJoined(CHAT))],
    ids=["told by session", "an older version of session or message"],
)
def test_a_join_names_where_the_account_begins(
    accounts: LocalAccounts, chats: LocalChats, joined_at: JoinedAt | None, expected: ChatJoined
) -> None:
    recipient = NotifiedRecipient(2)
    accounts.attach(BOB, recipient, 0.0)
    chats.on_membership_changed(MembershipChanged(CHAT, BOB, Role.MEMBER, 8, 3, since=1, joined_at=joined_at))
    assert recipient.events == [expected]


def test_a_departure_that_a_reply_names_is_pushed(accounts: LocalAccounts, chats: LocalChats) -> None:
    """The event of the departure is late, as it is without Redis. So it changes nothing any more."""
    alice, recipient = attach(accounts, ALICE), NotifiedRecipient(2)
    bob = accounts.attach(BOB, recipient, 0.0)
    chats.on_chat_created(ChatCreated(CHAT, ALICE, [ALICE, BOB], 1))
    chats.apply_membership(CHAT, [BOB], {}, 2, for_all=True)
    chats.on_membership_changed(MembershipChanged(CHAT, BOB, Role.LEFT, 0, 2, by=ALICE))
    assert recipient.events == [ChatJoined(CHAT, head=0, first=1, rev=0), ChatLeft(CHAT, Departure.UNKNOWN)]
    assert (CHAT in alice.chats, CHAT in bob.chats) == (True, False)


def test_joins_at_once_hold_up_no_broadcast(accounts: LocalAccounts, chats: LocalChats) -> None:
    """Alice's join has the versions 3 and 5, and Carol's 4 and 6. Their events arrive in another order."""
    alice, _, carol = (attach(accounts, account) for account in (ALICE, BOB, AccountId(3)))
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB], 2))
    chats.receive([Delivery(message(1), None, 6)])
    assert not sequencer_of(chats).delivered(1)
    recent = RecentJoins(1, {ALICE: 1, BOB: 1})
    chats.on_membership_changed(MembershipChanged(CHAT, carol.account, Role.MEMBER, 2, 6, since=5, recent=recent))
    assert sequencer_of(chats).delivered(1)
    assert sequencer_of(chats).members == {ALICE: 1, BOB: 1, carol.account: 2}
    recent = RecentJoins(1, {carol.account: 2, BOB: 1})
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.MEMBER, 1, 5, since=4, recent=recent))
    assert sequencer_of(chats).version == 6
    assert CHAT in alice.chats


def test_a_broadcast_that_names_recent_joins_waits_for_no_event(accounts: LocalAccounts, chats: LocalChats) -> None:
    alice, _ = attach(accounts, ALICE), attach(accounts, BOB)
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB], 2))
    chats.receive([Delivery(message(1), None, 3, recent=RecentJoins(2, {ALICE: 1}))])
    assert sequencer_of(chats).delivered(1)
    assert sequencer_of(chats).members == {ALICE: 1, BOB: 1}
    chats.on_membership_changed(MembershipChanged(CHAT, ALICE, Role.MEMBER, 2, 4, since=2))
    assert sequencer_of(chats).members == {ALICE: 2, BOB: 1}
    assert CHAT in alice.chats


@pytest.mark.parametrize(("since", "version"), [(3, 2), (2, 6)])
def test_recent_joins_since_a_later_version_do_not_count(
    accounts: LocalAccounts, chats: LocalChats, since: int, version: int
) -> None:
    """The changes before that version are unknown."""
    attach(accounts, BOB)
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB], 2))
    changed = MembershipChanged(CHAT, ALICE, Role.MEMBER, 1, 6, since=5, recent=RecentJoins(since, {BOB: 1}))
    chats.on_membership_changed(changed)
    assert sequencer_of(chats).version == version
