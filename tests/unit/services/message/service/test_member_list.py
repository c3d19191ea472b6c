"""Tests which members may post."""

from collections.abc import Mapping

import pytest

from services.message.domain import (
    BAD_NONCE,
    BLOCKED,
    DEADLINE_PASSED,
    NO_RECIPIENT,
    NOT_A_MEMBER,
    READ_ONLY_CHAT,
    SILENCED,
)
from services.message.service.member_list import ChatMembers
from shared.contract import edge
from shared.contract.body import pack_segments
from shared.contract.edge import RecentJoins
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, Nonce
from shared.contract.members import MAX_ADDED
from shared.contract.message import Draft
from shared.contract.model import MemberPair, Role, Text
from shared.contract.session import Member
from tests.unit.services.message.environment import ANN, BOB, CEM, DAN, ROOM

EVE = AccountId(5)
NOW = 1_700_000_000_000
LATER = NOW + 1


def member_list(pair: MemberPair | None = None, muted: Mapping[AccountId, int] | None = None) -> ChatMembers:
    """Returns a member list. The chat is a group of Ann's, or a private chat."""
    made = ChatMembers()
    roles = {ANN: Role.OWNER if pair is None else Role.MEMBER, BOB: Role.MEMBER, CEM: Role.MEMBER}
    made.update([Member(account, role, 1, 1, 1) for account, role in roles.items()], 1)
    made.pair, made.muted = pair, muted or {}
    return made


def check(of: ChatMembers, *senders: AccountId, now: int = NOW) -> list[Failure | None]:
    return [of.check_post(Draft(sender, ROOM, Nonce(1), now + 1000, b""), now) for sender in senders]


def test_members_may_post_until_the_deadline() -> None:
    assert check(member_list(), BOB, DAN) == [None, NOT_A_MEMBER]
    assert member_list().check_post(Draft(BOB, ROOM, Nonce(1), NOW, b""), NOW) == DEADLINE_PASSED


def test_a_nonce_has_63_bits() -> None:
    for nonce in (-1, 2**63):
        assert member_list().check_post(Draft(BOB, ROOM, Nonce(nonce), LATER, b""), NOW) == BAD_NONCE


def test_in_a_read_only_chat_only_its_sender_may_post() -> None:
    made = member_list()
    made.only_sender = ANN
    assert check(made, ANN, BOB, DAN) == [None, READ_ONLY_CHAT, NOT_A_MEMBER]


def test_strangers_post_where_a_group_lets_them_unless_all_are_silenced() -> None:
    made = member_list(muted={BOB: LATER})
    made.strangers_post = True
    assert check(made, BOB, EVE) == [SILENCED, None]
    replying = Draft(EVE, ROOM, Nonce(1), LATER, pack_segments((Text("hi"),), reply_to=3))
    assert made.check_post(replying, NOW) == NOT_A_MEMBER
    made.muted = {EVE: LATER}
    assert check(made, EVE) + check(made, EVE, now=LATER) == [SILENCED, None]
    made.muted = {NO_ACCOUNT: LATER}
    assert check(made, EVE) == [SILENCED]
    ended = ChatMembers()
    ended.strangers_post = True
    assert check(ended, EVE) == [NOT_A_MEMBER]


def test_a_muted_member_may_post_again_later() -> None:
    assert check(member_list(muted={BOB: LATER}), ANN, BOB, CEM) == [None, SILENCED, None]
    assert check(member_list(muted={BOB: LATER}), BOB, now=LATER) == [None]
    assert check(member_list(pair=(ANN, BOB), muted={BOB: LATER}), ANN, BOB) == [None, BLOCKED]


def test_a_sender_that_is_no_member_posts_by_the_rights_of_one() -> None:
    def check_by(of: ChatMembers, member: AccountId) -> Failure | None:
        return of.check_post(Draft(EVE, ROOM, Nonce(1), NOW + 1000, b"", by=member), NOW)

    assert check(member_list(), EVE) == [NOT_A_MEMBER]
    assert [check_by(member_list(), one) for one in (BOB, DAN)] == [None, NOT_A_MEMBER]
    assert check_by(member_list(muted={BOB: LATER}), BOB) == SILENCED


def test_nobody_posts_to_a_deleted_account() -> None:
    left = member_list(pair=(ANN, BOB))
    left.update([Member(account, Role.LEFT, 1, 2, 1) for account in (BOB, CEM)], 2)
    assert check(left, ANN, BOB) == [NO_RECIPIENT, NOT_A_MEMBER]
    alone = member_list()
    alone.update([Member(account, Role.LEFT, 1, 2, 1) for account in (BOB, CEM)], 2)
    assert check(alone, ANN) == [None]


def test_where_all_are_silenced_speakers_may_post_unless_a_mask_mutes_them() -> None:
    made = member_list(muted={NO_ACCOUNT: LATER, CEM: LATER})
    made.speakers = frozenset((BOB, CEM))
    assert check(made, ANN, BOB, CEM) == [None, None, SILENCED]


def test_where_all_are_silenced_leaders_may_post() -> None:
    made = member_list(muted={NO_ACCOUNT: LATER})
    assert check(made, ANN, BOB, CEM, DAN) == [None, SILENCED, SILENCED, NOT_A_MEMBER]
    assert check(made, BOB, now=LATER) == [None]


def test_all_members_that_are_added_at_once_are_recent_joins() -> None:
    room = member_list()
    joined = {AccountId(number): number for number in range(1_000, 1_000 + MAX_ADDED)}
    room.update([Member(account, Role.MEMBER, at, at, at) for account, at in joined.items()], 2_000)
    assert room.recent_joins() == RecentJoins(1, joined)


def test_recent_joins_are_those_since_the_last_departure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "RECENT_JOINS", 2)
    room = member_list()
    assert room.recent_joins() is None
    room.update([Member(DAN, Role.MEMBER, 5, 2, 5)], 2)
    assert room.recent_joins() == RecentJoins(1, {DAN: 5})
    room.update([Member(BOB, Role.LEFT, 1, 3, 1)], 3)
    assert room.recent_joins() is None
    room.update([Member(BOB, Role.MEMBER, 7, 4, 7), Member(EVE, Role.MEMBER, 8, 5, 8)], 5)
    assert room.recent_joins() == RecentJoins(3, {BOB: 7, EVE: 8})
    room.update([Member(EVE, Role.MEMBER, 1, 6, 9)], 6)
    assert room.recent_joins() == RecentJoins(3, {BOB: 7, EVE: 1})
