"""Settings of groups that IRC calls modes, their masks, and invitations."""

from services.session import domain, list_limits
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import admission, modes
from services.session.store.modes import ChangedModes, InvitedAccount
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.edge import ChatModesChanged, ChatRenamed, Invited, MembershipChanged
from shared.contract.members import (
    ChangeModes,
    Invite,
    InvitedChats,
    ListInvitations,
    ListMasks,
    MaskList,
    ModesChanged,
)
from shared.contract.session import ChatVersion
from shared.settings import Settings
from shared.transactions import Transactions

_CHANGES = 50
_INVITED_MS = 7 * 86_400_000
_MASK_CHARACTERS = 200


class GroupModes:
    """Every method may raise RequestError."""

    def __init__(self, database: Transactions, notifier: ChangeNotifier, settings: Settings) -> None:
        self._database = database
        self._notifier = notifier
        self._server = settings.irc.name
        self._broadcast_members = settings.message.broadcast_members

    async def change_modes(self, request: ChangeModes) -> ModesChanged:
        domain.check_in_chat(request)
        list_limits.check_batch_size(request.changes, _CHANGES, "changes")
        for one in request.changes:
            domain.check_characters("text", one.text, _MASK_CHARACTERS)
        change = once(modes.change_modes, ChangedModes)
        changed = await self._database.write(change, request, now_ms(), self._broadcast_members, self._server)
        if changed.changes:
            events = [
                MembershipChanged(
                    request.chat, one.account, one.role, one.first_index, one.version, by=request.actor, by_modes=True
                )
                for one in changed.roles
            ]
            shown = ChatModesChanged(request.chat, request.actor, changed.changes, time=changed.time)
            event = ChatRenamed(request.chat, changed.name, request.actor, renamed=False, modes=shown)
            recipients = changed.recipients
            notifications = [*(Notification(one, recipients) for one in events), Notification(event, recipients)]
            await self._notifier.publish({request.chat: changed.version}, notifications)
        return ModesChanged(changed.version, changed.time, tuple(changed.changes))

    async def list_masks(self, request: ListMasks) -> MaskList:
        domain.check_in_chat(request)
        return MaskList(await self._database.read(modes.list_masks, request))

    async def list_invitations(self, request: ListInvitations) -> InvitedChats:
        domain.check_actor(request.actor)
        return InvitedChats(await self._database.read(admission.list_invitations, request.actor, now_ms()))

    async def invite(self, request: Invite) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        domain.check_chat(request.chat)
        now = now_ms()
        invite = once(modes.invite, InvitedAccount)
        invited = await self._database.write(invite, request, now + _INVITED_MS, now)
        invitation = Invited(request.chat, request.actor, request.account, invited.name, invited.handle)
        event = ChatRenamed(request.chat, invited.name, request.actor, renamed=False, invited=invitation)
        await self._notifier.publish({}, [Notification(event, [request.account, *invited.admins])])
        return ChatVersion(invited.version)
