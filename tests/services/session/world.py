"""A few people and chats, for tests of the store."""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from services.session.store import chats, departures, profiles
from services.session.store.departures import Departure
from services.session.tables import friendship
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Chat, Profile
from shared.contract.session import CreateChat, EnsureProfile, GetMembership, Member, Membership
from shared.database import Database
from shared.settings import Limits

ANN, BOB, CEM, DAN, EVE = (AccountId(number) for number in range(1, 6))
NOW = 1_700_000_000_000


def seed(account: AccountId, nickname: str = "", *, lobby: bool = False) -> EnsureProfile:
    return EnsureProfile(
        account=account, uuid=f"uuid-{account}", nickname=nickname or f"name {account}", created=NOW, lobby=lobby
    )


class World:
    """The store's transactions on one database, at a clock that stands still until it is moved."""

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        self.database = database
        self.limits = limits or Limits()
        self.now = NOW

    async def people(self, *accounts: AccountId) -> None:
        for account in accounts:
            await self.database.write(partial(profiles.add_profile, seed=seed(account), now=self.now))

    async def group(self, *members: AccountId, name: str = "") -> Chat:
        """Made and owned by the first."""
        request = CreateChat(members=list(members), name=name, actor=members[0])
        make = partial(chats.add_chat, request=request, members=members, limits=self.limits, now=self.now)
        return await self.database.write(make)

    async def befriend(self, one: AccountId, other: AccountId) -> None:
        rows = [{"account": a, "friend": b, "created": self.now} for a, b in ((one, other), (other, one))]
        await self.database.write(lambda connection: connection.execute(sa.insert(friendship), rows) and None)

    async def profile(self, account: AccountId) -> Profile:
        profile = await self.database.read(partial(profiles.find_profile, account=account))
        assert profile is not None
        return profile

    async def lists(self, account: AccountId, most: int = 100) -> tuple[list[ChatId], list[AccountId]]:
        return await self.database.read(partial(chats.lists_of, account=account, most=most))

    async def chat(self, number: ChatId, actor: AccountId) -> Chat:
        return (await self.database.read(partial(chats.view_chat, number=number, actor=actor, most=9))).chat

    async def members(self, number: ChatId, actor: AccountId, most: int = 100) -> list[AccountId]:
        view = await self.database.read(partial(chats.view_chat, number=number, actor=actor, most=most))
        return view.members

    async def changes(
        self, number: ChatId, since: int = 0, after: tuple[int, int] = (0, 0), most: int = 100
    ) -> Membership:
        request = GetMembership(number, since, after)
        return await self.database.read(partial(chats.membership, request=request, most=most))

    async def erase(self, account: AccountId, uuid: str = "gone") -> bool:
        erase = partial(profiles.erase_profile, account=account, uuid=uuid, now=self.now)
        return await self.database.write(erase)

    async def leave(self, account: AccountId, many: int = 512) -> list[Departure]:
        return await self.database.write(partial(departures.end_memberships, account=account, now=self.now, many=many))

    async def leave_all(self, account: AccountId) -> list[Departure]:
        left: list[Departure] = []
        while some := await self.leave(account):
            left += some
        return left


def roles(members: Sequence[Member]) -> dict[AccountId, int]:
    return {member.account: int(member.role) for member in members}
