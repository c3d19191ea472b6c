"""The use cases of session. Each is safe to repeat, save the making of a chat; refusals are raised as Refused."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from services.session import domain
from services.session.domain import LOBBY
from services.session.metrics import Metrics
from services.session.notices import Notices, Told
from services.session.store import chats, departures, profiles
from services.session.store.departures import Departure
from shared.contract.edge import ChatCreated, MembershipChanged
from shared.contract.errors import ErrorCode, Refused
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import NOBODY, AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import (
    AccountView,
    ChatList,
    ChatView,
    CreateChat,
    Done,
    EnsureProfile,
    EraseAccount,
    GetAccount,
    GetChat,
    GetMembership,
    ListChats,
    Membership,
    SetProfile,
)
from shared.database import Database, now_ms
from shared.settings import Settings

_CHATS_PAGE = 10_000
_MEMBERS_PAGE = 13_000
"""Rows of 38 bytes at most: a full page stays below 512 KiB."""

Head = Callable[[ChatId], Awaitable[int]]
"""The last index of a chat, asked of message. Raises Refused."""


class Sessions:
    def __init__(self, database: Database, notices: Notices, head: Head, metrics: Metrics, settings: Settings) -> None:
        self._database = database
        self._notices = notices
        self._head = head
        self._metrics = metrics
        self._limits = settings.limits
        self._lobby = settings.auth.lobby
        self._many = settings.message.broadcast_members

    async def open_lobby(self) -> None:
        """Every installation has it, before anything else happens."""
        await self._database.write(partial(chats.add_lobby, now=now_ms()))

    # Profiles

    async def ensure_profile(self, seed: EnsureProfile) -> Done:
        """A deleted account stays deleted, and who has left the lobby stays out."""
        domain.check_seed(seed, self._limits)
        known = await self._database.read(partial(profiles.standing, account=seed.account))
        if known is None and await self._database.write(partial(profiles.add_profile, seed=seed, now=now_ms())):
            self._metrics.profiles.inc()
        settled = known is not None and (known.deleted or known.in_lobby)
        if seed.lobby and self._lobby and not settled:
            await self._join_lobby(seed.account)
        return Done()

    async def account_registered(self, event: AccountRegistered) -> None:
        """Tells the lobby's version again, for a process may have ended before it did. Raises Refused when it must
        be tried again."""
        await self.ensure_profile(event.profile)
        if event.profile.lobby:
            version = await self._database.read(partial(chats.version_of, number=LOBBY))
            await self._insist({LOBBY: version})

    async def _join_lobby(self, account: AccountId) -> None:
        """What was said before the version was published is not unread; what is said after it reaches the account."""
        version = await self._database.write(partial(chats.join_lobby, account=account, now=now_ms()))
        if version is None:
            return
        await self._notices.announce({LOBBY: version})
        unread_from = await self._head(LOBBY) + 1
        settle = partial(chats.settle, number=LOBBY, account=account, unread_from=unread_from, now=now_ms())
        if (version := await self._database.write(settle)) is not None:
            joined = MembershipChanged(LOBBY, account, Role.MEMBER, first_index=1, version=version)
            await self._notices.announce({LOBBY: version}, [Told(joined, [account])])

    async def _insist(self, versions: Mapping[ChatId, int]) -> None:
        if not await self._notices.announce(versions):
            raise Refused(ErrorCode.UNAVAILABLE, "the versions of chats are not published yet")

    async def get_account(self, request: GetAccount) -> AccountView:
        domain.check_account(request.account)
        profile = await self._database.read(partial(profiles.find_profile, account=request.account))
        if profile is None:
            raise domain.no_account(request.account)
        if not request.lists or request.actor != request.account:
            return AccountView(profile)
        own = partial(chats.lists_of, account=request.account, most=self._limits.members_listed)
        return AccountView(profile, *await self._database.read(own))

    async def set_profile(self, request: SetProfile) -> Done:
        values = domain.new_values(request, self._limits)
        change = partial(profiles.set_profile, account=request.account, values=values, now=now_ms())
        if values and not await self._database.write(change):
            raise domain.no_account(request.account)
        return Done()

    # Chats

    async def create_chat(self, request: CreateChat) -> ChatView:
        members = domain.new_chat(request, self._limits)
        make = partial(chats.add_chat, request=request, members=members, limits=self._limits, now=now_ms())
        chat = await self._database.write(make)
        self._metrics.chats.inc()
        created = ChatCreated(chat.id, request.actor, members, chat.version)
        await self._notices.announce({chat.id: chat.version}, [Told(created, members)])
        return ChatView(chat, members[: self._limits.members_listed])

    async def get_chat(self, request: GetChat) -> ChatView:
        domain.check_chat(request.chat)
        most = self._limits.members_listed
        view = partial(chats.view_chat, number=request.chat, actor=request.actor, most=most)
        return await self._database.read(view)

    async def list_chats(self, request: ListChats) -> ChatList:
        domain.check_account(request.account)
        page = partial(chats.list_chats, account=request.account, after=request.after, most=_CHATS_PAGE)
        return await self._database.read(page)

    async def get_membership(self, request: GetMembership) -> Membership:
        domain.check_chat(request.chat)
        return await self._database.read(partial(chats.membership, request=request, most=_MEMBERS_PAGE))

    # Deletion

    async def erase_account(self, request: EraseAccount) -> Done:
        await self._erase(request.account)
        return Done()

    async def account_deleted(self, event: AccountDeleted) -> None:
        """Tells all versions again, for a process may have ended before it did. Raises Refused when it must be tried
        again."""
        await self._erase(event.account)
        await self._insist(await self._database.read(partial(departures.versions_left, account=event.account)))

    async def _erase(self, account: AccountId) -> None:
        """Repeated, it goes on where it was interrupted."""
        domain.check_account(account)
        erase = partial(profiles.erase_profile, account=account, uuid=str(uuid.uuid4()), now=now_ms())
        if await self._database.write(erase):
            self._metrics.erased.inc()
        while left := await self._leave_some(account):
            self._metrics.departures.inc(left)
        while await self._database.write(partial(profiles.end_friendships, account=account, now=now_ms())):
            pass

    async def _leave_some(self, account: AccountId) -> int:
        leave = partial(departures.end_memberships, account=account, now=now_ms(), many=self._many)
        left = await self._database.write(leave)
        told = [one for departure in left for one in _notices_of(account, departure)]
        await self._notices.announce({departure.chat: departure.version for departure in left}, told)
        return len(left)


def _notices_of(account: AccountId, departure: Departure) -> list[Told]:
    chat, version, heir, first_index, members = departure
    told = [Told(MembershipChanged(chat, account, Role.LEFT, 0, version), members)]
    if heir != NOBODY:
        told.append(Told(MembershipChanged(chat, heir, Role.OWNER, first_index, version), members))
    return told
