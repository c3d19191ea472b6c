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
    await recorded.announcer.announce_incomplete(lambda: [ANN, BOB, CEM])
    assert [one.accounts for one in recorded.sent] == [[ANN, BOB], [CEM]]


async def test_a_node_without_accounts_announces_that_it_has_none(recorded: RecordedAnnouncements) -> None:
    await recorded.announcer.announce_complete()
    assert recorded.sent == [], "nothing was incomplete"
    await recorded.announcer.announce_incomplete(list)
    await recorded.announcer.announce_complete()
    listed = PresenceIncomplete(HERE, 10_000, [], starts=True, ends=True)
    assert recorded.sent == [listed, PresenceIncomplete(HERE, 0, [])]


async def test_wanted_announcements_are_numbered(
    recorded: RecordedAnnouncements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new series of announcements leaves out one number. So replicas drop the list that they got before."""
    monkeypatch.setattr(announcer, "_PAGE_ACCOUNTS", 2)
    one = recorded.announcer
    await one.announce_registered(ANN)
    assert recorded.sent == [], "nobody wants it"
    one.want()
    await one.announce_all(lambda: [ANN, BOB, CEM])
    await one.announce_registered(ANN)
    await one.withdraw()
    one.want()
    await one.announce_all(lambda: [])
    seen = [(each.number, each.accounts, each.starts, each.ends) for each in recorded.sent]
    assert seen == [
        (2, [ANN, BOB], True, False), (3, [CEM], False, True), (4, [ANN], False, False), (0, [], False, False),
        (6, [], True, True),
    ]  # fmt: skip
    assert one.first == 6
    assert [each.registered for each in recorded.sent] == [True, True, True, False, True]
    assert [each.milliseconds for each in recorded.sent] == [10_000, 10_000, 10_000, 0, 10_000]


async def test_a_list_has_what_is_here_when_its_first_number_is_given(recorded: RecordedAnnouncements) -> None:
    """A login is announced while a list of accounts waits for the previous list.

    The list must contain this login, because the announcement of the login may be lost.
    """
    one, here = recorded.announcer, {ANN}
    one.want()
    async with one._listing:
        waiting = asyncio.create_task(one.announce_all(lambda: here))
        await asyncio.sleep(0)
        here.add(BOB)
        await one.announce_registered(BOB)
    await waiting
    assert [sorted(each.accounts or ()) for each in recorded.sent] == [[BOB], [ANN, BOB]]


async def test_a_login_is_unconfirmed_until_its_number_is_confirmed(recorded: RecordedAnnouncements) -> None:
    one = recorded.announcer
    one.want()
    await asyncio.gather(one.announce_registered(ANN), one.announce_login(BOB))
    await one.announce_login(CEM)
    assert one.confirm(one.first - 1, 0.0) == []
    assert sorted(one.confirm(one.first, 0.0)) == [ANN, BOB]
    assert list(one.unconfirmed) == [CEM]
    assert one.confirm(0, asyncio.get_running_loop().time() + 1) == [CEM], "too old"
    assert not one.unconfirmed
