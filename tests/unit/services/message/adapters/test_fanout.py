"""Tests how messages are delivered to edges (fan-out): recipients, counters and sizes of delivery batches, and
heartbeats.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import msgspec
import nats.errors
import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters import fanout
from services.message.adapters.fanout import _BATCH_BYTES, Fanout
from services.message.adapters.member_list_cache import MemberListCache
from services.message.domain import CommittedMessage
from services.message.metrics import MessageMetrics
from shared.contract import subjects
from shared.contract.edge import DeliveryBatch, Heartbeat, RecentJoins
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Role
from shared.contract.session import GetMembership, Member, Membership
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings.messages import MessageSettings
from tests.support.servers import ValkeyServer
from tests.unit.services.message.environment import sole_leadership

ANN, BOB, CEM, DAN = (AccountId(number) for number in (1, 2, 3, 4))
ROOM, HALL = ChatId(1), ChatId(2)
NORTH, SOUTH = NodeId("north-1"), NodeId("south-1")


def committed(chat: ChatId, index: int, size: int = 10, face: ProfileSummary | None = None) -> CommittedMessage:
    return CommittedMessage(Message(chat, index, MessageId(index), ANN, index, b"x" * size, Nonce(index)), face)


class FanoutHarness:
    """A fan-out on a real Valkey. It records the delivery batches that it publishes."""

    def __init__(self, valkey_server: ValkeyServer) -> None:
        self.edge = Presence(valkey_server.settings("edge"))
        self.sessions = Presence(valkey_server.settings("session"))
        self.own = Presence(valkey_server.settings("message"))
        self.members: dict[ChatId, list[AccountId]] = {ROOM: [ANN, BOB], HALL: [ANN, BOB, CEM]}
        self.first_index: dict[AccountId, int] = {}
        self.pairs: dict[ChatId, MemberPair] = {}
        self.version = 1
        self.session_unavailable = False
        self.sent: list[tuple[str, bytes]] = []
        self.publish_fails = False
        self.registry = CollectorRegistry()
        self.member_lists = MemberListCache(self._membership, MessageMetrics(CollectorRegistry()))
        self.announced_to_webhooks: list[tuple[ChatId, int]] = []
        self.has_webhooks = False
        self.fanout = self.make_fanout(100)

    def make_fanout(self, per_edge: int, *present: NodeId) -> Fanout:
        metrics, settings = MessageMetrics(CollectorRegistry()), MessageSettings(broadcast_members_per_edge=per_edge)
        announce, leadership = self._announce_to_webhooks, sole_leadership()
        made = Fanout(self._publish, self.own, self.member_lists, metrics, settings, leadership, announce)
        for node in present:
            made.edge_seen(node, time.monotonic())
        return made

    def _announce_to_webhooks(self, chat: ChatId, index: int) -> None:
        self.announced_to_webhooks.append((chat, index))

    async def _membership(self, request: GetMembership) -> Membership:
        if self.session_unavailable:
            raise RequestError(ErrorCode.UNAVAILABLE, "unavailable")
        members = [
            Member(account, Role.MEMBER, self.first_index.get(account, 1), self.version, 1)
            for account in self.members[request.chat]
        ]
        pair, has_webhook = self.pairs.get(request.chat), self.has_webhooks and request.chat == ROOM
        return Membership(request.chat, self.version, members, pair=pair, outgoing_hooks=has_webhook)

    async def _publish(self, subject: str, payload: bytes) -> None:
        if self.publish_fails:
            raise nats.errors.OutboundBufferLimitError
        self.sent.append((subject, payload))

    async def deliver(self, fan_out: Fanout, batch: list[CommittedMessage]) -> None:
        """Delivers a batch as the posting service does: plan, lookup, delivery."""
        plan = fan_out.plan(batch)
        await fan_out.deliver(plan, await fan_out.look_up(plan, ()))

    async def load_member_lists(self, *chats: ChatId) -> None:
        """Loads the member lists, as the check of the drafts does."""
        await self.member_lists.load(chats, {})

    async def join(self, node: NodeId, *accounts: AccountId) -> None:
        await self.edge.beat(node, 10)
        await self.edge.join(node, accounts)

    def batches(self, subject: str) -> list[DeliveryBatch]:
        return [msgspec.msgpack.decode(data, type=DeliveryBatch) for on, data in self.sent if on == subject]

    def received(self, subject: str) -> list[tuple[int, int, list[int] | None]]:
        return [
            (one.message.chat, one.message.index, None if one.recipients is None else sorted(one.recipients))
            for batch in self.batches(subject)
            for one in batch.deliveries
        ]

    async def beat(self, *, leaving: bool = False) -> Heartbeat:
        await self.fanout._beat(leaving=leaving)
        subject, data = self.sent.pop()
        assert subject == subjects.HEARTBEAT
        return msgspec.msgpack.decode(data, type=Heartbeat)


@pytest.fixture
async def harness(valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FanoutHarness]:
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    harness = FanoutHarness(valkey_server)
    yield harness
    for one in (harness.edge, harness.sessions, harness.own):
        await one.close()


async def test_each_node_gets_one_batch_per_batch_with_its_own_counter(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN, BOB)
    await harness.join(SOUTH, CEM)
    await harness.load_member_lists(ROOM, HALL)
    await harness.deliver(harness.fanout, [committed(ROOM, 1), committed(HALL, 1), committed(ROOM, 2)])
    await harness.deliver(harness.fanout, [committed(ROOM, 3)])
    north, south = subjects.deliver(NORTH), subjects.deliver(SOUTH)
    assert harness.received(north) == [(1, 1, [1, 2]), (2, 1, [1, 2]), (1, 2, [1, 2]), (1, 3, [1, 2])]
    assert harness.received(south) == [(2, 1, [3])]
    assert [batch.counter for batch in harness.batches(north)] == [1, 2]
    assert [batch.counter for batch in harness.batches(south)] == [1]
    assert {batch.replica for batch in harness.batches(north)} == {harness.fanout.replica}
    assert (await harness.beat()).counters == {}


async def test_messages_are_announced_to_webhooks_once_the_member_list_has_some(harness: FanoutHarness) -> None:
    await harness.load_member_lists(ROOM, HALL)
    await harness.deliver(harness.fanout, [committed(ROOM, 1), committed(HALL, 1)])
    assert harness.announced_to_webhooks == []
    harness.has_webhooks, harness.version = True, 2
    harness.member_lists.announce({ROOM: 2, HALL: 2})
    await harness.deliver(harness.fanout, [committed(ROOM, 2), committed(HALL, 2), committed(ROOM, 3)])
    assert harness.announced_to_webhooks == [(ROOM, 2), (ROOM, 3)]


async def test_a_lost_generation_makes_every_edge_sync(harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a previous primary server of Redis, no edge refreshes the generation. Nothing is sent meanwhile."""
    monkeypatch.setattr("services.message.adapters.fanout._HEARTBEAT_SECONDS", 0.02)
    await harness.edge.beat(NORTH, 0.3)
    running = asyncio.create_task(harness.fanout.run())
    await asyncio.sleep(0.2)
    assert (await harness.beat()).counters == {}
    await asyncio.sleep(0.3)
    assert (await harness.beat()).counters == {"all": 1}
    await harness.edge.beat(NORTH, 10)
    await asyncio.sleep(0.1)
    assert (await harness.beat()).counters == {"all": 1}
    running.cancel()


