"""The chats of a node: kept while somebody here needs them, and not a moment longer."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import ChatSequencer, group_runs
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from shared.contract.edge import ChatCreated, Delivery, MembershipChanged
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import Message, Role
from shared.presence import Presence
from shared.settings import Limits, Redis
from tests.unit.services.edge.presence.test_local_accounts import NullRecipient

ALICE, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)


@pytest.fixture
def residents() -> LocalAccounts:
    return LocalAccounts(NodeId("here"), Presence(Redis()), Limits())


class RecordingGaps:
    """A gap watcher that fetches nothing."""

    def __init__(self) -> None:
        self.watched: list[tuple[ChatId, int | None]] = []
        """Chats, and their heads at that time."""
        self.forgotten: list[ChatId] = []

    def watch(self, chats: LocalChats, chat: ChatId, sequencer: ChatSequencer) -> None:
        self.watched.append((chat, sequencer.head))

    def forget(self, chat: ChatId) -> None:
        self.forgotten.append(chat)


@pytest.fixture
def gaps() -> RecordingGaps:
    return RecordingGaps()


@pytest.fixture
def chats(residents: LocalAccounts, gaps: RecordingGaps) -> LocalChats:
    return LocalChats(residents, gaps, EdgeMetrics(CollectorRegistry()))


def arrive(residents: LocalAccounts, account: AccountId) -> LocalAccount:
    return residents.attach(account, NullRecipient(), 0.0)


def leave(residents: LocalAccounts, chats: LocalChats, resident: LocalAccount) -> None:
    residents.detach(resident, resident.recipients[0])
    chats.account_detached(resident)


def message(index: int) -> Message:
    return Message(CHAT, index, MessageId(index), BOB, index, b"", Nonce(index))


def stream_of(chats: LocalChats) -> ChatSequencer:
    stream = chats.sequencer(CHAT)
    assert stream is not None
    return stream


def test_a_stream_lives_as_long_as_it_has_members(
    residents: LocalAccounts, chats: LocalChats, gaps: RecordingGaps
) -> None:
    alice, bob = arrive(residents, ALICE), arrive(residents, BOB)
    for resident in (alice, bob):
        chats.joined(resident, CHAT, 4)
    leave(residents, chats, alice)
    assert stream_of(chats).members == {BOB}
    leave(residents, chats, bob)
    assert (len(chats), gaps.forgotten) == (0, [CHAT])


def test_who_is_gone_joins_nothing(residents: LocalAccounts, chats: LocalChats) -> None:
    alice = arrive(residents, ALICE)
    leave(residents, chats, alice)
    assert chats.joined(alice, CHAT, 4) is None
    again = arrive(residents, ALICE)
    assert chats.joined(alice, CHAT, 4) is None
    assert chats.joined(again, CHAT, 4) is not None


def test_a_reader_keeps_a_stream(residents: LocalAccounts, chats: LocalChats) -> None:
    alice = arrive(residents, ALICE)
    stream = chats.joined(alice, CHAT, 4)
    assert stream is not None
    with chats.reading(CHAT, stream):
        leave(residents, chats, alice)
        assert chats.sequencer(CHAT) is stream
    assert len(chats) == 0


def test_who_expects_a_message_of_a_stream_that_is_dropped_need_not_wait(
    residents: LocalAccounts, chats: LocalChats
) -> None:
    called: list[int] = []
    alice = arrive(residents, ALICE)
    chats.joined(alice, CHAT, 4)
    chats.expect(ALICE, CHAT, 4, lambda: called.append(4))
    chats.expect(ALICE, CHAT, 6, lambda: called.append(6))
    assert called == [4]
    chats.drop(CHAT)
    assert called == [4, 6]
    assert alice.chats == set()


def test_a_message_for_nobody_here_makes_no_stream(residents: LocalAccounts, chats: LocalChats) -> None:
    arrive(residents, ALICE)
    chats.receive([Delivery(message(1), [BOB], 1)])
    chats.receive([Delivery(message(1), None, 1)])
    assert len(chats) == 0


def test_what_is_behind_is_told_of(residents: LocalAccounts, chats: LocalChats, gaps: RecordingGaps) -> None:
    chats.joined(arrive(residents, ALICE), CHAT, 4)
    chats.receive([Delivery(message(5), [ALICE], 1)])
    assert gaps.watched == []
    chats.receive([Delivery(message(7), [ALICE], 1)])
    chats.expect(ALICE, CHAT, 8, lambda: None)
    assert gaps.watched == [(CHAT, 5), (CHAT, 5)]


class Listener(NullRecipient):
    def __init__(self) -> None:
        self.heard: list[tuple[ChatId, int]] = []

    def deliver(self, said: Sequence[EncodedMessage]) -> None:
        self.heard += [(encoded.message.chat, encoded.message.index) for encoded in said]


def delivery(chat: int, index: int, recipients: list[AccountId] | None, version: int) -> Delivery:
    return Delivery(Message(ChatId(chat), index, MessageId(index), BOB, index, b"", Nonce(index)), recipients, version)


runs_of_some = st.builds(
    lambda chat, start, size, *to: [delivery(chat, index, *to) for index in range(start, start + size)],
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([[ALICE], [ALICE, BOB], [ALICE, BOB], None]),
    st.integers(0, 1),
)


def heard(runs: list[list[Delivery]]) -> tuple[list[list[tuple[ChatId, int]]], float, int]:
    """What two people get of these, and what is counted."""
    metrics = EdgeMetrics(CollectorRegistry())
    residents = LocalAccounts(NodeId("here"), Presence(Redis()), Limits())
    chats, listeners = LocalChats(residents, RecordingGaps(), metrics), [Listener(), Listener()]
    for account, listener in zip((ALICE, BOB), listeners, strict=True):
        resident = residents.attach(account, listener, 0.0)
        for chat in (1, 2):
            chats.joined(resident, ChatId(chat), 0)
    for run in runs:
        chats.receive(run)
    return [listener.heard for listener in listeners], metrics.duplicates._value.get(), metrics.delivered


@given(st.lists(runs_of_some, max_size=6))
def test_what_comes_together_is_delivered_as_if_it_came_alone(parts: list[list[Delivery]]) -> None:
    offered = [delivery for part in parts for delivery in part]
    runs = list(group_runs(offered))
    assert [delivery for run in runs for delivery in run] == offered
    assert heard(runs) == heard([[delivery] for delivery in offered])


def test_a_run_is_handed_over_at_once(residents: LocalAccounts, chats: LocalChats) -> None:
    listener = Listener()
    chats.joined(residents.attach(ALICE, listener, 0.0), CHAT, 0)
    said = [Delivery(message(index), [ALICE], 1) for index in (1, 2, 3)]
    other = Delivery(message(4), [ALICE, BOB], 1)
    assert list(group_runs([*said, other])) == [said, [other]]
    chats.receive(said)
    assert listener.heard == [(CHAT, 1), (CHAT, 2), (CHAT, 3)]


def changed(version: int, role: Role) -> MembershipChanged:
    return MembershipChanged(CHAT, ALICE, role, 1, version)


@pytest.mark.parametrize(
    ("notices", "member"),
    [
        ([changed(2, Role.MEMBER)], True),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT)], False),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT), changed(2, Role.MEMBER)], False),
        ([changed(2, Role.MEMBER), changed(3, Role.LEFT), changed(4, Role.MEMBER)], True),
        ([changed(2, Role.MEMBER), changed(3, Role.ADMIN)], True),
    ],
)
def test_notices_repeated_or_late_change_nothing(
    residents: LocalAccounts, chats: LocalChats, notices: list[MembershipChanged], member: bool
) -> None:
    alice = arrive(residents, ALICE)
    arrive(residents, BOB)
    chats.on_chat_created(ChatCreated(CHAT, BOB, [BOB]))
    for notice in notices:
        chats.on_membership_changed(notice)
    assert (ALICE in stream_of(chats).members) == (CHAT in alice.chats) == member
    assert stream_of(chats).version == max(notice.version for notice in notices)
