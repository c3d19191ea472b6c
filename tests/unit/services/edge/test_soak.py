"""Users log in, post and disconnect on two edges. Meanwhile, two replicas of the message service lose, duplicate, delay
and reorder delivery batches.

At the end, members have every message of their chats once and in order, and every post has one reply.
"""

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from shared.contract.edge import DeliveryBatch
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient
from tests.unit.services.edge.fake_backend import FakeBackend
from tests.unit.services.edge.fake_services import FakeMessageService

CHATS = {1: (1, 2, 3, 4, 5, 6), 2: (1, 2, 3), 3: (4, 5, 6), 4: (1, 4)}
"""The members of each chat. Messages of the first chat are broadcast."""
LATE_MEMBER, LATE_MEMBER_CHAT = 7, 2
SECONDS = 2.5
LEAST_MESSAGES = 100
"""On a slow machine, the users continue until this number of messages is committed."""


@dataclass
class ConnectionRecord:
    """The record of one connection: the last indexes of the chats at its login, its posts, and how it ended."""

    account: int
    device: EdgeClient
    heads: dict[int, int]
    orderly: bool = False
    posted: dict[int, tuple[int, str]] = field(default_factory=dict)
    """The chat and the text of each post, by its reference."""

    def has(self, chat: int) -> list[int]:
        """Returns the indexes of pushes and replies in the order of their arrival."""
        own = {ref: chat for ref, (chat, _) in self.posted.items()}
        indexes: list[int] = []
        for seen in self.device.seen:
            if "message" in seen and seen["message"][0] == chat:
                indexes.append(seen["message"][1])
            elif own.get(seen.get("re", 0)) == chat and "ok" in seen:
                indexes.append(seen["ok"][1])
        return indexes


class BatchFaults:
    """Disturbs the delivery batches and replies of a replica while `on` is true."""

    def __init__(self, chance: random.Random, replica: FakeMessageService) -> None:
        self.on = True
        self._chance = chance
        self._replica = replica
        self._later: set[asyncio.Task[None]] = set()
        replica.on_batch = self._batch
        replica.on_reply = self._answer

    def _batch(self, node: NodeId, batch: DeliveryBatch) -> list[DeliveryBatch]:
        fate = self._chance.random() if self.on else 1.0
        if fate < 0.1:
            return []
        if fate < 0.2:
            return [batch, batch]
        if fate < 0.4:
            task = asyncio.create_task(self._publish_later(node, batch))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            return []
        return [batch]

    async def _publish_later(self, node: NodeId, batch: DeliveryBatch) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.05))
        await self._replica.publish(node, batch)

    async def _answer(self) -> bool:
        if not self.on:
            return True
        await asyncio.sleep(self._chance.choice([0.0, 0.0, 0.02]))
        if self._chance.random() < 0.1:
            self._replica.failures.append(Failure(ErrorCode.UNAVAILABLE, "not now"))
        return self._chance.random() > 0.05

    async def over(self) -> None:
        self.on = False
        self._replica.failures.clear()
        if self._later:
            await asyncio.wait(set(self._later))


def committed_count(backend: FakeBackend) -> int:
    return sum(room.head for room in backend.chats.values())


async def live(cluster: EdgeCluster, chance: random.Random, account: int, until: float) -> list[ConnectionRecord]:
    """Connects and disconnects repeatedly. The last device keeps its connection."""
    records: list[ConnectionRecord] = []
    while True:
        device = await cluster.client(account, chance.choice(cluster.edges))
        record = ConnectionRecord(account, device, {chat: room.head for chat, room in cluster.backend.chats.items()})
        records.append(record)
        for number in range(chance.randrange(12)):
            await _talk(chance, record, f"{account}-{len(records)}-{number}")
        if asyncio.get_running_loop().time() > until and committed_count(cluster.backend) > LEAST_MESSAGES:
            return records
        if chance.random() < 0.6:
            await asyncio.gather(*(device.reply_to(ref) for ref in record.posted))
            record.orderly = True
            device.socket.leave()
        elif chance.random() < 0.5:
            device.socket.vanish()
        else:
            records += await _second(cluster, chance, account)
            device.socket.leave()


async def _second(cluster: EdgeCluster, chance: random.Random, account: int) -> list[ConnectionRecord]:
    """Connects a second device of the account for a while."""
    device = await cluster.client(account, chance.choice(cluster.edges))
    record = ConnectionRecord(account, device, {chat: room.head for chat, room in cluster.backend.chats.items()})
    for number in range(4):
        await _talk(chance, record, f"{account}-second-{id(record)}-{number}")
    device.socket.vanish()
    return [record]


async def _talk(chance: random.Random, record: ConnectionRecord, text: str) -> None:
    chat = chance.choice([chat for chat, members in CHATS.items() if record.account in members] or [LATE_MEMBER_CHAT])
    ref = record.device.send(do="post", chat=chat, text=text)
    record.posted[ref] = chat, text
    if chance.random() < 0.7:
        await record.device.reply_to(ref)
    await asyncio.sleep(chance.choice([0.0, 0.0, 0.01, 0.05]))


