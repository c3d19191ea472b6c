"""Tests notifications from the event of message to the push service.

The queues are real, and the replies of the message service and the push service are prepared.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.session.domain import LOBBY
from services.session.metrics import SessionMetrics
from services.session.service import message_reader, push_batch, push_delivery
from services.session.service.mail_digests import MailDigests
from services.session.service.message_reader import MessageReader
from services.session.service.ports import PushFailed, PushMessage, PushResult
from services.session.service.push_delivery import PushDelivery, PushWays
from services.session.service.push_texts import PushTexts
from services.session.service.subscriptions import PushLogins
from services.session.store import chats, memberships, own_settings, push_turns, subscriptions
from services.session.store.subscriptions import NewDevice, PushDevice
from services.session.tables.push import push_chat, push_notification, push_subscription
from shared.clock import now_ms
from shared.contract.body import RECALLED_BODY, pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import MailRequested
from shared.contract.following import ChatNews, FollowChats, HeadPosition, News
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import GetHeads, GetHistory, Heads, History
from shared.contract.model import Mention, Message, Text
from shared.contract.own_settings import SetOwnSettings
from shared.contract.push import EndedLogins, FindEndedLogins, PushDue, Subscribe
from shared.contract.receipts import FindReadIndexes, ReadIndex, ReadIndexes
from shared.database import Database
from shared.settings import Settings
from shared.vapid import make_key
from tests.unit.services.session.service.conftest import ON_BOTH
from tests.unit.services.session.store_harness import ANN, BOB, CEM, NOW, StoreHarness

DELAY_MS = 10_000
_ORIGIN = "https://push.example"
HELLO = pack_segments((Text("hello"),))
TO_BOB = pack_segments((Mention(BOB, "@Bob"),))


class ScriptedServices:
    """A fake of message, auth and the push service.

    `page` is the largest number of messages in one reply. `failing` is the response of the push service to each device.
    """

    def __init__(self) -> None:
        self.messages: dict[ChatId, list[Message]] = {}
        self.read: dict[tuple[AccountId, ChatId], int] = {}
        self.lacking: set[tuple[AccountId, ChatId]] = set()
        self.requests: list[Any] = []
        self.sent: list[tuple[int, str]] = []
        self.page = 1_000
        self.is_away = False
        """Whether message and auth do not reply."""
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """A function that is called once, while a process waits for the message that it will send."""
        self.mails: list[MailRequested] = []
        self.keys: list[str] = []
        self.on_send: Callable[[PushDevice], None] = lambda _: None

    def post(self, chat: ChatId, count: int = 1, *, age: int = 60_000, body: bytes = HELLO) -> None:
        known = self.messages.setdefault(chat, [])
        for index in range(len(known) + 1, len(known) + 1 + count):
            known.append(Message(chat, index, MessageId(index), ANN, now_ms() - age, body, Nonce(index)))

    async def request(self, request: Any, **_: object) -> Any:
        self.requests.append(request)
        if self.is_away:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        if isinstance(request, GetHistory) and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        match request:
            case GetHeads(chats=chats):
                return Heads({chat: len(self.messages.get(chat, [])) for chat in chats})
            case FindReadIndexes(members=members):
                return ReadIndexes(
                    [ReadIndex(*one, self.read.get(one, 0), 1) for one in members if one not in self.lacking]
                )
            case FollowChats(positions=positions):
                return News([self._news(one) for one in positions])
            case GetHistory(chat=chat, start=start, count=count):
                known = self.messages[chat]
                return History(known[start - 1 : start - 1 + count], len(known), False)
            case FindEndedLogins():
                return EndedLogins([])
            case _:
                raise AssertionError(request)

    def _news(self, known: HeadPosition) -> ChatNews:
        all_of_it = self.messages[known.chat]
        taken = all_of_it[known.index : known.index + self.page]
        last = known.index + len(taken)
        return ChatNews(HeadPosition(known.chat, last), taken, [], last < len(all_of_it))

    async def mail(self, mail: MailRequested, key: str) -> None:
        if key not in self.keys:  # like NATS, this removes repetitions
            self.mails.append(mail)
        self.keys.append(key)

    async def send(self, device: PushDevice, message: PushMessage) -> None:
        self.on_send(device)
        self.sent.append((device.id, message.tag))


class Notifying:
    """A harness in which Bob and Cem have one device each."""

    def __init__(self, database: Database) -> None:
        self.store, self.services = StoreHarness(database), ScriptedServices()
        self.settings = Settings(push={"key": make_key(), "delay_seconds": DELAY_MS / 1000})
        self.delivery = self.make()

    def make(self) -> PushDelivery:
        services, database = self.services, self.store.database
        metrics, texts = SessionMetrics(CollectorRegistry()), PushTexts(self.settings)
        reader, logins = MessageReader(services.request), PushLogins(services.request)
        ways = PushWays(services, texts, MailDigests(services.mail, self.settings))
        return PushDelivery(database, reader, logins, ways, metrics, self.settings)

    async def subscribe(self, account: AccountId, path: str = "") -> int:
        request = Subscribe(f"{_ORIGIN}/{path or account}", "p", "a", sid=f"s{account}", actor=account)
        new = NewDevice(request, _ORIGIN, "key")
        return await self.store.database.write(partial(subscriptions.subscribe, new=new, most=9, now=NOW))

    async def moved(self, *chats: ChatId) -> None:
        """Announces new messages in these chats, and makes the chats due at once."""
        await self.delivery.messages_posted(PushDue([*chats]))
        due = push_chat.update().values(due=0)
        await self.store.database.write(lambda connection: connection.execute(due) and None)

    async def post_and_decide(self, chat: ChatId) -> None:
        """Posts a message, and decides whom it notifies."""
        self.services.post(chat)
        await self.moved(chat)
        await self.decide()

    async def decide(self) -> None:
        while await self.delivery._decide():
            pass

    async def waiting(self, device: int) -> dict[ChatId, int]:
        fields = push_notification.c.chat, push_notification.c.waiting
        own = sa.and_(push_notification.c.subscription == device, push_notification.c.waiting > 0)
        rows = await self.store.database.read(
            lambda connection: connection.execute(sa.select(*fields).where(own)).all()
        )
        return {ChatId(chat): waiting for chat, waiting in rows}

    async def send(self) -> None:
        """Sends as if the last search of the queue were long ago."""
        self.delivery._searched = 0
        await self.delivery._start_sending()
        await self.delivery._tasks.finish(5)


@pytest.fixture
async def notifying(database: Database) -> AsyncIterator[Notifying]:
    await database.write(partial(chats.insert_lobby, now=NOW))
    notifying = Notifying(database)
    await notifying.store.add_profiles(ANN, BOB, CEM)
    yield notifying
    await notifying.delivery.close()


async def test_a_chat_that_is_faster_than_the_delay_notifies_and_a_mention_is_not_lost(notifying: Notifying) -> None:
    chat, device = (await notifying.store.create_group(ANN, BOB)).id, await notifying.subscribe(BOB)
    notifying.services.page = 300
    notifying.services.post(chat, age=60_000, body=TO_BOB)
    notifying.services.post(chat, 700, age=60_000)
    notifying.services.post(chat, 250, age=5_000)
    await notifying.moved(chat)
    await notifying.decide()
    assert await notifying.waiting(device) == {chat: 701}
    await notifying.send()
    assert notifying.services.sent == [(device, str(chat))]


async def test_unripe_messages_are_decided_from_where_the_chat_began(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, device = (await notifying.store.create_group(ANN, BOB)).id, await notifying.subscribe(BOB)
    notifying.services.post(chat, 10, age=0, body=TO_BOB)
    await notifying.moved(chat)
    await notifying.decide()
    notifying.services.post(chat, 5_000, age=-DELAY_MS)
    later = now_ms() + DELAY_MS + 1_000
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.decide()
    assert await notifying.waiting(device) == {chat: 10}


async def test_a_chat_of_which_message_lacks_some_members_waits_and_the_others_do_not(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Message loses the member list between two requests."""
    monkeypatch.setattr(message_reader, "_READ_INDEXES", 1)
    one, other = [(await notifying.store.create_group(ANN, BOB, CEM)).id for _ in range(2)]
    bob, cem = await notifying.subscribe(BOB), await notifying.subscribe(CEM)
    for chat in (one, other):
        notifying.services.post(chat)
    notifying.services.lacking = {(CEM, one)}
    await notifying.moved(one, other)
    await notifying.decide()
    assert [await notifying.waiting(device) for device in (bob, cem)] == [{other: 1}, {other: 1}]
    notifying.services.lacking = set()
    await notifying.moved(one)
    await notifying.decide()
    assert await notifying.waiting(cem) == {one: 1, other: 1}


