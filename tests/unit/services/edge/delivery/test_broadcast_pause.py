"""An edge stops receiving broadcasts only while every live replica of message has the list of its accounts."""

from collections.abc import Collection

import msgspec
import nats.errors
import pytest

from services.edge.delivery import broadcast_pause
from services.edge.delivery.broadcast_pause import BroadcastPause, KnowingReplicas
from services.edge.delivery.ordering import SILENCE_SECONDS
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.edge import Heartbeat, PresenceIncomplete
from shared.contract.ids import AccountId, NodeId
from shared.presence.store import Presence
from shared.settings import LimitsSettings, RedisSettings
from tests.unit.services.edge.presence.test_local_accounts import NullRecipient

HERE, THERE = NodeId("here"), NodeId("there")
ANN, BOB = AccountId(1), AccountId(2)


def beat(
    known: tuple[int, int] | None = None, *, replica: str = "one", wants: bool = True, leaving: bool = False
) -> Heartbeat:
    nodes = {THERE: (1, 99)} | ({} if known is None else {HERE: known})
    return Heartbeat(replica, 1, {}, leaving, wants_accounts=wants, known_nodes=nodes)


def test_all_live_replicas_must_know_the_node() -> None:
    replicas = KnowingReplicas(HERE)
    assert replicas.confirmed(1, 0.0) == 0
    replicas.heartbeat(beat((2, 5)), 0.0)
    assert replicas.confirmed(2, 0.0) == 5
    replicas.heartbeat(beat((3, 4), replica="two"), 0.0)
    assert replicas.confirmed(2, 0.0) == 4
    assert replicas.confirmed(3, 0.0) == 0, "one knows it since an earlier time, before these announcements"
    replicas.heartbeat(beat(replica="two"), 0.1)
    assert replicas.confirmed(2, 0.1) == 0
    replicas.heartbeat(beat(replica="two", leaving=True), 0.2)
    assert replicas.confirmed(2, 0.2) == 5
    assert replicas.confirmed(2, SILENCE_SECONDS + 0.1) == 0


def test_a_replica_may_have_broadcast_alone_unless_it_knows_the_node_without_interruption() -> None:
    replicas = KnowingReplicas(HERE)
    heartbeats = [((2, 5), 0.0), ((2, 6), 1.0), ((7, 8), 2.0), ((7, 9), 3.0), (None, 4.0), ((7, 9), 10.0), ((7, 9), 11)]
    assert [replicas.heartbeat(beat(known), now) for known, now in heartbeats] == [
        True, False, True, False, True, True, False,
    ]  # fmt: skip


def test_accounts_are_wanted_some_seconds_longer() -> None:
    replicas = KnowingReplicas(HERE)
    replicas.heartbeat(beat(), 1.0)
    replicas.heartbeat(beat(wants=False), 2.0)
    assert replicas.want_accounts(3.5)
    assert not replicas.want_accounts(4.0)


class PausingNode:
    """A node without connections to servers.

    `received` are its requests to NATS; `stale` are the accounts that it must sync.
    """

    def __init__(self) -> None:
        self.sent: list[PresenceIncomplete] = []
        self.received: list[bool] = []
        self.stale: list[list[AccountId] | None] = []
        self.broker_fails = False
        self.now = 0.0
        self.announcer = PresenceAnnouncer(self._publish, HERE, 10.0)
        self.accounts = LocalAccounts(HERE, Presence(RedisSettings()), LimitsSettings(), self.announcer)
        self.accounts.attach(ANN, NullRecipient(), 0.0)
        parts = HERE, self.accounts, self.announcer, self._receive, self._mark_stale
        self.pause = BroadcastPause(*parts, 10.0)

    async def _publish(self, _subject: str, payload: bytes) -> None:
        self.sent.append(msgspec.msgpack.decode(payload, type=PresenceIncomplete))

    async def _receive(self, received: bool) -> None:
        if self.broker_fails:
            raise nats.errors.TimeoutError
        self.received.append(received)

    def _mark_stale(self, _reason: str, accounts: Collection[AccountId] | None) -> None:
        self.stale.append(None if accounts is None else sorted(accounts))

    @property
    def last(self) -> int:
        """Returns the number of the last announcement."""
        return self.sent[-1].number

    async def hear(self, *heartbeats: Heartbeat, seconds: float = 0.0) -> None:
        """Handles heartbeats that arrive after this number of seconds."""
        self.now += seconds
        for heartbeat in heartbeats:
            self.pause.receive(heartbeat, self.now)
        await self.pause.on_timer()

    async def be_known(self) -> None:
        await self.hear(beat())
        await self.hear(beat((self.announcer.first, self.last)))