async def settle(cluster: EdgeCluster, records: list[ConnectionRecord]) -> None:
    """Waits until all requests have a reply and all connected members have the last message of each chat."""
    here = [record for record in records if not record.device.socket.ended]
    for record in here:
        await asyncio.gather(*(record.device.reply_to(ref) for ref in record.posted))
    for chat, room in cluster.backend.chats.items():
        await cluster.message.send_texts(chat, 99, "the end")
        for record in here:
            if AccountId(record.account) in room.members:
                device = record.device
                await device.socket.until(lambda device=device, chat=chat: "the end" in device.texts(chat))  # type: ignore[misc]


def check_each_connection(backend: FakeBackend, record: ConnectionRecord) -> None:
    for chat, room in backend.chats.items():
        indexes = record.has(chat)
        assert len(indexes) == len(set(indexes)), (record.account, chat, indexes)
        pushed = record.device.indexes(chat)
        assert pushed == sorted(pushed)
        for number, index, sender, text in record.device.messages:
            committed = backend.chats[ChatId(number)].messages[index - 1]
            assert (committed.index, committed.sender) == (index, sender)
            assert text.encode() in committed.body
        member = room.members.get(AccountId(record.account))
        assert member is not None or not indexes
        if member is not None and not record.device.socket.ended:
            since = max(record.heads.get(chat, 0) + 1, member[0])
            assert {index for index in indexes if index >= since} == set(range(since, room.head + 1))


def check_all_members_have_everything(backend: FakeBackend, records: list[ConnectionRecord]) -> None:
    """A device gets an account's own messages only while it is connected, and never as missed messages."""
    has: dict[tuple[int, int], set[int]] = defaultdict(set)
    for record in records:
        for chat in backend.chats:
            has[record.account, chat] |= set(record.has(chat))
    for chat, room in backend.chats.items():
        for account, (first, _) in room.members.items():
            others = {message.index for message in room.messages[first - 1 :] if message.sender != account}
            if account != 99:
                assert has[account, chat] >= others, (account, chat, others - has[account, chat])


def check_orderly_ends_repeat_nothing(backend: FakeBackend, records: list[ConnectionRecord]) -> None:
    """If a device has received messages and left with a closing handshake, no later device gets these messages."""
    for number, record in enumerate(records):
        if record.orderly:
            for chat in backend.chats:
                before = set(record.has(chat))
                for later in records[number + 1 :]:
                    assert not before & set(later.device.indexes(chat)), (record.account, chat)


def check_posts(backend: FakeBackend, records: list[ConnectionRecord]) -> None:
    committed = Counter(bytes(message.body) for room in backend.chats.values() for message in room.messages)
    assert max(count for body, count in committed.items() if b"the end" not in body) == 1
    for record in records:
        answered = [ref for ref in record.device.replied_refs if ref in record.posted]
        assert answered == sorted(set(answered))
        for ref in answered:
            chat, text = record.posted[ref]
            answer = record.device.replies[ref]
            assert answer[0] == chat
            assert text.encode() in backend.chats[ChatId(chat)].messages[answer[1] - 1].body
        if not record.device.socket.ended:
            assert answered == list(record.posted)


@pytest.mark.parametrize("seed", range(2))
async def test_soak(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("shared.bus.request_sender.MOST_SECONDS", 0.4)
    # a stalled machine must not count as an outage
    monkeypatch.setattr("services.edge.upstream.attempt._OUTAGE_SECONDS", 60.0)
    chance = random.Random(seed)
    for chat, members in CHATS.items():
        cluster.backend.add_chat(chat, *members, 99)
    for _ in range(2):
        await cluster.add_edge(confirm_interval_seconds=0.2)
    replicas = [cluster.message, await cluster.add_message_replica()]
    for replica in replicas:
        replica.broadcast_members = 6
    faults = [BatchFaults(chance, replica) for replica in replicas]
    until = asyncio.get_running_loop().time() + SECONDS
    lives = [asyncio.create_task(live(cluster, chance, account, until)) for account in range(1, 7)]
    await asyncio.sleep(SECONDS / 2)
    cluster.session.silent = bool(seed % 2)
    await cluster.session.join(LATE_MEMBER_CHAT, LATE_MEMBER)
    lives.append(asyncio.create_task(live(cluster, chance, LATE_MEMBER, until)))
    records_by_account = await asyncio.gather(*lives)
    for fault in faults:
        await fault.over()
    records = [record for each in records_by_account for record in each]
    await settle(cluster, records)
    for record in records:
        check_each_connection(cluster.backend, record)
    check_all_members_have_everything(cluster.backend, records)
    check_posts(cluster.backend, records)
    for each in records_by_account:
        check_orderly_ends_repeat_nothing(cluster.backend, each)
    assert committed_count(cluster.backend) > LEAST_MESSAGES