async def test_the_lobby_loads_nobody_without_a_mention(notifying: Notifying) -> None:
    lobby, device = LOBBY, await notifying.subscribe(BOB)
    await notifying.store.database.write(partial(memberships.join_lobby, account=BOB, head=0, now=NOW))
    notifying.services.post(lobby, 5)
    await notifying.moved(lobby)
    await notifying.decide()
    assert any(isinstance(one, FollowChats) for one in notifying.services.requests)
    assert not any(isinstance(one, FindReadIndexes) and one.members for one in notifying.services.requests)
    notifying.services.post(lobby, body=TO_BOB)
    await notifying.moved(lobby)
    await notifying.decide()
    assert await notifying.waiting(device) == {lobby: 6}


async def wait_with_one(notifying: Notifying) -> tuple[ChatId, int]:
    chat, device = (await notifying.store.create_group(ANN, BOB)).id, await notifying.subscribe(BOB)
    await notifying.post_and_decide(chat)
    assert await notifying.waiting(device) == {chat: 1}
    return chat, device


async def test_what_is_recalled_before_it_is_sent_notifies_nobody(notifying: Notifying) -> None:
    chat, device = await wait_with_one(notifying)
    notifying.services.messages[chat].clear()
    notifying.services.post(chat, body=RECALLED_BODY)
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([], {})


