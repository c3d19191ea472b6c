"""The transactions of session's store as methods, for tests."""

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from services.session.domain import LOBBY, pair_of
from services.session.store import (
    blocks,
    chats,
    departures,
    friends,
    links,
    memberships,
    moderation,
    pending_notifications,
    profiles,
    views,
)
from services.session.store.departures import LeftChat
from services.session.store.memberships import AwaitingApproval, FinishedJoin, FinishedJoins, StartedJoin, StartedJoins
from services.session.store.moderation import BannedMember, ChangedRoles, DisbandedChat
from services.session.tables import friendship, member
from shared.contract.contacts import AnswerFriendship, PendingEvent, RequestFriendship, Requests, SetBlocked
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, MembershipAnswered
from shared.contract.errors import Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import (
    AddMember,
    AddMembers,
    AnswerMembership,
    Ban,
    BanMember,
    CreateLink,
    DeleteLink,
    DisbandChat,
    EndMembership,
    InvitationLink,
    JoinByLink,
    ListBans,
    ListLinks,
    ListMembers,
    MemberList,
    RequestMembership,
    SetRole,
    SilenceMember,
    UnbanMember,
)
from shared.contract.model import Chat, JoinPolicy, Profile, Role
from shared.contract.session import ChatEntry, ChatList, CreateChat, EnsureProfile, GetMembership, Member, Membership
from shared.database import Database
from shared.settings.limits import LimitsSettings

ANN, BOB, CEM, DAN, EVE = (AccountId(number) for number in range(1, 6))
NOW = 1_700_000_000_000


def profile_seed(account: AccountId, nickname: str = "", *, lobby: bool = False) -> EnsureProfile:
    return EnsureProfile(
        account=account, uuid=f"uuid-{account}", nickname=nickname or f"name {account}", created=NOW, lobby=lobby
    )


