"""A node announces its accounts that presence lacks."""

import asyncio

import msgspec
import pytest

from services.edge.presence import announcer
from services.edge.presence.announcer import PresenceAnnouncer
from shared.contract.edge import PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.contract.subjects import PRESENCE_INCOMPLETE

HERE = NodeId("here")
ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)


class RecordedAnnouncements:
    def __init__(self) -> None:
        self.sent: list[PresenceIncomplete] = []
        self.announcer = PresenceAnnouncer(self._publish, HERE, 10.0)

    async def _publish(self, subject: str, payload: bytes) -> None:
        assert subject == PRESENCE_INCOMPLETE
        self.sent.append(msgspec.msgpack.decode(payload, type=PresenceIncomplete))


@pytest.fixture
def recorded() -> RecordedAnnouncements:
    return RecordedAnnouncements()


async def test_logins_of_one_tick_share_an_announcement(recorded: RecordedAnnouncements) -> None:
    await asyncio.gather(*(recorded.announcer.announce_login(account) for account in (ANN, BOB, CEM)))
    assert [(one.milliseconds, sorted(one.accounts or ())) for one in recorded.sent] == [(10_000, [ANN, BOB, CEM])]
    await recorded.announcer.announce_login(ANN)
    assert recorded.sent[1:] == [PresenceIncomplete(HERE, 10_000, [ANN])]


async def test_many_accounts_take_several_announcements(
    recorded: RecordedAnnouncements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "_PAGE_ACCOUNTS", 2)
    await recorded.announcer.announce_incomplete([ANN, BOB, CEM])
    assert [one.accounts for one in recorded.sent] == [[ANN, BOB], [CEM]]


async def test_a_node_announces_the_end_of_its_announcements_once(recorded: RecordedAnnouncements) -> None:
    await recorded.announcer.announce_complete()
    assert recorded.sent == [], "nothing was incomplete"
    await recorded.announcer.announce_incomplete([ANN])
    for _ in range(2):
        await recorded.announcer.announce_complete()
    assert recorded.sent == [PresenceIncomplete(HERE, 10_000, [ANN]), PresenceIncomplete(HERE, 0, [])]
