"""People who come, talk and go on two edges for a while, with two replicas of message that lose, double, delay and
shuffle what they send: in the end everybody has every message of their chats once, in order, and every post has one
answer."""

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

from services.edge.app import Edge
from shared.contract.edge import Envelope
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from tests.unit.services.edge.conftest import Town
from tests.unit.services.edge.devices import Device
from tests.unit.services.edge.fake_services import MessageService
from tests.unit.services.edge.world import World

CHATS = {1: (1, 2, 3, 4, 5, 6), 2: (1, 2, 3), 3: (4, 5, 6), 4: (1, 4)}
"""The first is broadcast."""
LATECOMER, NEWCOMERS_CHAT = 7, 2
SECONDS = 2.5


@dataclass
class Stay:
    """One connection's life: what there was when its login was answered, and how it ended."""

    account: int
    device: Device
    heads: dict[int, int]
    orderly: bool = False
    said: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By reference: the chat and the text."""

    def has(self, chat: int) -> list[int]:
        """Indexes, pushed or answered, as they came."""
        own = {ref: chat for ref, (chat, _) in self.said.items()}
        indexes: list[int] = []
        for seen in self.device.seen:
            if "message" in seen and seen["message"][0] == chat:
                indexes.append(seen["message"][1])
            elif own.get(seen.get("re", 0)) == chat and "ok" in seen:
                indexes.append(seen["ok"][1])
        return indexes


class Faults:
    """What becomes of what a replica sends, while `on`."""

    def __init__(self, chance: random.Random, replica: MessageService) -> None:
        self.on = True
        self._chance = chance
        self._replica = replica
        self._later: set[asyncio.Task[None]] = set()
        replica.on_envelope = self._envelope
        replica.on_answer = self._answer

    def _envelope(self, node: NodeId, envelope: Envelope) -> list[Envelope]:
        fate = self._chance.random() if self.on else 1.0
        if fate < 0.1:
            return []
        if fate < 0.2:
            return [envelope, envelope]
        if fate < 0.4:
            task = asyncio.create_task(self._publish_later(node, envelope))
            self._later.add(task)
            task.add_done_callback(self._later.discard)
            return []
        return [envelope]

    async def _publish_later(self, node: NodeId, envelope: Envelope) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.05))
        await self._replica.publish(node, envelope)

    async def _answer(self) -> bool:
        if not self.on:
            return True
        await asyncio.sleep(self._chance.choice([0.0, 0.0, 0.02]))
        if self._chance.random() < 0.1:
            self._replica.refusals.append(Failure(ErrorCode.UNAVAILABLE, "not now"))
        return self._chance.random() > 0.05

    async def over(self) -> None:
        self.on = False
        self._replica.refusals.clear()
        if self._later:
            await asyncio.wait(set(self._later))


async def live(town: Town, chance: random.Random, account: int, until: float) -> list[Stay]:
    """Come and go; the last device stays."""
    stays: list[Stay] = []
    while True:
        device = await town.device(account, chance.choice(town.edges))
        stay = Stay(account, device, {chat: room.head for chat, room in town.world.rooms.items()})
        stays.append(stay)
        for number in range(chance.randrange(12)):
            await _talk(chance, stay, f"{account}-{len(stays)}-{number}")
        if asyncio.get_running_loop().time() > until:
            return stays
        if chance.random() < 0.6:
            await asyncio.gather(*(device.answer(ref) for ref in stay.said))
            stay.orderly = True
            device.wire.leave()
        elif chance.random() < 0.5:
            device.wire.vanish()
        else:
            stays += await _second(town, chance, account)
            device.wire.leave()


async def _second(town: Town, chance: random.Random, account: int) -> list[Stay]:
    """Another device for a while, beside the first."""
    device = await town.device(account, chance.choice(town.edges))
    stay = Stay(account, device, {chat: room.head for chat, room in town.world.rooms.items()})
    for number in range(4):
        await _talk(chance, stay, f"{account}-second-{id(stay)}-{number}")
    device.wire.vanish()
    return [stay]


async def _talk(chance: random.Random, stay: Stay, text: str) -> None:
    chat = chance.choice([chat for chat, members in CHATS.items() if stay.account in members] or [NEWCOMERS_CHAT])
    ref = stay.device.say(do="post", chat=chat, text=text)
    stay.said[ref] = chat, text
    if chance.random() < 0.7:
        await stay.device.answer(ref)
    await asyncio.sleep(chance.choice([0.0, 0.0, 0.01, 0.05]))


async def settle(town: Town, stays: list[Stay]) -> None:
    """Everything is answered, and the last message of each chat has come to everybody who is still there."""
    here = [stay for stay in stays if not stay.device.wire.ended]
    for stay in here:
        await asyncio.gather(*(stay.device.answer(ref) for ref in stay.said))
    for chat, room in town.world.rooms.items():
        await town.message.say(chat, 99, "the end")
        for stay in here:
            if AccountId(stay.account) in room.members:
                await stay.device.wire.until(lambda stay=stay, chat=chat: "the end" in stay.device.texts(chat))  # type: ignore[misc]


# What must be true in the end


def check_each_connection(world: World, stay: Stay) -> None:
    for chat, room in world.rooms.items():
        indexes = stay.has(chat)
        assert len(indexes) == len(set(indexes)), (stay.account, chat, indexes)
        pushed = stay.device.indexes(chat)
        assert pushed == sorted(pushed)
        for number, index, sender, text in stay.device.messages:
            committed = world.rooms[ChatId(number)].messages[index - 1]
            assert (committed.index, committed.sender) == (index, sender)
            assert text.encode() in committed.body
        member = room.members.get(AccountId(stay.account))
        assert member is not None or not indexes
        if member is not None and not stay.device.wire.ended:
            since = max(stay.heads.get(chat, 0) + 1, member[0])
            assert {index for index in indexes if index >= since} == set(range(since, room.head + 1))


def check_everybody_has_everything(world: World, stays: list[Stay]) -> None:
    """One's own messages come to devices that are there; they are never missed."""
    has: dict[tuple[int, int], set[int]] = defaultdict(set)
    for stay in stays:
        for chat in world.rooms:
            has[stay.account, chat] |= set(stay.has(chat))
    for chat, room in world.rooms.items():
        for account, (first, _) in room.members.items():
            others = {message.index for message in room.messages[first - 1 :] if message.sender != account}
            if account != 99:
                assert has[account, chat] >= others, (account, chat, others - has[account, chat])


