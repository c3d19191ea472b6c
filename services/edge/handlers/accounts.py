"""Handles commands about chats, and about profiles, which this node caches."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from services.edge.canonical.commands import (
    CreateChatByUuid,
    ExportAccount,
    ExportMessages,
    FindUsers,
    ShowProfiles,
    UpdateAccount,
)
from services.edge.canonical.replies import AccountExported, DisplayMessage, MessagesExported, Reply, UsersFound
from services.edge.client.connection import Connection
from services.edge.client.session import LoginSession
from services.edge.dialects.encoded_message import to_display
from services.edge.ephemeral.events import OwnChange
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.handlers.table import Handlers, for_actor
from services.edge.login.auth_requests import AuthRequests
from services.edge.media import MediaService
from services.edge.media.store import MediaUse
from services.edge.presence.guests import LocalGuests
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.admin import ListOwnReports
from shared.contract.contacts import ListBlocked, ListRequests, LookUpAccounts, SetBlocked
from shared.contract.drafts import GetDraft, SaveDraft
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import ExportLogins, ListMade
from shared.contract.members import SetChat
from shared.contract.message import GetHistory, History
from shared.contract.metadata import ListMetadata
from shared.contract.model import JoinPolicy, Message, Profile
from shared.contract.own_settings import GetOwnSettings, SetOwnSettings
from shared.contract.push import ListSubscriptions
from shared.contract.recovery import SetSecurity
from shared.contract.routes import Forwarded
from shared.contract.session import (
    AccountView,
    ChatViews,
    ChatWithMembers,
    CreateChat,
    FindAccounts,
    GetAccount,
    GetChat,
    ListChatViews,
    MarkReadTime,
    MuteChat,
    OpenPrivateChat,
    PlaceChat,
    SetProfile,
)
from shared.request_nonce import request_nonce_of
from shared.tasks import time_left


@dataclass(frozen=True)
class Forwarder:
    """Repeats each request until the time of the operation ends. The nonce ensures that a request has its effect only
    once. Every method may raise RequestError."""

    bus: Bus

    async def forward(self, command: Forwarded, actor: AccountId) -> msgspec.Struct:
        """Raises RequestError."""
        command.actor = actor
        nonce = request_nonce_of(actor, getattr(command, "nonce", ""))
        reply: msgspec.Struct = await self.bus.request(command.route, command, retry=True, nonce=nonce)
        return reply

    async def list_chats(self, command: ListChatViews, actor: AccountId) -> ChatViews:
        """Return the chats of all pages."""
        command.actor = actor
        chats: list[ChatWithMembers] = []
        while True:
            page = await self.bus.send(command, retry=True)
            chats += page.chats
            if not page.more or not page.chats:
                return ChatViews(chats)
            command = msgspec.structs.replace(command, after=chats[-1].chat.id)


_PAGE = 200
"""The number of messages of a chat that one page of an export covers."""


class OwnDataExporter:
    """Exports the stored data of an account for the account itself. The export contains only data that the account can
    also get by other requests. Every method may raise RequestError."""

    def __init__(self, bus: Bus, requests: AuthRequests) -> None:
        self._bus = bus
        self._requests = requests

    def handlers(self) -> Handlers:
        return {
            ExportAccount: lambda session, _: self.account(session.connection),
            ExportMessages: for_actor(self.messages),
        }

    async def account(self, connection: Connection) -> AccountExported:
        """Export the account's data. The auth service is queried first, because it limits and records exports."""
        bus, actor = self._bus, connection.account
        record = await self._requests.send(connection, ExportLogins())
        profile = GetAccount(actor, lists=True, actor=actor, left=True)
        view = await bus.send(profile, retry=True)
        requests = await bus.send(ListRequests(actor=actor), retry=True)
        blocked = await bus.send(ListBlocked(actor=actor), retry=True)
        reports = await bus.send(ListOwnReports(actor), retry=True)
        made = await bus.send(ListMade(actor), retry=True)
        settings = await bus.send(GetOwnSettings(actor=actor), retry=True)
        subscriptions = await bus.send(ListSubscriptions(actor=actor), retry=True)
        metadata = await bus.send(ListMetadata(actor, actor=actor), retry=True)
        lists = reports, made, settings, subscriptions, metadata
        return AccountExported(now_ms(), record, view, requests, blocked, *lists)

    async def messages(self, command: ExportMessages, actor: AccountId) -> MessagesExported:
        """Export a page of the account's messages in a chat. The account may have left the chat, or may have joined it
        again."""
        request = GetHistory(command.chat, command.after + 1, _PAGE, older=False, actor=actor, own=True)
        try:
            page = await self._history(request)
        except RequestError as error:
            if error.failure.code != ErrorCode.FORBIDDEN or not await self._has_left(command.chat, actor):
                raise
            page = await self._history(msgspec.structs.replace(request, left=True))
        sent = tuple(_to_display(message) for message in page.messages if message.sender == actor)
        after = max(command.after, page.upto or (page.messages[-1].index if page.messages else 0))
        draft = None
        if not command.after:
            draft = await self._bus.send(GetDraft(command.chat, actor=actor), retry=True)
        return MessagesExported(sent, after, command.after < after < page.head, draft)

    async def _history(self, request: GetHistory) -> History:
        return await self._bus.send(request, retry=True)

    async def _has_left(self, chat: ChatId, actor: AccountId) -> bool:
        request = GetAccount(actor, lists=True, actor=actor, left=True)
        view = await self._bus.send(request, retry=True)
        return chat in (view.left or ())


def _to_display(message: Message) -> DisplayMessage:
    """The message without its sender, because the account itself is the sender."""
    return msgspec.structs.replace(to_display(message, None, None), summary=None)


_PATH = "/media/"