async def test_each_process_of_a_replica_has_its_own_id_and_epoch(harness: FanoutHarness) -> None:
    other = harness.make_fanout(100)
    assert other.replica != harness.fanout.replica
    assert (await harness.beat()).epoch == harness.fanout.epoch > 1_700_000_000_000
    assert not (await harness.beat()).leaving
    await harness.fanout.announce_shutdown()
    assert msgspec.msgpack.decode(harness.sent[-1][1], type=Heartbeat).leaving


async def test_offline_members_cause_no_batches(harness: FanoutHarness) -> None:
    await harness.edge.beat(NORTH, 10)
    await harness.load_member_lists(ROOM)
    await harness.deliver(harness.fanout, [committed(ROOM, 1)])
    assert harness.sent == []


async def test_batches_stay_below_512_kib_and_lose_nothing(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN, BOB)
    await harness.load_member_lists(ROOM)
    await harness.deliver(harness.fanout, [committed(ROOM, index, 60_000) for index in range(1, 31)])
    payloads = [payload for _, payload in harness.sent]
    assert len(payloads) == 4
    assert all(len(payload) <= 512 * 1024 for payload in payloads)
    assert [index for _, index, _ in harness.received(subjects.deliver(NORTH))] == list(range(1, 31))
    assert [batch.counter for batch in harness.batches(subjects.deliver(NORTH))] == [1, 2, 3, 4]


