"""The connections of a large group write its messages and events in turns, so that other clients do not wait."""

import asyncio
import time

from services.edge.canonical.events import MaintenanceChanged
from services.edge.context import OutputTurns
from services.edge.dialects.encoded_message import EncodedMessage
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import Sync
from shared.contract.model import Message, Text
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

MANY = 60


class SlowOutput:
    """An output that takes a millisecond."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.is_written = self.has_failed = False

    def take_turn(self) -> None:
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            pass
        if self.broken:
            raise ValueError
        self.is_written = True

    def fail(self) -> None:
        self.has_failed = True


async def test_other_work_is_done_between_turns_and_a_failure_ends_one_connection() -> None:
    turns, outputs = OutputTurns(), [SlowOutput(broken=number == 5) for number in range(MANY)]
    for one in outputs:
        turns.add(one)
    iterations = 0
    while not outputs[-1].is_written:
        await asyncio.sleep(0)
        iterations += 1
    assert iterations > MANY / 4
    assert [one.has_failed for one in outputs] == [not one.is_written for one in outputs] == [
        number == 5 for number in range(MANY)
    ]  # fmt: skip


def encoded(index: int) -> EncodedMessage:
    body = pack_segments((Text(f"text {index}"),))
    return EncodedMessage(Message(ChatId(7), index, MessageId(index), AccountId(2), 0, body, Nonce(index)))


def shown(client: EdgeClient) -> list[object]:
    return [seen.get("message", [0, seen.get("event") or seen.get("ok")])[1] for seen in client.seen]


async def test_what_is_deferred_is_written_before_all_that_follows(cluster: EdgeCluster) -> None:
    (user,) = await cluster.enter(1)
    client = user.client
    client.deliver([encoded(0)])  # it follows the missed messages, of which there are none
    before = len(user.seen)

    def defer(index: int) -> None:
        client.deliver_later([encoded(index)])
        client.notify_later(MaintenanceChanged(on=True))

    defer(1)
    assert len(user.seen) == before, "it is not deferred"
    client.deliver([encoded(2)])
    defer(3)
    client.notify(MaintenanceChanged(on=False))
    defer(4)
    assert await user.request(do="ping") == "pong"
    defer(5)
    await user.socket.until(lambda: 5 in shown(user))
    defer(6)
    client.close(1000, "")
    event = "MaintenanceChanged"
    expected = [1, event, 2, 3, event, event, 4, event, "pong", 5, event, 6]
    assert shown(user)[before:] == [*expected, event]


async def test_the_first_message_after_the_missed_ones_is_deferred(cluster: EdgeCluster) -> None:
    (sender,) = await cluster.chat(1, 2, online=[1])
    await sender.post(7, "text 1")
    gate, before = cluster.message.block(Sync), len(cluster.message.requests_of(Sync))
    user = EdgeClient(cluster.edges[0].endpoint)
    login = user.send(do="login", account=2)
    await cluster.message.until_requested(Sync, before + 1)
    user.client.deliver_later([encoded(8)])  # it would be read as a missed message, if it existed
    gate.set()
    assert await user.reply_to(login) == 2
    await user.until_synced()
    user.client.deliver_later([encoded(9)])
    assert user.texts(7) == ["text 1"], "it is not deferred"
    await user.until_texts(7, "text 1", "text 9")


async def test_the_output_of_a_turn_does_not_wait_for_the_end_of_the_iteration(cluster: EdgeCluster) -> None:
    (user,) = await cluster.enter(1)
    user.client.deliver_later([encoded(9)])
    await user.until_texts(7, "text 9")
    assert user.socket.flushed == len(user.socket.received)


async def test_not_too_much_is_deferred(cluster: EdgeCluster) -> None:
    (user,) = await cluster.enter(1)
    user.client.deliver([encoded(0)])
    before = len(user.seen)
    for index in range(1, 40):
        user.client.deliver_later([encoded(index)])
    assert before < len(user.seen) < before + 39
    await user.socket.until(lambda: len(user.seen) == before + 39)
    assert shown(user)[before:] == [*range(1, 40)]


async def test_what_an_ended_connection_has_not_got_stays_undelivered(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, *range(1, MANY + 1))
    clients = await cluster.synced_clients(*range(1, MANY + 1))
    sender, *others = clients
    texts = [f"text {number}" for number in range(5)]
    for text in texts:
        await sender.post(7, text)
    for one in others:
        await one.until_texts(7, *texts)
    gone = others[-1]
    gone.client.deliver_later([encoded(6)])
    received = len(gone.socket.received)
    gone.client.closed()
    assert len(gone.socket.received) == received
