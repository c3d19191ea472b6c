"""Commands that the session or auth service answers as they are: only the actor is added."""

import msgspec

from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import SetSecurity
from shared.contract.ids import AccountId, ChatId
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
    FindAccounts,
    GetAccount,
    GetChat,
    ListChatViews,
    ListRequests,
    MembershipRequested,
    OpenPrivateChat,
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


class Forwarder:
    """Each request waits for its reply for `seconds`. All raise RequestError."""

    def __init__(self, bus: Bus, seconds: float) -> None:
        self._bus = bus
        self.seconds = seconds

    async def forward(self, command: ForwardedCommand, actor: AccountId) -> ForwardedReply:
        """Requests whose repetition would have an effect are not retried. Raises RequestError."""
        bus, seconds = self._bus, self.seconds
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
                return await self._list_chats(command)

    async def find_accounts(self, uuids: list[str]) -> dict[str, AccountId]:
        return (await self._bus.request(subjects.FIND_ACCOUNTS, FindAccounts(uuids), seconds=self.seconds)).accounts

    async def open_private_chat(self, other: AccountId, actor: AccountId) -> ChatId:
        request = OpenPrivateChat(other, actor)
        return (await self._bus.request(subjects.OPEN_PRIVATE_CHAT, request, seconds=self.seconds)).chat

    async def _list_chats(self, command: ListChatViews) -> ChatViews:
        """All pages."""
        chats: list[ChatWithMembers] = []
        while True:
            page = await self._bus.request(subjects.LIST_CHAT_VIEWS, command, seconds=self.seconds, retry=True)
            chats += page.chats
            if not page.more or not page.chats:
                return ChatViews(chats)
            command = msgspec.structs.replace(command, after=chats[-1].chat.id)
