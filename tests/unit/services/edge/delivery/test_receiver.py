"""Whatever happens to envelopes: members receive each message of their chats once, in order, non-members none."""

import asyncio

import pytest

from shared.contract.edge import Delivery, Envelope
from shared.contract.ids import ChatId, NodeId
from shared.contract.message import Sync, SyncChat
from shared.contract.session import CreateChat
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import Device
from tests.unit.services.edge.fake_services import ALL


async def log_in(town: Town, *accounts: int) -> list[Device]:
    """Devices that are logged in and synced."""
    devices = [await town.device(account) for account in accounts]
    for device in devices:
        await device.synced()
    return devices


def drop_envelope(node: NodeId, envelope: Envelope) -> list[Envelope]:
    return []


def pass_envelope(node: NodeId, envelope: Envelope) -> list[Envelope]:
    return [envelope]


async def test_envelopes_in_any_order_and_repeated(town: Town) -> None:
    edge = await town.edge()
    town.world.room(7, 1, 2)
    (alice,) = await log_in(town, 1)
    messages = town.world.say(7, 2, *"abcdefgh")
    for position in (2, 0, 0, 1, 4, 3, 7, 7, 5, 2, 6):
        message = messages[position]
        await town.message.send(edge.id, [Delivery(message, [message.sender, alice.client.connection.account], 1)])
    await alice.until_texts(7, *"abcdefgh")


@pytest.mark.parametrize("lost", [[0], [1, 2], [3], [0, 2]])
async def test_a_gap_is_filled_only_for_accounts_that_may_read_it(town: Town, lost: list[int]) -> None:
    """Carol joined after the gap, and receives none of it."""
    await town.edge()
    town.world.room(7, 1, 2)
    alice, carol = await log_in(town, 1, 3)
    for number, text in enumerate("abcd"):
        town.message.on_envelope = drop_envelope if number in lost else pass_envelope
        await town.message.say(7, 2, text)
    town.message.on_envelope = pass_envelope
    await town.session.join(7, 3)
    await town.message.say(7, 2, "e")
    await alice.until_texts(7, *"abcde")
    await carol.until_texts(7, "e")


async def test_a_gap_of_many_pages(town: Town) -> None:
    await town.edge()
    town.world.messages_per_page = 5
    town.world.room(7, 1, 2)
    (alice,) = await log_in(town, 1)
    texts = [str(number) for number in range(33)]
    town.message.on_envelope = drop_envelope
    await town.message.say(7, 2, *texts)
    town.message.on_envelope = pass_envelope
    await town.message.say(7, 2, "last")
    await alice.until_texts(7, *texts, "last")


