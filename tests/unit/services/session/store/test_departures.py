"""Members leave groups or are removed, on both databases."""

import asyncio

from services.session.domain import LOBBY
from services.session.store.departures import LeftChat
from services.session.store.memberships import StartedJoin
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatEntry, Member
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection, roles

OPEN = JoinPolicy.OPEN


async def test_former_member_remains_as_a_tombstone_of_the_new_version(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    before = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert await populated.end_membership(CEM, chat, CEM) == LeftChat(chat, 2, NO_ACCOUNT, 0, [ANN, BOB], (), NOW)
    assert roles((await populated.changes(chat)).members) == {ANN: Role.OWNER, BOB: Role.MEMBER, CEM: Role.LEFT}
    assert await populated.members(chat, ANN) == [ANN, BOB]
    assert (await populated.lists(CEM))[0] == []
    after = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1, 0]


async def test_oldest_admin_follows_an_owner_that_leaves(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    await populated.set_role(chat, CEM, Role.ADMIN)
    assert await populated.end_membership(ANN, chat, ANN) == LeftChat(chat, 2, CEM, 1, [BOB, CEM], (), NOW)
    assert (await populated.chat(chat, BOB)).owner == CEM


async def test_large_group_and_lobby_list_no_members(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    before = await populated.profile(ANN)
    assert (await populated.end_membership(CEM, chat, CEM, broadcast_from=2)).members is None
    await populated.join_lobby(ANN)
    await populated.join_lobby(BOB)
    before = await populated.profile(ANN)
    assert (await populated.end_membership(BOB, LOBBY, BOB)).members is None
    assert await populated.profile(ANN) == before


async def test_only_members_of_a_lower_role_are_removed(populated: StoreHarness) -> None:
    """Ann owns the group, Bob and Dan are admins, Cem is a member, and Eve is not a member."""
    chat = (await populated.create_group(ANN, BOB, CEM, DAN)).id
    await populated.set_role(chat, BOB, Role.ADMIN)
    await populated.set_role(chat, DAN, Role.ADMIN)
    for actor, account, code in (
        (BOB, ANN, ErrorCode.FORBIDDEN),
        (BOB, DAN, ErrorCode.FORBIDDEN),
        (CEM, BOB, ErrorCode.FORBIDDEN),
        (ANN, EVE, ErrorCode.NOT_FOUND),
        (EVE, CEM, ErrorCode.FORBIDDEN),
        (EVE, EVE, ErrorCode.FORBIDDEN),
    ):
        assert (await rejection(populated.end_membership(actor, chat, account))).code == code
        assert (await populated.changes(chat)).version == 1
    for version, (actor, removed) in enumerate(((BOB, CEM), (ANN, BOB), (DAN, DAN)), 2):
        assert (await populated.end_membership(actor, chat, removed)).version == version
        assert removed not in await populated.members(chat, ANN)


async def test_private_chat_cannot_be_left(populated: StoreHarness) -> None:
    chat, _ = await populated.open_private(ANN, BOB)
    assert (await rejection(populated.end_membership(ANN, chat, ANN))).code == ErrorCode.NOT_FOUND


async def test_membership_ends_once(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    attempts = [populated.end_membership(actor, chat, BOB) for actor in (ANN, BOB)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(result) for result in results].count(LeftChat) == 1
    assert [type(result) for result in results].count(RequestError) == 1
    assert (await populated.changes(chat)).version == 2


async def test_former_member_joins_again_as_a_new_one(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    await populated.end_membership(ANN, chat, BOB)
    await populated.befriend(ANN, BOB)
    populated.head = 6
    assert (await populated.add_member(ANN, chat, BOB)).version == 3
    assert await populated.finish_join(BOB, 9, chat) is not None
    assert await populated.entry(BOB, chat) == ChatEntry(chat, 9, 9)
    assert (await populated.changes(chat, since=2)).members == [Member(BOB, Role.MEMBER, 9, 4, 9)]
    assert await populated.members(chat, ANN) == [ANN, CEM, BOB]


async def test_interrupted_join_ends_with_the_membership(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, join_policy=OPEN, name="g")).id
    assert await populated.request_membership(BOB, chat) == StartedJoin(2, "g")
    await populated.end_membership(ANN, chat, BOB)
    assert await populated.finish_join(BOB, 3, chat) is None
    assert await populated.unfinished_joins(BOB) == {}


async def test_login_does_not_rejoin_a_lobby_that_was_left(populated: StoreHarness) -> None:
    await populated.join_lobby(ANN)
    await populated.finish_join(ANN)
    await populated.end_membership(ANN, LOBBY, ANN)
    await populated.join_lobby(ANN)
    assert (await populated.list_chats(ANN)).entries == []
    await populated.request_membership(ANN, LOBBY)
    assert await populated.finish_join(ANN, 4) is not None
    assert await populated.entry(ANN, LOBBY) == ChatEntry(LOBBY, 1, 4)