def check_orderly_ends_repeat_nothing(world: World, stays: list[Stay]) -> None:
    """What a device has got before it left in order comes to no later one."""
    for number, stay in enumerate(stays):
        if stay.orderly:
            for chat in world.rooms:
                before = set(stay.has(chat))
                for later in stays[number + 1 :]:
                    assert not before & set(later.device.indexes(chat)), (stay.account, chat)


def check_posts(world: World, stays: list[Stay]) -> None:
    committed = Counter(bytes(message.body) for room in world.rooms.values() for message in room.messages)
    assert max(count for body, count in committed.items() if b"the end" not in body) == 1
    for stay in stays:
        answered = [ref for ref in stay.device.answered if ref in stay.said]
        assert answered == sorted(set(answered))
        for ref in answered:
            chat, text = stay.said[ref]
            answer = stay.device.answers[ref]
            assert answer[0] == chat
            assert text.encode() in world.rooms[ChatId(chat)].messages[answer[1] - 1].body
        if not stay.device.wire.ended:
            assert answered == list(stay.said)


@pytest.mark.parametrize("seed", range(4))
async def test_soak(town: Town, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("shared.bus.client._ATTEMPT_SECONDS", 0.4)
    chance = random.Random(seed)
    for chat, members in CHATS.items():
        town.world.room(chat, *members, 99)
    edges: list[Edge] = [await town.edge(confirm_interval_seconds=0.2) for _ in range(2)]
    replicas = [town.message, await town.replica()]
    for replica in replicas:
        replica.broadcast_members = 6
    faults = [Faults(chance, replica) for replica in replicas]
    until = asyncio.get_running_loop().time() + SECONDS
    lives = [asyncio.create_task(live(town, chance, account, until)) for account in range(1, 7)]
    await asyncio.sleep(SECONDS / 2)
    town.session.silent = bool(seed % 2)
    await town.session.join(NEWCOMERS_CHAT, LATECOMER)
    lives.append(asyncio.create_task(live(town, chance, LATECOMER, until)))
    stays_of = await asyncio.gather(*lives)
    for fault in faults:
        await fault.over()
    stays = [stay for each in stays_of for stay in each]
    await settle(town, stays)
    for stay in stays:
        check_each_connection(town.world, stay)
    check_everybody_has_everything(town.world, stays)
    check_posts(town.world, stays)
    for each in stays_of:
        check_orderly_ends_repeat_nothing(town.world, each)
    assert sum(room.head for room in town.world.rooms.values()) > 100
    assert all(len(edge.endpoint.clients) <= len(stays) for edge in edges)