async def test_the_heartbeat_reveals_the_loss_of_the_last_envelope(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    (alice,) = await log_in(town, 1)
    town.message.on_envelope = drop_envelope
    await town.message.say(7, 2, "last")
    await alice.until_texts(7, "last")


async def test_the_next_envelope_reveals_a_skipped_one_whatever_its_chat(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    town.world.room(8, 1, 2)
    (alice,) = await log_in(town, 1)
    town.message.beats = False
    await town.message.say(8, 2, "first")
    town.message.on_envelope = drop_envelope
    await town.message.say(7, 2, "lost")
    town.message.on_envelope = pass_envelope
    await town.message.say(8, 2, "second")
    async with asyncio.timeout(2):  # before silence counts as a loss
        await alice.until_texts(7, "lost")
    await alice.until_texts(8, "first", "second")


async def test_the_silence_of_a_replica_is_a_loss(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.delivery.loss_detector.SILENCE_SECONDS", 0.4)
    await town.edge()
    town.world.room(7, 1, 2)
    (alice,) = await log_in(town, 1)
    await town.message.say(7, 2, "first")
    await alice.until_texts(7, "first")
    town.message.beats = False
    town.message.on_envelope = drop_envelope
    town.world.say(7, 2, "second")
    await alice.until_texts(7, "first", "second")


async def test_a_chat_that_cannot_be_read_is_dropped_and_affects_no_other(town: Town) -> None:
    edge = await town.edge()
    for chat in (7, 8):
        town.world.room(chat, 1, 2)
    (alice,) = await log_in(town, 1)
    town.message.unreadable.add(ChatId(7))
    town.message.on_envelope = drop_envelope
    assert await alice.post(7, "into the void") == 1
    town.message.on_envelope = pass_envelope
    assert edge.chats.sequencer(ChatId(7)) is None
    requests = len(town.message.of(SyncChat))
    assert await alice.post(8, "hello") == 1
    assert len(town.message.of(SyncChat)) == requests
    assert await edge.read_state.flush()
    town.message.unreadable.clear()
    await town.message.say(7, 2, "back again")
    await alice.until_texts(7, "back again")


# Chats that are new here


async def test_a_new_chat_needs_no_request(town: Town) -> None:
    await town.edge()
    alice, bob = await log_in(town, 1, 2)
    chat = await alice.ask(do="create", members=[1, 2])
    await bob.until_event("ChatJoined", chat)
    assert await bob.post(chat, "hello") == 1
    await alice.until_texts(chat, "hello")
    assert town.message.of(SyncChat) == []
    assert alice.events == [("ChatJoined", chat)]


async def test_a_created_chat_is_notified_after_the_reply(town: Town) -> None:
    await town.edge()
    alice, bob = await log_in(town, 1, 2)
    gate = town.session.close(CreateChat)
    request = alice.say(do="create", members=[1, 2])
    await bob.wire.until(lambda: bob.events != [])
    assert alice.events == []
    gate.set()
    chat = await alice.answer(request)
    await alice.until_event("ChatJoined", chat)
    assert alice.seen[-1] == {"event": "ChatJoined", "told": chat}


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_messages_before_the_membership_notice_or_without_one(town: Town, lost: int) -> None:
    """The first envelopes may be lost, too."""
    await town.edge()
    (alice,) = await log_in(town, 1)
    town.session.silent = True
    await town.session.create(7, 1, 2)
    for number, text in enumerate("abc"):
        town.message.on_envelope = drop_envelope if number < lost else pass_envelope
        await town.message.say(7, 2, text)
    await alice.until_texts(7, *"abc")


async def test_an_unannounced_member_receives_messages_lost_before(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    alice, carol = await log_in(town, 1, 3)
    await town.message.say(7, 2, "a")
    town.session.silent = True
    await town.session.join(7, 3)

    def not_for_carol(node: NodeId, envelope: Envelope) -> list[Envelope]:
        return [town.message.without(envelope, 3)]

    town.message.on_envelope = not_for_carol
    await town.message.say(7, 2, "b", "c")
    town.message.on_envelope = pass_envelope
    await town.message.say(7, 2, "d")
    await alice.until_texts(7, *"abcd")
    await carol.until_texts(7, *"bcd")


async def test_a_reply_with_an_older_membership_is_requested_again(town: Town) -> None:
    """The replica replies with an older membership than that of the message."""
    await town.edge()
    room = town.world.room(7, 2, 3)
    (alice,) = await log_in(town, 1)
    town.session.silent = True
    await town.session.join(7, 1)
    member = room.members.pop(alice.client.connection.account)
    room.version = 1
    (message,) = town.world.say(7, 2, "a")
    await town.message.send(town.edges[0].id, [Delivery(message, [alice.client.connection.account], 2)])
    await town.message.until_asked(SyncChat)
    room.members[alice.client.connection.account] = member
    room.version = 2
    await alice.until_texts(7, "a")


async def test_a_late_membership_notice_announces_the_chat(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    alice, carol = await log_in(town, 1, 3)
    await town.session.join(7, 3)
    await carol.until_event("ChatJoined", 7)
    await town.message.say(7, 2, "a")
    await carol.until_texts(7, "a")
    await alice.until_texts(7, "a")


async def test_a_former_member_receives_nothing(town: Town) -> None:
    edge = await town.edge()
    town.world.room(7, 1, 2, 3)
    alice, carol = await log_in(town, 1, 3)
    await town.message.say(7, 2, "a")
    await carol.until_texts(7, "a")
    await town.session.leave(7, 3)
    town.message.on_envelope = drop_envelope
    await town.message.say(7, 2, "b")
    town.message.on_envelope = pass_envelope
    await town.message.say(7, 2, "c")
    await alice.until_texts(7, *"abc")
    assert carol.texts(7) == ["a"]
    assert not edge.chats.sequencer(7).members & {3}  # type: ignore[arg-type,union-attr]


@pytest.mark.parametrize("others", [[], [4]])
@pytest.mark.parametrize("big", [False, True])
async def test_a_member_that_returns_without_a_notice_receives_everything_again(
    town: Town, others: list[int], big: bool
) -> None:
    """The next message reveals it if it names its recipients, otherwise the next sync."""
    town.message.broadcast_members = 1 if big else 1000
    edge = await town.edge()
    town.world.room(7, 2, 3, *others)
    (carol, *_) = await log_in(town, 3, *others)
    await town.message.say(7, 2, "a")
    await carol.until_texts(7, "a")
    assert await edge.read_state.flush()
    await town.session.leave(7, 3)
    await carol.until_left(edge, 7)
    town.session.silent = True
    await town.session.join(7, 3)
    if big:
        requests = len(town.message.of(Sync))
        edge.resync.mark_stale("a test")
        await town.message.until_asked(Sync, requests + 1)
    await town.message.say(7, 2, "b")
    await carol.until_texts(7, "a", "b")


# Big chats


@pytest.fixture
def big(town: Town) -> Town:
    """Every chat is broadcast."""
    town.message.broadcast_members = 1
    return town


async def test_a_broadcast_reaches_the_local_members(big: Town) -> None:
    here, there = await big.edge(), await big.edge()
    big.world.room(7, 1, 2, 3)
    big.world.room(8, 4, 2)
    alice, dave = await log_in(big, 1, 4)
    carol = await big.device(3, there)
    await big.message.say(7, 2, "a", "b")
    await big.message.say(8, 2, "c")
    for device in (alice, carol):
        await device.until_texts(7, "a", "b")
    await dave.until_texts(8, "c")
    assert (alice.texts(8), dave.texts(7)) == ([], [])
    assert here is not there


@pytest.mark.parametrize("silent", [False, True])
async def test_a_broadcast_reaches_new_members_and_no_former_ones(big: Town, silent: bool) -> None:
    """With and without membership notices."""
    await big.edge()
    big.world.room(7, 1, 2, 3)
    alice, carol, dave = await log_in(big, 1, 3, 4)
    await big.message.say(7, 2, "a")
    await carol.until_texts(7, "a")
    big.session.silent = silent
    await big.session.join(7, 4)
    await big.session.leave(7, 3)
    await big.message.say(7, 2, "b")
    await alice.until_texts(7, "a", "b")
    await dave.until_texts(7, "b")
    assert carol.texts(7) == ["a"]


async def test_an_earlier_broadcast_is_not_for_later_members(big: Town) -> None:
    """A newer membership notice overtakes the envelope."""
    edge = await big.edge()
    big.world.room(7, 1, 2, 3)
    alice, carol, dave = await log_in(big, 1, 3, 4)
    await big.message.say(7, 2, "a")
    for device in (alice, carol):
        await device.until_texts(7, "a")
    (message,) = big.world.say(7, 2, "b")
    await big.session.join(7, 4)
    await dave.until_event("ChatJoined", 7)
    await big.message.send(ALL, [Delivery(message, None, 1)])
    await big.message.say(7, 2, "c")
    for device in (alice, carol):
        await device.until_texts(7, *"abc")
    await dave.until_texts(7, "c")
    assert edge.chats.sequencer(7).version == 2  # type: ignore[arg-type,union-attr]


async def test_an_older_membership_is_ignored(big: Town) -> None:
    """A replica that does not know of the departure replies for a while."""
    await big.edge()
    room = big.world.room(7, 1, 2, 3)
    alice, carol = await log_in(big, 1, 3)
    await big.message.say(7, 2, "a")
    await carol.until_texts(7, "a")
    big.session.silent = True
    await big.session.leave(7, 3)
    (message,) = big.world.say(7, 2, "b")
    room.version, room.members[3] = 1, (1, 1)  # type: ignore[index]
    requests = len(big.message.of(SyncChat))
    await big.message.send(ALL, [Delivery(message, None, 2)])
    await big.message.until_asked(SyncChat, requests + 1)
    del room.members[3]  # type: ignore[arg-type]
    room.version = 2
    await alice.until_texts(7, "a", "b")
    assert carol.texts(7) == ["a"]


async def test_the_membership_of_many_accounts_is_requested_in_batches(
    big: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.delivery.gap_filler._ACCOUNTS_PER_REQUEST", 3)
    await big.edge()
    accounts = range(1, 12)
    big.world.room(7, *accounts[:8])
    devices = await log_in(big, *accounts)
    await big.message.say(7, 1, "a")
    for device in devices[1:8]:
        await device.until_texts(7, "a")
    assert all(device.texts(7) == [] for device in devices[8:])
    assert max(len(request.accounts) for request in big.message.of(SyncChat)) == 3


async def test_a_login_while_a_gap_is_fetched_receives_the_gap(big: Town) -> None:
    await big.edge()
    big.world.room(7, 1, 2, 3)
    (alice,) = await log_in(big, 1)
    await big.message.say(7, 2, "a")
    await alice.until_texts(7, "a")
    big.world.mark_read(3, 7, 1, 1)
    requests = len(big.message.of(SyncChat))
    gate = big.message.close(SyncChat)
    big.message.on_envelope = drop_envelope
    await big.message.say(7, 2, "b")
    big.message.on_envelope = pass_envelope
    await big.message.say(7, 2, "c")
    await big.message.until_asked(SyncChat, requests + 1)
    carol = await big.device(3)
    gate.set()
    await alice.until_texts(7, *"abc")
    await carol.until_texts(7, "b", "c")


# Unknown presence


async def test_all_recipients_are_reached_without_presence(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.presence._TRUST_SECONDS", 1000.0)
    here, there = await town.edge(), await town.edge()
    town.world.room(7, 1, 2, 3)
    alice = await town.device(1, here)
    carol, dave = await town.device(3, there), await town.device(4, there)
    await town.message.say(7, 2, "a")
    for device in (alice, carol):
        await device.until_texts(7, "a")
    assert dave.messages == []


# Slow and failing connections


async def test_a_slow_connection_is_closed_and_delays_no_other(town: Town) -> None:
    await town.edge(outgoing_bytes=100_000)
    town.world.room(7, 1, 2, 3)
    alice, carol = await log_in(town, 1, 3)
    alice.wire.deaf = True
    texts = [str(number) * 20_000 for number in range(9)]
    await town.message.say(7, 2, *texts)
    await carol.until_texts(7, *texts)
    assert alice.wire.closed_with == (1013, "too slow, reconnect to catch up")
    assert town.edges[0].context.metrics.slow_closes._value.get() == 1
    alice.wire.vanish()
    again = await town.device(1)
    await again.until_texts(7, *texts)


async def test_a_message_that_fails_in_a_dialect_closes_only_its_connections(town: Town) -> None:
    """The rest of the envelope is delivered."""
    edge = await town.edge()
    town.world.room(7, 1, 2)
    town.world.room(8, 3, 2)
    alice, carol = await log_in(town, 1, 3)
    messages = [*town.world.say(7, 2, "poison"), *town.world.say(8, 2, "hello")]
    accounts = [alice.client.connection.account, carol.client.connection.account]
    await town.message.send(edge.id, [Delivery(each, accounts, 1) for each in messages])
    await carol.wire.until(lambda: carol.texts(8) == ["hello"] or carol.wire.ended)
    await alice.wire.until(lambda: alice.wire.ended)
    assert alice.wire.closed_with is not None
    assert alice.wire.closed_with[0] == 1011


async def test_held_pushes_are_bounded_and_written_on_time(town: Town) -> None:
    edge = await town.edge(outgoing_bytes=100_000)
    for chat in (7, 8):
        town.world.room(chat, 1, 2)
    alice, other = await log_in(town, 1, 1)
    soon = asyncio.get_running_loop().time() + 0.1
    alice.say(do="hold", chat=7, until=soon)
    other.say(do="hold", chat=8, until=soon + 1000)
    await asyncio.sleep(0)
    await town.message.say(7, 2, "a", "b")
    await alice.until_texts(7, "a", "b")
    assert asyncio.get_running_loop().time() >= soon
    await town.message.say(8, 2, *("x" * 60_000 for _ in range(3)))
    await other.wire.until(lambda: other.wire.ended)
    assert other.wire.closed_with is not None
    assert other.wire.closed_with[0] == 1013
    assert len(edge.endpoint.clients) == 1
