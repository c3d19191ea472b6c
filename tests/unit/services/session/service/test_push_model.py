"""Users, settings, reads and faults are random. Exactly the right notifications must be sent, even if processes are
killed.

A notification must be about a message that is unread, that its recipient's settings permit, and that is older than the
delay. No notification is sent twice. At the end, each device must have a notification of the newest message that had to
be notified since the settings last changed.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from functools import partial
from typing import NamedTuple

import msgspec
import pytest

from services.session.service import push_delivery
from services.session.service.ports import PushFailed, PushMessage, PushResult
from services.session.store import chats, own_settings, push_queue, push_turns, views
from services.session.store.subscriptions import PushDevice
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Mention, Message, Text
from shared.contract.own_settings import SetOwnSettings
from shared.contract.push import PushDue
from shared.contract.session import MuteChat
from shared.database import Database
from shared.settings import Settings
from shared.vapid import make_key
from tests.unit.services.session.service.conftest import ON_BOTH
from tests.unit.services.session.service.test_push_delivery import DELAY_MS, Notifying
from tests.unit.services.session.store_harness import ANN, BOB, CEM, NOW

_STEPS = 300
_LEASE_MS = 75_000
"""A lease that is longer than the lease of a process."""
_USERS = (ANN, BOB, CEM)


class SentPush(NamedTuple):
    device: int
    chat: ChatId
    message: int


class PushModel:
    """The model: messages, reads and settings, and the faults that will still happen."""

    def __init__(self, notifying: Notifying, seed: int) -> None:
        """Two replicas share the queues. Each decision and each sending is done by one of them."""
        self.random, self.notifying, self.now = random.Random(seed), notifying, NOW
        self.chats: dict[ChatId, tuple[AccountId, ...]] = {}
        self.private: set[ChatId] = set()
        self.devices: dict[int, AccountId] = {}
        self.level: dict[AccountId, str] = defaultdict(lambda: "all")
        self.mentions_only: dict[tuple[AccountId, ChatId], bool] = defaultdict(bool)
        self.changed: dict[AccountId, int] = defaultdict(int)
        self.sent: list[SentPush] = []
        self.wrong: list[str] = []
        """Notifications that the model does not permit.

        They are collected, because an exception during a sending would only make the service repeat the attempt.
        """
        self.faults = 0.0
        services = notifying.services
        services.on_send = self._service_fails
        self._request, services.request = services.request, self._bus_fails  # type: ignore[method-assign]
        services.send = self._send  # type: ignore[method-assign]
        self.replicas = [notifying.make() for _ in range(2)]

    async def begin(self) -> None:
        store = self.notifying.store
        for _ in range(2):
            self.chats[(await store.create_group(*_USERS)).id] = _USERS
        await store.befriend(ANN, BOB)
        chat, _ = await store.open_private(ANN, BOB)
        self.private.add(chat)
        self.chats[chat] = (ANN, BOB)
        for account, path in ((BOB, "/1"), (BOB, "/2"), (CEM, "")):
            self.devices[await self.notifying.subscribe(account, path)] = account

    # Faults

    async def _bus_fails(self, request: object, **more: object) -> object:
        if self.random.random() < self.faults:
            raise RequestError(ErrorCode.UNAVAILABLE, "message was killed")
        return await self._request(request, **more)

    def _service_fails(self, _: PushDevice) -> None:
        if self.random.random() < self.faults:
            raise PushFailed(PushResult.FAILED, "status 503")

    async def _send(self, device: PushDevice, message: PushMessage) -> None:
        self._service_fails(device)
        navigate = msgspec.json.decode(message.text)["notification"]["navigate"]
        chat, index = map(int, navigate.rsplit("/", 2)[1:])
        sent = SentPush(device.id, ChatId(chat), index)
        if sent in self.sent:
            self.wrong.append(f"{sent}: twice")
        if not self.notifies(device.account, sent.chat, index):
            self.wrong.append(f"{sent}: nobody wants it")
        self.sent.append(sent)

    # What is right

    def notifies(self, account: AccountId, chat: ChatId, index: int) -> bool:
        message = self.notifying.services.messages[chat][index - 1]
        if index <= self.notifying.services.read.get((account, chat), 0) or message.sender == account:
            return False
        is_mention = message.body == mention(account)
        level, is_silent = self.level[account], self.mentions_only[account, chat]
        wants_all = not is_silent and (level == "all" or (level == "mentions" and chat in self.private))
        return level != "none" and (wants_all or is_mention) and message.time <= self.now - DELAY_MS

    def check_nothing_is_lost(self) -> None:
        last: dict[tuple[int, ChatId], int] = {}
        for device, chat, index in self.sent:
            last[device, chat] = max(index, last.get((device, chat), 0))
        for device, account in self.devices.items():
            for chat, members in self.chats.items():
                found = self.notifying.services.messages.get(chat, []) if account in members else []
                wanted = [
                    one.index for one in found
                    if one.time >= self.changed[account] and self.notifies(account, chat, one.index)
                ]  # fmt: skip
                assert not wanted or last.get((device, chat), 0) >= wanted[-1], (device, chat, wanted, self.sent)

    # Steps

    async def step(self) -> None:
        self.notifying.delivery = self.random.choice(self.replicas)
        work = (self.decide, self.decide, self.send, self.send_together)
        steps = (self.post, self.post, self.post, self.read, self.change, self.die, *work, *work)
        await self.random.choice(steps)()
        self.now += self.random.choice((0, 500, 3_000, 12_000))

    async def post(self) -> None:
        chat = self.random.choice([*self.chats])
        sender, to = self.random.choice((ANN, ANN, ANN, *self.chats[chat])), self.random.choice(self.chats[chat])
        known = self.notifying.services.messages.setdefault(chat, [])
        index = len(known) + 1
        body = mention(to) if self.random.random() < 0.3 else pack_segments((Text("hello"),))
        known.append(Message(chat, index, MessageId(index), sender, self.now, body, Nonce(index)))
        self.notifying.services.read[sender, chat] = index
        await self.notifying.delivery.messages_posted(PushDue([chat]))

    async def read(self) -> None:
        chat = self.random.choice([*self.chats])
        head = len(self.notifying.services.messages.get(chat, []))
        key = self.random.choice(self.chats[chat]), chat
        self.notifying.services.read[key] = max(self.notifying.services.read.get(key, 0), self.random.randint(0, head))

    async def change(self) -> None:
        account, database = self.random.choice((BOB, CEM)), self.notifying.store.database
        self.changed[account] = self.now + 1
        if self.random.random() < 0.5:
            self.level[account] = level = self.random.choice(("all", "all", "mentions", "none"))
            await database.write(partial(own_settings.change, request=SetOwnSettings(level=level, actor=account)))
            return
        chat = self.random.choice([one for one, members in self.chats.items() if account in members])
        self.mentions_only[account, chat] = only = self.random.random() < 0.5
        request = MuteChat(chat, 0, only, actor=account)
        await database.write(partial(views.mute_chat, request=request))

    async def decide(self) -> None:
        with contextlib.suppress(RequestError):
            await self.notifying.decide()

    async def send(self) -> None:
        with contextlib.suppress(RequestError):
            await self.notifying.send()

    async def send_together(self) -> None:
        await asyncio.gather(*(one._start_sending() for one in self.replicas), return_exceptions=True)
        for one in self.replicas:
            await one._tasks.finish(5)

    async def die(self) -> None:
        """Leases chats and devices, as a process does that is then killed."""
        database, until = self.notifying.store.database, self.now + _LEASE_MS
        await database.write(partial(push_queue.take_chats, now=self.now, until=until, limit=2, most_members=9))
        found = await database.read(push_turns.find_devices, self.now, (), 1)
        await database.write(push_turns.take_devices, [one.id for one in found], self.now, "dead", until)


def mention(account: AccountId) -> bytes:
    return pack_segments((Mention(account, "@you"),))


@ON_BOTH
@pytest.mark.parametrize("seed", range(2))
async def test_exactly_the_right_notifications(database: Database, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await database.write(partial(chats.insert_lobby, now=NOW))
    notifying = Notifying(database)
    push = {"key": make_key(), "delay_seconds": DELAY_MS / 1000}
    notifying.settings = Settings(push=push, edge={"public_url": "https://chat.example"})
    await notifying.store.add_profiles(*_USERS)
    model = PushModel(notifying, seed)
    monkeypatch.setattr(push_delivery, "now_ms", lambda: model.now)
    await model.begin()
    model.faults = 0.1
    for _ in range(_STEPS):
        await model.step()
    model.faults = 0.0
    for _ in range(40):
        model.now += 90_000
        await model.decide()
        await model.send()
    assert model.wrong == []
    model.check_nothing_is_lost()
    assert len(model.sent) > 9
    for one in model.replicas:
        await one.close()
