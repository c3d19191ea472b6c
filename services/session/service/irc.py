"""Requests that mainly IRC needs. They concern the settings of groups that IRC calls modes, masks, invitations,
metadata, the search for users and groups, and happenings, which are joins, departures and changes in groups."""

from services.session import domain, list_limits
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import admission, happenings, irc, profiles
from services.session.store.irc import ChangedModes, InvitedAccount
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.directory import FindByMask, FindNicks, GroupList, ListGroups, UsersOfNicks
from shared.contract.edge import ChatModesChanged, ChatRenamed, Invited, MembershipChanged
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.happenings import HappeningList, ListHappenings
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import (
    ChangeModes,
    Invite,
    InvitedChats,
    ListInvitations,
    ListMasks,
    MaskList,
    ModeChange,
    ModesChanged,
)
from shared.contract.metadata import KEY, MOST_BYTES, ListMetadata, MetadataList, MetadataValue, SetMetadata
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
        list_limits.check_batch_size(request.changes, _CHANGES, "changes")
        for one in request.changes:
            domain.check_characters("text", one.text, _MASK_CHARACTERS)
        change = once(irc.change_modes, ChangedModes)
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
        return MaskList(await self._database.read(irc.list_masks, request))

    async def list_invitations(self, request: ListInvitations) -> InvitedChats:
        return InvitedChats(await self._database.read(admission.list_invitations, request.actor, now_ms()))

    async def invite(self, request: Invite) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        now = now_ms()
        invite = once(irc.invite, InvitedAccount)
        invited = await self._database.write(invite, request, now + _INVITED_MS, now)
        invitation = Invited(request.chat, request.actor, request.account, invited.name, invited.handle)
        event = ChatRenamed(request.chat, invited.name, request.actor, renamed=False, invited=invitation)
        await self._notifier.publish({}, [Notification(event, [request.account, *invited.admins])])
        return ChatVersion(invited.version)


_HAPPENINGS = 200
_HAPPENINGS_BYTES = 224 * 1024


class Happenings:
    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def list_happenings(self, request: ListHappenings) -> HappeningList:
        count = max(1, min(request.count, _HAPPENINGS))
        found = await self._database.read(happenings.list_happenings, request, count + 1)
        wanted = found[::-1] if request.newest else found
        fitting = list_limits.take_fitting(wanted[:count], _HAPPENINGS_BYTES)
        page = sorted(fitting, key=lambda one: one.time)
        named = {account for one in page for account in (one.by, one.account, *map(_member_of, one.changes))}
        faces = await self._database.read(profiles.summaries_of, sorted(named - {NO_ACCOUNT}))
        return HappeningList(page, len(page) < len(found), faces)


def _member_of(change: ModeChange) -> AccountId:
    """The member whose role or voice is changed; NO_ACCOUNT if the change concerns no member."""
    return AccountId(int(change.text)) if change.mode in "qov" else NO_ACCOUNT


_NICKS, _WITH_GROUPS = 100, 10


class Directory:
    """Every method may raise RequestError."""

    def __init__(self, database: Transactions, settings: Settings) -> None:
        self._database = database
        self._server = settings.irc.name

    async def find_nicks(self, request: FindNicks) -> UsersOfNicks:
        list_limits.check_batch_size(request.nicks, _WITH_GROUPS if request.groups else _NICKS, "nicks")
        return UsersOfNicks(await self._database.read(irc.find_nicks, request))

    async def find_by_mask(self, request: FindByMask) -> UsersOfNicks:
        domain.check_characters("mask", request.mask, _MASK_CHARACTERS)
        return UsersOfNicks(await self._database.read(irc.find_by_mask, request, self._server))

    async def list_groups(self, request: ListGroups) -> GroupList:
        groups, more = await self._database.read(irc.list_groups, request)
        return GroupList(list(groups), more)


_KEYS = 100


class SubjectMetadata:
    """Every method may raise RequestError."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def list_metadata(self, request: ListMetadata) -> MetadataList:
        _check_owner(request)
        list_limits.check_batch_size(request.keys, _KEYS, "keys")
        return MetadataList(await self._database.read(irc.list_metadata, request))

    async def set_metadata(self, request: SetMetadata) -> MetadataList:
        _check_owner(request)
        if (request.key or request.value) and not KEY.fullmatch(request.key):
            raise RequestError(ErrorCode.INVALID, "this is no key", "key")
        if len(request.value.encode()) > MOST_BYTES:
            raise RequestError(ErrorCode.TOO_LARGE, f"a value has at most {MOST_BYTES} bytes", "value")
        domain.check_characters("value", request.value, MOST_BYTES)
        change = once(irc.set_metadata, list[MetadataValue])
        return MetadataList(await self._database.write(change, request))


def _check_owner(request: ListMetadata | SetMetadata) -> None:
    if request.chat:
        domain.check_chat(request.chat)
    else:
        domain.check_account(request.account)
