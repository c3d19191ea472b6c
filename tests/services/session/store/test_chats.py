"""Chats and members, on both databases."""

import asyncio
from functools import partial

import pytest

from services.session.domain import LOBBY
from services.session.store import chats, rows
from shared.contract.errors import ErrorCode, Failure, Refused
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, Role
from shared.contract.session import ChatEntry, ChatList, CreateChat, Member
from shared.settings import Limits
from tests.services.session.world import ANN, BOB, CEM, DAN, EVE, NOW, World, refusal


async def test_a_new_chat_is_as_it_was_asked_for(world: World) -> None:
    await world.people(ANN, BOB)
    request = CreateChat(
        members=[BOB], name="我们俩", avatar="https://a", avatar_hash="h", join_policy=JoinPolicy.APPROVAL, actor=ANN
    )
    made = await world.database.write(
        partial(chats.add_chat, request=request, members=[ANN, BOB], limits=Limits(), now=NOW)
    )
    assert made == Chat(
        id=made.id, kind=ChatKind.GROUP, name="我们俩", owner=ANN, join_policy=JoinPolicy.APPROVAL, avatar="https://a",
        avatar_hash="h", created=NOW, updated=NOW, version=1,
    )  # fmt: skip
    assert await world.chat(made.id, BOB) == made
    assert (await world.changes(made.id)).members == [
        Member(ANN, Role.OWNER, 1, 1, 1), Member(BOB, Role.MEMBER, 1, 1, 1)
    ]  # fmt: skip


async def test_a_chat_is_called_by_its_first_three_members(world: World) -> None:
    await world.people(ANN, BOB, CEM, DAN)
    assert (await world.group(DAN, BOB, ANN, CEM)).name == "name 4、name 2、name 1"
    assert (await world.group(BOB)).name == "name 2"


async def test_every_members_chats_have_changed(world: World) -> None:
    await world.people(ANN, BOB, CEM)
    chat = await world.group(ANN, CEM)
    assert [(await world.profile(account)).private_updated for account in (ANN, BOB, CEM)] == [NOW + 1, NOW, NOW + 1]
    assert [(await world.lists(account))[0] for account in (ANN, BOB, CEM)] == [[chat.id], [], [chat.id]]


@pytest.mark.parametrize("missing", ["unknown", "deleted"])
async def test_an_unknown_or_deleted_member_is_named_and_nothing_is_made(world: World, missing: str) -> None:
    await world.people(ANN, BOB)
    if missing == "deleted":
        await world.erase(CEM)
    failure = await refusal(world.group(ANN, CEM, BOB))
    assert failure == Failure(ErrorCode.NOT_FOUND, "there is no account 3", "members")
    assert [(await world.lists(account))[0] for account in (ANN, BOB)] == [[], []]
    assert (await world.profile(BOB)).private_updated == NOW


async def test_an_account_has_a_limited_number_of_chats(world: World) -> None:
    world.limits = Limits(chats_per_account=2)
    await world.people(ANN, BOB)
    await world.group(ANN)
    await world.group(BOB, ANN)
    failure = await refusal(world.group(ANN, BOB))
    assert (failure.code, failure.field) == (ErrorCode.LIMIT, "chats")
    await world.group(BOB, ANN)


async def test_the_limit_holds_when_chats_are_made_at_once(world: World) -> None:
    world.limits = Limits(chats_per_account=3)
    await world.people(ANN, BOB, CEM)
    attempts = [world.group(ANN, *others) for others in ([BOB], [CEM], [BOB, CEM], [CEM, BOB], [], [], [BOB], [CEM])]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(result, Chat) for result in results) == 3
    assert sum(isinstance(result, Refused) for result in results) == 5
    assert len((await world.lists(ANN))[0]) == 3


async def test_chats_of_the_same_people_are_made_at_once_in_any_order(world: World) -> None:
    people = [ANN, BOB, CEM, DAN, EVE]
    await world.people(*people)
    orders = [people[start:] + people[:start] for start in range(5)] * 4
    made = await asyncio.gather(*(world.group(*order) for order in orders))
    assert len({chat.id for chat in made}) == 20
    assert {(await world.profile(account)).private_updated for account in people} == {NOW + 20}


