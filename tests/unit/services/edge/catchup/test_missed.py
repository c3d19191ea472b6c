"""Missed messages are shown at login, once and in order, even if live messages arrive at the same time."""

import asyncio

import pytest

from services.edge.app import Edge
from shared.contract.admin import OpenAnnouncements
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MarkRead, PostMessages, Sync, SyncChat
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.fake_services import ANNOUNCEMENTS
from tests.unit.services.edge.json_dialect import JsonDialect


def numbers(count: int, first: int = 1) -> list[str]:
    return [str(number) for number in range(first, first + count)]


async def test_unread_messages_are_read_in_pages_to_the_head(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.messages_per_page, cluster.backend.chats_per_page = 4, 2
    for chat in range(1, 6):
        cluster.backend.add_chat(chat, 1, 2)
        cluster.backend.commit_texts(chat, 2, *numbers(10))
        cluster.backend.mark_delivered(1, chat, 3, 3)
        cluster.backend.mark_delivered(1, chat, 6, 8)
    alice = await cluster.client(1)
    await alice.until_synced()
    for chat in range(1, 6):
        assert alice.texts(chat) == ["1", "2", "4", "5", "9", "10"]
    assert alice.client.dialect.known == [[1, 2], [3, 4], [5]]  # type: ignore[attr-defined]


async def test_only_the_newest_messages_are_pushed_and_an_announcement_names_the_older_ones(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an immediate second login does not show the older messages."""
    monkeypatch.setattr("tests.unit.services.edge.fake_backend.LIMIT", 5)
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(20))
    gate = cluster.session.block(OpenAnnouncements)
    first = await cluster.client(1)
    await first.until_texts(7, *numbers(5, 16))
    await cluster.session.until_requested(OpenAnnouncements)
    logging_in = asyncio.create_task(cluster.client(1))
    gate.set()
    await first.until_texts(ANNOUNCEMENTS, "「chat 7」里有 15 条较早的消息没有推送，请在历史记录里查看。")
    await (await logging_in).until_synced()
    assert (await logging_in).texts(7) == []
    await until_delivered(cluster, 20)
    cursor = cluster.backend.cursor(AccountId(1), ChatId(7))
    assert (cursor.delivered_index, cursor.read_index) == (20, 0), "they are not read"
    assert len(cluster.backend.chats[ChatId(ANNOUNCEMENTS)].messages) == 1


async def test_messages_without_an_announcement_are_not_skipped(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.services.edge.fake_backend.LIMIT", 5)
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(20))
    cluster.session.opens_announcements = False
    first = await cluster.client(1)
    await first.until_texts(7, *numbers(5, 16))
    await cluster.session.until_requested(OpenAnnouncements)
    first.socket.leave()
    cluster.session.opens_announcements = True
    second = await cluster.client(1)
    await second.until_texts(7, *numbers(5, 11))
    await second.until_texts(ANNOUNCEMENTS, "「chat 7」里有 10 条较早的消息没有推送，请在历史记录里查看。")
    await until_delivered(cluster, 10)


async def until_delivered(cluster: EdgeCluster, index: int) -> None:
    await until(lambda: cluster.backend.cursor(AccountId(1), ChatId(7)).delivered_index >= index)


@pytest.mark.parametrize("kind", [Sync, SyncChat])
async def test_live_messages_during_the_sync_are_shown_once_in_order(cluster: EdgeCluster, kind: type) -> None:
    """They are posted after the snapshot, in chats that the edge has, and in one that it does not have."""
    await cluster.add_edge()
    cluster.backend.messages_per_page = 3
    for chat in (7, 8):
        cluster.backend.add_chat(chat, 1, 2, 3)
        cluster.backend.commit_texts(chat, 2, *numbers(5))
    bob = await cluster.client(2)
    await bob.until_synced()
    cluster.backend.add_chat(9, 1, 3)
    gate = cluster.message.block(kind)
    waiting = asyncio.create_task(cluster.client(1))
    await cluster.message.until_requested(kind, len(cluster.message.requests_of(kind)) + 1)
    for number in (6, 7):
        for chat in (7, 8, 9):
            await cluster.message.send_texts(chat, 3, str(number))
    await bob.until_texts(8, "6", "7")
    gate.set()
    alice = await waiting
    await alice.until_texts(7, *numbers(7))
    await alice.until_texts(8, *numbers(7))
    await alice.until_texts(9, "6", "7")
    await alice.until_synced()
    await cluster.message.send_texts(7, 3, "8")
    await alice.until_texts(7, *numbers(8))


async def test_more_live_messages_than_the_change_over_keeps(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.delivery.ordering.RECENT_MESSAGES", 2)
    await cluster.add_edge()
    cluster.backend.messages_per_page = 3
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(4))
    bob = await cluster.client(2)
    await bob.until_synced()
    gate = cluster.message.block(SyncChat)
    alice = await cluster.client(1)
    await cluster.message.until_requested(SyncChat)
    await cluster.message.send_texts(7, 2, *numbers(5, 5))
    gate.set()
    await alice.until_texts(7, *numbers(9))


@pytest.mark.parametrize("chat", [7, 9])
async def test_messages_posted_or_read_by_another_device_during_the_sync_are_shown(
    cluster: EdgeCluster, chat: int
) -> None:
    """In the sync's snapshot, these messages are not unread. The chat is on the first page, or on a later one."""
    here, there = await cluster.add_edge(), await cluster.add_edge()
    cluster.backend.chats_per_page = 1
    for number in (7, 8, 9):
        cluster.backend.add_chat(number, 1, 2)
    phone = await cluster.client(1, there)
    await phone.until_synced()
    desktop = EdgeClient(here.endpoint)
    gate = cluster.message.block(Sync)
    sent = desktop.send(do="login", account=1)
    await cluster.message.until_requested(Sync, len(cluster.message.requests_of(Sync)) + 1)
    await phone.post(chat, "mine")
    await cluster.message.send_texts(chat, 2, "yours")
    await phone.until_texts(chat, "yours")
    cluster.backend.mark_delivered(1, chat, 1, 2)
    gate.set()
    assert await desktop.reply_to(sent) == 1
    await desktop.until_texts(chat, "mine", "yours")
    await desktop.until_synced()
    assert len(desktop.messages) == 2


async def test_an_old_message_that_is_published_again_is_not_shown_again(cluster: EdgeCluster) -> None:
    """A repeated request publishes a read message again, while its recipient logs in."""
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    old = cluster.backend.commit_texts(7, 2, *numbers(3))
    cluster.backend.mark_delivered(1, 7, 1, 3)
    gate = cluster.message.block(Sync)
    waiting = asyncio.create_task(cluster.client(1))
    await cluster.message.until_requested(Sync)
    await cluster.message.fan_out(old[:1])
    gate.set()
    alice = await waiting
    await alice.until_synced()
    await cluster.message.send_texts(7, 2, "4")
    await alice.until_texts(7, "4")


async def test_own_messages_are_answered_after_the_missed_ones_before_them(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.messages_per_page = 3
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(7))
    gate = cluster.message.block(SyncChat)
    alice = await cluster.client(1)
    await cluster.message.until_requested(SyncChat)
    sent = alice.send(do="post", chat=7, text="mine")
    await cluster.message.until_fanned_out()
    assert sent not in alice.replies
    gate.set()
    assert await alice.reply_to(sent) == [7, 8]
    assert [seen for seen in alice.seen if "message" in seen or seen.get("re") == sent][-1]["re"] == sent
    assert alice.texts(7) == numbers(7)


async def test_own_messages_do_not_wait_forever_for_missed_ones_and_are_not_shown_again(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.upstream.attempt._SLACK_SECONDS", 0.2)
    await cluster.add_edge(request_seconds=1.5)
    cluster.backend.messages_per_page = 3
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(7))
    gate = cluster.message.block(SyncChat)
    alice = await cluster.client(1)
    await cluster.message.until_requested(SyncChat)
    assert await alice.post(7, "mine") == 8
    gate.set()
    await alice.until_synced()
    await cluster.message.send_texts(7, 2, "9")
    await alice.until_texts(7, *numbers(7), "9")


async def test_an_own_message_read_first_as_a_missed_one_is_its_reply(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.messages_per_page = 3
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(7))
    gates = cluster.message.block(SyncChat), cluster.message.block(PostMessages)
    alice = await cluster.client(1)
    sent = alice.send(do="post", chat=7, text="mine")
    await cluster.message.until_requested(SyncChat)
    await cluster.message.until_requested(PostMessages)
    cluster.message.on_batch = lambda node, batch: []

    cluster.message.on_reply = _never
    gates[1].set()
    await cluster.message.until_fanned_out()
    gates[0].set()
    assert await alice.reply_to(sent) == [7, 8]
    await alice.until_synced()
    assert alice.texts(7) == numbers(7)


async def test_a_login_does_not_wait_long_for_its_sync(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.catchup.missed._BEGIN_SECONDS", 0.1)
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, "hello")
    gate = cluster.message.block(Sync)
    alice = await cluster.client(1)
    assert alice.messages == []
    gate.set()
    await alice.until_texts(7, "hello")


async def test_other_work_is_done_while_many_chats_are_read(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.catchup.missed._BEGIN_SECONDS", 0.1)
    monkeypatch.setattr("services.edge.catchup.missed._CHATS_AT_ONCE", 2)
    await cluster.add_edge()
    cluster.backend.chats_per_page = 40
    for chat in range(1, 41):
        cluster.backend.add_chat(chat, 1, 2)
    gate = cluster.message.block(Sync)
    alice = await cluster.client(1)
    reading, iterations = alice.client.session.catch_up.reading, 0
    assert reading is not None
    gate.set()
    async with asyncio.timeout(WAIT_SECONDS):
        while not reading.done():
            await asyncio.sleep(0)
            iterations += bool(alice.client.dialect.known)  # type: ignore[attr-defined]
    assert iterations >= 20


@pytest.mark.parametrize("older", [0, 3, 150])
async def test_a_client_that_requests_older_messages_gets_those_since_its_login(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, older: int
) -> None:
    """The login did not wait for its sync. So the snapshot also contains messages from after the login, when the client
    may have requested older messages.

    The messages were not delivered live, because the edge did not have the chat.
    """
    monkeypatch.setattr("services.edge.catchup.missed._BEGIN_SECONDS", 0.1)
    monkeypatch.setattr(JsonDialect, "gets_missed", False)
    await cluster.add_edge()
    cluster.message.beats = False
    cluster.backend.messages_per_page = 7
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(older))  # the times of these messages are one millisecond apart
    await asyncio.sleep(older / 1000 + 0.05)  # the clock must show a later time at the login
    gate = cluster.message.block(Sync)
    alice = await cluster.client(1)
    news = [f"new {number}" for number in range(40)]
    await cluster.message.send_texts(7, 2, *news, lost=True)
    gate.set()
    await alice.until_texts(7, *news)


@pytest.fixture
async def torn(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> tuple[EdgeClient, asyncio.Event]:
    """Alice logs in on a second node before the first commits, at the event, that she has three messages."""
    monkeypatch.setattr("services.edge.catchup.missed._BEGIN_SECONDS", 0.1)
    monkeypatch.setattr("services.edge.confirmations.read_state._COMMIT_SECONDS", 0.3)
    monkeypatch.setattr("services.edge.confirmations.read_state._ATTEMPT_SECONDS", 0.3)
    here, there = await cluster.add_edge(confirm_interval_seconds=1000.0), await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    phone = await cluster.client(1, here)
    await phone.until_synced()
    await cluster.message.send_texts(7, 2, *numbers(3))
    await phone.until_texts(7, *numbers(3))
    gate = cluster.message.block(MarkRead)
    phone.socket.leave()
    await asyncio.sleep(0.01)  # the clock must advance, so that the login is later than the messages
    return await cluster.client(1, there), gate


async def test_unread_messages_are_requested_after_another_node_has_committed_its_read_state(
    cluster: EdgeCluster, torn: tuple[EdgeClient, asyncio.Event]
) -> None:
    """The other node may take any time for its commit, but the login itself does not wait for that."""
    desktop, gate = torn
    await cluster.message.until_requested(MarkRead, 3)
    assert len(cluster.message.requests_of(Sync)) == 1
    gate.set()
    await desktop.until_synced()
    assert desktop.texts(7) == []


async def test_messages_released_before_the_first_page_are_not_shown_as_live(
    cluster: EdgeCluster, torn: tuple[EdgeClient, asyncio.Event]
) -> None:
    """A message that is posted on the new connection makes the edge release messages early."""
    desktop, gate = torn
    sent = desktop.send(do="post", chat=7, text="mine")
    chats = cluster.edges[1].chats
    await until(lambda: (stream := chats.sequencer(ChatId(7))) is not None and stream.delivered(4))
    gate.set()
    assert await desktop.reply_to(sent) == [7, 4]
    await desktop.until_synced()
    assert desktop.texts(7) == []


async def _never() -> bool:
    return False


def _replies_and_messages(device: EdgeClient, since: int) -> list[int]:
    """Returns, in order of arrival, the references of replies from this one on, and the indexes of messages."""
    seen_since = [seen.get("re") or seen["message"][1] for seen in device.seen if "re" in seen or "message" in seen]
    return seen_since[seen_since.index(since) :]


@pytest.mark.parametrize("reads", [True, False])
async def test_an_own_message_in_the_snapshot_is_answered_in_its_place(
    cluster: EdgeCluster, torn: tuple[EdgeClient, asyncio.Event], monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    """Neither the delivery batches nor the replies of the messages posted since the login arrive."""
    monkeypatch.setattr(JsonDialect, "gets_missed", reads)
    desktop, gate = torn
    cluster.message.beats = False
    cluster.message.on_batch, cluster.message.on_reply = lambda node, batch: [], _never
    sent = [desktop.send(do="post", chat=7, text=text) for text in ("mine", "mine, too")]
    await cluster.message.until_fanned_out(2)
    await cluster.message.send_texts(7, 2, "6")
    gate.set()
    assert await desktop.reply_to(sent[1]) == [7, 5]
    await desktop.until_synced()
    cluster.message.on_batch = lambda node, batch: [batch]
    await cluster.message.send_texts(7, 2, "7")
    await desktop.until_texts(7, "6", "7")
    assert _replies_and_messages(desktop, sent[0]) == [*sent, 6, 7]


async def test_an_own_message_in_a_discovered_chat_is_answered_in_its_place(cluster: EdgeCluster) -> None:
    """This node receives neither the event of the join nor the delivery batches of the chat."""
    alice, bob = await cluster.chat(2, 3, online=[1, 2])
    room = cluster.backend.chats[ChatId(7)]
    for device in (alice, bob):
        await device.until_synced()
    room.join(1)
    cluster.message.on_batch = lambda node, batch: [cluster.message.without(batch, 1)]
    cluster.message.on_reply = _never
    sent = alice.send(do="post", chat=7, text="mine")
    await cluster.message.until_fanned_out()
    await cluster.message.send_texts(7, 3, "2")
    await bob.until_texts(7, "mine", "2")
    cluster.edges[0].resync.mark_stale("a test")
    await alice.until_texts(7, "2")
    assert _replies_and_messages(alice, sent) == [sent, 2]


async def test_a_chat_that_the_account_has_left_is_not_read(cluster: EdgeCluster) -> None:
    """The account leaves the chat while the reply that names it as a member is on its way."""
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.add_chat(8, 1, 3)
    cluster.backend.commit_texts(7, 2, "hello")
    bob = await cluster.client(2)
    gate = cluster.message.block(Sync)
    waiting = asyncio.create_task(cluster.client(1))
    await cluster.message.until_requested(Sync, 2)
    await cluster.session.leave(7, 1)
    await cluster.message.send_texts(7, 2, "after")
    await bob.until_texts(7, "after")
    gate.set()
    alice = await waiting
    await alice.until_synced()
    cluster.message.broadcast_members = 1
    await cluster.message.send_texts(7, 2, "secret")
    await cluster.message.send_texts(8, 3, "marker")
    await alice.until_texts(8, "marker")
    assert alice.texts(7) == []


async def test_an_up_to_date_connection_has_missed_nothing(cluster: EdgeCluster, edge: Edge) -> None:
    for chat in range(1, 6):
        cluster.backend.add_chat(chat, 1, 2)
        cluster.backend.commit_texts(chat, 2, "old")
    alice = await cluster.client(1)
    await alice.until_synced()
    await cluster.message.send_texts(1, 2, "new")
    await alice.until_texts(1, "old", "new")
    assert alice.client.session.catch_up.missed is None
    assert all(edge.chats.sequencer(chat).recent_after(0) is None for chat in range(1, 6))  # type: ignore[arg-type,union-attr]


async def test_messages_delivered_to_another_connection_are_not_pushed_again(cluster: EdgeCluster) -> None:
    here, there = await cluster.add_edge(confirm_interval_seconds=1000.0), await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    phone = await cluster.client(1, here)
    await phone.until_synced()
    await cluster.message.send_texts(7, 2, "hello")
    await phone.until_texts(7, "hello")
    for edge in (here, there):
        desktop = await cluster.client(1, edge)
        await desktop.until_synced()
        assert desktop.texts(7) == []


async def test_messages_perhaps_not_delivered_to_another_connection_are_pushed_again(cluster: EdgeCluster) -> None:
    (phone,) = await cluster.chat(1, 2, online=[1], confirm_interval_seconds=1000.0)
    phone.socket.mute = True
    await cluster.message.send_texts(7, 2, "hello")
    await phone.until_texts(7, "hello")
    desktop = await cluster.client(1)
    await desktop.until_texts(7, "hello")


async def test_a_dead_node_delays_no_login(cluster: EdgeCluster) -> None:
    here, there = await cluster.add_edge(), await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    await cluster.client(1, there)
    await there.bus.stop()
    started = asyncio.get_running_loop().time()
    await cluster.client(1, here)
    assert asyncio.get_running_loop().time() - started < 0.9


@pytest.mark.parametrize("kind", [Sync, SyncChat])
async def test_a_disconnect_during_the_sync_leaves_nothing_behind(cluster: EdgeCluster, edge: Edge, kind: type) -> None:
    cluster.backend.messages_per_page = 2
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *numbers(5))
    gate = cluster.message.block(kind)
    alice = EdgeClient(edge.endpoint)
    alice.send(do="login", account=1)
    await cluster.message.until_requested(kind)
    alice.socket.vanish()
    gate.set()
    await until(lambda: not len(edge.accounts) and not len(edge.chats))
    assert await edge.read_state.flush()
    bob = await cluster.client(1)
    await bob.until_texts(7, *numbers(5))


async def test_missed_messages_are_read_at_the_pace_of_a_slow_client(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.messages_per_page = 5
    cluster.backend.add_chat(7, 1, 2)
    cluster.backend.commit_texts(7, 2, *("x" * 60_000 for _ in range(20)))
    alice = EdgeClient(cluster.edges[0].endpoint)
    sent = alice.send(do="login", account=1)
    await alice.reply_to(sent)
    alice.socket.deaf = True
    await cluster.message.until_requested(SyncChat)
    await asyncio.sleep(0.2)
    requests = len(cluster.message.requests_of(SyncChat))
    assert 1 <= requests <= 2
    assert alice.socket.closed_with is None
    alice.socket.stop_being_deaf()
    await alice.socket.until(lambda: len(alice.texts(7)) == 20)


async def test_a_connection_may_log_in_as_another_account(cluster: EdgeCluster, edge: Edge) -> None:
    for chat, account in ((7, 1), (8, 2)):
        cluster.backend.add_chat(chat, account, 3)
    device = await cluster.client(1)
    await device.until_synced()
    assert await device.request(do="login", account=2) == 2
    await device.until_synced()
    await cluster.message.send_texts(7, 3, "for the first")
    await cluster.message.send_texts(8, 3, "for the second")
    await device.until_texts(8, "for the second")
    assert device.texts(7) == []
    assert [local.account for local in edge.accounts.by_account.values()] == [2]
    assert device.client.dialect.entered_as == [1, 0, 2]  # type: ignore[attr-defined]


async def test_a_repeated_login_of_the_same_account_shows_nothing_again(cluster: EdgeCluster) -> None:
    (device,) = await cluster.chat(1, 2, online=[1])
    for number in range(1, 4):
        await cluster.message.send_texts(7, 2, str(number))
        await device.until_texts(7, *numbers(number))
        assert await device.request(do="login", account=1) == 1
        await device.until_synced()
    assert device.texts(7) == numbers(3)


async def test_a_login_that_fails_changes_nothing(cluster: EdgeCluster) -> None:
    (device,) = await cluster.chat(1, 2, online=[1])
    assert await device.request(do="login", account=2, secret="wrong") == "unauthenticated"
    await cluster.message.send_texts(7, 2, "still here")
    await device.until_texts(7, "still here")
    assert await device.post(7, "and who I was") == 2
