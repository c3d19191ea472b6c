"""Accounts join while messages are on their way.

A new member receives all messages from after its join, and no earlier one.
"""

import asyncio

import pytest
from msgspec.structs import replace

from services.edge.app import Edge
from shared.bus.client import pack
from shared.contract.edge import Delivery, DeliveryBatch, MembershipChanged, Notify
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSynced, SyncChat
from shared.contract.model import Role
from shared.contract.subjects import notify
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient


@pytest.mark.parametrize("events_have_since", [False, True])
async def test_a_broadcast_from_before_a_join_is_not_for_the_new_member(
    cluster: EdgeCluster, events_have_since: bool
) -> None:
    """The delivery batch was published before the join, but arrives after the event of the join."""
    cluster.message.broadcast_members = 2
    cluster.session.events_have_since = events_have_since
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    await cluster.push(2, "first", to=alice)
    held: list[tuple[NodeId, DeliveryBatch]] = []

    def hold(node: NodeId, batch: DeliveryBatch) -> list[DeliveryBatch]:
        held.append((node, batch))
        return []

    cluster.message.on_batch = hold
    cluster.message.beats = False
    await cluster.message.send_texts(7, 2, "before the join")
    await cluster.session.join(7, 3)
    await carol.until_event("ChatJoined", 7)
    for node, batch in held:
        await cluster.message.publish(node, batch)
    cluster.message.on_batch = lambda _node, batch: [batch]
    await cluster.message.send_texts(7, 2, "after it")
    await alice.until_texts(7, "first", "before the join", "after it")
    await carol.until_texts(7, "after it")