async def test_members_come_in_order_of_joining_the_owner_first(world: World) -> None:
    await world.people(ANN, BOB, CEM, DAN)
    chat = await world.group(CEM, DAN, ANN, BOB)
    assert await world.members(chat.id, BOB) == [CEM, DAN, ANN, BOB]
    assert await world.members(chat.id, BOB, most=2) == [CEM, DAN]
    await world.leave_all(CEM)
    assert await world.members(chat.id, BOB) == [DAN, ANN, BOB]


async def test_a_foreign_chat_and_an_unknown_one_are_refused_in_the_same_words(world: World) -> None:
    await world.people(ANN, BOB)
    chat = await world.group(ANN)
    foreign = await refusal(world.members(chat.id, BOB))
    unknown = await refusal(world.members(ChatId(2**50), BOB))
    assert (foreign.code, unknown.code) == (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)
    assert (foreign.text, foreign.field) == (unknown.text, unknown.field)


async def test_who_left_sees_the_chat_no_more(world: World) -> None:
    await world.people(ANN, BOB)
    chat = await world.group(ANN, BOB)
    await world.leave_all(BOB)
    assert (await refusal(world.members(chat.id, BOB))).code == ErrorCode.FORBIDDEN


async def test_chats_are_listed_in_pages(world: World) -> None:
    await world.people(ANN)
    numbers = [(await world.group(ANN)).id for _ in range(5)]
    first = await world.entries(ANN, most=3)
    assert first == ChatList([ChatEntry(number, 1, 1) for number in numbers[:3]], more=True)
    assert await world.entries(ANN, after=numbers[2], most=3) == ChatList(
        [ChatEntry(number, 1, 1) for number in numbers[3:]]
    )
    assert (await world.lists(ANN, most=2))[0] == numbers[3:]
    assert await world.entries(BOB) == ChatList([])


# The lobby


async def test_the_lobby_is_chat_1_open_and_nobodys(world: World) -> None:
    await world.people(ANN)
    await world.database.write(partial(chats.add_lobby, now=NOW + 5))
    await world.enter_lobby(ANN)
    chat = await world.chat(LOBBY, ANN)
    assert (chat.id, chat.owner, chat.join_policy, chat.kind) == (1, 0, JoinPolicy.OPEN, ChatKind.GROUP)
    assert chat.created == NOW
    assert (await world.group(ANN)).id == 2


# Changes


async def test_changes_are_read_in_pages(world: World) -> None:
    people = [AccountId(number) for number in range(1, 8)]
    await world.people(*people)
    chat = await world.group(*people)
    await world.leave_all(CEM)
    seen: list[Member] = []
    after = (0, 0)
    while (page := await world.changes(chat.id, after=after, most=3)).more:
        assert len(page.members) == 3
        seen += page.members
        after = (page.members[-1].version, page.members[-1].account)
    seen += page.members
    assert [member.account for member in seen] == [1, 2, 4, 5, 6, 7, 3]
    assert (seen[-1].role, seen[-1].version, page.version) == (Role.LEFT, 2, 2)


async def test_only_what_changed_is_told(world: World) -> None:
    await world.people(ANN, BOB, CEM)
    chat = await world.group(ANN, BOB, CEM)
    assert (await world.changes(chat.id, since=1)).members == []
    await world.leave_all(ANN)
    assert (await world.changes(chat.id, since=1)).members == [
        Member(ANN, Role.LEFT, 1, 2, 1), Member(BOB, Role.OWNER, 1, 2, 1)
    ]  # fmt: skip
    assert (await world.changes(chat.id, since=1, after=(2, ANN))).members == [Member(BOB, Role.OWNER, 1, 2, 1)]
    assert (await world.changes(chat.id, since=2)).members == []


async def test_an_unknown_chat_has_no_members(world: World) -> None:
    assert (await refusal(world.changes(ChatId(77)))).code == ErrorCode.NOT_FOUND


async def test_more_members_than_fit_into_one_statement(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SLICE", 3)
    people = [AccountId(number) for number in range(1, 9)]
    await world.people(*people)
    chat = await world.group(*reversed(people))
    assert await world.members(chat.id, ANN) == people[::-1]
    assert {(await world.profile(account)).private_updated for account in people} == {NOW + 1}
