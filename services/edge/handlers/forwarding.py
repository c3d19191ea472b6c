"""Requests that one service answers as they are: only whose they are is added."""

import msgspec

from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import SetSecurity
from shared.contract.ids import AccountId
from shared.contract.session import (
    AccountView,
    Ack,
    AddMember,
    AnswerFriendship,
    AnswerMembership,
    ChatView,
    ChatViews,
    ChatWithMembers,
    CreateChat,
    EndFriendship,
    GetAccount,
    GetChat,
    ListChatViews,
    ListRequests,
    MembershipRequested,
    RenameChat,
    RequestFriendship,
    RequestMembership,
    Requests,
    SetProfile,
)

ForwardedCommand = (
    GetAccount
    | SetProfile
    | SetSecurity
    | CreateChat
    | GetChat
    | RequestFriendship
    | AnswerFriendship
    | EndFriendship
    | RequestMembership
    | AnswerMembership
    | AddMember
    | RenameChat
    | ListRequests
    | ListChatViews
)
ForwardedReply = AccountView | ChatView | Ack | Requests | MembershipRequested | ChatViews


async def forward(bus: Bus, command: ForwardedCommand, actor: AccountId, seconds: float) -> ForwardedReply:
    """What would not be the same twice is asked only once. Raises Refused."""
    command.actor = actor
    match command:
        case GetAccount():
            return await bus.request(subjects.GET_ACCOUNT, command, seconds=seconds, retry=True)
        case SetProfile():
            return await bus.request(subjects.SET_PROFILE, command, seconds=seconds, retry=True)
        case SetSecurity():
            return await bus.request(subjects.SET_SECURITY, command, seconds=seconds, retry=True)
        case CreateChat():
            return await bus.request(subjects.CREATE_CHAT, command, seconds=seconds)
        case GetChat():
            return await bus.request(subjects.GET_CHAT, command, seconds=seconds, retry=True)
        case RequestFriendship():
            return await bus.request(subjects.REQUEST_FRIENDSHIP, command, seconds=seconds)
        case AnswerFriendship():
            return await bus.request(subjects.ANSWER_FRIENDSHIP, command, seconds=seconds)
        case EndFriendship():
            return await bus.request(subjects.END_FRIENDSHIP, command, seconds=seconds)
        case RequestMembership():
            return await bus.request(subjects.REQUEST_MEMBERSHIP, command, seconds=seconds)
        case AnswerMembership():
            return await bus.request(subjects.ANSWER_MEMBERSHIP, command, seconds=seconds)
        case AddMember():
            return await bus.request(subjects.ADD_MEMBER, command, seconds=seconds)
        case RenameChat():
            return await bus.request(subjects.RENAME_CHAT, command, seconds=seconds, retry=True)
        case ListRequests():
            return await bus.request(subjects.LIST_REQUESTS, command, seconds=seconds, retry=True)
        case ListChatViews():
            return await _list_chats(bus, command, seconds)


async def _list_chats(bus: Bus, command: ListChatViews, seconds: float) -> ChatViews:
    """All pages together."""
    chats: list[ChatWithMembers] = []
    while True:
        page = await bus.request(subjects.LIST_CHAT_VIEWS, command, seconds=seconds, retry=True)
        chats += page.chats
        if not page.more or not page.chats:
            return ChatViews(chats)
        command = msgspec.structs.replace(command, after=chats[-1].chat.id)
