"""Envelopes: who is told what, counted, in bounded size."""

from collections.abc import AsyncIterator

import msgspec
import nats.errors
import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters import fanout
from services.message.adapters.fanout import Fanout
from services.message.adapters.roster_cache import Memberships
from services.message.domain import Said
from services.message.metrics import Metrics
from shared import presence
from shared.contract import subjects
from shared.contract.edge import Envelope, Heartbeat
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import MemberPair, Message, ProfileSummary, Role
from shared.contract.session import GetMembership, Member, Membership
from shared.presence import Presence, PresenceSnapshot
from shared.settings import Message as MessageSettings
from tests.support.servers import ValkeyServer

ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
ROOM, HALL = ChatId(1), ChatId(2)
NORTH, SOUTH = NodeId("north-1"), NodeId("south-1")


def said(chat: ChatId, index: int, size: int = 10, face: ProfileSummary | None = None) -> Said:
    return Said(Message(chat, index, MessageId(index), ANN, index, b"x" * size, Nonce(index)), face)


class World:
    """A fan-out whose envelopes are caught, on a real Valkey."""

    def __init__(self, valkey_server: ValkeyServer) -> None:
        self.edge = Presence(valkey_server.settings("edge"))
        self.sessions = Presence(valkey_server.settings("session"))
        self.own = Presence(valkey_server.settings("message"))
        self.members: dict[ChatId, list[AccountId]] = {ROOM: [ANN, BOB], HALL: [ANN, BOB, CEM]}
        self.first_index: dict[AccountId, int] = {}
        self.pairs: dict[ChatId, MemberPair] = {}
        self.version = 1
        self.away = False
        self.sent: list[tuple[str, bytes]] = []
        self.broken = False
        self.registry = CollectorRegistry()
        self.memberships = Memberships(self._membership, Metrics(CollectorRegistry()))
        self.fanout = self.with_broadcast_from(100)

    def with_broadcast_from(self, members: int, per_edge: int = 100) -> Fanout:
        settings = MessageSettings(broadcast_members=members, broadcast_members_per_edge=per_edge)
        return Fanout(self._publish, self.own, self.memberships, Metrics(CollectorRegistry()), settings)

    async def _membership(self, request: GetMembership) -> Membership:
        if self.away:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        members = [
            Member(account, Role.MEMBER, self.first_index.get(account, 1), self.version, 1)
            for account in self.members[request.chat]
        ]
        return Membership(request.chat, self.version, members, pair=self.pairs.get(request.chat))

    async def _publish(self, subject: str, payload: bytes) -> None:
        if self.broken:
            raise nats.errors.OutboundBufferLimitError
        self.sent.append((subject, payload))

    async def deliver(self, fan_out: Fanout, batch: list[Said]) -> None:
        """As the batcher does."""
        outgoing = fan_out.prepare(batch)
        await fan_out.deliver(outgoing, await self.own.lookup(outgoing.accounts, outgoing.chats))

    async def know(self, *chats: ChatId) -> None:
        """As when the drafts were checked."""
        await self.memberships.rosters(chats, {})

    async def join(self, node: NodeId, *accounts: AccountId) -> None:
        await self.edge.beat(node, 10)
        await self.edge.join(node, accounts)

    def envelopes(self, subject: str) -> list[Envelope]:
        return [msgspec.msgpack.decode(data, type=Envelope) for on, data in self.sent if on == subject]

    def told(self, subject: str) -> list[tuple[int, int, list[int] | None]]:
        return [
            (one.message.chat, one.message.index, None if one.recipients is None else sorted(one.recipients))
            for envelope in self.envelopes(subject)
            for one in envelope.deliveries
        ]

    async def beat(self) -> Heartbeat:
        await self.fanout._beat()
        subject, data = self.sent.pop()
        assert subject == subjects.HEARTBEAT
        return msgspec.msgpack.decode(data, type=Heartbeat)