async def test_members_learn_of_a_new_role_and_of_a_departure(cluster: EdgeCluster) -> None:
    alice, carol = await cluster.chat(1, 2, 3, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    members = [AccountId(1), AccountId(2), AccountId(3)]
    for role in (Role.ADMIN, Role.LEFT):
        changed = MembershipChanged(ChatId(7), AccountId(3), role, 1, room.version + 1, by=AccountId(1))
        await cluster.session.bus.publish(notify(cluster.edges[0].id), pack(Notify(changed, members)))
        await alice.until_event("RoleChanged", [3, int(role)])
        room.version += 1
    await carol.until_event("ChatLeft", 7)
    assert ("RoleChanged", [3, int(Role.ADMIN)]) in carol.events
    assert ("RoleChanged", [3, int(Role.LEFT)]) not in carol.events
    assert ("ChatJoined", 7) not in carol.events, "the chat is not new to her"


async def test_in_a_big_group_a_new_role_is_shown_to_the_member_alone(cluster: EdgeCluster) -> None:
    alice, carol = await cluster.chat(1, 3)
    room = cluster.backend.chats[ChatId(7)]
    changed = MembershipChanged(ChatId(7), AccountId(3), Role.ADMIN, 1, room.version + 1, by=AccountId(1))
    await cluster.session.bus.publish(notify(cluster.edges[0].id), pack(Notify(changed, None)))
    await carol.until_event("RoleChanged", [3, int(Role.ADMIN)])
    await cluster.message.send_texts(7, 3, "after it")
    await alice.until_texts(7, "after it")
    assert not [event for event in alice.events if event[0] == "RoleChanged"]


async def test_a_batch_by_an_older_membership_reaches_the_new_member(cluster: EdgeCluster) -> None:
    """The message is committed after the join, but the replica that publishes it has not noticed the join."""
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    before = room.version
    await cluster.session.join(7, 3)
    await carol.until_event("ChatJoined", 7)
    (message,) = cluster.backend.commit_texts(7, 2, "x")
    await cluster.message.send_batch(cluster.edges[0].id, [Delivery(message, [AccountId(1), AccountId(2)], before)])
    await cluster.message.send_texts(7, 2, "y")
    await alice.until_texts(7, "x", "y")
    await carol.until_texts(7, "x", "y")


async def test_a_late_event_of_a_join_brings_what_was_delivered_before(cluster: EdgeCluster) -> None:
    """The message is committed after the join, but is delivered to the members from before the join."""
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    before, cluster.session.silent = room.version, True
    await cluster.session.join(7, 3)
    (message,) = cluster.backend.commit_texts(7, 2, "x")
    await cluster.message.send_batch(cluster.edges[0].id, [Delivery(message, [AccountId(1)], before)])
    await alice.until_texts(7, "x")
    await cluster.auth.notify(MembershipChanged(ChatId(7), AccountId(3), Role.MEMBER, 1, room.version, before))
    await carol.until_texts(7, "x")


async def test_a_late_event_of_a_join_brings_a_lost_message_to_the_only_local_member(cluster: EdgeCluster) -> None:
    """The edge has not heard of the chat before, so only the reply that it requests names the last message."""
    (carol,) = await cluster.chat(2, online=[3])
    room = cluster.backend.chats[ChatId(7)]
    before, cluster.session.silent = room.version, True
    await cluster.session.join(7, 3)
    cluster.backend.commit_texts(7, 2, "x", "y")
    await cluster.auth.notify(MembershipChanged(ChatId(7), AccountId(3), Role.MEMBER, 1, room.version, before))
    await carol.until_texts(7, "x", "y")


@pytest.mark.parametrize("is_notified", [True, False])
async def test_a_reply_about_other_members_does_not_hide_a_join(cluster: EdgeCluster, is_notified: bool) -> None:
    """The reply names only the local members of this moment. The event or the next broadcast shows the new one."""
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    cluster.backend.commit_texts(7, 2, "before the join")
    before, cluster.session.silent = room.version, True
    await cluster.session.join(7, 3)
    message, _ = cluster.backend.commit_texts(7, 2, "x", "y")
    await cluster.message.send_batch(cluster.edges[0].id, [Delivery(message, [AccountId(1)], before)])
    await alice.until_texts(7, "before the join", "x", "y")
    if is_notified:
        await cluster.auth.notify(MembershipChanged(ChatId(7), AccountId(3), Role.MEMBER, 2, room.version, before))
        await carol.until_texts(7, "x", "y")
    cluster.message.broadcast_members = 2
    await cluster.message.send_texts(7, 2, "z")
    await carol.until_texts(7, "x", "y", "z")


async def test_a_batch_by_an_older_membership_does_not_reach_former_members(cluster: EdgeCluster, edge: Edge) -> None:
    room = cluster.backend.add_chat(7, 1, 2, 3)
    alice, carol = await cluster.synced_clients(1, 3)
    await cluster.push(2, "a", to=carol)
    before = room.version
    await cluster.session.leave(7, 3)
    await carol.until_left(edge, 7)
    (message,) = cluster.backend.commit_texts(7, 2, "b")
    await cluster.message.send_batch(edge.id, [Delivery(message, [AccountId(1)], before)])
    await alice.until_texts(7, "a", "b")
    assert carol.texts(7) == ["a"]


@pytest.mark.parametrize("knows_changes", [True, False])
async def test_joins_do_not_stop_a_broadcast_chat(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, knows_changes: bool
) -> None:
    """An account joins at each request. Without the changes, the edge requests all accounts, in several pages."""
    monkeypatch.setattr("services.edge.delivery.gap_filler._ACCOUNTS_PER_REQUEST", 3)
    cluster.message.broadcast_members = 2
    await cluster.add_edge()
    room = cluster.backend.add_chat(7, *range(1, 11))
    clients = await cluster.synced_clients(*range(1, 9))
    await cluster.message.send_texts(7, 10, "first")
    for client in clients:
        await client.until_texts(7, "first")
    cluster.backend.knows_changes = knows_changes
    joins = iter(range(20, 1000 if knows_changes else 28))
    reply_to = cluster.backend.sync_chat

    def sync_chat(request: SyncChat) -> ChatSynced:
        reply = reply_to(request)
        if (account := next(joins, None)) is not None:
            room.join(account)
        return reply

    monkeypatch.setattr(cluster.backend, "sync_chat", sync_chat)
    room.join(19)
    requested = len(cluster.message.requests_of(SyncChat))
    await cluster.message.send_texts(7, 10, "second")
    for client in clients:
        await client.until_texts(7, "first", "second")
    assert len(cluster.message.requests_of(SyncChat)) - requested <= (2 if knows_changes else 40)


@pytest.mark.parametrize("knows_changes", [True, False])
async def test_a_member_that_leaves_between_two_pages_gets_no_later_message(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, knows_changes: bool
) -> None:
    """The first page still names the member. The last page has the version in which the member has left."""
    monkeypatch.setattr("services.edge.delivery.gap_filler._ACCOUNTS_PER_REQUEST", 3)
    cluster.message.broadcast_members = 2
    await cluster.add_edge()
    room = cluster.backend.add_chat(7, *range(1, 9))
    clients = await cluster.synced_clients(*range(1, 8))
    cluster.backend.knows_changes = knows_changes
    reply_to, leaver = cluster.backend.sync_chat, clients[0]

    def sync_chat(request: SyncChat) -> ChatSynced:
        reply = reply_to(request)
        if 1 in request.accounts and 1 in room.members:
            room.leave(1)
        return reply

    monkeypatch.setattr(cluster.backend, "sync_chat", sync_chat)
    await cluster.message.send_texts(7, 8, "first")
    for client in clients[1:]:
        await client.until_texts(7, "first")
    await cluster.message.send_texts(7, 8, "second")
    for client in clients[1:]:
        await client.until_texts(7, "first", "second")
    assert "second" not in leaver.texts(7)


async def test_an_edge_requests_only_the_changes(cluster: EdgeCluster) -> None:
    """An account joins without an event, as in a large chat."""
    cluster.message.broadcast_members = 2
    alice, carol = await cluster.chat(1, 2, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    await cluster.push(2, "a", to=alice)
    version, requested = room.version, len(cluster.message.requests_of(SyncChat))
    room.join(3)
    await cluster.message.send_texts(7, 2, "b")
    await alice.until_texts(7, "a", "b")
    await carol.until_texts(7, "b")
    after = 1
    assert cluster.message.requests_of(SyncChat)[requested:] == [SyncChat(ChatId(7), [], after, version)]
    sequencer = cluster.edges[0].chats.sequencer(ChatId(7))
    assert sequencer is not None
    assert sequencer.version == room.version


async def without_carol(cluster: EdgeCluster) -> tuple[Delivery, EdgeClient, EdgeClient]:
    """Makes Carol leave a broadcast chat without an event. Returns a late message that names her."""
    cluster.message.broadcast_members = 2
    alice, carol = await cluster.chat(1, 2, 3, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    (message,) = cluster.backend.commit_texts(7, 2, "a")
    late = Delivery(message, [AccountId(1), AccountId(3)], room.version)
    await cluster.message.send_batch(cluster.edges[0].id, [late])
    room.leave(3)
    await cluster.message.send_texts(7, 2, "b")
    await alice.until_texts(7, "a", "b")
    return late, alice, carol


async def receive_late(cluster: EdgeCluster, late: Delivery) -> None:
    """Delivers the late message. Returns when the edge has added the account that it names."""
    (edge,) = cluster.edges
    await cluster.message.send_batch(edge.id, [late])
    await until(lambda: (sequencer := edge.chats.sequencer(ChatId(7))) is not None and 3 in sequencer.members)


async def test_a_late_message_does_not_make_an_account_a_member_again(cluster: EdgeCluster) -> None:
    late, alice, carol = await without_carol(cluster)
    await receive_late(cluster, late)
    await carol.until_synced()
    await cluster.message.send_texts(7, 2, "c")
    await alice.until_texts(7, "a", "b", "c")
    assert carol.texts(7) == ["a"]


async def test_changes_do_not_vouch_for_an_account_that_a_late_message_names(cluster: EdgeCluster) -> None:
    """The edge requests the changes since a version. The account left before that version."""
    late, alice, carol = await without_carol(cluster)
    gate, requested = cluster.message.block(SyncChat), len(cluster.message.requests_of(SyncChat))
    cluster.backend.chats[ChatId(7)].join(19)
    await cluster.message.send_texts(7, 2, "c")
    await cluster.message.until_requested(SyncChat, requested + 1)
    await receive_late(cluster, late)
    gate.set()
    await alice.until_texts(7, "a", "b", "c")
    await carol.until_synced()
    await cluster.message.send_texts(7, 2, "d")
    await alice.until_texts(7, "a", "b", "c", "d")
    assert carol.texts(7) == ["a"]


async def test_an_account_that_cannot_be_synced_does_not_delay_others(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2, 3, 4, 666, 667)
    reply_to = cluster.backend.sync

    def sync(request: object) -> object:
        if getattr(request, "account", 0) in (666, 667):
            raise RuntimeError("a row of this account cannot be read")
        return reply_to(request)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster.backend, "sync", sync)
    cluster.backend.commit_texts(7, 1, "missed")
    failing = [asyncio.create_task(cluster.client(account)) for account in (666, 667)]
    clients = await asyncio.gather(*(cluster.client(account) for account in (2, 3, 4)))
    for client in clients:
        await client.until_texts(7, "missed")
    for task in failing:
        task.cancel()


async def test_a_broadcast_is_released_by_a_membership_that_is_older_than_an_event(cluster: EdgeCluster) -> None:
    """Erin joins on another edge. Dave's event, with a later version, arrives before the reply."""
    cluster.message.broadcast_members = 2
    alice, dave = await cluster.chat(1, 2, online=[1, 4])
    room = cluster.backend.chats[ChatId(7)]
    await cluster.push(2, "a", to=alice)
    room.join(5)
    await cluster.auth.notify(MembershipChanged(ChatId(7), AccountId(4), Role.MEMBER, 3, room.version + 1))
    await dave.until_event("ChatJoined", 7)
    await cluster.message.send_texts(7, 2, "b")
    await alice.until_texts(7, "a", "b")
    sequencer = cluster.edges[0].chats.sequencer(ChatId(7))
    assert sequencer is not None
    assert (sequencer.version, sequencer.latest_version) == (room.version, room.version + 1)
    assert AccountId(4) in sequencer.members
    assert dave.texts(7) == []


async def test_a_reply_by_an_older_membership_brings_no_messages(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carol has left before "b". Neither her edge nor the first replica that replies knows."""
    alice, carol = await cluster.chat(1, 2, 3, online=[1, 3])
    room = cluster.backend.chats[ChatId(7)]
    await cluster.push(2, "a", to=carol)
    before, reply_to = room.version, cluster.backend.sync_chat
    room.leave(3)

    def sync_chat(request: SyncChat) -> ChatSynced:
        reply = reply_to(request)
        return replace(reply, version=before, first_index=dict.fromkeys(request.accounts, 1), changed=None)

    requested = len(cluster.message.requests_of(SyncChat))
    with monkeypatch.context() as outdated:
        outdated.setattr(cluster.backend, "sync_chat", sync_chat)
        _, last = cluster.backend.commit_texts(7, 2, "b", "c")
        await cluster.message.send_batch(cluster.edges[0].id, [Delivery(last, [AccountId(1)], room.version)])
        await cluster.message.until_requested(SyncChat, requested + 2)
    await alice.until_texts(7, "a", "b", "c")
    assert carol.texts(7) == ["a"]
