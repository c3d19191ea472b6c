"""Tests chats and members on both databases."""

import asyncio
from functools import partial

import msgspec
import pytest

from services.session.domain import LOBBY
from services.session.store import chats, sql
from services.session.store.memberships import AwaitingApproval, StartedJoin
from shared.contract.edge import EdgeEvent, MembershipAnswered
from shared.contract.errors import ErrorCode, Failure, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, CreateChat, Member
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection


async def test_new_group_has_the_requested_values(populated: StoreHarness) -> None:
    request = CreateChat(
        members=[BOB], name="我们俩", avatar="https://a", avatar_hash="h", join_policy=JoinPolicy.APPROVAL, actor=ANN
    )
    created, _ = await populated.database.write(
        partial(chats.create_group, request=request, members=[ANN, BOB], limits=LimitsSettings(), now=NOW)
    )
    assert created == Chat(
        id=created.id, kind=ChatKind.GROUP, name="我们俩", owner=ANN, join_policy=JoinPolicy.APPROVAL, avatar="https://a",
        avatar_hash="h", created=NOW, updated=NOW, version=1,
    )  # fmt: skip
    assert await populated.chat(created.id, BOB) == created
    assert (await populated.changes(created.id)).members == [
        Member(ANN, Role.OWNER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1)
    ]  # fmt: skip


async def test_event_of_a_new_group_is_stored_for_added_members(populated: StoreHarness) -> None:
    request = CreateChat(members=[BOB, CEM], name="g", actor=ANN)
    make = partial(chats.create_group, request=request, members=[ANN, BOB, CEM], limits=LimitsSettings(), now=NOW)
    created, numbers = await populated.database.write(make)
    assert await populated.pending_events(ANN) == []
    for account in (BOB, CEM):
        (one,) = await populated.pending_events(account)
        expected = MembershipAnswered(created.id, "g", account, accepted=True, version=1)
        assert (one.number, msgspec.msgpack.decode(one.event, type=EdgeEvent)) == (numbers[account], expected)


async def test_private_chat_stores_no_events(populated: StoreHarness) -> None:
    await populated.open_private(ANN, BOB)
    assert await populated.pending_events(BOB) == await populated.pending_events(ANN) == []


async def test_default_name_is_the_first_three_nicknames(populated: StoreHarness) -> None:
    assert (await populated.create_group(DAN, BOB, ANN, CEM)).name == "name 4、name 2、name 1"
    assert (await populated.create_group(BOB)).name == "name 2"


async def test_time_of_change_grows_for_all_members(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, CEM)
    assert [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [
        NOW + 1,
        NOW,
        NOW + 1,
    ]
    assert [(await populated.lists(account))[0] for account in (ANN, BOB, CEM)] == [[chat.id], [], [chat.id]]


@pytest.mark.parametrize("missing", ["unknown", "deleted"])
async def test_unknown_or_deleted_member_is_reported_and_nothing_created(store: StoreHarness, missing: str) -> None:
    await store.add_profiles(ANN, BOB)
    if missing == "deleted":
        await store.erase(CEM)
    failure = await rejection(store.create_group(ANN, CEM, BOB))
    assert failure == Failure(ErrorCode.NOT_FOUND, "there is no account 3", "members")
    assert [(await store.lists(account))[0] for account in (ANN, BOB)] == [[], []]
    assert (await store.profile(BOB)).private_updated == NOW


async def test_number_of_groups_per_owner_is_limited(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=2)
    await populated.create_group(ANN)
    await populated.create_group(ANN)
    failure = await rejection(populated.create_group(ANN, BOB))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "chats")
    await populated.create_group(BOB)


async def test_strangers_use_up_half_of_the_groups_of_an_account_and_friends_all(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=4)
    await populated.befriend(ANN, CEM)
    for _ in range(2):
        await populated.end_membership(BOB, (await populated.create_group(BOB, ANN)).id, BOB)
    for _ in range(2):
        failure = await rejection(populated.create_group(BOB, ANN))
        assert (failure.code, failure.reason) == (ErrorCode.FORBIDDEN, Reason.NOT_FRIEND)
        await populated.create_group(CEM, ANN)
    failure = await rejection(populated.create_group(CEM, ANN))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "members")


async def test_a_friend_counts_as_one_beside_more_friends_than_a_group_has_members(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=2, members_per_group=2)
    for friend in (ANN, BOB, DAN):
        await populated.befriend(CEM, friend)
    await populated.create_group(DAN)
    assert (await populated.create_group(CEM, DAN)).kind is ChatKind.GROUP


