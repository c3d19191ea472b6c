"""Rosters: loaded as changes, believed for a while, bounded."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters.roster_cache import NO_SUCH_CHAT, NOT_KNOWN, Memberships, Roster
from services.message.metrics import Metrics
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import GetMembership, Member, Membership

ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
ROOM, HALL = ChatId(1), ChatId(2)

Answer = Callable[[GetMembership], Membership | Awaitable[Membership]]


def member(account: AccountId, version: int, role: Role = Role.MEMBER, first: int = 1, unread: int = 1) -> Member:
    return Member(account, role, first, version, unread)


class Session:
    """Answers as it is told to; a clock that is moved by hand."""

    def __init__(self, *, members_kept: int = 100) -> None:
        self.asked: list[GetMembership] = []
        self.answers: dict[ChatId, Answer] = {}
        self.now = 1000.0
        self.rosters = Memberships(
            self._ask, Metrics(CollectorRegistry()), members_kept=members_kept, clock=lambda: self.now
        )

    async def _ask(self, request: GetMembership) -> Membership:
        self.asked.append(request)
        answer = self.answers[request.chat](request)
        return answer if isinstance(answer, Membership) else await answer

    def has(self, chat: ChatId, version: int, *members: Member) -> None:
        self.answers[chat] = lambda request: Membership(
            chat, version, [member for member in members if member.version > request.since]
        )

    async def get(self, chat: ChatId = ROOM, version: int | None = None) -> Roster:
        roster = (await self.rosters.rosters([chat], {} if version is None else {chat: version}))[chat]
        assert isinstance(roster, Roster)
        return roster


@pytest.fixture
def session() -> Session:
    return Session()


async def test_changes_are_loaded_not_lists(session: Session) -> None:
    session.has(ROOM, 2, member(ANN, 1), member(BOB, 2, first=5, unread=7))
    assert (await session.get(version=2)).members == {ANN: (1, 1), BOB: (5, 7)}
    session.has(ROOM, 4, member(ANN, 1), member(BOB, 3, Role.LEFT), member(CEM, 4, first=9, unread=0))
    roster = await session.get(version=4)
    assert (roster.members, roster.version) == ({ANN: (1, 1), CEM: (9, 9)}, 4)
    assert [request.since for request in session.asked] == [0, 2]


async def test_session_is_told_when_redis_does_not_name_the_version(session: Session) -> None:
    session.has(ROOM, 2, member(ANN, 1), member(BOB, 2))
    await session.get(version=2)
    session.now += 31
    await session.get()
    assert [request.unnamed for request in session.asked] == [False, True]


async def test_the_roster_of_a_private_chat_names_its_pair(session: Session) -> None:
    """Also once only one of them is left, and after a session of before."""
    session.answers[ROOM] = lambda _request: Membership(ROOM, 1, [member(ANN, 1), member(BOB, 1)])
    assert (await session.get(version=1)).pair is None
    session.answers[ROOM] = lambda _request: Membership(ROOM, 2, [member(BOB, 2, Role.LEFT)], pair=(ANN, BOB))
    assert (await session.get(version=2)).pair == (ANN, BOB)


async def test_a_roster_is_believed_while_redis_names_no_newer_version(session: Session) -> None:
    session.has(ROOM, 2, member(ANN, 1))
    await session.get(version=2)
    session.now += 29.9
    await session.get(version=2)
    await session.get(version=1)
    assert len(session.asked) == 1
    session.now += 0.2
    await session.get(version=2)
    assert len(session.asked) == 2
    await session.get(version=3)
    assert len(session.asked) == 3


async def test_without_a_version_a_roster_is_believed_for_a_second(session: Session) -> None:
    session.has(ROOM, 2, member(ANN, 1))
    await session.get()
    session.now += 0.9
    await session.get()
    assert len(session.asked) == 1
    session.now += 0.2
    await session.get()
    assert len(session.asked) == 2


async def test_a_version_that_session_does_not_have_is_asked_for_once(session: Session) -> None:
    """Redis may be ahead of a database that was restored."""
    session.has(ROOM, 2, member(ANN, 1))
    await session.get(version=9)
    await session.get(version=9)
    assert len(session.asked) == 1
    await session.get(version=10)
    assert len(session.asked) == 2


async def test_pages_make_one_roster_even_if_it_changes_meanwhile(session: Session) -> None:
    pages = {
        (0, 0): Membership(ROOM, 3, [member(ANN, 1), member(BOB, 2)], more=True),
        (2, BOB): Membership(ROOM, 4, [member(CEM, 3), member(ANN, 4, Role.LEFT)]),
    }
    session.answers[ROOM] = lambda request: pages[request.after]
    roster = await session.get(version=3)
    assert (set(roster.members), roster.version) == ({BOB, CEM}, 4)


async def test_whoever_waits_for_the_same_roster_waits_for_one_answer(session: Session) -> None:
    gate = asyncio.Event()

    async def slowly() -> Membership:
        await gate.wait()
        return Membership(ROOM, 2, [member(ANN, 1)])

    session.answers[ROOM] = lambda request: slowly()
    waiting = [asyncio.create_task(session.get(version=2)) for _ in range(5)]
    await asyncio.sleep(0)
    late = asyncio.create_task(session.get(version=3))
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    session.has(ROOM, 3, member(ANN, 1), member(BOB, 3))
    gate.set()
    assert len({id(await task) for task in waiting[1:]}) == 1
    assert set((await late).members) == {ANN, BOB}
    assert len(session.asked) == 2


async def test_chats_are_asked_for_at_once_and_fail_alone(session: Session) -> None:
    both = asyncio.Barrier(2)

    async def together(chat: ChatId) -> Membership:
        await both.wait()
        if chat == HALL:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        return Membership(chat, 1, [member(ANN, 1)])

    session.answers = {chat: lambda request: together(request.chat) for chat in (ROOM, HALL)}
    async with asyncio.timeout(1):
        rosters = await session.rosters.rosters([ROOM, HALL], {})
    assert isinstance(rosters[ROOM], Roster)
    assert rosters[HALL] == NOT_KNOWN


async def test_an_answer_that_makes_no_sense_is_none(session: Session) -> None:
    session.answers[ROOM] = lambda request: Membership(ROOM, 1, [], more=True)
    assert (await session.rosters.rosters([ROOM], {}))[ROOM] == NOT_KNOWN
    session.has(ROOM, 1, member(ANN, 1))
    assert set((await session.get()).members) == {ANN}


async def test_a_chat_that_is_gone_is_forgotten(session: Session) -> None:
    session.has(ROOM, 1, member(ANN, 1))
    await session.get(version=1)

    def gone(request: GetMembership) -> Membership:
        raise RequestError(ErrorCode.NOT_FOUND, "gone")

    session.answers[ROOM] = gone
    assert (await session.rosters.rosters([ROOM], {ROOM: 2}))[ROOM] == NO_SUCH_CHAT
    assert session.rosters.known(ROOM) is None


async def test_the_members_kept_are_bounded_and_the_longest_unused_go() -> None:
    session = Session(members_kept=5)
    chats = [ChatId(number) for number in range(1, 5)]
    for chat in chats:
        session.has(chat, 2, member(ANN, 1), member(BOB, 2))
    for chat in (*chats[:2], chats[0], chats[2]):
        await session.get(chat, 2)
    assert [session.rosters.known(chat) is not None for chat in chats] == [True, False, True, False]
    many = [member(AccountId(number), number) for number in range(1, 9)]
    session.has(chats[3], 8, *many)
    assert len((await session.get(chats[3], 8)).members) == 8
    assert [session.rosters.known(chat) is not None for chat in chats] == [False, False, False, True]


async def test_a_roster_that_was_dropped_while_it_was_refreshed_is_whole(session: Session) -> None:
    session.has(ROOM, 2, member(ANN, 1), member(BOB, 2))
    await session.get(version=2)
    gate = asyncio.Event()

    async def slowly() -> Membership:
        await gate.wait()
        return Membership(ROOM, 3, [member(CEM, 3)])

    session.answers[ROOM] = lambda request: slowly()
    waiting = asyncio.create_task(session.get(version=3))
    await asyncio.sleep(0.01)
    session.rosters._forget(ROOM)
    gate.set()
    assert set((await waiting).members) == {ANN, BOB, CEM}