@dataclass(frozen=True)
class AccountHandler:
    """Every method may raise RequestError."""

    _forwarder: Forwarder
    _accounts: LocalAccounts
    _profiles: RequestCoalescer[AccountId, Profile | None]
    _media: MediaService
    _ephemeral: EphemeralHub
    _guests: LocalGuests

    def handlers(self) -> Handlers:
        return {
            GetAccount: for_actor(self.get),
            FindUsers: for_actor(self.find),
            ShowProfiles: lambda by, command: self.show(command.accounts),
            SetProfile: for_actor(self.set_profile),
            UpdateAccount: self.update,
            SetSecurity: self._set_security,
            SetBlocked: for_actor(self.set_blocked),
            CreateChat: for_actor(self.keep_avatar),
            CreateChatByUuid: for_actor(self.create_chat_by_uuid),
            SetChat: for_actor(self.keep_avatar),
            MuteChat: self._change_own,
            PlaceChat: self._change_own,
            SaveDraft: self._change_own,
            SetOwnSettings: self._change_own,
            MarkReadTime: self._change_own,
            ListChatViews: for_actor(self._forwarder.list_chats),
        }

    async def get(self, command: GetAccount, actor: AccountId) -> Reply:
        """Get one profile. Concurrent calls share a request to the service."""
        if command.lists:
            return await self._forwarder.forward(command, actor)
        profile = await self._profiles.get(command.account, time_left())
        return AccountView(profile) if profile else await self._forwarder.forward(command, actor)

    async def find(self, command: FindUsers, actor: AccountId) -> UsersFound:
        named = await self._forwarder.bus.send(LookUpAccounts(command.query, actor))
        found = await self.show(named.accounts)
        return UsersFound(tuple(profile for profile in found.profiles if not profile.deleted))

    async def show(self, accounts: Iterable[AccountId]) -> UsersFound:
        """The profiles of the accounts that exist."""
        found = await asyncio.gather(*(self._profiles.get(account, time_left()) for account in accounts))
        return UsersFound(tuple(profile for profile in found if profile is not None))

    async def keep_avatar(self, command: CreateChat | SetChat | SetProfile, actor: AccountId) -> Reply:
        """Forward a command. If its avatar is a stored picture, the picture must exist, and does not expire from now
        on. Old clients crash if they cannot load an avatar, and compare its hash."""
        if isinstance(command.avatar, str) and command.avatar.startswith(_PATH):
            media = await self._media.mark_used(command.avatar.removeprefix(_PATH), MediaUse.AVATAR)
            if media is None:
                text = "there is no picture at this address"
                raise RequestError(ErrorCode.INVALID, text, "avatar", reason=Reason.CHOICE)
            if not command.avatar_hash:
                command.avatar_hash = media.sha256
        return await self._forwarder.forward(command, actor)

    async def set_profile(self, command: SetProfile, actor: AccountId) -> Reply:
        answer = await self.keep_avatar(command, actor)
        self._update_summary(actor, command)
        return answer

    async def set_blocked(self, command: SetBlocked, actor: AccountId) -> Reply:
        answer = await self._forwarder.forward(command, actor)
        await self._ephemeral.blocks_changed(command.account)
        return answer

    async def update(self, session: LoginSession, command: UpdateAccount) -> Reply:
        _check_login_by_secret(session)
        actor = session.connection.account
        await self.set_profile(command.profile, actor)
        return await self._forwarder.forward(command.security, actor)

    async def _set_security(self, session: LoginSession, command: SetSecurity) -> Reply:
        _check_login_by_secret(session)
        return await self._forwarder.forward(command, session.connection.account)

    async def _change_own(self, session: LoginSession, command: OwnChange) -> Reply:
        """Make a change that only the account itself sees, and show it on the account's other connections."""
        answer = await self._forwarder.forward(command, session.connection.account)
        await self._ephemeral.own.announce(command, answer, session.connection.number)
        return answer

    async def create_chat_by_uuid(self, command: CreateChatByUuid, actor: AccountId) -> Reply:
        found = (await self._forwarder.bus.send(FindAccounts(list(command.uuids)), retry=True)).accounts
        if unknown := [uuid for uuid in command.uuids if uuid not in found]:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no account {unknown[0]:.64}", "member")
        members = [account for account in found.values() if account != actor]
        if not command.private:
            return await self._forwarder.forward(CreateChat(members, command.name, join_policy=JoinPolicy.OPEN), actor)
        if len(members) != 1:
            raise RequestError(ErrorCode.INVALID, "a private chat has exactly one other member", "member")
        opened = await self._forwarder.bus.send(OpenPrivateChat(members[0], actor=actor), retry=True)
        return await self._forwarder.forward(GetChat(opened.chat), actor)

    def _update_summary(self, account: AccountId, changed: SetProfile) -> None:
        """Note the new nickname, so that the account's next message already has it. Show the new signature of a guest
        to users who monitor the guest."""
        local = self._accounts.get(account)
        summary = local.summary if local is not None else None
        if local is not None and summary is not None and changed.nickname not in (UNSET, summary.nickname):
            local.summary = msgspec.structs.replace(summary, nickname=changed.nickname, version=0)
        if local is not None and summary is not None and summary.guest and changed.signature is not UNSET:
            local.summary = msgspec.structs.replace(summary, signature=changed.signature, version=0)
            self._guests.renamed(account, local.summary)


def _check_login_by_secret(session: LoginSession) -> None:
    """Check that no token has logged in, because with a new answer its thief could set a new password. Raises
    RequestError."""
    if session.connection.claims is not None:
        text = "log in by your secret to change the security question"
        raise RequestError(ErrorCode.FORBIDDEN, text, reason=Reason.WEAK_LOGIN)
