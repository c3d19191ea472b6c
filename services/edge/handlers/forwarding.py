"""Commands that the session or auth service answers as they are: only the actor is added."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.edge.canonical.commands import GroupCommand
from services.edge.rpc.request_nonces import request_nonce_of
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
from shared.contract.subjects import Route

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
Making = CreateChat | CreateLink | CreateHook | CreateOutgoingHook
"""Of these a client may name one, to repeat it."""
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


_ROUTES: Mapping[type, Route[Any, Any]] = {
    GetAccount: subjects.GET_ACCOUNT,
    SetProfile: subjects.SET_PROFILE,
    SetSecurity: subjects.SET_SECURITY,
    CreateChat: subjects.CREATE_CHAT,
    GetChat: subjects.GET_CHAT,
    RequestFriendship: subjects.REQUEST_FRIENDSHIP,
    AnswerFriendship: subjects.ANSWER_FRIENDSHIP,
    EndFriendship: subjects.END_FRIENDSHIP,
    SetBlocked: subjects.SET_BLOCKED,
    ListBlocked: subjects.LIST_BLOCKED,
    RequestMembership: subjects.REQUEST_MEMBERSHIP,
    AnswerMembership: subjects.ANSWER_MEMBERSHIP,
    AddMember: subjects.ADD_MEMBER,
    AddMembers: subjects.ADD_MEMBERS,
    EndMembership: subjects.END_MEMBERSHIP,
    SetRole: subjects.SET_ROLE,
    ListMembers: subjects.LIST_MEMBERS,
    MuteChat: subjects.MUTE_CHAT,
    ReportMessage: subjects.REPORT_MESSAGE,
    RenameChat: subjects.RENAME_CHAT,
    ListRequests: subjects.LIST_REQUESTS,
    OpenPrivateChat: subjects.OPEN_PRIVATE_CHAT,
    BanMember: subjects.BAN_MEMBER,
    UnbanMember: subjects.UNBAN_MEMBER,
    ListBans: subjects.LIST_BANS,
    SilenceMember: subjects.SILENCE_MEMBER,
    DisbandChat: subjects.DISBAND_CHAT,
    CreateLink: subjects.CREATE_LINK,
    ListLinks: subjects.LIST_LINKS,
    DeleteLink: subjects.DELETE_LINK,
    CreateHook: subjects.CREATE_HOOK,
    ListHooks: subjects.LIST_HOOKS,
    DeleteHook: subjects.DELETE_HOOK,
    CreateOutgoingHook: subjects.CREATE_OUTGOING_HOOK,
    ListOutgoingHooks: subjects.LIST_OUTGOING_HOOKS,
    DeleteOutgoingHook: subjects.DELETE_OUTGOING_HOOK,
    ReplayOutgoingHook: subjects.REPLAY_OUTGOING_HOOK,
    JoinByLink: subjects.JOIN_BY_LINK,
    SetChat: subjects.SET_CHAT,
}


class Forwarder:
    """Each request waits for its reply for `seconds`, and is repeated meanwhile: what has an effect has it once, by its
    nonce. All raise RequestError."""

    def __init__(self, bus: Bus, seconds: float) -> None:
        self._bus = bus
        self.seconds = seconds

    async def forward(self, command: ForwardedCommand, actor: AccountId) -> ForwardedReply:
        """Raises RequestError."""
        command.actor = actor
        if isinstance(command, ListChatViews):
            return await self._list_chats(command)
        route = _ROUTES[type(command)]
        if isinstance(command, SetChat) and command.sets_rules:
            route = subjects.SET_CHAT_RULES
        nonce = request_nonce_of(actor, command.nonce if isinstance(command, Making) else "")
        request = self._bus.request(route, command, seconds=self.seconds, retry=True, nonce=nonce)
        reply: ForwardedReply = await request
        return reply

    async def find_accounts(self, uuids: list[str]) -> dict[str, AccountId]:
        request = self._bus.request(subjects.FIND_ACCOUNTS, FindAccounts(uuids), seconds=self.seconds, retry=True)
        return (await request).accounts

    async def look_up(self, identifier: str, actor: AccountId) -> list[AccountId]:
        request = LookUpAccounts(identifier, actor)
        return (await self._bus.request(subjects.LOOK_UP_ACCOUNTS, request, seconds=self.seconds)).accounts

    async def open_private_chat(self, other: AccountId, actor: AccountId) -> ChatId:
        request = OpenPrivateChat(other, actor)
        return (await self._bus.request(subjects.OPEN_PRIVATE_CHAT, request, seconds=self.seconds, retry=True)).chat

    async def _list_chats(self, command: ListChatViews) -> ChatViews:
        """All pages."""
        chats: list[ChatWithMembers] = []
        while True:
            page = await self._bus.request(subjects.LIST_CHAT_VIEWS, command, seconds=self.seconds, retry=True)
            chats += page.chats
            if not page.more or not page.chats:
                return ChatViews(chats)
            command = msgspec.structs.replace(command, after=chats[-1].chat.id)
