"""Announcements of session, and the silence of one of its processes."""

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters.roster_cache import AnnouncementReceiver, RosterCache
from services.message.metrics import MessageMetrics
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import ChangeTimes, GetMembership, Member, Membership, MembershipVersions

ROOM = ChatId(1)


class AnnouncementHarness:
    """A cache with one roster, and a manual clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rosters = RosterCache(self._reply, MessageMetrics(CollectorRegistry()), clock=lambda: self.now)
        self.receiver = AnnouncementReceiver(self.rosters, clock=lambda: self.now)

    async def _reply(self, request: GetMembership) -> Membership:
        member = Member(AccountId(1), Role.MEMBER, 1, 2, 1)
        return Membership(request.chat, 2, [member], change_times=ChangeTimes())

    def hear(self, process: str = "a", *, leaving: bool = False) -> None:
        self.receiver.receive(MembershipVersions({}, process, leaving))

    def is_fresh(self) -> bool:
        return self.rosters.fresh(ROOM, {ROOM: 2}) is not None

    def wait(self, seconds: float, *alive: str) -> None:
        """Pass time; the processes in `alive` send heartbeats."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for process in alive:
                self.hear(process)
            self.receiver.tick()


@pytest.fixture
async def harness() -> AnnouncementHarness:
    harness = AnnouncementHarness()
    await harness.rosters.load([ROOM], {ROOM: 2})
    return harness


async def test_the_silence_of_a_process_makes_rosters_doubtful_once(harness: AnnouncementHarness) -> None:
    harness.hear("a")
    harness.hear("b")
    harness.wait(3, "b")
    assert harness.is_fresh()
    harness.wait(2, "b")
    assert not harness.is_fresh()
    await harness.rosters.load([ROOM], {ROOM: 2})
    harness.wait(60, "b")
    assert harness.is_fresh()


async def test_a_process_that_announces_its_end_is_not_missed(harness: AnnouncementHarness) -> None:
    harness.hear()
    harness.hear(leaving=True)
    harness.wait(60)
    assert harness.is_fresh()


async def test_a_version_without_heartbeats_is_not_missed(harness: AnnouncementHarness) -> None:
    harness.receiver.receive(MembershipVersions({ROOM: 2}))
    harness.wait(60)
    assert harness.is_fresh()
    harness.receiver.receive(MembershipVersions({ROOM: 3}))
    assert not harness.is_fresh()
