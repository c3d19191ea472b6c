"""Tests the cache of member lists: how it loads changes, when a list is fresh, and its size limit."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters.member_list_cache import MEMBERS_UNAVAILABLE, NO_SUCH_CHAT, MemberListCache
from services.message.metrics import MessageMetrics
from services.message.service import member_list as member_list_rules
from services.message.service.member_list import ChatMembers
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import ChangeTimes, GetMembership, Member, Membership

ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
ROOM, HALL = ChatId(1), ChatId(2)

ReplyTo = Callable[[GetMembership], Membership | Awaitable[Membership]]


def member(account: AccountId, version: int, role: Role = Role.MEMBER, first: int = 1, unread: int = 1) -> Member:
    return Member(account, role, first, version, unread)


class MemberListCacheHarness:
    """A cache with prepared replies of session, and a clock that the test sets."""

    def __init__(self, *, members_kept: int = 100) -> None:
        self.requests: list[GetMembership] = []
        self.replies: dict[ChatId, ReplyTo] = {}
        self.now = 1000.0
        self.cache = MemberListCache(
            self._reply, MessageMetrics(CollectorRegistry()), max_members=members_kept, clock=lambda: self.now
        )

    async def _reply(self, request: GetMembership) -> Membership:
        self.requests.append(request)
        answer = self.replies[request.chat](request)
        return answer if isinstance(answer, Membership) else await answer

    def set_members(self, chat: ChatId, version: int, *members: Member) -> None:
        self.replies[chat] = lambda request: Membership(
            chat, version, [member for member in members if member.version > request.since], change_times=ChangeTimes()
        )

    async def load(self, chat: ChatId = ROOM, version: int | None = None) -> ChatMembers:
        member_list = (await self.cache.load([chat], {} if version is None else {chat: version}))[chat]
        assert isinstance(member_list, ChatMembers)
        return member_list


@pytest.fixture
def harness() -> MemberListCacheHarness:
    return MemberListCacheHarness()


async def test_only_changes_since_the_cached_version_are_loaded(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1), member(BOB, 2, first=5, unread=7))
    assert (await harness.load(version=2)).members == {ANN: (1, 1), BOB: (5, 7)}
    harness.set_members(ROOM, 4, member(ANN, 1), member(BOB, 3, Role.LEFT), member(CEM, 4, first=9, unread=0))
    member_list = await harness.load(version=4)
    assert (member_list.members, member_list.version) == ({ANN: (1, 1), CEM: (9, 9)}, 4)
    assert [request.since for request in harness.requests] == [0, 2]


async def test_requests_have_the_flag_unnamed_if_redis_names_no_version(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1), member(BOB, 2))
    await harness.load(version=2)
    harness.now += 31
    await harness.load()
    assert [request.unnamed for request in harness.requests] == [False, True]


async def test_the_member_list_of_a_private_chat_names_its_pair(harness: MemberListCacheHarness) -> None:
    """This also holds after one of the pair has left, and for a member list from a session service of the previous
    version.
    """
    harness.replies[ROOM] = lambda _request: Membership(ROOM, 1, [member(ANN, 1), member(BOB, 1)])
    assert (await harness.load(version=1)).pair is None
    harness.replies[ROOM] = lambda _request: Membership(ROOM, 2, [member(BOB, 2, Role.LEFT)], pair=(ANN, BOB))
    assert (await harness.load(version=2)).pair == (ANN, BOB)


async def test_a_member_list_is_fresh_while_redis_confirms_its_version(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=2)
    harness.now += 24 * 3600
    await harness.load(version=2)
    assert len(harness.requests) == 1
    await harness.load(version=3)
    assert len(harness.requests) == 2


async def test_a_member_list_is_fresh_for_30_s_if_redis_names_an_older_version(harness: MemberListCacheHarness) -> None:
    """The cache then requests that session publishes the version again."""
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=1)
    harness.now += 29.9
    await harness.load(version=1)
    assert [request.unnamed for request in harness.requests] == [False]
    harness.now += 0.2
    await harness.load(version=1)
    assert [request.unnamed for request in harness.requests] == [False, True]


async def test_a_version_that_a_restored_session_announces_again_is_loaded(harness: MemberListCacheHarness) -> None:
    """Redis still contains the version from before the restore."""
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=9)
    harness.cache.announce({ROOM: 3})
    harness.set_members(ROOM, 3, member(ANN, 1), member(BOB, 3))
    assert (await harness.load(version=9)).members.keys() == {ANN, BOB}


async def test_a_member_list_is_fresh_for_1_s_if_redis_names_no_version(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load()
    harness.now += 0.9
    await harness.load()
    assert len(harness.requests) == 1
    harness.now += 0.2
    await harness.load()
    assert len(harness.requests) == 2


async def test_a_version_unknown_to_session_is_requested_once(harness: MemberListCacheHarness) -> None:
    """Redis may contain a newer version than a restored database."""
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=9)
    await harness.load(version=9)
    assert len(harness.requests) == 1
    await harness.load(version=10)
    assert len(harness.requests) == 2


async def test_pages_form_one_member_list_when_it_changes_meanwhile(harness: MemberListCacheHarness) -> None:
    pages = {
        (0, 0): Membership(ROOM, 3, [member(ANN, 1), member(BOB, 2)], more=True),
        (2, BOB): Membership(ROOM, 4, [member(CEM, 3), member(ANN, 4, Role.LEFT)]),
    }
    harness.replies[ROOM] = lambda request: pages[request.after]
    member_list = await harness.load(version=3)
    assert (set(member_list.members), member_list.version) == ({BOB, CEM}, 4)


async def test_concurrent_loads_of_a_member_list_share_one_request(harness: MemberListCacheHarness) -> None:
    gate = asyncio.Event()

    async def slowly() -> Membership:
        await gate.wait()
        return Membership(ROOM, 2, [member(ANN, 1)])

    harness.replies[ROOM] = lambda request: slowly()
    waiting = [asyncio.create_task(harness.load(version=2)) for _ in range(5)]
    await asyncio.sleep(0)
    late = asyncio.create_task(harness.load(version=3))
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    harness.set_members(ROOM, 3, member(ANN, 1), member(BOB, 3))
    gate.set()
    assert len({id(await task) for task in waiting[1:]}) == 1
    assert set((await late).members) == {ANN, BOB}
    assert len(harness.requests) == 2


async def test_member_lists_are_loaded_concurrently_and_fail_alone(harness: MemberListCacheHarness) -> None:
    barrier = asyncio.Barrier(2)

    async def reply_together(chat: ChatId) -> Membership:
        await barrier.wait()
        if chat == HALL:
            raise RequestError(ErrorCode.UNAVAILABLE, "unavailable")
        return Membership(chat, 1, [member(ANN, 1)])

    harness.replies = {chat: lambda request: reply_together(request.chat) for chat in (ROOM, HALL)}
    async with asyncio.timeout(1):
        member_lists = await harness.cache.load([ROOM, HALL], {})
    assert isinstance(member_lists[ROOM], ChatMembers)
    assert member_lists[HALL] == MEMBERS_UNAVAILABLE


async def test_an_invalid_reply_is_a_failure(harness: MemberListCacheHarness) -> None:
    harness.replies[ROOM] = lambda request: Membership(ROOM, 1, [], more=True)
    assert (await harness.cache.load([ROOM], {}))[ROOM] == MEMBERS_UNAVAILABLE
    harness.set_members(ROOM, 1, member(ANN, 1))
    assert set((await harness.load()).members) == {ANN}


async def test_a_chat_that_no_longer_exists_is_forgotten(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 1, member(ANN, 1))
    await harness.load(version=1)

    def gone(request: GetMembership) -> Membership:
        raise RequestError(ErrorCode.NOT_FOUND, "gone")

    harness.replies[ROOM] = gone
    assert (await harness.cache.load([ROOM], {ROOM: 2}))[ROOM] == NO_SUCH_CHAT
    assert harness.cache.cached(ROOM) is None


async def test_cached_members_are_bounded_and_the_least_recently_used_are_forgotten() -> None:
    harness = MemberListCacheHarness(members_kept=5)
    chats = [ChatId(number) for number in range(1, 5)]
    for chat in chats:
        harness.set_members(chat, 2, member(ANN, 1), member(BOB, 2))
    for chat in (*chats[:2], chats[0], chats[2]):
        await harness.load(chat, 2)
    assert [harness.cache.cached(chat) is not None for chat in chats] == [True, False, True, False]
    many = [member(AccountId(number), number) for number in range(1, 9)]
    harness.set_members(chats[3], 8, *many)
    assert len((await harness.load(chats[3], 8)).members) == 8
    assert [harness.cache.cached(chat) is not None for chat in chats] == [False, False, False, True]


async def test_a_member_list_forgotten_during_its_refresh_is_complete(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1), member(BOB, 2))
    await harness.load(version=2)
    gate = asyncio.Event()

    async def slowly() -> Membership:
        await gate.wait()
        return Membership(ROOM, 3, [member(CEM, 3)])

    harness.replies[ROOM] = lambda request: slowly()
    waiting = asyncio.create_task(harness.load(version=3))
    await asyncio.sleep(0.01)
    harness.cache._forget(ROOM)
    gate.set()
    assert set((await waiting).members) == {ANN, BOB, CEM}


async def test_an_announced_version_makes_a_member_list_outdated(harness: MemberListCacheHarness) -> None:
    """Redis still contains the older version."""
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=2)
    harness.cache.announce({ROOM: 2, HALL: 9})
    assert harness.cache.fresh(ROOM, {ROOM: 2}) is not None
    harness.cache.announce({ROOM: 3})
    assert (harness.cache.fresh(ROOM, {ROOM: 2}), harness.cache.announced(ROOM)) == (None, 3)
    harness.set_members(ROOM, 3, member(ANN, 1), member(BOB, 3))
    assert (await harness.load(version=2)).members.keys() == {ANN, BOB}
    assert (harness.cache.announced(ROOM), harness.cache.announced(HALL)) == (0, 0)
    assert harness.cache.fresh(ROOM, {ROOM: 2}) is not None


async def test_a_version_announced_during_a_load_is_loaded_next(harness: MemberListCacheHarness) -> None:
    replied = asyncio.Event()

    async def reply_slowly(_request: GetMembership) -> Membership:
        await replied.wait()
        return Membership(ROOM, 2, [member(ANN, 1)])

    harness.replies[ROOM] = reply_slowly
    loading = asyncio.create_task(harness.load(version=2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    harness.cache.announce({ROOM: 3})
    replied.set()
    await loading
    assert harness.cache.fresh(ROOM, {ROOM: 2}) is None


async def test_member_lists_are_loaded_again_after_announcements_may_be_lost(harness: MemberListCacheHarness) -> None:
    harness.set_members(ROOM, 2, member(ANN, 1))
    await harness.load(version=2)
    harness.now += 1
    harness.cache.announcements_lost("reconnected")
    assert harness.cache.fresh(ROOM, {ROOM: 2}) is None
    await harness.load(version=2)
    assert harness.cache.fresh(ROOM, {ROOM: 2}) is not None


async def test_a_load_that_takes_long_fails_and_goes_on(harness: MemberListCacheHarness) -> None:
    replied = asyncio.Event()

    async def reply_slowly(_request: GetMembership) -> Membership:
        await replied.wait()
        return Membership(ROOM, 2, [member(ANN, 1)])

    harness.set_members(HALL, 1, member(BOB, 1))
    harness.replies[ROOM] = reply_slowly
    member_lists = await harness.cache.load([ROOM, HALL], {}, 0.5)
    assert (member_lists[ROOM], isinstance(member_lists[HALL], ChatMembers)) == (MEMBERS_UNAVAILABLE, True)
    replied.set()
    await harness.load()
    assert len(harness.requests) == 2


async def test_changes_are_known_since_the_member_list_was_first_loaded(
    harness: MemberListCacheHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_list_rules, "_LOGGED_CHANGES", 3)
    harness.set_members(ROOM, 2, member(ANN, 1), member(BOB, 2))
    member_list = await harness.load(version=2)
    assert [member_list.changed_since(version) for version in (1, 2, 3)] == [None, {}, None]
    harness.set_members(ROOM, 5, member(ANN, 1), member(BOB, 4, Role.LEFT), member(CEM, 5, first=9))
    member_list = await harness.load(version=5)
    assert member_list.changed_since(2) == {BOB: 0, CEM: 9}
    assert member_list.changed_since(4) == {CEM: 9}
    assert member_list.changed_since(5) == {}
    harness.set_members(ROOM, 7, member(ANN, 6, first=3), member(BOB, 7, first=8))
    member_list = await harness.load(version=7)
    assert [member_list.changed_since(version) for version in (3, 4, 5)] == [
        None, {CEM: 9, ANN: 3, BOB: 8}, {ANN: 3, BOB: 8},
    ]  # fmt: skip
