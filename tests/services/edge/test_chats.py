"""The chats of a node: kept while somebody here needs them, and not a moment longer."""

import pytest
from prometheus_client import CollectorRegistry

from services.edge.chats import Chats
from services.edge.metrics import Metrics
from services.edge.residents import Resident, Residents
from services.edge.streams import ChatStream
from shared.contract.edge import ChatCreated, Delivery, MembershipChanged
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import Message, Role
from shared.presence import Presence
from shared.settings import Limits, Redis
from tests.services.edge.test_residents import Recipient

ALICE, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)


@pytest.fixture
def residents() -> Residents:
    return Residents(NodeId("here"), Presence(Redis()), Limits())


@pytest.fixture
def chats(residents: Residents) -> Chats:
    return Chats(residents, Metrics(CollectorRegistry()))


def arrive(residents: Residents, account: AccountId) -> Resident:
    return residents.attach(account, Recipient(), 0.0)


def leave(residents: Residents, chats: Chats, resident: Resident) -> None:
    residents.detach(resident, resident.recipients[0])
    chats.gone(resident)


def message(index: int) -> Message:
    return Message(CHAT, index, MessageId(index), BOB, index, b"", Nonce(index))


def stream_of(chats: Chats) -> ChatStream:
    stream = chats.stream(CHAT)
    assert stream is not None
    return stream


def test_a_stream_lives_as_long_as_it_has_members(residents: Residents, chats: Chats) -> None:
    dropped: list[ChatId] = []
    chats.on_dropped = dropped.append
    alice, bob = arrive(residents, ALICE), arrive(residents, BOB)
    for resident in (alice, bob):
        chats.joined(resident, CHAT, 4)
    leave(residents, chats, alice)
    assert stream_of(chats).members == {BOB}
    leave(residents, chats, bob)
    assert (len(chats), dropped) == (0, [CHAT])


def test_who_is_gone_joins_nothing(residents: Residents, chats: Chats) -> None:
    alice = arrive(residents, ALICE)
    leave(residents, chats, alice)
    assert chats.joined(alice, CHAT, 4) is None
    again = arrive(residents, ALICE)
    assert chats.joined(alice, CHAT, 4) is None
    assert chats.joined(again, CHAT, 4) is not None


def test_a_reader_keeps_a_stream(residents: Residents, chats: Chats) -> None:
    alice = arrive(residents, ALICE)
    stream = chats.joined(alice, CHAT, 4)
    assert stream is not None
    with chats.reading(CHAT, stream):
        leave(residents, chats, alice)
        assert chats.stream(CHAT) is stream
    assert len(chats) == 0


def test_who_expects_a_message_of_a_stream_that_is_dropped_need_not_wait(residents: Residents, chats: Chats) -> None:
    called: list[int] = []
    alice = arrive(residents, ALICE)
    chats.joined(alice, CHAT, 4)
    chats.expect(ALICE, CHAT, 4, lambda: called.append(4))
    chats.expect(ALICE, CHAT, 6, lambda: called.append(6))
    assert called == [4]
    chats.drop(CHAT)
    assert called == [4, 6]
    assert alice.chats == set()


def test_a_message_for_nobody_here_makes_no_stream(residents: Residents, chats: Chats) -> None:
    arrive(residents, ALICE)
    chats.offer(Delivery(message(1), [BOB], 1))
    chats.offer(Delivery(message(1), None, 1))
    assert len(chats) == 0


def test_what_is_behind_is_told_of(residents: Residents, chats: Chats) -> None:
    behind: list[tuple[ChatId, int | None]] = []
    chats.on_behind = lambda chat, stream: behind.append((chat, stream.head))
    chats.joined(arrive(residents, ALICE), CHAT, 4)
    chats.offer(Delivery(message(5), [ALICE], 1))
    assert behind == []
    chats.offer(Delivery(message(7), [ALICE], 1))
    chats.expect(ALICE, CHAT, 8, lambda: None)
    assert behind == [(CHAT, 5), (CHAT, 5)]


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
    residents: Residents, chats: Chats, notices: list[MembershipChanged], member: bool
) -> None:
    alice = arrive(residents, ALICE)
    arrive(residents, BOB)
    chats.created(ChatCreated(CHAT, BOB, [BOB]))
    for notice in notices:
        chats.changed(notice)
    assert (ALICE in stream_of(chats).members) == (CHAT in alice.chats) == member
    assert stream_of(chats).version == max(notice.version for notice in notices)
