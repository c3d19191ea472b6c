"""Social events reach local accounts whose dialect has them. Stored events are sent at the login."""

import json
from typing import Any

import pytest

from services.edge.canonical.transport import Handshake
from services.edge.http.operation_connection import OperationConnection
from shared.bus.client import pack
from shared.contract import subjects
from shared.contract.contacts import (
    DropPendingEvents,
    ListPendingEvents,
    ListRequests,
    PendingEvent,
    PendingEvents,
    PendingFriendship,
    PendingMembership,
    Requests,
)
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    EdgeEvent,
    FriendshipRequested,
    MembershipAnswered,
    Notify,
)
from shared.contract.ephemeral import ChatSettingsChanged
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import Sync
from shared.contract.model import JoinPolicy
from shared.contract.routes import Ack
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import FakeSocket, dial, reply_to
from tests.unit.services.edge.fake_services import FakeService

ANN, BOB, CHAT = AccountId(1), AccountId(2), ChatId(7)
ADDED = {"group_id": CHAT, "group_name": "g", "ocid": BOB}
LOGINS = {
    "ourchat-v0": '{"code": 6, "data": {"ocId": "0000000002", "password": "right"}}',
    "ourchat-v1": '{"code": 6, "time": 0, "data": {"account": 2, "password": "right"}}',
    "ourchat-v2": '{"code": 6, "login_type": 1, "account": "0000000002", "password": "right"}',
    "pipe": "login|2|right",
    "native": '{"op":"login","id":1,"identifier":"2","kind":"id","secret":{"scheme":"plain","value":"right"}}',
}


class FakePendingEvents(FakeService):
    """A fake of session's lists of pending requests and stored notifications."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("session", cluster.nats)
        self.pending_requests = Requests([], [])
        self.events: list[PendingEvent] = []
        self.bus.serve(ListRequests.route, self._requests, queue="session")
        self.bus.serve(ListPendingEvents.route, self._list, queue="session")
        self.bus.serve(DropPendingEvents.route, self._drop, queue="session")

    async def _requests(self, request: ListRequests) -> Requests:
        return self.pending_requests

    async def _list(self, request: ListPendingEvents) -> PendingEvents:
        return PendingEvents(self.events)

    async def _drop(self, request: DropPendingEvents) -> Ack:
        await self.record(request)
        return Ack()


@pytest.fixture
async def pending(cluster: EdgeCluster) -> FakePendingEvents:
    await cluster.add_edge()
    pending = FakePendingEvents(cluster)
    await cluster.run(pending.bus)
    return pending


async def log_in(cluster: EdgeCluster, dialect: str) -> FakeSocket:
    """Returns a connection of Bob that is logged in."""
    wire = dial(cluster.edges[0].endpoint, f"/ws/{dialect}")
    await reply_to(wire, LOGINS[dialect])
    return wire


def events_of(wire: FakeSocket) -> list[tuple[int, Any]]:
    """Returns the code and the data of the frames after the login."""
    frames = [json.loads(frame) for frame in wire.received[1:]]
    return [(frame["code"], frame["data"]) for frame in frames]


async def publish(pending: FakePendingEvents, event: EdgeEvent, *, broadcast: bool = False) -> None:
    await pending.bus.publish(subjects.NOTIFY_ALL, pack(Notify(event, None if broadcast else [ANN, BOB])))


async def test_a_member_added_to_a_group_is_notified_as_if_accepted(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    wire = await log_in(cluster, "ourchat-v1")
    await publish(pending, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    await wire.until(lambda: len(wire.received) > 1)
    assert events_of(wire) == [(10, ADDED)]
    await pending.until_requested(DropPendingEvents)
    assert pending.requests == [DropPendingEvents([70], BOB)]


async def test_an_event_stays_stored_until_it_has_arrived_at_a_client(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    lost, login = dial(cluster.edges[0].endpoint, "/ws/ourchat-v1"), LOGINS["ourchat-v1"]
    lost.mute = True
    await reply_to(lost, login)
    await publish(pending, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    await lost.until(lambda: lost.pings > 0)
    assert events_of(lost) == [(10, ADDED)]
    lost.vanish()
    pending.events = [PendingEvent(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=True)))]
    wire = await log_in(cluster, "ourchat-v1")
    await pending.until_requested(DropPendingEvents)
    assert events_of(wire) == [(10, ADDED)]
    assert pending.requests == [DropPendingEvents([70], BOB)]


async def test_a_chat_without_added_members_notifies_no_account(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    wire = await log_in(cluster, "ourchat-v1")
    await publish(pending, ChatCreated(CHAT, ANN, [ANN, BOB]))
    await publish(pending, MembershipAnswered(CHAT, "g", BOB, accepted=True))
    await wire.until(lambda: len(wire.received) > 1)
    assert events_of(wire) == [(10, ADDED)]


@pytest.mark.parametrize("dialect", ["ourchat-v0", "ourchat-v2", "pipe"])
async def test_dialects_without_the_event_send_nothing_and_it_stays_stored(
    cluster: EdgeCluster, pending: FakePendingEvents, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is sent at the next login in a dialect that has it."""
    monkeypatch.setattr("services.edge.login.account_lookup._UNREAD_SECONDS", 0.1)
    without_event = await log_in(cluster, dialect)
    await publish(pending, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    await until(lambda: CHAT in cluster.edges[0].accounts.by_account[BOB].chats)
    assert all(b"group_name" not in frame for frame in without_event.received)
    pending.events = [PendingEvent(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=True)))]
    wire = await log_in(cluster, "ourchat-v1")
    await wire.until(lambda: len(wire.received) > 1)
    assert events_of(wire) == [(10, ADDED)]
    await pending.until_requested(DropPendingEvents)
    assert pending.requests == [DropPendingEvents([70], BOB)]