async def test_an_unread_message_before_a_recalled_one_notifies(notifying: Notifying) -> None:
    chat, device = await wait_with_one(notifying)
    await notifying.post_and_decide(chat)
    notifying.services.messages[chat].pop()
    notifying.services.post(chat, body=RECALLED_BODY)
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([(device, str(chat))], {})
    await notifying.send()
    assert len(notifying.services.sent) == 1


async def test_do_not_disturb_postpones_what_waits(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    chat, device = await wait_with_one(notifying)
    quiet = SetOwnSettings(until=now_ms() + 50_000, actor=BOB)
    await notifying.store.database.write(partial(own_settings.change, request=quiet))
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([], {chat: 1})
    later = now_ms() + 120_000
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.send()
    assert notifying.services.sent == [(device, str(chat))]


async def test_an_unexpected_fault_is_an_attempt_with_a_pause(notifying: Notifying) -> None:
    _, device = await wait_with_one(notifying)
    attempts: list[int] = []

    def fail(device: PushDevice) -> None:
        attempts.append(device.attempts)
        raise ZeroDivisionError

    notifying.services.on_send = fail
    await notifying.send()
    await notifying.send()
    assert attempts == [0]
    (listed,) = await notifying.store.database.read(partial(subscriptions.list_own, account=BOB))
    assert listed.last_error
    assert await notifying.waiting(device)


async def test_faults_of_this_server_end_no_subscription_and_those_of_the_service_do(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is hours after the previous one."""
    await wait_with_one(notifying)
    later, listed = now_ms(), partial(subscriptions.list_own, account=BOB)
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    monkeypatch.setattr(push_delivery, "_GIVE_UP_MS", 3_600_000)
    results = [PushResult.REJECTED, PushResult.REJECTED, PushResult.FAILED, PushResult.FAILED]

    def fail(_: PushDevice) -> None:
        raise PushFailed(results.pop(0), "no")

    notifying.services.on_send = fail
    for _ in range(3):
        await notifying.send()
        later += 7_200_000
    assert len(await notifying.store.database.read(listed)) == 1
    await notifying.send()
    assert await notifying.store.database.read(listed) == []


async def test_a_turn_ends_and_the_longest_waiting_device_is_next(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_batch, "TURN_SENDS", 2)
    device = await notifying.subscribe(BOB)
    groups = [(await notifying.store.create_group(ANN, BOB)).id for _ in range(3)]
    for chat in groups:
        notifying.services.post(chat)
    await notifying.moved(*groups)
    await notifying.decide()
    await notifying.send()
    assert [tag for _, tag in notifying.services.sent] == [str(chat) for chat in groups[:2]]
    await notifying.send()
    assert [tag for _, tag in notifying.services.sent] == [str(chat) for chat in groups]
    assert await notifying.waiting(device) == {}


async def test_chats_are_decided_soon_after_the_message_service_was_away(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, device = (await notifying.store.create_group(ANN, BOB)).id, await notifying.subscribe(BOB)
    notifying.services.post(chat)
    await notifying.moved(chat)
    notifying.services.is_away = True
    with pytest.raises(RequestError):
        await notifying.decide()
    notifying.services.is_away = False
    later = now_ms() + 6_000
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.decide()
    assert await notifying.waiting(device) == {chat: 1}


async def test_a_turn_that_sends_nothing_does_not_show_that_its_service_works(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, later = notifying.delivery._services, now_ms() + 2_000
    for _ in range(3):
        services.begin(_ORIGIN)
        services.end(_ORIGIN, now_ms(), works=False)
    chat, device = await wait_with_one(notifying)
    notifying.services.read[BOB, chat] = 1
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([], {})
    services.begin(_ORIGIN)
    assert services.closed(later) == [_ORIGIN], "it gets one request at a time"


async def test_what_was_accepted_is_not_sent_again_because_the_database_was_away(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, device = await wait_with_one(notifying)
    note_turns, failures = push_turns.note_turns, [RequestError(ErrorCode.UNAVAILABLE, "away")]

    def note(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        note_turns(*arguments)

    monkeypatch.setattr(push_turns, "note_turns", note)
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([(device, str(chat))], {})


async def test_a_process_that_was_frozen_does_not_send_what_another_has_sent(notifying: Notifying) -> None:
    chat, device = await wait_with_one(notifying)
    frozen, other = notifying.delivery, notifying.make()
    ended = push_subscription.update().values(leased_until=0)

    async def happens() -> None:
        await notifying.store.database.write(lambda connection: connection.execute(ended) and None)
        await other._start_sending()
        await other._tasks.finish(5)

    notifying.services.meanwhile = happens
    await notifying.send()
    assert notifying.delivery is frozen
    assert (notifying.services.sent, await notifying.waiting(device)) == ([(device, str(chat))], {})
    await other.close()


async def test_a_device_that_gets_another_user_during_its_turn_shows_nothing_of_the_previous_one(
    notifying: Notifying,
) -> None:
    await wait_with_one(notifying)
    notifying.services.meanwhile = partial(notifying.subscribe, CEM, path=f"{BOB}")
    await notifying.send()
    assert notifying.services.sent == []


async def test_a_process_that_was_frozen_before_it_sends_looks_again(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, device = await wait_with_one(notifying)
    other, later = notifying.make(), now_ms() + 2_000
    ended = push_subscription.update().values(leased_until=0)

    async def freeze(_: float) -> None:
        await notifying.store.database.write(lambda connection: connection.execute(ended) and None)
        await other._start_sending()
        await other._tasks.finish(5)
        monkeypatch.setattr(push_delivery, "now_ms", lambda: later)

    monkeypatch.setattr(notifying.delivery._share, "rest", freeze)
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([(device, str(chat))], {})
    await other.close()


@ON_BOTH
async def test_replicas_with_different_clocks_use_the_clock_of_the_database(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_delivery, "now_ms", lambda: now_ms() + 3_600_000)
    assert notifying.delivery._now() > now_ms() + 3_000_000
    await notifying.delivery._correct()
    assert abs(notifying.delivery._now() - now_ms()) < 60_000


async def test_the_clock_is_not_corrected_by_a_slow_answer(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    await notifying.delivery._correct()
    before, times = notifying.delivery._ahead_ms, [0, 5_000]
    monkeypatch.setattr(push_delivery, "now_ms", lambda: times.pop(0) if times else now_ms())
    await notifying.delivery._correct()
    assert (times, notifying.delivery._ahead_ms) == ([], before)


@pytest.mark.parametrize("failure", [RequestError(ErrorCode.FORBIDDEN, "no member"), ZeroDivisionError(), None])
async def test_a_message_that_one_recipient_does_not_see_notifies_the_others(
    notifying: Notifying, failure: Exception | None
) -> None:
    """Both may see the same messages, and the last one requests the message for both."""
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    bob, cem = await notifying.subscribe(BOB), await notifying.subscribe(CEM)
    await notifying.post_and_decide(chat)
    request = notifying.services.request

    async def reply(one: Any, **more: object) -> Any:
        if isinstance(one, GetHistory) and one.actor == CEM:
            if failure is not None:
                raise failure
            return History([], 1, False)
        return await request(one, **more)

    notifying.delivery._messages._request = reply  # type: ignore[assignment]
    await notifying.send()
    assert notifying.services.sent == [(bob, str(chat))]
    assert await notifying.waiting(cem) == ({chat: 1} if failure else {})


async def test_a_message_that_is_recalled_during_a_slow_turn_notifies_nobody(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await notifying.subscribe(BOB)
    first, second = [(await notifying.store.create_group(ANN, BOB)).id for _ in range(2)]
    for chat in (first, second):
        notifying.services.post(chat)
    await notifying.moved(first, second)
    await notifying.decide()
    later = now_ms() + 2_000

    def recall(_: PushDevice) -> None:
        notifying.services.messages[second].clear()
        notifying.services.post(second, body=RECALLED_BODY)
        monkeypatch.setattr(push_delivery, "now_ms", lambda: later)

    notifying.services.on_send = recall
    await notifying.send()
    assert (notifying.services.sent, await notifying.waiting(device)) == ([(device, str(first))], {})


async def test_slow_reads_of_messages_do_not_delay_a_batch(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read of a message takes longer than a message is known."""
    monkeypatch.setattr(push_batch, "_READS", 1)
    device = await notifying.subscribe(BOB)
    groups = [(await notifying.store.create_group(ANN, BOB)).id for _ in range(3)]
    for chat in groups:
        notifying.services.post(chat)
    await notifying.moved(*groups)
    await notifying.decide()
    request, reads, prepared = notifying.services.request, list[ChatId](), list[int]()

    async def reply(one: Any, **more: object) -> Any:
        if isinstance(one, GetHistory):
            reads.append(one.chat)
            later = now_ms() + len(reads) * 2_000
            monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
        return await request(one, **more)

    prepare = notifying.delivery._batches.prepare

    async def count(*arguments: Any) -> Any:
        ready = await prepare(*arguments)
        prepared.append(len(reads))
        return ready

    monkeypatch.setattr(notifying.delivery._batches, "prepare", count)
    notifying.delivery._messages._request = reply  # type: ignore[assignment]
    await notifying.send()
    assert prepared == [1]
    assert notifying.services.sent == [(device, str(chat)) for chat in groups]


async def test_read_indexes_that_are_not_found_delay_only_their_devices(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_reader, "_READ_INDEXES", 1)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    bob, cem = await notifying.subscribe(BOB), await notifying.subscribe(CEM)
    await notifying.post_and_decide(chat)
    request = notifying.services.request

    async def reply(one: Any, **more: object) -> Any:
        if isinstance(one, FindReadIndexes) and one.members == [(CEM, chat)]:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        return await request(one, **more)

    notifying.delivery._messages._request = reply  # type: ignore[assignment]
    await notifying.send()
    assert notifying.services.sent == [(bob, str(chat))]
    assert await notifying.waiting(cem) == {chat: 1}


async def test_the_clock_is_corrected_before_chats_are_decided(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, is_decided, clock = list[str](), asyncio.Event(), Database.clock

    async def read_clock(database: Database) -> int:
        steps.append("clock")
        return await clock(database)

    async def decide() -> bool:
        steps.append("decide")
        is_decided.set()
        return False

    monkeypatch.setattr(Database, "clock", read_clock)
    monkeypatch.setattr(notifying.delivery, "_decide", decide)
    notifying.delivery.start()
    await asyncio.wait_for(is_decided.wait(), 10)
    assert steps == ["clock", "decide"]
