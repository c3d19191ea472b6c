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