async def test_the_longest_list_of_recipients_fits_into_a_batch(harness: FanoutHarness) -> None:
    """The longest list fits for any cost of lookups."""
    fan_out = harness.make_fanout(10**9)
    for members in (39_999, 40_000):
        harness.members[ROOM] = [AccountId(2**31 + number) for number in range(members)]
        harness.version += 1
        await harness.member_lists.load([ROOM], {ROOM: harness.version})
        await harness.deliver(fan_out, [committed(ROOM, 1, 60_000)])
    named, broadcast = harness.batches(subjects.BROADCAST)
    assert len(named.deliveries[0].recipients or ()) == 39_999
    assert broadcast.deliveries[0].recipients is None
    assert max(len(payload) for _, payload in harness.sent) <= 512 * 1024


async def test_a_chat_is_broadcast_once_few_edges_hold_no_member(harness: FanoutHarness) -> None:
    """The rule applies from two members for each edge without a member."""
    await harness.join(NORTH, ANN, BOB)
    await harness.load_member_lists(ROOM, HALL)
    fan_out = harness.fanout = harness.make_fanout(2)
    await harness.deliver(fan_out, [committed(ROOM, 1)])
    assert harness.received(subjects.BROADCAST) == [], "no edge is present"
    fan_out.edge_seen(NORTH, time.monotonic())
    await harness.deliver(fan_out, [committed(ROOM, 2), committed(HALL, 1)])
    assert harness.received(subjects.BROADCAST) == [(ROOM, 2, None), (HALL, 1, None)], "at one edge, whoever is there"
    fan_out.edge_seen(SOUTH, time.monotonic())
    fan_out.edge_seen(NodeId("west-1"), time.monotonic())
    await harness.deliver(fan_out, [committed(HALL, 2)])
    assert harness.received(subjects.deliver(NORTH)) == [(ROOM, 1, [ANN, BOB]), (HALL, 2, [ANN, BOB])]
    await harness.deliver(fan_out, [committed(HALL, 3)])
    assert harness.received(subjects.deliver(NORTH))[2:] == [(HALL, 3, [ANN, BOB])], "two edges hold no member"
    await harness.join(SOUTH, CEM)
    await harness.deliver(fan_out, [committed(HALL, 4)])
    assert harness.received(subjects.deliver(SOUTH)) == [(HALL, 4, [CEM])]
    await harness.deliver(fan_out, [committed(HALL, 5), committed(ROOM, 3)])
    assert harness.received(subjects.BROADCAST)[2:] == [(HALL, 5, None)], "one edge is in vain"


