"""Session publishes to Redis and to edges, on a real NATS and a real Valkey."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from services.session.adapters import edge_notifier
from services.session.adapters.edge_notifier import EdgeNotifier
from services.session.metrics import SessionMetrics
from services.session.service.ports import Notification
from shared.bus.client import Bus, pack
from shared.contract import subjects as on
from shared.contract.edge import ChatCreated, FriendshipAnswered, MembershipAnswered, MembershipChanged, Notify
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary, Role
from shared.contract.subjects import notify
from shared.presence.store import Presence
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.session.service_harness import BusPeers, eventually, redis_settings

A, B = NodeId("edge-1-a"), NodeId("edge-2-b")
CHAT = ChatId(7)


@pytest.fixture
async def peers(
    nats_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BusPeers]:
    """The accounts 1 to 5 are on node A, and 4 to 6 on node B."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    peers = BusPeers(nats_server, valkey_server)
    peers.subscribe(A, B)
    async with peers.running():
        await peers.presence.beat(A, 10)
        await peers.presence.join(A, [AccountId(number) for number in range(1, 6)])
        await peers.presence.join(B, [AccountId(number) for number in range(4, 7)])
        yield peers


async def no_summaries(accounts: Sequence[AccountId]) -> dict[AccountId, ProfileSummary]:
    return {}


@pytest.fixture
async def notifier(nats_server: NatsServer, valkey_server: ValkeyServer) -> AsyncIterator[EdgeNotifier]:
    bus = Bus(nats_server.settings("session"), "session", CollectorRegistry())
    presence_client = Presence(redis_settings(valkey_server, "session"))
    notifier = EdgeNotifier(bus, presence_client, SessionMetrics(CollectorRegistry()), no_summaries)
    await bus.start()
    yield notifier
    await bus.stop()
    await notifier.close()
    await presence_client.close()


async def test_recipients_are_split_over_messages(
    peers: BusPeers, notifier: EdgeNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_notifier, "_RECIPIENTS_PER_MESSAGE", 2)
    members = [AccountId(number) for number in range(1, 9)]
    await notifier.publish({}, [Notification(ChatCreated(CHAT, AccountId(1), members), members)])
    on_a, on_b = await peers.wait_for_events(notify(A), 3), await peers.wait_for_events(notify(B), 2)
    assert [one.recipients for one in on_a] == [[1, 2], [3, 4], [5]]
    assert [one.recipients for one in on_b] == [[4, 5], [6]]
    assert all(isinstance(one.event, ChatCreated) and one.event.members == one.recipients for one in on_a + on_b)


async def test_event_goes_only_to_the_nodes_of_its_recipients(peers: BusPeers, notifier: EdgeNotifier) -> None:
    left = MembershipChanged(CHAT, AccountId(1), Role.LEFT, 0, 2)
    owns = MembershipChanged(CHAT, AccountId(6), Role.OWNER, 1, 2)
    await notifier.publish(
        {CHAT: 2}, [Notification(left, [AccountId(2)]), Notification(owns, [AccountId(6), AccountId(9)])]
    )
    assert await peers.wait_for_events(notify(A), 1) == [Notify(left, [AccountId(2)])]
    assert await peers.wait_for_events(notify(B), 1) == [Notify(owns, [AccountId(6)])]


async def test_event_without_recipients_goes_to_all_nodes(peers: BusPeers, notifier: EdgeNotifier) -> None:
    left = MembershipChanged(CHAT, AccountId(1), Role.LEFT, 0, 2)
    await notifier.publish({}, [Notification(left, None), Notification(left, [AccountId(1)])])
    assert await peers.wait_for_events(on.NOTIFY_ALL, 1) == [Notify(left, None)]
    assert await peers.wait_for_events(notify(A), 1) == [Notify(left, [AccountId(1)])]


async def test_full_message_fits_the_bus_limit() -> None:
    largest = [AccountId(2**63 - 1 - number) for number in range(edge_notifier._RECIPIENTS_PER_MESSAGE)]
    stored = dict.fromkeys(largest, 2**63 - 1)
    created = ChatCreated(ChatId(2**63 - 1), AccountId(2**63 - 1), largest, 2**63 - 1, "名" * 128, stored)
    assert len(pack(Notify(created, largest))) < 512 * 1024
    assert msgspec.msgpack.decode(pack(Notify(created, largest)), type=Notify).recipients == largest
    joined = MembershipAnswered(ChatId(2**63 - 1), "名" * 128, AccountId(2**63 - 1), accepted=True, kept=stored)
    assert len(pack(Notify(joined, largest))) < 512 * 1024


