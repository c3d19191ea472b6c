"""Deleted accounts leave their chats, on both databases."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import DELETED_NICKNAME, LOBBY
from services.session.store import departures, memberships
from services.session.store.departures import LeftChat
from services.session.tables import chat as chat_table
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Role
from shared.contract.session import Member
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, roles


async def test_leaving_member_remains_as_a_tombstone_of_the_new_version(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM)
    chat = await store.create_group(ANN, BOB, CEM)
    assert await store.leave_all_chats(CEM) == [LeftChat(chat.id, 2, NO_ACCOUNT, 0, [ANN, BOB])]
    after = await store.changes(chat.id)
    assert after.version == 2
    assert after.members == [
        Member(ANN, Role.OWNER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1), Member(CEM, Role.LEFT, 1, 2, 1)
    ]  # fmt: skip
    assert (await store.lists(CEM))[0] == []
    assert (await store.chat(chat.id, ANN)).updated == NOW + 1


async def test_a_private_chat_gives_up_the_nickname_of_its_deleted_member(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM)
    number, _ = await store.open_private(ANN, BOB)
    other, _ = await store.open_private(ANN, CEM)
    before = (await store.chat(other, ANN)).name
    nickname = (await store.profile(BOB)).nickname
    assert nickname in (await store.chat(number, ANN)).name
    await store.erase(BOB)
    await store.leave_all_chats(BOB)
    shown = (await store.chat(number, ANN)).name.split("、")
    assert shown == [(await store.profile(ANN)).nickname, DELETED_NICKNAME]
    assert (await store.chat(other, ANN)).name == before


async def test_time_of_change_grows_for_remaining_members(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM, DAN)
    await store.create_group(ANN, BOB)
    await store.create_group(DAN, CEM)
    before = [(await store.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    await store.leave_all_chats(ANN)
    after = [(await store.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [0, 1, 0, 0]


async def test_unfinished_deletions_are_those_with_anything_left(store: StoreHarness) -> None:
    async def unfinished() -> list[AccountId]:
        find = partial(departures.unfinished_deletions, accounts=[ANN, BOB, CEM, DAN])
        return await store.database.read(find)

    await store.add_profiles(ANN, BOB, CEM)
    await store.create_group(ANN, BOB)
    await store.befriend(BOB, CEM)
    assert await unfinished() == [ANN, BOB, CEM, DAN]
    for account in (ANN, BOB, CEM, DAN):
        await store.erase(account)
    assert await unfinished() == [ANN, BOB, CEM]
    await store.leave_all_chats(ANN)
    await store.leave_all_chats(BOB)
    assert await unfinished() == [BOB, CEM]
    await store.end_friendships(BOB)
    assert await unfinished() == []


async def test_oldest_member_becomes_owner(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM)
    chat = await store.create_group(ANN, CEM, BOB)
    assert await store.leave_all_chats(ANN) == [LeftChat(chat.id, 2, CEM, 1, [CEM, BOB])]
    assert (await store.chat(chat.id, BOB)).owner == CEM
    assert roles((await store.changes(chat.id)).members) == {ANN: Role.LEFT, BOB: Role.MEMBER, CEM: Role.OWNER}


async def test_oldest_admin_becomes_owner_before_members(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM, DAN)
    chat = await store.create_group(ANN, BOB, CEM, DAN)
    await store.set_role(chat.id, DAN, Role.ADMIN)
    await store.set_role(chat.id, CEM, Role.ADMIN)
    assert [departure.next_owner for departure in await store.leave_all_chats(ANN)] == [CEM]
    assert await store.members(chat.id, BOB) == [CEM, BOB, DAN]


async def test_empty_chat_remains_without_an_owner(store: StoreHarness) -> None:
    await store.add_profiles(ANN)
    chat = await store.create_group(ANN)
    assert await store.leave_all_chats(ANN) == [LeftChat(chat.id, 2, NO_ACCOUNT, 0, [])]
    owner = sa.select(chat_table.c.owner, chat_table.c.size).where(chat_table.c.id == chat.id)
    assert await store.database.read(lambda connection: tuple(connection.execute(owner).one())) == (0, 0)


async def test_repeated_leaving_changes_nothing(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB)
    chat = await store.create_group(ANN, BOB)
    await store.leave_all_chats(ANN)
    assert await store.leave_all_chats(ANN) == []
    assert (await store.changes(chat.id)).version == 2
    left = partial(departures.left_versions, account=ANN)
    assert await store.database.read(left) == {chat.id: 2}
    assert await store.database.read(partial(departures.left_versions, account=BOB)) == {}


async def test_members_of_large_chats_are_not_listed(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB, CEM)
    await store.create_group(ANN, BOB, CEM)
    await store.create_group(ANN, BOB)
    assert [departure.members for departure in await store.leave_chats(BOB, broadcast_from=2)] == [None, [ANN]]


async def test_leaving_the_lobby_does_not_change_other_members(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB)
    for account in (ANN, BOB):
        await store.database.write(partial(memberships.join_lobby, account=account, head=0, now=NOW))
    before = await store.profile(BOB)
    assert await store.leave_all_chats(ANN) == [LeftChat(LOBBY, 4, NO_ACCOUNT, 0, None)]
    assert await store.profile(BOB) == before
    assert await store.members(LOBBY, BOB) == [BOB]


async def test_many_chats_are_left_in_batches(store: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_CHATS", 10)
    await store.add_profiles(ANN, BOB)
    for _ in range(25):
        await store.create_group(ANN, BOB)
    counts = []
    while left := await store.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [10, 10, 5]
    assert (await store.lists(ANN))[0] == []
    assert {(await store.chat(number, BOB)).owner for number in (await store.lists(BOB))[0]} == {BOB}


async def test_large_chat_is_left_in_its_own_transaction(store: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_MEMBERS", 5)
    await store.add_profiles(ANN, BOB, CEM, DAN, EVE)
    for members in ([ANN, BOB, CEM, DAN, EVE], [ANN, BOB], [ANN, CEM, DAN], [ANN]):
        await store.create_group(*members)
    counts = []
    while left := await store.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [1, 2, 1]


async def test_concurrent_erasures_leave_each_chat_once(store: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_CHATS", 10)
    await store.add_profiles(ANN, BOB)
    numbers = [(await store.create_group(ANN, BOB)).id for _ in range(35)]

    async def erase() -> list[LeftChat]:
        left = await store.leave_all_chats(ANN)
        assert (await store.lists(ANN))[0] == []
        return left

    one, other = await asyncio.gather(erase(), erase())
    assert sorted(departure.chat for departure in one + other) == numbers
    assert {(await store.changes(number)).version for number in numbers} == {2}


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


async def test_chat_created_during_an_erasure_is_left_or_rejected(store: StoreHarness) -> None:
    await store.add_profiles(ANN, BOB)

    async def erase() -> None:
        await store.erase(BOB)
        await store.leave_all_chats(BOB)

    created = [store.create_group(ANN, BOB) for _ in range(10)]
    await asyncio.gather(*created[:5], erase(), *created[5:], return_exceptions=True)
    await store.leave_all_chats(BOB)
    assert (await store.lists(BOB))[0] == []
    for number in (await store.lists(ANN))[0]:
        assert await store.members(number, ANN) == [ANN]