async def test_concurrent_creations_respect_the_limit(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=3)
    for other in (BOB, CEM):
        await populated.befriend(ANN, other)
    attempts = [
        populated.create_group(ANN, *others) for others in ([BOB], [CEM], [BOB, CEM], [CEM, BOB], [], [], [BOB], [CEM])
    ]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, Chat) for result in results) == 3
    assert sum(isinstance(result, RequestError) for result in results) == 5
    assert len((await populated.lists(ANN))[0]) == 3


async def test_groups_of_the_same_members_are_created_concurrently(store: StoreHarness) -> None:
    accounts = [ANN, BOB, CEM, DAN, EVE]
    await store.add_profiles(*accounts)
    orders = [accounts[start:] + accounts[:start] for start in range(5)] * 4
    created = await asyncio.gather(*(store.create_group(*order) for order in orders))
    assert len({chat.id for chat in created}) == 20
    assert {(await store.profile(account)).private_updated for account in accounts} == {NOW + 20}


async def test_members_are_listed_owner_first_then_by_seat(populated: StoreHarness) -> None:
    chat = await populated.create_group(CEM, DAN, ANN, BOB)
    assert await populated.members(chat.id, BOB) == [CEM, DAN, ANN, BOB]
    assert await populated.members(chat.id, BOB, most=2) == [CEM, DAN]
    await populated.leave_all_chats(CEM)
    assert await populated.members(chat.id, BOB) == [DAN, ANN, BOB]


