"""The herald, and the chats it tells notices in, on both databases."""

from functools import partial

import pytest

from services.session.store import chats, profiles
from shared.contract.ids import SYSTEM_ACCOUNT, SYSTEM_UUID, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, Role
from shared.contract.session import ChatEntry, ChatList, EnsureProfile, Member
from shared.settings import Limits
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, NOW, StoreHarness

UNKNOWN = AccountId(77)


async def introduce(world: StoreHarness, name: str) -> None:
    seed = EnsureProfile(account=SYSTEM_ACCOUNT, uuid=SYSTEM_UUID, nickname=name)
    await world.database.write(partial(profiles.insert_system, seed=seed, now=world.now))


async def opened(world: StoreHarness, *accounts: AccountId) -> tuple[dict[AccountId, ChatId], dict[AccountId, Chat]]:
    return await world.database.write(partial(chats.open_notice_chats, accounts=accounts, now=world.now))


@pytest.fixture
async def town(world: StoreHarness) -> StoreHarness:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    await introduce(world, "The house")
    return world


async def test_the_herald_is_called_as_it_is_set_and_its_profile_moves_with_it(town: StoreHarness) -> None:
    before = await town.profile(SYSTEM_ACCOUNT)
    assert (before.nickname, before.uuid) == ("The house", SYSTEM_UUID)
    await introduce(town, "The house")
    assert await town.profile(SYSTEM_ACCOUNT) == before
    await introduce(town, "Operator")
    after = await town.profile(SYSTEM_ACCOUNT)
    assert (after.nickname, after.public_updated) == ("Operator", before.public_updated + 1)


async def test_each_has_one_chat_of_its_own_with_the_herald(town: StoreHarness) -> None:
    numbers, made = await opened(town, ANN, CEM)
    assert numbers == {account: chat.id for account, chat in made.items()}
    chat = await town.chat(numbers[ANN], ANN)
    assert (chat.kind, chat.owner, chat.name) == (ChatKind.SERVICE, SYSTEM_ACCOUNT, "The house")
    changes = await town.changes(chat.id)
    assert (changes.speaker, changes.pair) == (SYSTEM_ACCOUNT, (ANN, SYSTEM_ACCOUNT))
    assert changes.members == [Member(ANN, Role.MEMBER, 1, 1, 1), Member(SYSTEM_ACCOUNT, Role.OWNER, 1, 1, 1)]
    assert await town.list_chats(ANN) == ChatList([ChatEntry(chat.id, 1, 1, (ANN, SYSTEM_ACCOUNT))])
    assert await town.pending_notices(ANN) == []
    times = [(await town.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    assert times == [NOW + 1, NOW, NOW + 1]


async def test_the_same_chats_are_opened_again(town: StoreHarness) -> None:
    first, _ = await opened(town, ANN, CEM)
    again, made = await opened(town, ANN, BOB, CEM)
    assert (again, list(made)) == (first | {BOB: made[BOB].id}, [BOB])


async def test_who_is_not_there_is_left_out(town: StoreHarness) -> None:
    first, _ = await opened(town, BOB)
    await town.erase(BOB)
    await town.leave_all_chats(BOB)
    assert list((await opened(town, ANN, BOB, UNKNOWN))[0]) == [ANN]
    assert (await town.changes(first[BOB])).speaker == SYSTEM_ACCOUNT


async def test_chats_with_the_herald_are_not_counted_as_groups(town: StoreHarness) -> None:
    town.limits = Limits(chats_per_account=1)
    await opened(town, ANN)
    await town.create_group(ANN)


async def test_in_other_chats_everybody_may_speak(town: StoreHarness) -> None:
    private, _ = await town.open_private(ANN, BOB)
    for number in (private, (await town.create_group(ANN, BOB)).id):
        assert (await town.changes(number)).speaker == 0


async def test_the_living_are_listed_in_order_page_by_page(town: StoreHarness) -> None:
    await town.erase(BOB)
    list_after = partial(profiles.list_active, limit=2)
    assert await town.database.read(partial(list_after, after=AccountId(0))) == [ANN, CEM]
    assert await town.database.read(partial(list_after, after=CEM)) == [DAN, SYSTEM_ACCOUNT]
    assert await town.database.read(partial(list_after, after=SYSTEM_ACCOUNT)) == []
