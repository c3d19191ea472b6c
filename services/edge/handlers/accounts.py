"""Commands about profiles, which this node caches, and about chats."""

import asyncio

from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import CreateChatByUuid, FindUsers, UpdateAccount
from services.edge.canonical.replies import Reply, UsersFound
from services.edge.client.connection import Connection
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.handlers.forwarding import Forwarder
from services.edge.media import MediaService
from services.edge.media.store import MediaUse
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rpc.coalescer import RequestCoalescer
from shared.contract.contacts import SetBlocked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.members import SetChat
from shared.contract.model import JoinPolicy, Profile, ProfileSummary
from shared.contract.session import AccountView, CreateChat, GetAccount, GetChat, MuteChat, SetProfile

_PATH = "/media/"


class AvatarFiles:
    """Stored pictures that become avatars: they do not expire."""

    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def keep(self, avatar: str | UnsetType) -> None:
        """`avatar`: an address as profiles and chats store it. Raises RequestError."""
        if isinstance(avatar, str) and avatar.startswith(_PATH):
            await self._media.mark_used(avatar.removeprefix(_PATH), MediaUse.AVATAR)


class AccountHandler:
    """All raise RequestError."""

    def __init__(
        self,
        forwarder: Forwarder,
        accounts: LocalAccounts,
        profiles: RequestCoalescer[AccountId, Profile | None],
        avatars: AvatarFiles,
        ephemeral: EphemeralHub,
    ) -> None:
        self._ephemeral = ephemeral
        self._forwarder = forwarder
        self._avatars = avatars
        self._accounts = accounts
        self._profiles = profiles

    async def get(self, command: GetAccount, actor: AccountId) -> Reply:
        """A profile alone; many are requested together."""
        profile = await self._profiles.get(command.account, self._forwarder.seconds)
        return AccountView(profile) if profile else await self._forwarder.forward(command, actor)

    async def find(self, command: FindUsers, actor: AccountId) -> UsersFound:
        accounts = await self._forwarder.look_up(command.query, actor)
        found = await asyncio.gather(*(self._profiles.get(account, self._forwarder.seconds) for account in accounts))
        return UsersFound(tuple(profile for profile in found if profile is not None and not profile.deleted))

    async def set_profile(self, command: SetProfile, actor: AccountId) -> Reply:
        await self._avatars.keep(command.avatar)
        answer = await self._forwarder.forward(command, actor)
        self._update_summary(actor, command)
        return answer

    async def set_blocked(self, command: SetBlocked, actor: AccountId) -> Reply:
        answer = await self._forwarder.forward(command, actor)
        await self._ephemeral.blocks_changed(command.account)
        return answer

    async def update(self, command: UpdateAccount, actor: AccountId) -> Reply:
        await self.set_profile(command.profile, actor)
        return await self._forwarder.forward(command.security, actor)

    async def create_chat(self, command: CreateChat, actor: AccountId) -> Reply:
        await self._avatars.keep(command.avatar)
        return await self._forwarder.forward(command, actor)

    async def set_chat(self, command: SetChat, actor: AccountId) -> Reply:
        await self._avatars.keep(command.avatar)
        return await self._forwarder.forward(command, actor)

    async def mute_chat(self, command: MuteChat, connection: Connection) -> Reply:
        """Shows it on the account's other connections."""
        answer = await self._forwarder.forward(command, connection.account)
        await self._ephemeral.mutes.announce(command, connection.number)
        return answer

    async def create_chat_by_uuid(self, command: CreateChatByUuid, actor: AccountId) -> Reply:
        found = await self._forwarder.find_accounts(list(command.uuids))
        if unknown := [uuid for uuid in command.uuids if uuid not in found]:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no account {unknown[0]:.64}", "member")
        members = [account for account in found.values() if account != actor]
        if not command.private:
            return await self._forwarder.forward(CreateChat(members, command.name, join_policy=JoinPolicy.OPEN), actor)
        if len(members) != 1:
            raise RequestError(ErrorCode.INVALID, "a private chat has exactly one other member", "member")
        chat = await self._forwarder.open_private_chat(members[0], actor)
        return await self._forwarder.forward(GetChat(chat), actor)

    def _update_summary(self, account: AccountId, changed: SetProfile) -> None:
        """The account's next message has its new nickname already."""
        local = self._accounts.get(account)
        if local is not None and local.summary is not None and changed.nickname is not UNSET:
            local.summary = ProfileSummary(changed.nickname, local.summary.uuid)
