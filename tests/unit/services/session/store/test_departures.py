"""Members leave groups, are removed, or are deleted, on both databases."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY
from services.session.store import departures, memberships
from services.session.store.departures import LeftChat
from services.session.store.memberships import StartedJoin
from services.session.tables import chat as chat_table
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatEntry, Member
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection, roles


async def test_former_member_remains_as_a_tombstone_of_the_new_version(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    before = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert await populated.end_membership(CEM, chat, CEM) == LeftChat(chat, 2, NO_ACCOUNT, 0, [ANN, BOB], (), NOW)
    assert roles((await populated.changes(chat)).members) == {ANN: Role.OWNER, BOB: Role.MEMBER, CEM: Role.LEFT}
    assert await populated.members(chat, ANN) == [ANN, BOB]
    assert (await populated.lists(CEM))[0] == []
    assert (await populated.chat(chat, ANN)).updated == NOW + 1
    after = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1, 0]


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
    chat = (await populated.create_group(ANN, join_policy=JoinPolicy.OPEN, name="g")).id
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


# Deleted accounts


async def test_a_private_chat_gives_up_the_nickname_of_its_deleted_member(populated: StoreHarness) -> None:
    number, _ = await populated.open_private(ANN, BOB)
    other, _ = await populated.open_private(ANN, CEM)
    before = (await populated.chat(other, ANN)).name
    nickname = (await populated.profile(BOB)).nickname
    assert nickname in (await populated.chat(number, ANN)).name
    await populated.erase(BOB)
    await populated.leave_all_chats(BOB)
    shown = (await populated.chat(number, ANN)).name.split("、")
    assert shown == [(await populated.profile(ANN)).nickname, DELETED_NICKNAME]
    assert (await populated.chat(other, ANN)).name == before


async def test_a_group_without_the_nickname_of_a_deleted_member_has_a_later_time_of_change(
    populated: StoreHarness,
) -> None:
    chat = await populated.create_group(ANN, BOB)
    await populated.database.write(departures.name_groups_again, BOB, "、".join, NOW - 1)
    after = await populated.chat(chat.id, ANN)
    assert (after.name, after.updated) == ((await populated.profile(ANN)).nickname, NOW + 1)


async def test_time_of_change_grows_for_remaining_members(populated: StoreHarness) -> None:
    await populated.create_group(ANN, BOB)
    await populated.create_group(DAN, CEM)
    before = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    await populated.leave_all_chats(ANN)
    after = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [0, 1, 0, 0]


async def test_unfinished_deletions_are_those_with_anything_left(populated: StoreHarness) -> None:
    async def unfinished() -> list[AccountId]:
        find = partial(departures.unfinished_deletions, accounts=[ANN, BOB, CEM, DAN])
        return await populated.database.read(find)

    await populated.create_group(ANN, BOB)
    await populated.befriend(BOB, CEM)
    assert await unfinished() == [ANN, BOB, CEM, DAN]
    for account in (ANN, BOB, CEM, DAN):
        await populated.erase(account)
    assert await unfinished() == [ANN, BOB, CEM]
    await populated.leave_all_chats(ANN)
    await populated.leave_all_chats(BOB)
    assert await unfinished() == [BOB, CEM]
    await populated.end_friendships(BOB)
    assert await unfinished() == []


async def test_oldest_member_becomes_owner(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, CEM, BOB)
    assert await populated.leave_all_chats(ANN) == [LeftChat(chat.id, 2, CEM, 1, [CEM, BOB])]
    assert (await populated.chat(chat.id, BOB)).owner == CEM
    assert roles((await populated.changes(chat.id)).members) == {ANN: Role.LEFT, BOB: Role.MEMBER, CEM: Role.OWNER}


async def test_oldest_admin_becomes_owner_before_members(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB, CEM, DAN)
    await populated.set_role(chat.id, DAN, Role.ADMIN)
    await populated.set_role(chat.id, CEM, Role.ADMIN)
    assert [departure.next_owner for departure in await populated.leave_all_chats(ANN)] == [CEM]
    assert await populated.members(chat.id, BOB) == [CEM, BOB, DAN]


async def test_empty_chat_remains_without_an_owner(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN)
    assert await populated.leave_all_chats(ANN) == [LeftChat(chat.id, 2, NO_ACCOUNT, 0, [])]
    owner = sa.select(chat_table.c.owner, chat_table.c.size).where(chat_table.c.id == chat.id)
    assert await populated.database.read(lambda connection: tuple(connection.execute(owner).one())) == (0, 0)


async def test_repeated_leaving_changes_nothing(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    await populated.leave_all_chats(ANN)
    assert await populated.leave_all_chats(ANN) == []
    assert (await populated.changes(chat.id)).version == 2
    left = partial(departures.left_versions, account=ANN)
    assert await populated.database.read(left) == {chat.id: 2}
    assert await populated.database.read(partial(departures.left_versions, account=BOB)) == {}


async def test_members_of_large_chats_are_not_listed(populated: StoreHarness) -> None:
    await populated.create_group(ANN, BOB, CEM)
    await populated.create_group(ANN, BOB)
    assert [departure.members for departure in await populated.leave_chats(BOB, broadcast_from=2)] == [None, [ANN]]


async def test_leaving_the_lobby_does_not_change_other_members(populated: StoreHarness) -> None:
    for account in (ANN, BOB):
        await populated.database.write(partial(memberships.join_lobby, account=account, head=0, now=NOW))
    before = await populated.profile(BOB)
    assert await populated.leave_all_chats(ANN) == [LeftChat(LOBBY, 4, NO_ACCOUNT, 0, None)]
    assert await populated.profile(BOB) == before
    assert await populated.members(LOBBY, BOB) == [BOB]


async def test_many_chats_are_left_in_batches(populated: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_CHATS", 10)
    for _ in range(25):
        await populated.create_group(ANN, BOB)
    counts = []
    while left := await populated.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [10, 10, 5]
    assert (await populated.lists(ANN))[0] == []
    assert {(await populated.chat(number, BOB)).owner for number in (await populated.lists(BOB))[0]} == {BOB}


async def test_large_chat_is_left_in_its_own_transaction(
    populated: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "_MEMBERS", 5)
    for members in ([ANN, BOB, CEM, DAN, EVE], [ANN, BOB], [ANN, CEM, DAN], [ANN]):
        await populated.create_group(*members)
    counts = []
    while left := await populated.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [1, 2, 1]


async def test_concurrent_erasures_leave_each_chat_once(
    populated: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "_CHATS", 10)
    numbers = [(await populated.create_group(ANN, BOB)).id for _ in range(35)]

    async def erase() -> list[LeftChat]:
        left = await populated.leave_all_chats(ANN)
        assert (await populated.lists(ANN))[0] == []
        return left

    one, other = await asyncio.gather(erase(), erase())
    assert sorted(departure.chat for departure in one + other) == numbers
    assert {(await populated.changes(number)).version for number in numbers} == {2}


async def test_members_of_the_same_chats_are_erased_concurrently(store: StoreHarness) -> None:
    accounts = [ANN, BOB, CEM, DAN, EVE]
    await store.add_profiles(*accounts)
    numbers = [
        (await store.create_group(*accounts[start:], *accounts[:start])).id for start in range(5) for _ in range(6)
    ]
    await asyncio.gather(
        *(store.leave_all_chats(account) for account in accounts[:4]), store.create_group(EVE, *accounts[:4])
    )
    for number in numbers:
        changes = await store.changes(number)
        assert changes.version == 5
        assert roles(changes.members) == dict.fromkeys(accounts[:4], Role.LEFT) | {EVE: Role.OWNER}
        assert sorted(change.version for change in changes.members)[-1] == 5


async def test_chat_created_during_an_erasure_is_left_or_rejected(populated: StoreHarness) -> None:
    async def erase() -> None:
        await populated.erase(BOB)
        await populated.leave_all_chats(BOB)

    created = [populated.create_group(ANN, BOB) for _ in range(10)]
    await asyncio.gather(*created[:5], erase(), *created[5:], return_exceptions=True)
    await populated.leave_all_chats(BOB)
    assert (await populated.lists(BOB))[0] == []
    for number in (await populated.lists(ANN))[0]:
        assert await populated.members(number, ANN) == [ANN]
