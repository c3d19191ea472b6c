"""A reader of a chat's changes gets all its members, from any version on and with any page size."""

import contextlib
import tempfile
from collections import Counter
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.session.domain import LOBBY
from services.session.store import chats, departures, memberships, profiles
from services.session.tables import chat, friendship, member
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import AddMembers, RequestMembership
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import CreateChat, GetMembership, Member
from shared.database import make_engine
from shared.settings.limits import LimitsSettings
from tests.support.databases import create_tables
from tests.unit.services.session.store_harness import NOW, profile_seed

T = TypeVar("T")

ACCOUNTS = [AccountId(number) for number in range(1, 7)]
accounts = st.sampled_from(ACCOUNTS)


class MembershipFollower:
    """A cache of one chat's members that is filled with changes."""

    def __init__(self, number: ChatId) -> None:
        self.number = number
        self.version = 0
        self.members: dict[AccountId, Member] = {}
        self.after = (0, 0)

    def read(self, connection: sa.Connection, most: int) -> bool:
        """Reads one page. Returns whether there are more pages."""
        page = chats.list_changes(connection, GetMembership(self.number, self.version, self.after), most)
        for one in page.members:
            self.members[one.account] = one
            self.after = (one.version, one.account)
        if not page.more:
            self.version, self.after = page.version, (0, 0)
        return page.more


class MembershipHistories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.engine = make_engine(create_tables("session", f"sqlite:///{self.directory.name}/session.db"))
        self.connection = self.engine.connect()
        self.numbers = [LOBBY]
        self.followers: list[MembershipFollower] = []

    def run(self, work: "partial[T]") -> T:
        with self.connection.begin():
            return work(self.connection)

    @initialize()
    def create_lobby_and_profiles(self) -> None:
        self.run(partial(chats.insert_lobby, now=NOW))
        for account in ACCOUNTS:
            self.run(partial(profiles.add_profile, seed=profile_seed(account), now=NOW))
        rows = [{"account": one, "friend": other, "created": NOW} for one in ACCOUNTS for other in ACCOUNTS]
        with self.connection.begin():
            self.connection.execute(sa.insert(friendship), rows)

    @rule(members=st.lists(accounts, min_size=1, unique=True))
    def create(self, members: list[AccountId]) -> None:
        request = CreateChat(members=members, join_policy=JoinPolicy.OPEN, actor=members[0])
        make = partial(chats.create_group, request=request, members=members, limits=LimitsSettings(), now=NOW)
        try:
            self.numbers.append(self.run(make).chat.id)
        except RequestError:
            assert any(self.is_deleted(account) for account in members)

    def is_deleted(self, account: AccountId) -> bool:
        found = self.run(partial(profiles.find_profile, account=account))
        return found is not None and found.deleted

    @rule(account=accounts)
    def join_lobby(self, account: AccountId) -> None:
        self.run(partial(memberships.join_lobby, account=account, head=0, now=NOW))

    @rule(account=accounts, data=st.data())
    def join_group(self, account: AccountId, data: st.DataObject) -> None:
        request = RequestMembership(data.draw(st.sampled_from(self.numbers)), actor=account)
        with contextlib.suppress(RequestError):
            self.run(partial(memberships.request_membership, request=request, head=3, limits=LimitsSettings(), now=NOW))

    @rule(several=st.lists(accounts, min_size=1, max_size=4), data=st.data())
    def add_members(self, several: list[AccountId], data: st.DataObject) -> None:
        """The owner adds accounts. All of them are friends."""
        number = data.draw(st.sampled_from(self.numbers))
        with self.connection.begin():
            owner = self.connection.execute(sa.select(chat.c.owner).where(chat.c.id == number)).scalar_one()
        request = AddMembers(number, several, actor=AccountId(owner))
        with contextlib.suppress(RequestError):
            self.run(partial(memberships.add_members, request=request, head=3, limits=LimitsSettings(), now=NOW))

    @rule(some=st.lists(accounts, min_size=1, max_size=3), data=st.data(), broadcast_from=st.sampled_from([2, 9]))
    def finish_joins(self, some: list[AccountId], data: st.DataObject, broadcast_from: int) -> None:
        number = data.draw(st.sampled_from(self.numbers))
        finish = partial(memberships.finish_joins, unread_from=5, now=NOW, broadcast_from=broadcast_from)
        self.run(partial(finish, number=number, accounts=some))

    @rule(account=accounts)
    def erase(self, account: AccountId) -> None:
        self.run(partial(profiles.erase_profile, account=account, uuid="gone", now=NOW))
        self.run(partial(departures.leave_chats, account=account, now=NOW, broadcast_from=3))

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        self.followers.append(MembershipFollower(data.draw(st.sampled_from(self.numbers))))

    @precondition(lambda self: self.followers)
    @rule(data=st.data(), most=st.integers(1, 4))
    def read_page(self, data: st.DataObject, most: int) -> None:
        data.draw(st.sampled_from(self.followers)).read(self.connection, most)
        self.connection.rollback()

    @invariant()
    def followers_have_all_members(self) -> None:
        for follower in self.followers:
            whole = MembershipFollower(follower.number)
            whole.read(self.connection, 1000)
            ahead = MembershipFollower(follower.number)
            ahead.version, ahead.after, ahead.members = follower.version, follower.after, dict(follower.members)
            while ahead.read(self.connection, 2):
                pass
            assert (ahead.version, ahead.members) == (whole.version, whole.members)
        self.connection.rollback()

    @invariant()
    def chat_rows_match_members(self) -> None:
        rows = self.connection.execute(sa.select(chat)).all()
        members = self.connection.execute(sa.select(member)).all()
        self.connection.rollback()
        live = Counter(one.chat for one in members if one.role > Role.LEFT)
        owners = {(one.chat, one.account) for one in members if one.role == Role.OWNER}
        assert owners == {(row.id, row.owner) for row in rows if row.owner != NO_ACCOUNT}
        for row in rows:
            assert row.size == live[row.id]
            assert row.owner != NO_ACCOUNT or row.size == 0 or row.id == LOBBY
            mine = [one for one in members if one.chat == row.id]
            assert max((one.version for one in mine), default=1) == row.version
            assert sorted(one.seat for one in mine) == list(range(row.seats))

    def teardown(self) -> None:
        self.connection.close()
        self.engine.dispose()
        self.directory.cleanup()


def test_reading_changes_yields_all_members() -> None:
    MembershipHistories.TestCase.settings = settings(
        max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    MembershipHistories.TestCase().runTest()
