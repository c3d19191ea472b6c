"""Commands that the session or auth service answers as they are: only the actor is added."""

import msgspec

from services.edge.canonical.commands import GroupCommand
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.auth import SetSecurity
from shared.contract.contacts import BlockedAccounts, ListBlocked, LookUpAccounts, SetBlocked
from shared.contract.hooks import CreatedHook, CreateHook, DeleteHook, HookList, ListHooks
from shared.contract.ids import AccountId, ChatId
from shared.contract.invitations import (
    CreateLink,
    DeleteLink,
    InvitationLink,
    InvitationLinks,
    JoinByLink,
    JoinedByLink,
    ListLinks,
)
from shared.contract.members import AddMembers, ListMembers, MemberList, MembersAdded
from shared.contract.moderation import BanList, BanMember, DisbandChat, ListBans, SetChat, SilenceMember, UnbanMember
from shared.contract.mutes import MuteChat
from shared.contract.outgoing_hooks import (
    CreatedOutgoingHook,
    CreateOutgoingHook,
    DeleteOutgoingHook,
    ListOutgoingHooks,
    OutgoingHookList,
    ReplayedOutgoingHook,
    ReplayOutgoingHook,
)
from shared.contract.reports import ReportMessage
from shared.contract.session import (
    AccountView,
    Ack,
    AddMember,
    AnswerFriendship,
    AnswerMembership,
    ChatOpened,
    ChatVersion,
    ChatView,
    ChatViews,
    ChatWithMembers,
    CreateChat,
    EndFriendship,
    EndMembership,
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
    SetRole,
)

ForwardedCommand = (
    GroupCommand
    | GetAccount
    | SetProfile
    | SetSecurity
    | CreateChat
    | GetChat
    | RequestFriendship
    | AnswerFriendship
    | EndFriendship
    | SetBlocked
    | ListBlocked
    | RequestMembership
    | AnswerMembership
    | AddMember
    | AddMembers
    | EndMembership
    | SetRole
    | ListMembers
    | MuteChat
    | ReportMessage
    | RenameChat
    | ListRequests
    | ListChatViews
    | OpenPrivateChat
)
ForwardedReply = (
    AccountView
    | ChatView
    | Ack
    | ChatVersion
    | Requests
    | MembershipRequested
    | ChatViews
    | ChatOpened
    | MemberList
    | MembersAdded
    | BlockedAccounts
    | BanList
    | InvitationLink
    | InvitationLinks
    | JoinedByLink
    | CreatedHook
    | HookList
    | CreatedOutgoingHook
    | OutgoingHookList
    | ReplayedOutgoingHook
)


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
            case SetBlocked():
                return await bus.request(subjects.SET_BLOCKED, command, seconds=seconds, retry=True)
            case ListBlocked():
                return await bus.request(subjects.LIST_BLOCKED, command, seconds=seconds, retry=True)
            case RequestMembership():
                return await bus.request(subjects.REQUEST_MEMBERSHIP, command, seconds=seconds)
            case AnswerMembership():
                return await bus.request(subjects.ANSWER_MEMBERSHIP, command, seconds=seconds)
            case AddMember():
                return await bus.request(subjects.ADD_MEMBER, command, seconds=seconds)
            case AddMembers():
                return await bus.request(subjects.ADD_MEMBERS, command, seconds=seconds, retry=True)
            case EndMembership():
                return await bus.request(subjects.END_MEMBERSHIP, command, seconds=seconds)
            case SetRole():
                return await bus.request(subjects.SET_ROLE, command, seconds=seconds)
            case ListMembers():
                return await bus.request(subjects.LIST_MEMBERS, command, seconds=seconds, retry=True)
            case MuteChat():
                return await bus.request(subjects.MUTE_CHAT, command, seconds=seconds, retry=True)
            case ReportMessage():
                return await bus.request(subjects.REPORT_MESSAGE, command, seconds=seconds, retry=True)
            case RenameChat():
                return await bus.request(subjects.RENAME_CHAT, command, seconds=seconds, retry=True)
            case ListRequests():
                return await bus.request(subjects.LIST_REQUESTS, command, seconds=seconds, retry=True)
            case ListChatViews():
                return await self._list_chats(command)
            case OpenPrivateChat():
                return await bus.request(subjects.OPEN_PRIVATE_CHAT, command, seconds=seconds, retry=True)
            case _:
                return await self._manage_group(command)

    async def _manage_group(self, command: GroupCommand) -> ForwardedReply:
        bus, seconds = self._bus, self.seconds
        match command:
            case BanMember():
                return await bus.request(subjects.BAN_MEMBER, command, seconds=seconds, retry=True)
            case UnbanMember():
                return await bus.request(subjects.UNBAN_MEMBER, command, seconds=seconds, retry=True)
            case ListBans():
                return await bus.request(subjects.LIST_BANS, command, seconds=seconds, retry=True)
            case SilenceMember():
                return await bus.request(subjects.SILENCE_MEMBER, command, seconds=seconds, retry=True)
            case SetChat():
                route = subjects.SET_CHAT_RULES if command.sets_rules else subjects.SET_CHAT
                return await bus.request(route, command, seconds=seconds, retry=True)
            case DisbandChat():
                return await bus.request(subjects.DISBAND_CHAT, command, seconds=seconds)
            case CreateLink():
                return await bus.request(subjects.CREATE_LINK, command, seconds=seconds)
            case ListLinks():
                return await bus.request(subjects.LIST_LINKS, command, seconds=seconds, retry=True)
            case DeleteLink():
                return await bus.request(subjects.DELETE_LINK, command, seconds=seconds, retry=True)
            case CreateHook():
                return await bus.request(subjects.CREATE_HOOK, command, seconds=seconds)
            case ListHooks():
                return await bus.request(subjects.LIST_HOOKS, command, seconds=seconds, retry=True)
            case DeleteHook():
                return await bus.request(subjects.DELETE_HOOK, command, seconds=seconds, retry=True)
            case CreateOutgoingHook():
                return await bus.request(subjects.CREATE_OUTGOING_HOOK, command, seconds=seconds)
            case ListOutgoingHooks():
                return await bus.request(subjects.LIST_OUTGOING_HOOKS, command, seconds=seconds, retry=True)
            case DeleteOutgoingHook():
                return await bus.request(subjects.DELETE_OUTGOING_HOOK, command, seconds=seconds, retry=True)
            case ReplayOutgoingHook():
                return await bus.request(subjects.REPLAY_OUTGOING_HOOK, command, seconds=seconds, retry=True)
            case JoinByLink():
                return await bus.request(subjects.JOIN_BY_LINK, command, seconds=seconds)

    async def find_accounts(self, uuids: list[str]) -> dict[str, AccountId]:
        return (await self._bus.request(subjects.FIND_ACCOUNTS, FindAccounts(uuids), seconds=self.seconds)).accounts

    async def look_up(self, identifier: str, actor: AccountId) -> list[AccountId]:
        request = LookUpAccounts(identifier, actor)
        return (await self._bus.request(subjects.LOOK_UP_ACCOUNTS, request, seconds=self.seconds)).accounts

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
