"""Groups in the hands of their owner and admins: bans, silences, and the end of a group."""

from services.session import domain
from services.session.service.memberships import notifications_of
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import moderation
from services.session.store.moderation import BannedMember, DisbandedChat
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.edge import MembershipChanged
from shared.contract.ids import NO_ACCOUNT
from shared.contract.members import BanList, BanMember, DisbandChat, ListBans, SilenceMember, UnbanMember
from shared.contract.model import Role
from shared.contract.session import ChatVersion
from shared.settings import Settings
from shared.transactions import Transactions


class Moderation:
    """Messages that a removed or silenced member posts after the reply are rejected."""

    def __init__(self, database: Transactions, notifier: ChangeNotifier, settings: Settings) -> None:
        self._database = database
        self._notifier = notifier
        self._limits = settings.limits
        self._broadcast_members = settings.message.broadcast_members

    async def ban_member(self, request: BanMember) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        domain.check_chat(request.chat)
        domain.check_end("until", request.until, now_ms())
        version, left = await self._database.write(
            once(moderation.ban_member, BannedMember), request, self._limits, now_ms(), self._broadcast_members
        )
        if left is not None:
            notifications = notifications_of(request.account, left, request.actor)
            await self._notifier.publish({left.chat: left.version}, notifications)
        return ChatVersion(version)

    async def unban_member(self, request: UnbanMember) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        domain.check_chat(request.chat)
        return ChatVersion(await self._database.write(moderation.unban_member, request))

    async def list_bans(self, request: ListBans) -> BanList:
        domain.check_in_chat(request)
        return await self._database.read(moderation.list_bans, request, now_ms())

    async def silence_member(self, request: SilenceMember) -> ChatVersion:
        domain.check_actor(request.actor)
        if request.account != NO_ACCOUNT:
            domain.check_peer(request.actor, request.account)
        domain.check_chat(request.chat)
        domain.check_end("until", request.until, now_ms())
        version = await self._database.write(once(moderation.silence_member, int), request, self._limits, now_ms())
        await self._notifier.publish({request.chat: version})
        return ChatVersion(version)

    async def disband_chat(self, request: DisbandChat) -> ChatVersion:
        domain.check_in_chat(request)
        version, former_members, rejected = await self._database.write(
            once(moderation.disband, DisbandedChat), request, now_ms(), self._broadcast_members
        )
        notifications = [
            Notification(
                MembershipChanged(request.chat, member, Role.LEFT, 0, version, by=request.actor, disbanded=True),
                [member],
            )
            for member in former_members
        ]
        notifications += [Notification(answer, [answer.account]) for answer in rejected]
        await self._notifier.publish({request.chat: version}, notifications)
        return ChatVersion(version)
