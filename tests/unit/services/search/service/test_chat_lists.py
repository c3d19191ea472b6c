"""Tests the lists of chats that searches keep."""

import asyncio

from services.search.service.answering import ChatLists
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import (
    ChatEntry,
    ChatList,
    GetMembership,
    ListChats,
    Member,
    Membership,
    MembershipVersions,
)

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL = ChatId(1), ChatId(2)


async def test_a_list_that_is_being_read_while_another_search_corrects_its_chat_is_not_kept() -> None:
    """Ann joins the hall after session has read her list, and before the reply arrives."""
    reads, replies = asyncio.Event(), asyncio.Event()
    joined = False

    async def list_chats(request: ListChats) -> ChatList:
        chats = [ROOM, HALL] if joined else [ROOM]
        if request.account == ANN and not joined:
            reads.set()
            await replies.wait()
        return ChatList([ChatEntry(chat, 1, 1) for chat in chats])

    async def membership(request: GetMembership) -> Membership:
        return Membership(request.chat, 2, [Member(ANN, Role.MEMBER, 1, 2, 1)] if joined else [])

    lists = ChatLists(list_chats, membership)
    async with asyncio.TaskGroup() as group:
        searching = group.create_task(lists.of(ANN))
        await reads.wait()
        joined = True
        lists.announce(MembershipVersions({HALL: 2}))
        await lists.of(BOB)
        replies.set()
    assert searching.result() == {ROOM: 1}
    assert await lists.of(ANN) == {ROOM: 1, HALL: 1}


async def test_of_a_large_chat_only_the_changed_members_are_read_again() -> None:
    """A page has two members."""
    members = [Member(AccountId(number), Role.MEMBER, 1, number, 1) for number in range(1, 6)]
    requests = list[tuple[int, tuple[int, int]]]()

    async def list_chats(_: ListChats) -> ChatList:
        return ChatList([ChatEntry(ROOM, 1, 1)])

    async def membership(request: GetMembership) -> Membership:
        requests.append((request.since, request.after))
        after = max(request.after, (request.since, 2**63))
        later = [one for one in members if (one.version, one.account) > after]
        return Membership(request.chat, members[-1].version, later[:2], more=len(later) > 2)

    lists = ChatLists(list_chats, membership)
    for change, found in [
        (Member(AccountId(6), Role.MEMBER, 1, 6, 1), {ROOM: 1}),
        (Member(ANN, Role.LEFT, 1, 7, 1), {}),
        (Member(ANN, Role.MEMBER, 4, 8, 1), {ROOM: 4}),
        (Member(ANN, Role.MEMBER, 3, 2, 1), {ROOM: 3}),  # the database was restored
    ]:
        await lists.of(ANN)
        members = [*(one for one in members if one.version < change.version), change]
        lists.announce(MembershipVersions({ROOM: change.version}))
        assert await lists.of(ANN) == found
    assert requests == [(0, (0, 0)), (0, (2, 2)), (0, (4, 4)), (6, (0, 0)), (7, (0, 0)), (8, (0, 0)), (0, (0, 0))]