async def test_former_member_cannot_read_the_chat(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    await populated.leave_all_chats(BOB)
    assert (await rejection(populated.members(chat.id, BOB))).code == ErrorCode.FORBIDDEN


async def test_chats_are_listed_in_pages(populated: StoreHarness) -> None:
    numbers = [(await populated.create_group(ANN)).id for _ in range(5)]
    first = await populated.list_chats(ANN, most=3)
    assert first == ChatList([ChatEntry(number, 1, 1) for number in numbers[:3]], more=True)
    assert await populated.list_chats(ANN, after=numbers[2], most=3) == ChatList(
        [ChatEntry(number, 1, 1) for number in numbers[3:]]
    )
    assert (await populated.lists(ANN, most=2))[0] == numbers[3:]
    assert await populated.list_chats(BOB) == ChatList([])


async def test_chats_of_other_accounts_are_listed_completely_or_not(populated: StoreHarness) -> None:
    of_two, of_bob = await populated.create_group(ANN, BOB), await populated.create_group(BOB)
    own, both = [ChatEntry(of_two.id, 1, 1)], [ChatEntry(of_two.id, 1, 1), ChatEntry(of_bob.id, 1, 1)]
    assert await populated.list_chats_with_others(ANN, BOB, CEM, most=3) == ChatList(
        own, also={BOB: ChatList(both), CEM: ChatList([])}
    )
    assert await populated.list_chats_with_others(ANN, BOB, CEM, most=2) == ChatList(own)
    assert await populated.list_chats_with_others(BOB, ANN, most=1) == ChatList(both[:1], more=True)
    await populated.open_private(CEM, BOB)
    pair = await populated.list_chats(CEM)
    assert pair.entries[0].pair == (BOB, CEM)
    assert await populated.list_chats_with_others(ANN, CEM, most=2) == ChatList(own, also={CEM: pair})


# The lobby


async def test_lobby_is_chat_1_open_and_without_owner(populated: StoreHarness) -> None:
    await populated.database.write(partial(chats.insert_lobby, now=NOW + 5))
    await populated.join_lobby(ANN)
    chat = await populated.chat(LOBBY, ANN)
    assert (chat.id, chat.owner, chat.join_policy, chat.kind) == (1, 0, JoinPolicy.OPEN, ChatKind.GROUP)
    assert chat.created == NOW
    assert (await populated.create_group(ANN)).id == 2


# Private chats


async def test_an_account_has_one_chat_with_itself(populated: StoreHarness) -> None:
    first, created = await populated.open_private(ANN, ANN)
    assert created is not None
    assert await populated.open_private(ANN, ANN) == (first, None)


async def test_concurrent_opens_create_one_private_chat(populated: StoreHarness) -> None:
    opened = await asyncio.gather(*(populated.open_private(*pair) for pair in ((ANN, BOB), (BOB, ANN)) * 4))
    assert len({number for number, _ in opened}) == 1
    (created,) = [chat for _, chat in opened if chat is not None]
    assert created == Chat(
        id=opened[0][0], kind=ChatKind.PRIVATE, name="name 1、name 2", owner=NO_ACCOUNT, join_policy=JoinPolicy.CLOSED,
        created=NOW, updated=NOW, version=1,
    )  # fmt: skip
    changes = await populated.changes(created.id)
    assert changes.members == [Member(ANN, Role.MEMBER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1)]
    assert changes.pair == (ANN, BOB)
    assert await populated.list_chats(BOB) == ChatList([ChatEntry(created.id, 1, 1, (ANN, BOB))])
    assert [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [
        NOW + 1,
        NOW + 1,
        NOW,
    ]
    assert (await populated.open_private(CEM, BOB))[0] != created.id


async def test_deleted_account_has_no_private_chat(populated: StoreHarness) -> None:
    number, _ = await populated.open_private(ANN, BOB)
    find = partial(chats.find_private, pair=(ANN, BOB))
    assert await populated.database.read(find) == number
    await populated.erase(BOB)
    assert await populated.database.read(find) is None
    assert (await rejection(populated.open_private(ANN, BOB))).code == ErrorCode.NOT_FOUND
    assert (await rejection(populated.open_private(ANN, AccountId(99)))).code == ErrorCode.NOT_FOUND
    await populated.leave_all_chats(BOB)
    assert await populated.members(number, ANN) == [ANN]
    assert (await populated.chat(number, ANN)).owner == NO_ACCOUNT


async def test_private_chat_opened_during_a_deletion_is_left_or_rejected(populated: StoreHarness) -> None:
    async def delete() -> None:
        await populated.erase(BOB)
        await populated.leave_all_chats(BOB)

    await asyncio.gather(
        populated.open_private(ANN, BOB), delete(), populated.open_private(BOB, ANN), return_exceptions=True
    )
    await populated.leave_all_chats(BOB)
    assert (await populated.lists(BOB))[0] == []
    for number in (await populated.lists(ANN))[0]:
        assert await populated.members(number, ANN) == [ANN]


async def test_private_chats_do_not_count_as_groups(populated: StoreHarness) -> None:
    populated.limits = LimitsSettings(chats_per_account=1)
    await populated.open_private(ANN, BOB)
    await populated.create_group(ANN)
    await populated.open_private(BOB, ANN)
    assert (await rejection(populated.create_group(ANN))).code == ErrorCode.LIMIT


# Renaming


async def test_a_new_setting_changes_times_but_not_the_version(populated: StoreHarness) -> None:
    chat = await populated.create_group(ANN, BOB)
    values = {"name": "new", "topic": "words", "join_policy": JoinPolicy.OPEN, "avatar": "/media/a", "receipts": False}
    changed = partial(chats.set_chat, number=chat.id, actor=ANN, values=values, now=NOW)
    stored, members = await populated.database.write(partial(changed, broadcast_from=3))
    after = await populated.chat(chat.id, BOB)
    assert (stored, members) == (after, [ANN, BOB])
    assert (after.name, after.topic, after.version, after.updated) == ("new", "words", chat.version, NOW + 1)
    assert (after.join_policy, after.avatar, after.receipts) == (JoinPolicy.OPEN, "/media/a", False)
    assert [(await populated.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [
        NOW + 2,
        NOW + 2,
        NOW,
    ]
    assert (await populated.database.write(partial(changed, broadcast_from=2))).members is None
    assert (await populated.profile(ANN)).private_updated == NOW + 2


async def test_joining_follows_the_policy_of_the_group(populated: StoreHarness) -> None:
    """A pending request stays pending until the applicant joins."""
    group = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.APPROVAL)).id
    assert isinstance(await populated.request_membership(CEM, group), AwaitingApproval)
    await set_policy(populated, group, JoinPolicy.CLOSED)
    failure = await rejection(populated.request_membership(DAN, group))
    assert (failure.code, failure.field) == (ErrorCode.FORBIDDEN, "chat")
    assert [one.applicant for one in (await populated.pending_requests(ANN)).memberships] == [CEM]
    await set_policy(populated, group, JoinPolicy.OPEN)
    assert isinstance(await populated.request_membership(CEM, group), StartedJoin)
    assert (await populated.pending_requests(ANN)).memberships == []


async def set_policy(store: StoreHarness, group: ChatId, policy: JoinPolicy) -> None:
    values = {"join_policy": policy}
    change = partial(chats.set_chat, number=group, actor=ANN, values=values, now=store.now, broadcast_from=512)
    await store.database.write(change)


# Changes


async def test_changes_of_an_unknown_chat_are_not_found(store: StoreHarness) -> None:
    assert (await rejection(store.changes(ChatId(77)))).code == ErrorCode.NOT_FOUND


async def test_group_larger_than_one_statement_is_created(store: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "SLICE", 3)
    accounts = [AccountId(number) for number in range(1, 9)]
    await store.add_profiles(*accounts)
    chat = await store.create_group(*reversed(accounts))
    assert await store.members(chat.id, ANN) == accounts[::-1]
    assert {(await store.profile(account)).private_updated for account in accounts} == {NOW + 1}