async def test_a_request_by_http_shows_no_event_and_it_stays_stored(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    pending.events = [PendingEvent(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=True)))]
    handshake = Handshake("/ws/native", "chat.test", "192.0.2.1", secure=False, subprotocols=(), origin="")
    program = OperationConnection(cluster.edges[0].endpoint, handshake, lambda _: None)
    login = json.loads(LOGINS["native"])
    members = {name: login[name] for name in ("identifier", "kind", "secret")}
    assert (await program.perform("login", json.dumps(members).encode())).error is None
    await publish(pending, ChatCreated(CHAT, ANN, [ANN, BOB], 1, "g", {BOB: 70}))
    await until(lambda: CHAT in cluster.edges[0].accounts.by_account[BOB].chats)
    wire = await log_in(cluster, "ourchat-v1")
    await wire.until(lambda: len(wire.received) > 1)
    assert events_of(wire) == [(10, ADDED)]
    await pending.until_requested(DropPendingEvents)
    assert pending.requests == [DropPendingEvents([70], BOB)]


@pytest.mark.parametrize(("dialect", "reply"), [("ourchat-v1", b'{"code":7,'), ("pipe", b"login_succ|")])
async def test_an_event_during_a_login_is_sent_after_its_reply(
    cluster: EdgeCluster, pending: FakePendingEvents, dialect: str, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old clients take the first frame after their login for its reply."""
    monkeypatch.setattr("services.edge.login.account_lookup._UNREAD_SECONDS", 0.1)
    edge, gate = cluster.edges[0], cluster.message.block(Sync)
    wire = dial(edge.endpoint, f"/ws/{dialect}")
    wire.client.frame_received(LOGINS[dialect].encode())
    await cluster.message.until_requested(Sync)
    await publish(pending, FriendshipRequested(ANN, BOB, "hi"))
    await publish(pending, ChatCreated(CHAT, ANN, [BOB]))
    await until(lambda: CHAT in edge.accounts.by_account[BOB].chats)
    gate.set()
    await wire.until(lambda: len(wire.received) > 1)
    assert [frame.startswith(reply) for frame in wire.received] == [True, False]


async def test_an_event_that_is_pushed_while_the_pending_ones_are_listed_is_sent_once(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    requested, answered = FriendshipRequested(ANN, BOB, "hi"), MembershipAnswered(CHAT, "g", BOB, accepted=True)
    pending.pending_requests = Requests([PendingFriendship(ANN, "hi"), PendingFriendship(AccountId(3), "")], [])
    pending.events = [PendingEvent(70, pack(answered)), PendingEvent(71, pack(answered))]
    edge, gate = cluster.edges[0], cluster.message.block(Sync)
    wire = dial(edge.endpoint, "/ws/ourchat-v1")
    wire.client.frame_received(LOGINS["ourchat-v1"].encode())
    await cluster.message.until_requested(Sync)
    await publish(pending, requested)
    await publish(pending, ChatCreated(CHAT, ANN, [BOB], 1, "g", {BOB: 70}))
    await until(lambda: CHAT in edge.accounts.by_account[BOB].chats)
    gate.set()
    await pending.until_requested(DropPendingEvents)
    frames = [(9, {"add_ocid": BOB, "ocid": ANN, "text": "hi"}), (10, ADDED), (9, {"add_ocid": BOB, "ocid": 3})]
    assert events_of(wire) == [*frames, (10, ADDED)]


async def test_pending_requests_are_sent_before_stored_notifications(
    cluster: EdgeCluster, pending: FakePendingEvents
) -> None:
    pending.pending_requests = Requests([PendingFriendship(ANN, "hi")], [PendingMembership(ANN, CHAT, "let me in")])
    pending.events = [PendingEvent(70, pack(MembershipAnswered(CHAT, "g", BOB, accepted=False)))]
    wire = await log_in(cluster, "ourchat-v1")
    await wire.until(lambda: len(wire.received) > 3)
    assert events_of(wire) == [
        (9, {"add_ocid": BOB, "ocid": ANN, "text": "hi"}),
        (9, {"group_id": CHAT, "ocid": ANN, "text": "let me in"}),
        (11, {"group_id": CHAT, "ocid": BOB}),
    ]


async def test_an_older_dialect_is_shown_a_new_name_alone(cluster: EdgeCluster, pending: FakePendingEvents) -> None:
    settings = ChatSettingsChanged(CHAT, ANN, "", "", "words", JoinPolicy.OPEN, receipts=True)
    wire, native = await log_in(cluster, "ourchat-v1"), await log_in(cluster, "native")
    await publish(pending, ChatRenamed(CHAT, "old", ANN, renamed=False, settings=settings))
    await publish(pending, ChatRenamed(CHAT, "new", ANN, settings=settings))
    await wire.until(lambda: len(wire.received) > 1)
    await native.until(lambda: len(native.received) > 3)
    assert [code for code, _ in events_of(wire)] == [12]
    assert [json.loads(frame)["ev"] for frame in native.received[1:]] == ["settings", "renamed", "settings"]


@pytest.mark.parametrize(("dialect", "shown"), [("ourchat-v1", [ANN, BOB]), ("native", [BOB])])
async def test_a_join_in_a_broadcast_chat_is_shown_to_others_only_by_older_dialects(
    cluster: EdgeCluster, pending: FakePendingEvents, dialect: str, shown: list[int]
) -> None:
    wire = await log_in(cluster, dialect)
    await publish(pending, ChatCreated(CHAT, ANN, [BOB]))
    await publish(pending, MembershipAnswered(CHAT, "g", ANN, accepted=True), broadcast=True)
    await publish(pending, MembershipAnswered(CHAT, "g", BOB, accepted=True), broadcast=True)
    await wire.until(lambda: any(_joined(frame) == BOB for frame in wire.received[1:]))
    assert [account for frame in wire.received[1:] if (account := _joined(frame))] == shown


def _joined(frame: bytes) -> int | None:
    """Returns the account that a frame shows as a new member, or None."""
    members = json.loads(frame)
    if members.get("code") == 10:
        return int(members["data"]["ocid"])
    return int(members["account"]) if members.get("ev") == "member" else None
