"""Creates, reads, changes and erases profiles, and the settings that an account has for itself."""

import uuid
from collections.abc import Callable
from functools import partial

from services.session import domain, list_limits
from services.session.domain import LOBBY
from services.session.metrics import SessionMetrics
from services.session.service.memberships import Memberships, notifications_of
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import Connection, chats, departures, friends, memberships, own_settings, profiles
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.edge import ProfileChanged
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import AccountId
from shared.contract.model import ProfileSummary
from shared.contract.own_settings import GetOwnSettings, OwnSettings, SetOwnSettings
from shared.contract.routes import Ack
from shared.contract.session import (
    AccountView,
    EnsureProfile,
    EraseAccount,
    FindAccounts,
    FoundAccounts,
    GetAccount,
    GetProfileSummaries,
    ProfileSummaries,
    SetProfile,
)
from shared.settings import Settings
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_SUMMARIES = 1_000
_PROFILES = 100
_UUIDS = 5_000
"""The most uuids in one request."""


class AccountProfiles:
    def __init__(
        self,
        database: Transactions,
        notifier: ChangeNotifier,
        memberships: Memberships,
        metrics: SessionMetrics,
        settings: Settings,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._memberships = memberships
        self._metrics = metrics
        self._limits = settings.limits
        self._reserved = settings.announcements.name
        self._default_name = partial(
            domain.default_name, limit=settings.limits.group_name_characters, language=settings.language
        )
        self._lobby = settings.auth.lobby
        self._broadcast_members = settings.message.broadcast_members

    # Registration and login

    async def ensure_profile(self, seed: EnsureProfile) -> Ack:
        """Create a missing profile and finish interrupted joins. A deleted account stays deleted, and an account that
        left the lobby does not join it again. A new account whose number once belonged to another account gets none of
        that account's data."""
        domain.check_seed(seed, self._limits)
        state = await self._database.read(profiles.account_state, seed.account, brief=True)
        if state is not None and not state.deleted and state.uuid != seed.uuid:
            _log.error("two accounts have got the same number, because a database was lost", account=seed.account)
            raise RequestError(ErrorCode.INTERNAL, "the number of this account belongs to another account")
        if state is None and await self._database.write(profiles.add_profile, seed, now_ms()):
            self._metrics.profiles.inc()
        if state is not None and not state.deleted and _takes_nick(state, seed):
            await self._database.write(profiles.set_nick, seed.account, seed.nick, now_ms())
        if state is not None and state.guest and not seed.guest:
            await self._register_guest(seed, state.guest)
        skips_lobby = state is not None and (state.deleted or state.in_lobby)
        if seed.lobby and self._lobby and not skips_lobby:
            await self._memberships.join_lobby(seed.account)
        if state is not None:
            unfinished = await self._database.read(memberships.unfinished_joins, seed.account)
            for chat, version in unfinished.items():
                await self._memberships.finish_joins(chat, [seed.account], version)
        return Ack()

    async def _register_guest(self, seed: EnsureProfile, guest: str) -> None:
        changed = await self._database.write(profiles.register_guest, seed, now_ms())
        if changed is not None:
            await self._publish(ProfileChanged(changed, registered=True, former_guest=guest), friends.peers_of)

    async def account_registered(self, event: AccountRegistered) -> None:
        """Publishes the lobby's version even when nothing changed, because an earlier process may have ended before it
        published the version. Raises RequestError when the event must be retried."""
        await self.ensure_profile(event.profile)
        if event.profile.lobby:
            version = await self._database.read(chats.version_of, LOBBY)
            await self._notifier.publish_or_raise({LOBBY: version})

    # Profiles

    async def get_account(self, request: GetAccount) -> AccountView:
        domain.check_account(request.account)
        profile = await self._database.read(profiles.find_profile, request.account, brief=True)
        if profile is None:
            raise domain.account_not_found(request.account)
        if not request.lists or request.actor != request.account:
            return AccountView(profile)
        limit = self._limits.members_listed
        lists = partial(chats.lists_of, account=request.account, limit=limit, left=request.left)
        return AccountView(profile, *await self._database.read(lists))

    async def set_profile(self, request: SetProfile) -> Ack:
        """Change the profile, and notify the friends and the account's own clients. If the account is a guest, the
        members of its groups are notified."""
        if not (values := domain.profile_changes(request, self._limits)):
            return Ack()
        domain.check_no_imitation("nickname", str(values.get("nickname", "")), self._reserved)
        account = request.account
        former_nick = ""
        if "nick" in values:
            former_nick = await self._database.write(profiles.check_nick, account, str(values["nick"]))
        if (changed := await self._database.write(profiles.set_profile, account, values, now_ms())) is None:
            raise domain.account_not_found(account)
        known = friends.peers_of if former_nick or changed.guest else friends.friends_of
        await self._publish(ProfileChanged(changed, "nickname" in values, former_nick), known)
        return Ack()

    async def _publish(
        self, event: ProfileChanged, known: Callable[[Connection, AccountId, int], list[AccountId]]
    ) -> None:
        account = event.profile.id
        recipients = [account, *await self._database.read(known, account, self._limits.members_listed)]
        await self._notifier.publish({}, [Notification(event, recipients)])

    async def get_profile_summaries(self, request: GetProfileSummaries) -> ProfileSummaries:
        list_limits.check_batch_size(request.accounts, _PROFILES if request.profiles else _SUMMARIES, "accounts")
        accounts = list_limits.in_int64(request.accounts)
        if request.profiles:
            found = await self._database.read(profiles.find_profiles, accounts, brief=True)
            return ProfileSummaries({}, found)
        summaries = await self._database.read(profiles.summaries_of, accounts, brief=True)
        return ProfileSummaries(summaries)

    async def find_accounts(self, request: FindAccounts) -> FoundAccounts:
        list_limits.check_batch_size(request.uuids, _UUIDS, "uuids")
        uuids = [one for one in request.uuids if "\0" not in one]
        return FoundAccounts(await self._database.read(profiles.find_by_uuids, uuids))

    # Deletion

    async def erase_account(self, request: EraseAccount) -> Ack:
        await self._erase(request.account, request.reason)
        return Ack()

    async def account_deleted(self, event: AccountDeleted) -> None:
        """Publishes the versions of all chats that the account left, even when nothing changed, because an earlier
        process may have ended before it published the versions. Raises RequestError when the event must be retried."""
        await self._erase(event.account)
        versions = await self._database.read(departures.left_versions, event.account)
        await self._notifier.publish_or_raise(versions)

    async def unfinished_deletions(self, accounts: list[AccountId]) -> list[AccountId]:
        """Of these accounts, the deleted ones whose data is not erased completely."""
        return await self._database.read(departures.unfinished_deletions, accounts)

    async def _erase(self, account: AccountId, reason: str = "") -> None:
        """Erase the account's data. A repetition continues an interrupted erasure."""
        domain.check_account(account)
        former = await self._database.read(profiles.summaries_of, [account], brief=True)
        if await self._database.write(profiles.erase_profile, account, str(uuid.uuid4()), now_ms()):
            self._metrics.erased.inc()
        await self._database.write(departures.name_groups_again, account, self._default_name, now_ms())
        while left := await self._leave_batch(account, reason, former):
            self._metrics.memberships_ended.inc(left)
        while await self._database.write(friends.end_friendships, account, now_ms()):
            pass
        for remove in departures.REMOVALS:
            await self._database.write(remove, account)

    async def _leave_batch(self, account: AccountId, reason: str, former: dict[AccountId, ProfileSummary]) -> int:
        """Make the account leave some of its chats in one transaction. Returns the number of these chats; 0 if the
        account was in no chat."""
        left = await self._database.write(departures.leave_chats, account, now_ms(), self._broadcast_members)
        notifications = [
            notification for one in left for notification in notifications_of(account, one, account, reason, former)
        ]
        await self._notifier.publish({one.chat: one.version for one in left}, notifications)
        return len(left)


class SettingsOfAccounts:
    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def get(self, request: GetOwnSettings) -> OwnSettings:
        return await self._database.read(own_settings.find, request.actor, brief=True)

    async def set(self, request: SetOwnSettings) -> OwnSettings:
        return await self._database.write(once(own_settings.change, OwnSettings), request)


def _takes_nick(state: profiles.AccountState, seed: EnsureProfile) -> bool:
    """Whether the account gets the nick of its registration. A guest may have taken another nick since."""
    return seed.nick not in ("", state.nick) and not (seed.guest and state.nick)