async def test_what_edges_hold_is_looked_up_again(harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.join(NORTH, ANN, BOB)
    await harness.join(SOUTH, CEM)
    await harness.load_member_lists(HALL)
    fan_out = harness.fanout = harness.make_fanout(3, NORTH, SOUTH)
    for index in (1, 2):
        await harness.deliver(fan_out, [committed(HALL, index)])
    assert harness.received(subjects.BROADCAST) == [(HALL, 2, None)]
    await harness.beat()
    await harness.deliver(fan_out, [committed(HALL, 3)])
    assert len(harness.received(subjects.BROADCAST)) == 2
    monkeypatch.setattr(fanout, "_KNOWN_SECONDS", 0.0)
    await harness.beat()
    await harness.deliver(fan_out, [committed(HALL, 4)])
    assert harness.received(subjects.deliver(SOUTH))[-1] == (HALL, 4, [CEM])


async def test_a_member_list_that_is_loaded_after_the_lookup_may_be_one_of_a_broadcast_chat(
    harness: FanoutHarness,
) -> None:
    """In that case, no member is looked up."""
    await harness.join(NORTH, ANN, BOB, CEM)
    fan_out = harness.make_fanout(3, NORTH)
    await harness.deliver(fan_out, [committed(HALL, 1), committed(ROOM, 1)])
    assert harness.received(subjects.BROADCAST) == [(HALL, 1, None)]
    assert harness.received(subjects.deliver(NORTH)) == [(ROOM, 1, [ANN, BOB])]


async def test_a_broadcast_chat_is_not_looked_up(harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.load_member_lists(ROOM, HALL)
    lookups: list[tuple[Collection[AccountId], Collection[ChatId]]] = []

    async def record(accounts: Collection[AccountId], chats: Collection[ChatId]) -> PresenceSnapshot:
        lookups.append((accounts, chats))
        return PresenceSnapshot({}, {})

    monkeypatch.setattr(harness.own, "lookup", record)
    fan_out = harness.make_fanout(3, NORTH)
    await fan_out.look_up(fan_out.plan([committed(ROOM, 1), committed(HALL, 1), committed(ChatId(3), 1)]), ())
    assert lookups == [({ANN, BOB}, {ROOM, ChatId(3)})]
    await fan_out.look_up(fan_out.plan([committed(HALL, 1)]), ())
    assert len(lookups) == 1
    await fan_out.look_up(fan_out.plan([committed(HALL, 1)]), [HALL])
    assert lookups[1:] == [(set(), {HALL})]


async def test_edges_with_recent_batches_are_present_and_idle_ones_are_not(
    harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.join(NORTH, ANN, BOB)
    await harness.load_member_lists(ROOM)
    fan_out = harness.fanout = harness.make_fanout(2)
    await harness.deliver(fan_out, [committed(ROOM, 1)])
    await harness.beat()
    await harness.deliver(fan_out, [committed(ROOM, 2)])
    monkeypatch.setattr(fanout, "_PRESENT_SECONDS", 0.0)
    await harness.beat()
    await harness.deliver(fan_out, [committed(ROOM, 3)])
    assert [index for _, index, _ in harness.received(subjects.BROADCAST)] == [2]
    assert [index for _, index, _ in harness.received(subjects.deliver(NORTH))] == [1, 3]


async def test_deliveries_have_the_pair_of_a_private_chat_and_the_profile_of_the_sender(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN, BOB)
    harness.pairs[ROOM] = (ANN, BOB)
    await harness.load_member_lists(ROOM, HALL)
    face = ProfileSummary("Ann", "00000000-0000-4000-8000-000000000001")
    for fan_out, subject in (
        (harness.fanout, subjects.deliver(NORTH)),
        (harness.make_fanout(1, NORTH), subjects.BROADCAST),
    ):
        await harness.deliver(fan_out, [committed(ROOM, 1, face=face), committed(HALL, 1)])
        (batch,) = harness.batches(subject)
        assert [(one.pair, one.face) for one in batch.deliveries] == [((ANN, BOB), face), (None, None)]


async def test_pairs_and_profiles_count_towards_the_batch_size(harness: FanoutHarness) -> None:
    await harness.join(NORTH, AccountId(2**53), AccountId(2**53 - 1))
    harness.members[ROOM] = [AccountId(2**53), AccountId(2**53 - 1)]
    harness.pairs[ROOM] = (AccountId(2**53 - 1), AccountId(2**53))
    await harness.load_member_lists(ROOM)
    await harness.deliver(
        harness.fanout,
        [committed(ROOM, 2**40 + index, face=ProfileSummary("😀" * 64, "x" * 36)) for index in range(4_000)],
    )
    assert len(harness.sent) > 2
    assert max(len(payload) for _, payload in harness.sent) <= _BATCH_BYTES + 100


async def test_a_broadcast_has_the_newest_version_without_a_reload_of_the_member_list(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN, BOB, CEM)
    fan_out = harness.make_fanout(3, NORTH)
    await harness.load_member_lists(HALL)
    harness.session_unavailable = True
    for version in (0, 7):
        await fan_out.deliver(fan_out.plan([committed(HALL, 1)]), PresenceSnapshot({}, {HALL: version}))
    deliveries = [batch.deliveries[0] for batch in harness.batches(subjects.BROADCAST)]
    assert [(one.recipients, one.version) for one in deliveries] == [(None, 1), (None, 7)]


async def test_a_broadcast_names_the_recent_joins(harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first delivery of a chat in a batch names recent joins.

    A member list that is older than the newest version names none. It also names none when the events of the joins have
    arrived.
    """
    await harness.join(NORTH, ANN, BOB, CEM)
    fan_out = harness.make_fanout(3, NORTH)
    await harness.load_member_lists(HALL)
    await harness.deliver(fan_out, [committed(HALL, 1)])
    harness.members[HALL].append(DAN)
    harness.version = 2
    harness.member_lists.announce({HALL: 2})
    await harness.deliver(fan_out, [committed(HALL, 2)])
    await harness.load_member_lists(HALL)
    await harness.deliver(fan_out, [committed(HALL, 3), committed(HALL, 4)])
    monkeypatch.setattr(fanout, "_CHANGING_SECONDS", 0.0)
    await harness.deliver(fan_out, [committed(HALL, 5)])
    deliveries = [one for batch in harness.batches(subjects.BROADCAST) for one in batch.deliveries]
    recent = RecentJoins(1, {ANN: 1, BOB: 1, CEM: 1, DAN: 1})
    assert [one.version for one in deliveries] == [1, 2, 2, 2, 2]
    assert [one.recent for one in deliveries] == [None, None, recent, None, None]


@pytest.mark.parametrize("known", [True, False])
async def test_members_get_no_messages_from_before_they_joined(harness: FanoutHarness, known: bool) -> None:
    """This holds while presence is known, and while it is not."""
    subject = subjects.deliver(NORTH) if known else subjects.BROADCAST
    if known:
        await harness.join(NORTH, ANN, CEM)
        await harness.join(SOUTH, CEM)
    await harness.load_member_lists(ROOM)
    harness.members[ROOM].append(CEM)
    harness.first_index[CEM] = 3
    harness.version = 2
    await harness.sessions.publish_versions({ROOM: 2})
    await harness.deliver(harness.fanout, [committed(ROOM, index) for index in (3, 4, 2)])
    all_members, before = ([ANN, CEM], [ANN]) if known else ([ANN, BOB, CEM], [ANN, BOB])
    assert harness.received(subject) == [(ROOM, 3, all_members), (ROOM, 4, all_members), (ROOM, 2, before)]
    assert [index for _, index, _ in harness.received(subjects.deliver(SOUTH))] == ([3, 4] if known else [])


async def test_a_member_list_reloaded_during_the_lookup_is_looked_up_again(
    harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile, another batch loads the member list again. It has members that were not looked up."""
    await harness.join(NORTH, ANN, CEM)
    await harness.load_member_lists(ROOM)
    lookup = harness.own.lookup
    harness.members[ROOM].append(CEM)

    async def interrupted(*args: object, **kwargs: object) -> object:
        found = await lookup(*args, **kwargs)  # type: ignore[arg-type]
        if harness.version == 1:
            harness.version = 2
            await harness.member_lists.load([ROOM], {ROOM: 2})
        return found

    monkeypatch.setattr(harness.own, "lookup", interrupted)
    await harness.deliver(harness.fanout, [committed(ROOM, 1)])
    assert harness.received(subjects.deliver(NORTH)) == [(1, 1, [1, 3])]


async def test_unknown_members_make_every_edge_sync(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN, BOB)
    await harness.load_member_lists(ROOM, HALL)
    await harness.sessions.publish_versions({ROOM: 2})
    harness.session_unavailable = True
    await harness.deliver(harness.fanout, [committed(ROOM, 1), committed(HALL, 1)])
    assert harness.received(subjects.deliver(NORTH)) == [(2, 1, [1, 2])]
    assert (await harness.beat()).counters == {"all": 1}


async def test_a_batch_that_cannot_be_published_leaves_a_gap_in_the_counter(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN)
    await harness.load_member_lists(ROOM)
    harness.publish_fails = True
    await harness.deliver(harness.fanout, [committed(ROOM, 1)])
    await harness.fanout.announce_shutdown()
    harness.publish_fails = False
    await harness.deliver(harness.fanout, [committed(ROOM, 2)])
    assert [batch.counter for batch in harness.batches(subjects.deliver(NORTH))] == [3]


async def test_an_empty_batch_follows_the_last_one(harness: FanoutHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The empty batch skips a number if the last batch is lost. It is sent only to the node of that batch."""
    monkeypatch.setattr(fanout, "_QUIET_SECONDS", 0.0)
    await harness.join(NORTH, ANN)
    await harness.join(SOUTH, CEM)
    await harness.load_member_lists(ROOM)
    await harness.deliver(harness.fanout, [committed(ROOM, 1)])
    harness.publish_fails = True
    await harness.deliver(harness.fanout, [committed(ROOM, 2)])
    harness.publish_fails = False
    assert (await harness.beat()).counters == {}
    batches = harness.batches(subjects.deliver(NORTH))
    assert [(one.counter, len(one.deliveries)) for one in batches] == [(1, 1), (3, 0)]
    assert harness.batches(subjects.deliver(SOUTH)) == []


async def test_a_replica_that_leaves_closes_what_is_not_closed(harness: FanoutHarness) -> None:
    await harness.join(NORTH, ANN)
    await harness.load_member_lists(ROOM)
    await harness.deliver(harness.fanout, [committed(ROOM, 1)])
    assert (await harness.beat(leaving=True)).leaving
    assert [one.counter for one in harness.batches(subjects.deliver(NORTH))] == [1, 2]
