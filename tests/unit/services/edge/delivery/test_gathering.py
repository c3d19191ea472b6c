"""Messages of a chat that follow one to many connections are delivered together."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.edge.delivery import gathering
from services.edge.delivery.gathering import MessageGatherer
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.model import Message
from shared.presence import Presence
from shared.settings import LimitsSettings, RedisSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.delivery.test_local_chats import RecordingGaps
from tests.unit.services.edge.presence.test_local_accounts import NullRecipient, silent_announcer

BIG, SMALL = ChatId(7), ChatId(8)
MANY = 3


class BatchRecipient(NullRecipient):
    """`written`: the indexes of the messages that were delivered together."""

    def __init__(self) -> None:
        self.written: list[list[int]] = []

    def deliver(self, messages: Sequence[EncodedMessage]) -> None:
        self.written.append([one.message.index for one in messages])


def run(chat: ChatId, *indexes: int) -> list[Delivery]:
    sender = AccountId(1)
    return [
        Delivery(Message(chat, index, MessageId(index), sender, 0, b"", Nonce(index)), None, 1) for index in indexes
    ]


class Members:
    """`big`: that of a member of the chat with many connections; `small` has no other."""

    def __init__(self) -> None:
        node = NodeId("here")
        accounts = LocalAccounts(node, Presence(RedisSettings()), LimitsSettings(), silent_announcer(node))
        chats = LocalChats(accounts, RecordingGaps(), EdgeMetrics(CollectorRegistry()))
        self.failures: list[str] = []
        self.gatherer = MessageGatherer(chats, self.failures.append)
        self.big, self.small = BatchRecipient(), BatchRecipient()
        for number in range(1, MANY + 1):
            local = accounts.attach(AccountId(number), self.big if number == 1 else NullRecipient(), 0.0)
            chats.joined(local, BIG, 0, 1)
        chats.joined(accounts.attach(AccountId(99), self.small, 0.0), SMALL, 0, 1)
        for chat in (BIG, SMALL):
            sequencer = chats.sequencer(chat)
            assert sequencer is not None
            sequencer.version = 1

    async def until_big(self, *written: list[int]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.big.written) < len(written):
                await asyncio.sleep(0.001)
        assert self.big.written == list(written)


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Members:
    monkeypatch.setattr(gathering, "_MANY_CONNECTIONS", MANY)
    return Members()


async def test_messages_to_many_connections_go_together(members: Members) -> None:
    receive = members.gatherer.receive
    receive(run(BIG, 1))
    assert members.big.written == [[1]]
    receive(run(BIG, 2))
    receive(run(BIG, 3, 4))
    assert members.big.written == [[1]]
    await members.until_big([1], [2, 3, 4])
    receive(run(BIG, 5))
    await members.until_big([1], [2, 3, 4], [5])


async def test_a_message_after_the_pause_is_not_delayed(members: Members) -> None:
    members.gatherer.receive(run(BIG, 1))
    await asyncio.sleep(2 * gathering._LONGEST_SECONDS)
    members.gatherer.receive(run(BIG, 2))
    assert members.big.written == [[1], [2]]


async def test_messages_to_few_connections_are_not_delayed(members: Members) -> None:
    for index in (1, 2, 3):
        members.gatherer.receive(run(SMALL, index))
    assert members.small.written == [[1], [2], [3]]


async def test_the_chat_s_order_decides_whatever_the_order_of_arrival(members: Members) -> None:
    for indexes in ([1], [4], [3], [2]):
        members.gatherer.receive(run(BIG, *indexes))
    await members.until_big([1], [2, 3, 4])


async def test_a_failure_is_reported_and_loses_no_other_message(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = LocalChats.receive

    def fail_once(chats: LocalChats, failing: Sequence[Delivery]) -> int:
        monkeypatch.setattr(LocalChats, "receive", deliver)
        raise RuntimeError

    members.gatherer.receive(run(BIG, 1))
    monkeypatch.setattr(LocalChats, "receive", fail_once)
    members.gatherer.receive(run(SMALL, 1))
    assert members.failures == ["a delivery failed"]
    members.gatherer.receive(run(BIG, 2))
    await members.until_big([1], [2])