@pytest.fixture
async def world(valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(presence, "_TRUST_SECONDS", 0.0)
    world = World(valkey_server)
    yield world
    for one in (world.edge, world.sessions, world.own):
        await one.close()


async def test_one_envelope_a_node_and_batch_with_counters_of_their_own(world: World) -> None:
    await world.join(NORTH, ANN, BOB)
    await world.join(SOUTH, CEM)
    await world.know(ROOM, HALL)
    await world.deliver(world.fanout, [said(ROOM, 1), said(HALL, 1), said(ROOM, 2)])
    await world.deliver(world.fanout, [said(ROOM, 3)])
    north, south = subjects.deliver(NORTH), subjects.deliver(SOUTH)
    assert world.told(north) == [(1, 1, [1, 2]), (2, 1, [1, 2]), (1, 2, [1, 2]), (1, 3, [1, 2])]
    assert world.told(south) == [(2, 1, [3])]
    assert [envelope.counter for envelope in world.envelopes(north)] == [1, 2]
    assert [envelope.counter for envelope in world.envelopes(south)] == [1]
    assert {envelope.replica for envelope in world.envelopes(north)} == {world.fanout.replica}
    assert (await world.beat()).counters == {NORTH: 2, SOUTH: 1}


async def test_each_run_of_a_replica_is_new(world: World) -> None:
    other = world.with_broadcast_from(100)
    assert other.replica != world.fanout.replica
    assert (await world.beat()).epoch == world.fanout.epoch > 1_700_000_000_000
    assert not (await world.beat()).leaving
    await world.fanout.farewell()
    assert msgspec.msgpack.decode(world.sent[-1][1], type=Heartbeat).leaving


async def test_offline_members_cost_nothing(world: World) -> None:
    await world.edge.beat(NORTH, 10)
    await world.know(ROOM)
    await world.deliver(world.fanout, [said(ROOM, 1)])
    assert world.sent == []


async def test_envelopes_stay_below_512_kib_and_lose_nothing(world: World) -> None:
    await world.join(NORTH, ANN, BOB)
    await world.know(ROOM)
    await world.deliver(world.fanout, [said(ROOM, index, 60_000) for index in range(1, 31)])
    payloads = [payload for _, payload in world.sent]
    assert len(payloads) == 4
    assert all(len(payload) <= 512 * 1024 for payload in payloads)
    assert [index for _, index, _ in world.told(subjects.deliver(NORTH))] == list(range(1, 31))
    assert [envelope.counter for envelope in world.envelopes(subjects.deliver(NORTH))] == [1, 2, 3, 4]


async def test_the_longest_list_of_recipients_fits(world: World) -> None:
    """However high the threshold of big chats is set."""
    fan_out = world.with_broadcast_from(10**9)
    for members in (39_999, 40_000):
        world.members[ROOM] = [AccountId(2**31 + number) for number in range(members)]
        world.version += 1
        await world.memberships.rosters([ROOM], {ROOM: world.version})
        await world.deliver(fan_out, [said(ROOM, 1, 60_000)])
    named, broadcast = world.envelopes(subjects.BROADCAST)
    assert len(named.deliveries[0].recipients or ()) == 39_999
    assert broadcast.deliveries[0].recipients is None
    assert max(len(payload) for _, payload in world.sent) <= 512 * 1024


async def test_the_fewer_edges_there_are_the_smaller_chats_are_broadcast(world: World) -> None:
    await world.join(NORTH, ANN, BOB)
    await world.join(SOUTH, CEM)
    await world.know(ROOM, HALL)
    fan_out = world.fanout = world.with_broadcast_from(100, per_edge=2)
    await world.deliver(fan_out, [said(ROOM, 1)])
    assert world.told(subjects.BROADCAST) == [], "no edge was heard of"
    fan_out.heard(NORTH)
    await world.beat()
    await world.deliver(fan_out, [said(ROOM, 2), said(HALL, 1)])
    assert world.told(subjects.BROADCAST) == [(ROOM, 2, None), (HALL, 1, None)]
    fan_out.heard(SOUTH)
    await world.beat()
    await world.deliver(fan_out, [said(ROOM, 3), said(HALL, 2)])
    assert world.told(subjects.deliver(NORTH)) == [(ROOM, 1, [ANN, BOB]), (ROOM, 3, [ANN, BOB]), (HALL, 2, [ANN, BOB])]
    assert world.told(subjects.deliver(SOUTH)) == [(HALL, 2, [CEM])]


async def test_of_a_chat_that_is_broadcast_nothing_is_looked_up(world: World) -> None:
    await world.know(ROOM, HALL)
    outgoing = world.with_broadcast_from(3).prepare([said(ROOM, 1), said(HALL, 1), said(ChatId(3), 1)])
    assert (outgoing.accounts, outgoing.chats) == ({ANN, BOB}, [ROOM, ChatId(3)])


async def test_edges_that_were_told_by_name_count_and_old_ones_do_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.join(NORTH, ANN, BOB)
    await world.know(ROOM)
    fan_out = world.fanout = world.with_broadcast_from(100, per_edge=2)
    await world.deliver(fan_out, [said(ROOM, 1)])
    await world.beat()
    await world.deliver(fan_out, [said(ROOM, 2)])
    monkeypatch.setattr(fanout, "_HEARD_SECONDS", 0.0)
    await world.beat()
    await world.deliver(fan_out, [said(ROOM, 3)])
    assert [index for _, index, _ in world.told(subjects.BROADCAST)] == [2]
    assert [index for _, index, _ in world.told(subjects.deliver(NORTH))] == [1, 3]


async def test_deliveries_name_the_pair_of_a_private_chat_and_the_face_of_the_sender(world: World) -> None:
    await world.join(NORTH, ANN, BOB)
    world.pairs[ROOM] = (ANN, BOB)
    await world.know(ROOM, HALL)
    face = ProfileSummary("Ann", "00000000-0000-4000-8000-000000000001")
    for fan_out, subject in (
        (world.fanout, subjects.deliver(NORTH)),
        (world.with_broadcast_from(1), subjects.BROADCAST),
    ):
        await world.deliver(fan_out, [said(ROOM, 1, face=face), said(HALL, 1)])
        (envelope,) = world.envelopes(subject)
        assert [(one.pair, one.face) for one in envelope.deliveries] == [((ANN, BOB), face), (None, None)]


async def test_pairs_and_faces_have_their_room_in_an_envelope(world: World) -> None:
    await world.join(NORTH, AccountId(2**53), AccountId(2**53 - 1))
    world.members[ROOM] = [AccountId(2**53), AccountId(2**53 - 1)]
    world.pairs[ROOM] = (AccountId(2**53 - 1), AccountId(2**53))
    await world.know(ROOM)
    await world.deliver(
        world.fanout, [said(ROOM, 2**40 + index, face=ProfileSummary("😀" * 64, "x" * 36)) for index in range(4_000)]
    )
    assert len(world.sent) > 2
    assert max(len(payload) for _, payload in world.sent) <= fanout._ENVELOPE_BYTES + 100


async def test_big_chats_go_by_the_newest_version_that_is_known_without_asking_for_members(world: World) -> None:
    await world.join(NORTH, ANN, BOB, CEM)
    fan_out = world.with_broadcast_from(3)
    await world.know(HALL)
    world.away = True
    for version in (0, 7):
        await fan_out.deliver(fan_out.prepare([said(HALL, 1)]), PresenceSnapshot({}, {HALL: version}))
    told = [envelope.deliveries[0] for envelope in world.envelopes(subjects.BROADCAST)]
    assert [(one.recipients, one.version) for one in told] == [(None, 1), (None, 7)]


async def test_members_who_came_after_the_check_are_found(world: World) -> None:
    await world.join(NORTH, ANN, CEM)
    await world.know(ROOM)
    world.members[ROOM].append(CEM)
    world.version = 2
    await world.sessions.publish_versions({ROOM: 2})
    await world.deliver(world.fanout, [said(ROOM, 1)])
    assert world.told(subjects.deliver(NORTH)) == [(1, 1, [1, 3])]


@pytest.mark.parametrize("known", [True, False])
async def test_who_joined_after_a_message_is_not_told_of_it(world: World, known: bool) -> None:
    """Whether it is known where people are, or not."""
    where = subjects.deliver(NORTH) if known else subjects.BROADCAST
    if known:
        await world.join(NORTH, ANN, CEM)
        await world.join(SOUTH, CEM)
    await world.know(ROOM)
    world.members[ROOM].append(CEM)
    world.first_index[CEM] = 3
    world.version = 2
    await world.sessions.publish_versions({ROOM: 2})
    await world.deliver(world.fanout, [said(ROOM, index) for index in (3, 4, 2)])
    everybody, before = ([ANN, CEM], [ANN]) if known else ([ANN, BOB, CEM], [ANN, BOB])
    assert world.told(where) == [(ROOM, 3, everybody), (ROOM, 4, everybody), (ROOM, 2, before)]
    assert [index for _, index, _ in world.told(subjects.deliver(SOUTH))] == ([3, 4] if known else [])


async def test_a_roster_that_is_renewed_during_the_look_up_is_looked_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another batch asks session meanwhile: its answer names members whose nodes were not asked for."""
    await world.join(NORTH, ANN, CEM)
    await world.know(ROOM)
    look_up = world.own.lookup
    world.members[ROOM].append(CEM)

    async def interrupted(*of: object, **named: object) -> object:
        found = await look_up(*of, **named)  # type: ignore[arg-type]
        if world.version == 1:
            world.version = 2
            await world.memberships.rosters([ROOM], {ROOM: 2})
        return found

    monkeypatch.setattr(world.own, "lookup", interrupted)
    await world.deliver(world.fanout, [said(ROOM, 1)])
    assert world.told(subjects.deliver(NORTH)) == [(1, 1, [1, 3])]


async def test_members_that_cannot_be_known_are_told_to_sync(world: World) -> None:
    await world.join(NORTH, ANN, BOB)
    await world.know(ROOM, HALL)
    await world.sessions.publish_versions({ROOM: 2})
    world.away = True
    await world.deliver(world.fanout, [said(ROOM, 1), said(HALL, 1)])
    assert world.told(subjects.deliver(NORTH)) == [(2, 1, [1, 2])]
    assert (await world.beat()).counters == {NORTH: 1, "all": 1}


async def test_an_envelope_that_cannot_be_handed_over_shows_in_the_counter(world: World) -> None:
    await world.join(NORTH, ANN)
    await world.know(ROOM)
    world.broken = True
    await world.deliver(world.fanout, [said(ROOM, 1)])
    await world.fanout.farewell()
    world.broken = False
    await world.deliver(world.fanout, [said(ROOM, 2)])
    assert [envelope.counter for envelope in world.envelopes(subjects.deliver(NORTH))] == [2]


async def test_heartbeats_repeat_recent_counters_and_old_ones_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.join(NORTH, ANN)
    await world.know(ROOM)
    await world.deliver(world.fanout, [said(ROOM, 1)])
    monkeypatch.setattr(fanout, "_REPEATED_SECONDS", 0.0)
    assert (await world.beat()).counters == {}
    await world.deliver(world.fanout, [said(ROOM, 2)])
    assert [envelope.counter for envelope in world.envelopes(subjects.deliver(NORTH))] == [1, 2]


async def test_counters_of_nodes_long_unused_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "_NODES_KEPT", 3)
    await world.know(ROOM)
    world.fanout.announce_loss()
    for index, node in enumerate(("a-1", "b-1", "c-1"), 1):
        await world.join(NodeId(node), ANN)
        await world.deliver(world.fanout, [said(ROOM, index)])
        await world.edge.leave(NodeId(node), [ANN])
    assert (await world.beat()).counters == {"all": 1, "b-1": 1, "c-1": 1}