async def test_node_receives_only_pending_numbers_of_its_accounts(peers: BusPeers, notifier: EdgeNotifier) -> None:
    stored = {AccountId(number): 70 + number for number in (1, 6, 9)}
    joined = MembershipAnswered(CHAT, "g", AccountId(1), accepted=True, kept=stored)
    await notifier.publish({}, [Notification(joined, list(stored))])
    own = msgspec.structs.replace(joined, kept={AccountId(1): 71})
    assert await peers.wait_for_events(notify(A), 1) == [Notify(own, [AccountId(1)])]
    own = msgspec.structs.replace(joined, kept={AccountId(6): 76})
    assert await peers.wait_for_events(notify(B), 1) == [Notify(own, [AccountId(6)])]


async def test_node_receives_only_its_members_of_a_new_chat(peers: BusPeers, notifier: EdgeNotifier) -> None:
    stored = {AccountId(number): 70 + number for number in (6, 9)}
    members = [AccountId(number) for number in (1, 6, 9)]
    await notifier.publish({}, [Notification(ChatCreated(CHAT, AccountId(1), members, 1, "g", stored), members)])
    own = ChatCreated(CHAT, AccountId(1), [AccountId(6)], 1, "g", {AccountId(6): 76})
    assert await peers.wait_for_events(notify(B), 1) == [Notify(own, [AccountId(6)])]
    own = ChatCreated(CHAT, AccountId(1), [AccountId(1)], 1, "g", {})
    assert await peers.wait_for_events(notify(A), 1) == [Notify(own, [AccountId(1)])]


async def test_unknown_presence_sends_all_pending_numbers(
    peers: BusPeers, notifier: EdgeNotifier, valkey_server: ValkeyServer
) -> None:
    valkey_server.flush()
    answered = FriendshipAnswered(AccountId(1), AccountId(6), accepted=True, kept={AccountId(1): 3, AccountId(6): 4})
    await notifier.publish({}, [Notification(answered, [AccountId(1), AccountId(6)])])
    assert await peers.wait_for_events(on.NOTIFY_ALL, 1) == [Notify(answered, [AccountId(1), AccountId(6)])]


async def test_highest_unpublished_version_is_published(
    peers: BusPeers, notifier: EdgeNotifier, valkey_server: ValkeyServer
) -> None:
    valkey_server.kill()
    assert not await notifier.publish({CHAT: 3})
    assert not await notifier.publish({CHAT: 2})
    valkey_server.restart()
    assert await eventually(partial(peers.version, CHAT), bool) == 3
    assert await eventually(partial(notifier.publish, {ChatId(8): 1}), bool)


async def test_heartbeats_are_sent_until_the_announced_end(peers: BusPeers, notifier: EdgeNotifier) -> None:
    running = asyncio.create_task(notifier.run())
    first = (await eventually(peers.announcements, bool))[0]
    running.cancel()
    await notifier.announce_shutdown()
    *_, last = await eventually(peers.announcements, lambda messages: messages[-1].leaving)
    assert (first.versions, first.leaving, first.process) == ({}, False, last.process)
    assert first.process != ""


async def test_a_process_that_leaves_with_unpublished_versions_is_to_be_missed(
    peers: BusPeers, notifier: EdgeNotifier, valkey_server: ValkeyServer
) -> None:
    valkey_server.kill()
    await notifier.publish({CHAT: 3})
    await notifier.announce_shutdown()
    await notifier.publish({CHAT: 4})
    messages = await eventually(peers.announcements, lambda messages: len(messages) == 2)
    assert [message.versions for message in messages] == [{CHAT: 3}, {CHAT: 4}]


async def test_a_version_that_comes_during_a_retry_is_published_too(
    peers: BusPeers, notifier: EdgeNotifier, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, retried = notifier._presence.publish_versions, asyncio.Event()

    async def slowly(versions: Mapping[ChatId, int]) -> None:
        if not retried.is_set():
            retried.set()
            assert not await notifier.publish({CHAT: 4})
        await publish(versions)

    valkey_server.kill()
    assert not await notifier.publish({CHAT: 3})
    valkey_server.restart()
    monkeypatch.setattr(notifier._presence, "publish_versions", slowly)
    await retried.wait()
    assert await eventually(partial(peers.version, CHAT), lambda version: version == 4)


async def test_no_publication_waits_for_redis_while_versions_are_unpublished(
    peers: BusPeers, notifier: EdgeNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_notifier, "_FIRST_PAUSE_SECONDS", 1000.0)
    calls: list[Mapping[ChatId, int]] = []

    async def fail(versions: Mapping[ChatId, int]) -> None:
        calls.append(versions)
        raise RedisError

    monkeypatch.setattr(notifier._presence, "publish_versions", fail)
    for version in (2, 3, 4):
        assert not await notifier.publish({CHAT: version})
    assert calls == [{CHAT: 2}]
