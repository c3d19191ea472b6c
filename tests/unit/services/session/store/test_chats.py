"""Chats and members, on both databases."""

import asyncio
from functools import partial

import msgspec
import pytest

from services.session.domain import LOBBY
from services.session.store import chats, sql
from shared.contract.edge import MembershipAnswered, Notice
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, CreateChat, Member, RenameChat
from shared.settings import Limits
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, EVE, NOW, StoreHarness, rejection


async def test_a_new_chat_is_as_it_was_asked_for(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    request = CreateChat(
        members=[BOB], name="我们俩", avatar="https://a", avatar_hash="h", join_policy=JoinPolicy.APPROVAL, actor=ANN
    )
    made, _ = await world.database.write(
        partial(chats.create_group, request=request, members=[ANN, BOB], limits=Limits(), now=NOW)
    )
    assert made == Chat(
        id=made.id, kind=ChatKind.GROUP, name="我们俩", owner=ANN, join_policy=JoinPolicy.APPROVAL, avatar="https://a",
        avatar_hash="h", created=NOW, updated=NOW, version=1,
    )  # fmt: skip
    assert await world.chat(made.id, BOB) == made
    assert (await world.changes(made.id)).members == [
        Member(ANN, Role.OWNER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1)
    ]  # fmt: skip


async def test_who_was_put_into_a_group_is_kept_a_notice_of_it(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    request = CreateChat(members=[BOB, CEM], name="g", actor=ANN)
    make = partial(chats.create_group, request=request, members=[ANN, BOB, CEM], limits=Limits(), now=NOW)
    made, numbers = await world.database.write(make)
    assert await world.pending_notices(ANN) == []
    for account in (BOB, CEM):
        (one,) = await world.pending_notices(account)
        put_in = MembershipAnswered(made.id, "g", account, accepted=True)
        assert (one.number, msgspec.msgpack.decode(one.notice, type=Notice)) == (numbers[account], put_in)


async def test_a_private_chat_is_nothing_one_is_put_into(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    await world.open_private(ANN, BOB)
    assert await world.pending_notices(BOB) == await world.pending_notices(ANN) == []


async def test_a_chat_is_called_by_its_first_three_members(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    assert (await world.create_group(DAN, BOB, ANN, CEM)).name == "name 4、name 2、name 1"
    assert (await world.create_group(BOB)).name == "name 2"


async def test_every_members_chats_have_changed(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    chat = await world.create_group(ANN, CEM)
    assert [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [NOW + 1, NOW, NOW + 1]
    assert [(await world.lists(account))[0] for account in (ANN, BOB, CEM)] == [[chat.id], [], [chat.id]]


@pytest.mark.parametrize("missing", ["unknown", "deleted"])
async def test_an_unknown_or_deleted_member_is_named_and_nothing_is_made(world: StoreHarness, missing: str) -> None:
    await world.add_profiles(ANN, BOB)
    if missing == "deleted":
        await world.erase(CEM)
    failure = await rejection(world.create_group(ANN, CEM, BOB))
    assert failure == Failure(ErrorCode.NOT_FOUND, "there is no account 3", "members")
    assert [(await world.lists(account))[0] for account in (ANN, BOB)] == [[], []]
    assert (await world.profile(BOB)).private_updated == NOW


async def test_an_account_has_a_limited_number_of_chats(world: StoreHarness) -> None:
    world.limits = Limits(chats_per_account=2)
    await world.add_profiles(ANN, BOB)
    await world.create_group(ANN)
    await world.create_group(BOB, ANN)
    failure = await rejection(world.create_group(ANN, BOB))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "chats")
    await world.create_group(BOB, ANN)


async def test_the_limit_holds_when_chats_are_made_at_once(world: StoreHarness) -> None:
    world.limits = Limits(chats_per_account=3)
    await world.add_profiles(ANN, BOB, CEM)
    attempts = [world.create_group(ANN, *others) for others in ([BOB], [CEM], [BOB, CEM], [CEM, BOB], [], [], [BOB], [CEM])]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, Chat) for result in results) == 3
    assert sum(isinstance(result, RequestError) for result in results) == 5
    assert len((await world.lists(ANN))[0]) == 3


async def test_chats_of_the_same_people_are_made_at_once_in_any_order(world: StoreHarness) -> None:
    people = [ANN, BOB, CEM, DAN, EVE]
    await world.add_profiles(*people)
    orders = [people[start:] + people[:start] for start in range(5)] * 4
    made = await asyncio.gather(*(world.create_group(*order) for order in orders))
    assert len({chat.id for chat in made}) == 20
    assert {(await world.profile(account)).private_updated for account in people} == {NOW + 20}


async def test_members_come_in_order_of_joining_the_owner_first(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM, DAN)
    chat = await world.create_group(CEM, DAN, ANN, BOB)
    assert await world.members(chat.id, BOB) == [CEM, DAN, ANN, BOB]
    assert await world.members(chat.id, BOB, most=2) == [CEM, DAN]
    await world.leave_all_chats(CEM)
    assert await world.members(chat.id, BOB) == [DAN, ANN, BOB]


async def test_a_foreign_chat_and_an_unknown_one_are_refused_in_the_same_words(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    chat = await world.create_group(ANN)
    foreign = await rejection(world.members(chat.id, BOB))
    unknown = await rejection(world.members(ChatId(2**50), BOB))
    assert (foreign.code, unknown.code) == (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)
    assert (foreign.text, foreign.field) == (unknown.text, unknown.field)


async def test_who_left_sees_the_chat_no_more(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    chat = await world.create_group(ANN, BOB)
    await world.leave_all_chats(BOB)
    assert (await rejection(world.members(chat.id, BOB))).code == ErrorCode.FORBIDDEN


async def test_chats_are_listed_in_pages(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    numbers = [(await world.create_group(ANN)).id for _ in range(5)]
    first = await world.list_chats(ANN, most=3)
    assert first == ChatList([ChatEntry(number, 1, 1) for number in numbers[:3]], more=True)
    assert await world.list_chats(ANN, after=numbers[2], most=3) == ChatList(
        [ChatEntry(number, 1, 1) for number in numbers[3:]]
    )
    assert (await world.lists(ANN, most=2))[0] == numbers[3:]
    assert await world.list_chats(BOB) == ChatList([])


async def test_the_chats_of_several_are_listed_whole_or_not_at_all(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    of_two, of_bob = await world.create_group(ANN, BOB), await world.create_group(BOB)
    own, both = [ChatEntry(of_two.id, 1, 1)], [ChatEntry(of_two.id, 1, 1), ChatEntry(of_bob.id, 1, 1)]
    assert await world.list_chats_with_others(ANN, BOB, CEM, most=3) == ChatList(own, also={BOB: ChatList(both), CEM: ChatList([])})
    assert await world.list_chats_with_others(ANN, BOB, CEM, most=2) == ChatList(own)
    assert await world.list_chats_with_others(BOB, ANN, most=1) == ChatList(both[:1], more=True)
    await world.open_private(CEM, BOB)
    pair = await world.list_chats(CEM)
    assert pair.entries[0].pair == (BOB, CEM)
    assert await world.list_chats_with_others(ANN, CEM, most=2) == ChatList(own, also={CEM: pair})


# The lobby


async def test_the_lobby_is_chat_1_open_and_nobodys(world: StoreHarness) -> None:
    await world.add_profiles(ANN)
    await world.database.write(partial(chats.insert_lobby, now=NOW + 5))
    await world.join_lobby(ANN)
    chat = await world.chat(LOBBY, ANN)
    assert (chat.id, chat.owner, chat.join_policy, chat.kind) == (1, 0, JoinPolicy.OPEN, ChatKind.GROUP)
    assert chat.created == NOW
    assert (await world.create_group(ANN)).id == 2


# Private chats


async def test_two_people_have_one_private_chat_also_when_both_open_it_at_once(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    opened = await asyncio.gather(*(world.open_private(*pair) for pair in ((ANN, BOB), (BOB, ANN)) * 4))
    assert len({number for number, _ in opened}) == 1
    (made,) = [chat for _, chat in opened if chat is not None]
    assert made == Chat(
        id=opened[0][0], kind=ChatKind.PRIVATE, name="name 1、name 2", owner=NO_ACCOUNT, join_policy=JoinPolicy.CLOSED,
        created=NOW, updated=NOW, version=1,
    )  # fmt: skip
    changes = await world.changes(made.id)
    assert changes.members == [Member(ANN, Role.MEMBER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1)]
    assert changes.pair == (ANN, BOB)
    assert await world.list_chats(BOB) == ChatList([ChatEntry(made.id, 1, 1, (ANN, BOB))])
    assert [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [NOW + 1, NOW + 1, NOW]
    assert (await world.open_private(CEM, BOB))[0] != made.id


async def test_with_the_deleted_there_is_no_private_chat(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)
    number, _ = await world.open_private(ANN, BOB)
    find = partial(chats.find_private, pair=(ANN, BOB))
    assert await world.database.read(find) == number
    await world.erase(BOB)
    assert await world.database.read(find) is None
    assert (await rejection(world.open_private(ANN, BOB))).code == ErrorCode.NOT_FOUND
    assert (await rejection(world.open_private(ANN, CEM))).code == ErrorCode.NOT_FOUND
    await world.leave_all_chats(BOB)
    assert await world.members(number, ANN) == [ANN]
    assert (await world.chat(number, ANN)).owner == NO_ACCOUNT


async def test_a_private_chat_opened_while_one_is_deleted_is_left_or_refused(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB)

    async def delete() -> None:
        await world.erase(BOB)
        await world.leave_all_chats(BOB)

    await asyncio.gather(world.open_private(ANN, BOB), delete(), world.open_private(BOB, ANN), return_exceptions=True)
    await world.leave_all_chats(BOB)
    assert (await world.lists(BOB))[0] == []
    for number in (await world.lists(ANN))[0]:
        assert await world.members(number, ANN) == [ANN]


async def test_private_chats_are_not_counted_as_groups(world: StoreHarness) -> None:
    world.limits = Limits(chats_per_account=1)
    await world.add_profiles(ANN, BOB)
    await world.open_private(ANN, BOB)
    await world.create_group(ANN)
    await world.open_private(BOB, ANN)
    assert (await rejection(world.create_group(ANN))).code == ErrorCode.LIMIT


# Names


async def test_a_new_name_moves_times_but_not_the_version(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    chat = await world.create_group(ANN, BOB)
    renamed = partial(chats.rename, request=RenameChat(chat.id, "new", ANN), now=NOW)
    assert await world.database.write(partial(renamed, broadcast_from=3)) == [ANN, BOB]
    after = await world.chat(chat.id, BOB)
    assert (after.name, after.version, after.updated) == ("new", chat.version, NOW + 1)
    assert [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [NOW + 2, NOW + 2, NOW]
    assert await world.database.write(partial(renamed, broadcast_from=2)) is None
    assert (await world.profile(ANN)).private_updated == NOW + 2


# Changes


async def test_changes_are_read_in_pages(world: StoreHarness) -> None:
    people = [AccountId(number) for number in range(1, 8)]
    await world.add_profiles(*people)
    chat = await world.create_group(*people)
    await world.leave_all_chats(CEM)
    seen: list[Member] = []
    after = (0, 0)
    while (page := await world.changes(chat.id, after=after, most=3)).more:
        assert len(page.members) == 3
        seen += page.members
        after = (page.members[-1].version, page.members[-1].account)
    seen += page.members
    assert [member.account for member in seen] == [1, 2, 4, 5, 6, 7, 3]
    assert (seen[-1].role, seen[-1].version, page.version) == (Role.LEFT, 2, 2)


async def test_only_what_changed_is_told(world: StoreHarness) -> None:
    await world.add_profiles(ANN, BOB, CEM)
    chat = await world.create_group(ANN, BOB, CEM)
    assert (await world.changes(chat.id, since=1)).members == []
    await world.leave_all_chats(ANN)
    assert (await world.changes(chat.id, since=1)).members == [
        Member(ANN, Role.LEFT, 1, 2, 1), Member(BOB, Role.OWNER, 1, 2, 1)
    ]  # fmt: skip
    assert (await world.changes(chat.id, since=1, after=(2, ANN))).members == [Member(BOB, Role.OWNER, 1, 2, 1)]
    assert (await world.changes(chat.id, since=2)).members == []


async def test_an_unknown_chat_has_no_members(world: StoreHarness) -> None:
    assert (await rejection(world.changes(ChatId(77)))).code == ErrorCode.NOT_FOUND


async def test_more_members_than_fit_into_one_statement(world: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "SLICE", 3)
    people = [AccountId(number) for number in range(1, 9)]
    await world.add_profiles(*people)
    chat = await world.create_group(*reversed(people))
    assert await world.members(chat.id, ANN) == people[::-1]
    assert {(await world.profile(account)).private_updated for account in people} == {NOW + 1}
