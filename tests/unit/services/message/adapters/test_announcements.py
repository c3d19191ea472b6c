"""Session announces changes of member lists. Tests what happens when one of its processes is silent."""

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters.member_list_cache import AnnouncementReceiver, MemberListCache
from services.message.metrics import MessageMetrics
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import ChangeTimes, GetMembership, Member, Membership, MembershipVersions

ROOM = ChatId(1)


class AnnouncementHarness:
    """A cache with one member list, and a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.member_lists = MemberListCache(self._reply, MessageMetrics(CollectorRegistry()), clock=lambda: self.now)
        self.receiver = AnnouncementReceiver(self.member_lists, clock=lambda: self.now)

    async def _reply(self, request: GetMembership) -> Membership:
        member = Member(AccountId(1), Role.MEMBER, 1, 2, 1)
        return Membership(request.chat, 2, [member], change_times=ChangeTimes())

    def hear(self, process: str = "a", *, leaving: bool = False) -> None:
        self.receiver.receive(MembershipVersions({}, process, leaving))

    def is_fresh(self) -> bool:
        return self.member_lists.fresh(ROOM, {ROOM: 2}) is not None

    def wait(self, seconds: float, *alive: str) -> None:
        """Lets time pass. The processes in `alive` send heartbeats meanwhile."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for process in alive:
                self.hear(process)
            self.receiver.on_timer()


@pytest.fixture
async def harness() -> AnnouncementHarness:
    harness = AnnouncementHarness()
    await harness.member_lists.load([ROOM], {ROOM: 2})
    return harness


async def test_the_silence_of_a_process_makes_member_lists_doubtful_once(harness: AnnouncementHarness) -> None:
    harness.hear("a")
    harness.hear("b")
    harness.wait(3, "b")
    assert harness.is_fresh()
    harness.wait(2, "b")
    assert not harness.is_fresh()
    await harness.member_lists.load([ROOM], {ROOM: 2})
    harness.wait(60, "b")
    assert harness.is_fresh()


async def test_a_process_that_announces_its_end_is_not_missed(harness: AnnouncementHarness) -> None:
    harness.hear()
    harness.hear(leaving=True)
    harness.wait(60)
    assert harness.is_fresh()


async def test_an_announced_change_need_not_be_followed_by_another(harness: AnnouncementHarness) -> None:
    """Only heartbeats contain the name of their process."""
    harness.receiver.receive(MembershipVersions({ROOM: 2}))
    harness.wait(60)
    assert harness.is_fresh()