@pytest.fixture
async def node(monkeypatch: pytest.MonkeyPatch) -> PausingNode:
    node = PausingNode()
    for module in ("services.edge.delivery.broadcast_pause", "services.edge.presence.announcer"):
        monkeypatch.setattr(f"{module}._now", lambda: node.now)
    return node


async def test_a_node_that_is_known_pauses_and_resumes_before_it_withdraws(node: PausingNode) -> None:
    await node.hear(beat(wants=False))
    assert (node.sent, node.received) == ([], [])
    await node.hear(beat())
    assert [one.accounts for one in node.sent] == [[ANN]]
    assert node.received == []
    await node.hear(beat((node.last, node.last)))
    assert node.received == [False]
    assert node.stale == []
    await node.hear(beat((node.last, node.last)), seconds=3.1)
    assert [one.accounts for one in node.sent] == [[ANN], [ANN]]
    first = node.announcer.first
    await node.hear(beat((first, node.last), wants=False), seconds=2.9)
    node.broker_fails = True
    with pytest.raises(nats.errors.TimeoutError):
        await node.hear(beat((first, node.last), wants=False), seconds=0.2)
    assert node.last, "while broadcasts are not received for certain, the announcements stand"
    node.broker_fails = False
    await node.hear()
    assert node.received == [False, True]
    assert (node.last, node.sent[-1].milliseconds) == (0, 0)
    assert node.stale == []


@pytest.mark.parametrize(
    "heartbeat", [beat(), beat((3, 3)), beat((2, 2), replica="new")], ids=["unknown", "interrupted", "new"]
)
async def test_a_replica_that_does_not_know_the_node_makes_it_receive_broadcasts_and_sync(
    node: PausingNode, heartbeat: Heartbeat
) -> None:
    await node.be_known()
    await node.hear(heartbeat)
    assert node.received[:2] == [False, True]
    assert node.stale == [None]


async def test_the_silence_of_all_replicas_makes_the_node_receive_broadcasts_and_sync(node: PausingNode) -> None:
    await node.be_known()
    await node.hear(seconds=SILENCE_SECONDS + 0.1)
    assert node.received == [False, True]
    assert node.stale == [None]


async def test_a_login_is_synced_when_replicas_know_it(node: PausingNode) -> None:
    await node.be_known()
    first, before = node.announcer.first, node.last
    await node.announcer.announce_registered(BOB)
    await node.hear(beat((first, before)), seconds=1)
    await node.hear(beat((first, before)), seconds=1)
    assert node.accounts.is_unconfirmed(BOB)
    known = beat((first, node.last))
    await node.hear(known)
    assert node.stale == [], "a delivery batch may be behind the heartbeat"
    await node.hear(known, seconds=1)
    assert node.stale == [[BOB]]
    assert not node.accounts.has_unconfirmed


async def test_without_a_pause_a_login_is_synced_after_a_while(node: PausingNode) -> None:
    """A replica of the previous version names no node in its heartbeats."""
    await node.hear(beat())
    await node.announcer.announce_registered(BOB)
    await node.hear(beat(), seconds=broadcast_pause._UNCONFIRMED_SECONDS)
    assert node.stale == []
    await node.hear(beat(), seconds=0.1)
    assert node.stale == [[BOB]]
    assert node.received == []