class StoreHarness:
    """The store's transactions on one database, with a clock that tests change."""

    def __init__(self, database: Database, limits: LimitsSettings | None = None) -> None:
        self.database = database
        self.limits = limits or LimitsSettings()
        self.now = NOW
        self.head = 0

    async def add_profiles(self, *accounts: AccountId) -> None:
        for account in accounts:
            await self.database.write(partial(profiles.add_profile, seed=profile_seed(account), now=self.now))

    async def create_group(
        self, *members: AccountId, name: str = "", join_policy: JoinPolicy = JoinPolicy.CLOSED
    ) -> Chat:
        """Creates a group. The first account owns it."""
        request = CreateChat(members=list(members), name=name, join_policy=join_policy, actor=members[0])
        make = partial(chats.create_group, request=request, members=members, limits=self.limits, now=self.now)
        return (await self.database.write(make)).chat

    async def befriend(self, one: AccountId, other: AccountId) -> None:
        rows = [{"account": a, "friend": b, "created": self.now} for a, b in ((one, other), (other, one))]
        await self.database.write(lambda connection: connection.execute(sa.insert(friendship), rows) and None)

    async def open_private(self, one: AccountId, other: AccountId) -> tuple[ChatId, Chat | None]:
        return await self.database.write(partial(chats.open_private, pair=pair_of(one, other), actor=one, now=self.now))

    # Friends

    async def request_friendship(
        self, actor: AccountId, account: AccountId, text: str = "hi"
    ) -> FriendshipRequested | FriendshipAnswered:
        request = RequestFriendship(account, text, actor=actor)
        return await self.database.write(
            partial(friends.request_friendship, request=request, limits=self.limits, now=self.now)
        )

    async def answer_friend_request(
        self, actor: AccountId, applicant: AccountId, accept: bool = True
    ) -> FriendshipAnswered:
        request = AnswerFriendship(applicant, accept, actor=actor)
        return await self.database.write(partial(friends.answer_request, request=request, now=self.now))

    async def pending_requests(self, account: AccountId, most: int = 100) -> Requests:
        return await self.database.read(partial(friends.list_requests, account=account, limit=most))

    async def pending_events(self, account: AccountId) -> list[PendingEvent]:
        return await self.database.read(partial(pending_notifications.list_pending, account=account, now=self.now))

    async def set_blocked(self, actor: AccountId, account: AccountId, blocked: bool = True) -> None:
        request = SetBlocked(account, blocked, actor=actor)
        await self.database.write(partial(blocks.set_blocked, request=request, limits=self.limits, now=self.now))

    async def blocked_by(self, account: AccountId) -> list[AccountId]:
        return await self.database.read(partial(blocks.list_blocked, account=account))

    async def remove_data(self, account: AccountId) -> None:
        """Delete the data of a deleted account, except its profile, memberships and friendships."""
        for remove in departures.REMOVALS:
            await self.database.write(remove, account)

    # Memberships

    async def join_lobby(self, account: AccountId) -> int | None:
        return await self.database.write(partial(memberships.join_lobby, account=account, head=self.head, now=self.now))

    async def request_membership(
        self, actor: AccountId, number: ChatId, text: str = "hi"
    ) -> StartedJoin | AwaitingApproval:
        request = RequestMembership(number, text, actor=actor)
        return await self.database.write(
            partial(memberships.request_membership, request=request, head=self.head, limits=self.limits, now=self.now)
        )

    async def answer_membership_request(
        self, actor: AccountId, number: ChatId, applicant: AccountId, accept: bool = True
    ) -> StartedJoin | MembershipAnswered:
        request = AnswerMembership(number, applicant, accept, actor=actor)
        return await self.database.write(
            partial(memberships.answer_request, request=request, head=self.head, limits=self.limits, now=self.now)
        )

    async def add_member(self, actor: AccountId, number: ChatId, account: AccountId) -> StartedJoin:
        request = AddMember(number, account, actor=actor)
        return await self.database.write(
            partial(memberships.add_member, request=request, head=self.head, limits=self.limits, now=self.now)
        )

    async def add_members(self, actor: AccountId, number: ChatId, *accounts: AccountId) -> StartedJoins:
        request = AddMembers(number, [*accounts], actor=actor)
        return await self.database.write(
            partial(memberships.add_members, request=request, head=self.head, limits=self.limits, now=self.now)
        )

    async def finish_join(
        self, account: AccountId, unread_from: int = 1, number: ChatId = LOBBY, broadcast_from: int = 512
    ) -> FinishedJoin | None:
        finished = await self.finish_joins([account], unread_from, number, broadcast_from)
        return finished.joins[0] if finished.joins else None

    async def finish_joins(
        self, accounts: Sequence[AccountId], unread_from: int, number: ChatId, broadcast_from: int = 512
    ) -> FinishedJoins:
        work = partial(
            memberships.finish_joins,
            number=number,
            accounts=accounts,
            unread_from=unread_from,
            now=self.now,
            broadcast_from=broadcast_from,
        )
        return await self.database.write(work)

    async def end_membership(
        self, actor: AccountId, number: ChatId, account: AccountId, broadcast_from: int = 512
    ) -> LeftChat:
        end = partial(departures.end_membership, now=self.now, broadcast_from=broadcast_from)
        return await self.database.write(partial(end, request=EndMembership(number, account, actor=actor)))

    async def give_role(
        self, actor: AccountId, number: ChatId, account: AccountId, role: Role, broadcast_from: int = 512
    ) -> ChangedRoles:
        request = SetRole(number, account, role, actor=actor)
        change = partial(moderation.set_role, request=request, now=self.now, broadcast_from=broadcast_from)
        return await self.database.write(change)

    # Moderation

    async def ban(
        self, actor: AccountId, number: ChatId, account: AccountId, until: int = 0, broadcast_from: int = 512
    ) -> BannedMember:
        ban = partial(moderation.ban_member, limits=self.limits, now=self.now, broadcast_from=broadcast_from)
        return await self.database.write(partial(ban, request=BanMember(number, account, until, actor=actor)))

    async def unban(self, actor: AccountId, number: ChatId, account: AccountId) -> int:
        request = UnbanMember(number, account, actor=actor)
        return await self.database.write(partial(moderation.unban_member, request=request, now=self.now))

    async def bans(self, actor: AccountId, number: ChatId) -> list[Ban]:
        request = ListBans(number, actor=actor)
        return (await self.database.read(partial(moderation.list_bans, request=request, now=self.now))).bans

    async def silence(self, actor: AccountId, number: ChatId, account: AccountId, until: int) -> int:
        request = SilenceMember(number, account, until, actor=actor)
        silence = partial(moderation.silence_member, request=request, limits=self.limits, now=self.now)
        return await self.database.write(silence)

    async def disband(self, actor: AccountId, number: ChatId) -> DisbandedChat:
        disband = partial(
            moderation.disband, request=DisbandChat(number, actor=actor), now=self.now, broadcast_from=512
        )
        return await self.database.write(disband)

    async def create_link(
        self, actor: AccountId, number: ChatId, code: str, uses: int = 0, expires: int = 0
    ) -> InvitationLink:
        request = CreateLink(number, uses, expires, actor=actor)
        return await self.database.write(
            partial(links.create, request=request, code=code, limits=self.limits, now=self.now)
        )

    async def links(self, actor: AccountId, number: ChatId) -> list[InvitationLink]:
        return (
            await self.database.read(partial(links.list_links, request=ListLinks(number, actor=actor), now=self.now))
        ).links

    async def delete_link(self, actor: AccountId, number: ChatId, code: str) -> None:
        await self.database.write(partial(links.delete, request=DeleteLink(number, code, actor=actor)))

    async def join_by_link(self, actor: AccountId, code: str) -> StartedJoin:
        chat = (await self.database.read(partial(links.find, code=code, actor=actor, now=self.now))).chat
        join = partial(links.join, chat=chat, head=self.head, limits=self.limits, now=self.now)
        return await self.database.write(partial(join, request=JoinByLink(code, actor=actor)))

    async def list_members(
        self, actor: AccountId, number: ChatId, after: AccountId = NO_ACCOUNT, most: int = 100, **more: Any
    ) -> MemberList:
        request = ListMembers(number, after, actor=actor, **more)
        return await self.database.read(partial(views.list_members, request=request, limit=most))

    async def set_role(self, number: ChatId, account: AccountId, role: Role) -> None:
        change = sa.update(member).where(member.c.chat == number, member.c.account == account).values(role=role)
        await self.database.write(lambda connection: connection.execute(change) and None)

    async def unfinished_joins(self, account: AccountId) -> dict[ChatId, int]:
        return await self.database.read(partial(memberships.unfinished_joins, account=account))

    async def list_chats(self, account: AccountId, after: int = 0, most: int = 100) -> ChatList:
        return await self.database.read(partial(chats.list_chats, account=account, after=ChatId(after), limit=most))

    async def list_chats_with_others(self, *accounts: AccountId, most: int) -> ChatList:
        """Returns a page of the first account's chats, and all chats of other accounts that also fit into `most`
        entries.
        """
        page = partial(chats.list_chats, account=accounts[0], after=ChatId(0), limit=most)
        return await self.database.read(
            partial(chats.list_chats_with_others, page=page, others=accounts[1:], limit=most)
        )

    async def entry(self, account: AccountId, number: ChatId) -> ChatEntry:
        return next(entry for entry in (await self.list_chats(account)).entries if entry.chat == number)

    # Reads

    async def profile(self, account: AccountId) -> Profile:
        profile = await self.database.read(partial(profiles.find_profile, account=account))
        assert profile is not None
        return profile

    async def lists(self, account: AccountId, most: int = 100) -> tuple[list[ChatId], list[AccountId]]:
        found, friends, _ = await self.database.read(partial(chats.lists_of, account=account, limit=most, left=False))
        return found, friends

    async def chat(self, number: ChatId, actor: AccountId) -> Chat:
        return (await self.database.read(partial(views.view_chat, number=number, actor=actor, limit=9))).chat

    async def members(self, number: ChatId, actor: AccountId, most: int = 100) -> list[AccountId]:
        view = await self.database.read(partial(views.view_chat, number=number, actor=actor, limit=most))
        return view.members

    async def changes(
        self, number: ChatId, since: int = 0, after: tuple[int, int] = (0, 0), most: int = 100
    ) -> Membership:
        request = GetMembership(number, since, after)
        return await self.database.read(partial(chats.list_changes, request=request, limit=most))

    async def erase(self, account: AccountId, uuid: str = "gone") -> bool:
        erase = partial(profiles.erase_profile, account=account, uuid=uuid, now=self.now)
        return await self.database.write(erase)

    async def end_friendships(self, account: AccountId) -> None:
        await self.database.write(partial(friends.end_friendships, account=account, now=self.now))

    async def leave_chats(self, account: AccountId, broadcast_from: int = 512) -> list[LeftChat]:
        return await self.database.write(
            partial(departures.leave_chats, account=account, now=self.now, broadcast_from=broadcast_from)
        )

    async def leave_all_chats(self, account: AccountId) -> list[LeftChat]:
        left: list[LeftChat] = []
        while some := await self.leave_chats(account):
            left += some
        return left


def roles(members: Sequence[Member]) -> dict[AccountId, int]:
    return {member.account: int(member.role) for member in members}


async def rejection(action: Awaitable[object]) -> Failure:
    with pytest.raises(RequestError) as caught:
        await action
    return caught.value.failure
