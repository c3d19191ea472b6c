"""How deleted accounts leave, on both databases."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa

from services.session.domain import LOBBY
from services.session.store import account_removal, memberships
from services.session.store.account_removal import LeftChat
from services.session.tables import chat as chat_table
from services.session.tables import member
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import Member
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, roles


async def promote(world: StoreHarness, number: ChatId, account: AccountId) -> None:
    admin = sa.update(member).where(member.c.chat == number, member.c.account == account).values(role=Role.ADMIN)
    await world.database.write(lambda connection: connection.execute(admin) and None)


async def test_who_leaves_stays_as_a_tombstone_of_the_new_version(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    chat = await world.create_group(ANN, BOB, CEM)
    assert await world.leave_all_chats(CEM) == [LeftChat(chat.id, 2, NO_ACCOUNT, 0, [ANN, BOB])]
    after = await world.changes(chat.id)
    assert after.version == 2
    assert after.members == [
        Member(ANN, Role.OWNER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1), Member(CEM, Role.LEFT, 1, 2, 1)
    ]  # fmt: skip
    assert (await world.lists(CEM))[0] == []
    assert (await world.chat(chat.id, ANN)).updated == NOW + 1


async def test_those_who_stay_are_told_that_their_chats_changed(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    await world.create_group(ANN, BOB)
    await world.create_group(DAN, CEM)
    before = [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    await world.leave_all_chats(ANN)
    after = [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM, DAN)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [0, 1, 0, 0]


async def test_an_owned_chat_passes_to_the_oldest_member(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    chat = await world.create_group(ANN, CEM, BOB)
    assert await world.leave_all_chats(ANN) == [LeftChat(chat.id, 2, CEM, 1, [BOB, CEM])]
    assert (await world.chat(chat.id, BOB)).owner == CEM
    assert roles((await world.changes(chat.id)).members) == {ANN: Role.LEFT, BOB: Role.MEMBER, CEM: Role.OWNER}


async def test_an_owned_chat_passes_to_the_oldest_admin_before_any_member(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    chat = await world.create_group(ANN, BOB, CEM, DAN)
    await promote(world, chat.id, DAN)
    await promote(world, chat.id, CEM)
    assert [departure.next_owner for departure in await world.leave_all_chats(ANN)] == [CEM]
    assert await world.members(chat.id, BOB) == [CEM, BOB, DAN]


async def test_a_chat_nobody_is_left_in_stays_without_an_owner(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    chat = await world.create_group(ANN)
    assert await world.leave_all_chats(ANN) == [LeftChat(chat.id, 2, NO_ACCOUNT, 0, [])]
    owner = sa.select(chat_table.c.owner, chat_table.c.size).where(chat_table.c.id == chat.id)
    assert await world.database.read(lambda connection: tuple(connection.execute(owner).one())) == (0, 0)


async def test_leaving_again_changes_nothing(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    chat = await world.create_group(ANN, BOB)
    await world.leave_all_chats(ANN)
    assert await world.leave_all_chats(ANN) == []
    assert (await world.changes(chat.id)).version == 2
    left = partial(account_removal.left_versions, account=ANN)
    assert await world.database.read(left) == {chat.id: 2}
    assert await world.database.read(partial(account_removal.left_versions, account=BOB)) == {}


async def test_many_members_are_not_listed(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    await world.create_group(ANN, BOB, CEM)
    await world.create_group(ANN, BOB)
    assert [departure.members for departure in await world.leave_chats(BOB, broadcast_from=2)] == [None, [ANN]]


async def test_leaving_the_lobby_concerns_nobody_else(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    for account in (ANN, BOB):
        await world.database.write(partial(memberships.join_lobby, account=account, head=0, now=NOW))
    before = await world.profile(BOB)
    assert await world.leave_all_chats(ANN) == [LeftChat(LOBBY, 4, NO_ACCOUNT, 0, None)]
    assert await world.profile(BOB) == before
    assert await world.members(LOBBY, BOB) == [BOB]


async def test_many_chats_are_left_in_few_transactions(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    for _ in range(250):
        await world.create_group(ANN, BOB)
    counts = []
    while left := await world.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [100, 100, 50]
    assert (await world.lists(ANN))[0] == []
    assert {(await world.chat(number, BOB)).owner for number in (await world.lists(BOB, 300))[0]} == {BOB}


async def test_large_chats_are_left_in_transactions_of_their_own(world: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_removal, "_MEMBERS", 5)
    await world.add_profiles(ANN, BOB, CEM, DAN, EVE)
    for members in ([ANN, BOB, CEM, DAN, EVE], [ANN, BOB], [ANN, CEM, DAN], [ANN]):
        await world.create_group(*members)
    counts = []
    while left := await world.leave_chats(ANN):
        counts.append(len(left))
    assert counts == [1, 2, 1]


async def test_an_account_erased_twice_at_once_leaves_each_chat_once(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    numbers = [(await world.create_group(ANN, BOB)).id for _ in range(120)]

    async def erase() -> list[LeftChat]:
        left = await world.leave_all_chats(ANN)
        assert (await world.lists(ANN))[0] == []
        return left

    one, other = await asyncio.gather(erase(), erase())
    assert sorted(departure.chat for departure in one + other) == numbers
    assert {(await world.changes(number)).version for number in numbers} == {2}


async def test_members_of_the_same_chats_are_erased_at_once(world: StoreHarness) -> None:
    people = [ANN, BOB, CEM, DAN, EVE]
    await world.add_profiles(*people)
    numbers = [(await world.create_group(*people[start:], *people[:start])).id for start in range(5) for _ in range(6)]
    await asyncio.gather(*(world.leave_all_chats(account) for account in people[:4]), world.create_group(EVE, *people[:4]))
    for number in numbers:
        changes = await world.changes(number)
        assert changes.version == 5
        assert roles(changes.members) == dict.fromkeys(people[:4], Role.LEFT) | {EVE: Role.OWNER}
        assert sorted(change.version for change in changes.members)[-1] == 5


async def test_a_chat_made_while_a_member_is_erased_is_left_too_or_refused(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)

    async def erase() -> None:
        await world.erase(BOB)
        await world.leave_all_chats(BOB)

    made = [world.create_group(ANN, BOB) for _ in range(10)]
    await asyncio.gather(*made[:5], erase(), *made[5:], return_exceptions=True)
    await world.leave_all_chats(BOB)
    assert (await world.lists(BOB))[0] == []
    for number in (await world.lists(ANN))[0]:
        assert await world.members(number, ANN) == [ANN]
