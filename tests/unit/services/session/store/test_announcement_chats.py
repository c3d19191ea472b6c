"""Tests the system account and its chats for announcements, on both databases."""

from functools import partial

import pytest

from services.session.store import chats, profiles
from shared.contract.ids import SYSTEM_ACCOUNT, SYSTEM_UUID, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, Role
from shared.contract.session import ChatEntry, ChatList, EnsureProfile, Member
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, NOW, StoreHarness

UNKNOWN = AccountId(77)


async def ensure_system_account(store: StoreHarness, name: str) -> None:
    seed = EnsureProfile(account=SYSTEM_ACCOUNT, uuid=SYSTEM_UUID, nickname=name)
    await store.database.write(partial(profiles.insert_system, seed=seed, now=store.now))


async def opened(store: StoreHarness, *accounts: AccountId) -> tuple[dict[AccountId, ChatId], dict[AccountId, Chat]]:
    return await store.database.write(partial(chats.open_announcement_chats, accounts=accounts, now=store.now))


@pytest.fixture
async def populated(store: StoreHarness) -> StoreHarness:
    await store.add_profiles(ANN, BOB, CEM, DAN)
    await ensure_system_account(store, "Operations")
    return store


async def test_system_account_has_the_configured_name(populated: StoreHarness) -> None:
    before = await populated.profile(SYSTEM_ACCOUNT)
    assert (before.nickname, before.uuid) == ("Operations", SYSTEM_UUID)
    await ensure_system_account(populated, "Operations")
    assert await populated.profile(SYSTEM_ACCOUNT) == before
    await ensure_system_account(populated, "Operator")
    after = await populated.profile(SYSTEM_ACCOUNT)
    assert (after.nickname, after.public_updated) == ("Operator", before.public_updated + 1)


async def test_each_account_has_one_announcement_chat(populated: StoreHarness) -> None:
    numbers, created = await opened(populated, ANN, CEM)
    assert numbers == {account: chat.id for account, chat in created.items()}
    chat = await populated.chat(numbers[ANN], ANN)
    assert (chat.kind, chat.owner, chat.name) == (ChatKind.SERVICE, SYSTEM_ACCOUNT, "Operations")
    changes = await populated.changes(chat.id)
    assert (changes.speaker, changes.pair) == (SYSTEM_ACCOUNT, (ANN, SYSTEM_ACCOUNT))
    assert changes.members == [Member(ANN, Role.MEMBER, 1, 1, 1), Member(SYSTEM_ACCOUNT, Role.OWNER, 1, 1, 1)]
    assert await populated.list_chats(ANN) == ChatList([ChatEntry(chat.id, 1, 1, (ANN, SYSTEM_ACCOUNT))])
    assert await populated.pending_events(ANN) == []
    times = [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)]
    assert times == [NOW + 1, NOW, NOW + 1]


async def test_existing_announcement_chats_are_reused(populated: StoreHarness) -> None:
    first, _ = await opened(populated, ANN, CEM)
    again, created = await opened(populated, ANN, BOB, CEM)
    assert (again, list(created)) == (first | {BOB: created[BOB].id}, [BOB])


async def test_unknown_and_deleted_accounts_have_no_announcement_chat(populated: StoreHarness) -> None:
    first, _ = await opened(populated, BOB)
    await populated.erase(BOB)
    await populated.leave_all_chats(BOB)
    assert list((await opened(populated, ANN, BOB, UNKNOWN))[0]) == [ANN]
    assert (await populated.changes(first[BOB])).speaker == SYSTEM_ACCOUNT


async def test_announcement_chats_do_not_count_as_groups(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=1)
    await opened(populated, ANN)
    await populated.create_group(ANN)


async def test_all_members_may_send_in_other_chats(populated: StoreHarness) -> None:
    private, _ = await populated.open_private(ANN, BOB)
    for number in (private, (await populated.create_group(ANN, BOB)).id):
        assert (await populated.changes(number)).speaker == 0


async def test_active_accounts_are_listed_in_pages(populated: StoreHarness) -> None:
    await populated.erase(BOB)
    list_after = partial(profiles.list_active, limit=2)
    assert await populated.database.read(partial(list_after, after=AccountId(0))) == [ANN, CEM]
    assert await populated.database.read(partial(list_after, after=CEM)) == [DAN, SYSTEM_ACCOUNT]
    assert await populated.database.read(partial(list_after, after=SYSTEM_ACCOUNT)) == []
