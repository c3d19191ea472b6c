"""Profiles: made, shown, changed, erased."""

import uuid
from functools import partial

from services.session import domain
from services.session.adapters.edge_notifier import Notices, Told
from services.session.domain import LOBBY
from services.session.metrics import Metrics
from services.session.service.memberships import Joins
from services.session.store import account_removal, chats, friends, memberships, profiles
from services.session.store.account_removal import Departure
from shared.contract.edge import MembershipChanged, ProfileChanged
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Role
from shared.contract.session import (
    AccountView,
    Ack,
    EnsureProfile,
    EraseAccount,
    FindAccounts,
    FoundAccounts,
    GetAccount,
    GetProfileSummaries,
    ProfileSummaries,
    SetProfile,
)
from shared.database import Database, now_ms
from shared.settings import Settings

_FACES = 1_000
_PROFILES = 100
_UUIDS = 5_000
"""In one request."""


class Accounts:
    def __init__(
        self, database: Database, notices: Notices, joins: Joins, metrics: Metrics, settings: Settings
    ) -> None:
        self._database = database
        self._notices = notices
        self._joins = joins
        self._metrics = metrics
        self._limits = settings.limits
        self._lobby = settings.auth.lobby
        self._many = settings.message.broadcast_members

    # Registration and login

    async def ensure_profile(self, seed: EnsureProfile) -> Ack:
        """A deleted account stays deleted, and who has left the lobby stays out. Completes joins that were
        interrupted."""
        domain.check_seed(seed, self._limits)
        known = await self._database.read(partial(profiles.standing, account=seed.account), brief=True)
        if known is None and await self._database.write(partial(profiles.add_profile, seed=seed, now=now_ms())):
            self._metrics.profiles.inc()
        settled = known is not None and (known.deleted or known.in_lobby)
        if seed.lobby and self._lobby and not settled:
            await self._joins.join_lobby(seed.account)
        if known is not None:
            for chat, version in (
                await self._database.read(partial(memberships.unsettled, account=seed.account))
            ).items():
                await self._joins.complete(chat, seed.account, version)
        return Ack()

    async def account_registered(self, event: AccountRegistered) -> None:
        """Tells the lobby's version again, for a process may have ended before it did. Raises Refused when it must
        be tried again."""
        await self.ensure_profile(event.profile)
        if event.profile.lobby:
            version = await self._database.read(partial(chats.version_of, number=LOBBY))
            await self._notices.insist({LOBBY: version})

    # Profiles

    async def get_account(self, request: GetAccount) -> AccountView:
        domain.check_account(request.account)
        profile = await self._database.read(partial(profiles.find_profile, account=request.account), brief=True)
        if profile is None:
            raise domain.no_account(request.account)
        if not request.lists or request.actor != request.account:
            return AccountView(profile)
        own = partial(chats.lists_of, account=request.account, most=self._limits.members_listed)
        return AccountView(profile, *await self._database.read(own))

    async def set_profile(self, request: SetProfile) -> Ack:
        """Tells friends, and the account's own edges."""
        if not (values := domain.new_values(request, self._limits)):
            return Ack()
        account = request.account
        change = partial(profiles.set_profile, account=account, values=values, now=now_ms())
        if (changed := await self._database.write(change)) is None:
            raise domain.no_account(account)
        some = partial(friends.friends_of, account=account, most=self._limits.members_listed)
        concerned = [account, *await self._database.read(some)]
        notice = ProfileChanged(changed, renamed="nickname" in values)
        await self._notices.announce({}, [Told(notice, concerned)])
        return Ack()

    async def get_faces(self, request: GetProfileSummaries) -> ProfileSummaries:
        domain.check_many(request.accounts, _PROFILES if request.profiles else _FACES, "accounts")
        accounts = domain.storable(request.accounts)
        if request.profiles:
            found = await self._database.read(partial(profiles.find_profiles, accounts=accounts), brief=True)
            return ProfileSummaries({}, found)
        return ProfileSummaries(await self._database.read(partial(profiles.faces_of, accounts=accounts), brief=True))

    async def find_accounts(self, request: FindAccounts) -> FoundAccounts:
        domain.check_many(request.uuids, _UUIDS, "uuids")
        named = [one for one in request.uuids if "\0" not in one]
        return FoundAccounts(await self._database.read(partial(profiles.accounts_of, uuids=named)))

    # Deletion

    async def erase_account(self, request: EraseAccount) -> Ack:
        await self._erase(request.account)
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        """Tells all versions again, for a process may have ended before it did. Raises Refused when it must be tried
        again."""
        await self._erase(event.account)
        await self._notices.insist(
            await self._database.read(partial(account_removal.versions_left, account=event.account))
        )

    async def _erase(self, account: AccountId) -> None:
        """Repeated, it goes on where it was interrupted."""
        domain.check_account(account)
        erase = partial(profiles.erase_profile, account=account, uuid=str(uuid.uuid4()), now=now_ms())
        if await self._database.write(erase):
            self._metrics.erased.inc()
        while left := await self._leave_some(account):
            self._metrics.departures.inc(left)
        while await self._database.write(partial(friends.end_friendships, account=account, now=now_ms())):
            pass
        await self._database.write(partial(friends.end_requests, account=account))

    async def _leave_some(self, account: AccountId) -> int:
        leave = partial(account_removal.end_memberships, account=account, now=now_ms(), many=self._many)
        left = await self._database.write(leave)
        told = [one for departure in left for one in _notices_of(account, departure)]
        await self._notices.announce({departure.chat: departure.version for departure in left}, told)
        return len(left)


def _notices_of(account: AccountId, departure: Departure) -> list[Told]:
    chat, version, heir, first_index, members = departure
    told = [Told(MembershipChanged(chat, account, Role.LEFT, 0, version), members)]
    if heir != NO_ACCOUNT:
        told.append(Told(MembershipChanged(chat, heir, Role.OWNER, first_index, version), members))
    return told
