"""Tests the outgoing webhooks of a running service: which requests the receiving program gets, and when."""

import asyncio
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.cli.admin.dead_letters import DeadLetter, open_stream
from services.session.service import webhook_delivery
from services.session.service.webhook_delivery import pause_ms
from shared.contract import subjects as on
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode
from shared.contract.events import OutgoingWebhooksDue
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.members import EndMembership, SetRole
from shared.contract.model import Message, Role, Text
from shared.contract.session import GetAccount
from shared.contract.webhooks import (
    CreatedOutgoingWebhook,
    CreateOutgoingWebhook,
    DeleteOutgoingWebhook,
    ListOutgoingWebhooks,
    OutgoingWebhookView,
    ReplayOutgoingWebhook,
    WebhookState,
)
from shared.settings import Settings
from shared.settings.limits import LimitsSettings
from shared.settings.messages import OutgoingWebhookSettings
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.waiting import until
from tests.support.webhook_receiver import Received, WebhookReceiver
from tests.unit.services.session.service_harness import (
    ANN,
    BOB,
    BusPeers,
    eventually,
    rejection,
    running_service,
    settings_for,
)

CHAT_FOUNDED_AT = 3
"""The last index when the webhook is created."""
QUICK = OutgoingWebhookSettings(
    enabled=True, permitted_networks=["127.0.0.0/8"], longest_pause_seconds=0.05, check_seconds=600, timeout_seconds=60
)


@pytest.fixture
async def peers(
    nats_server: NatsServer, valkey_server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BusPeers]:
    """An edge, auth, message and an operator on NATS, but no session service."""
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    monkeypatch.setattr(webhook_delivery, "_TICK_SECONDS", 0.02)
    async with BusPeers(nats_server, valkey_server).running() as peers:
        yield peers


@pytest.fixture
def settings(nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path) -> Settings:
    return settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path / 'session.db'}")


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


def with_webhooks(settings: Settings, hooks: OutgoingWebhookSettings = QUICK) -> Settings:
    return settings.model_copy(update={"outgoing_webhooks": hooks})


class HookedRoom:
    """A group of Bob, who creates its webhook. Ann is an admin."""

    def __init__(self, peers: BusPeers, chat: ChatId) -> None:
        self.peers = peers
        self.chat = chat

    @classmethod
    async def found(cls, peers: BusPeers) -> "HookedRoom":
        await peers.register(ANN, BOB)
        chat = (await peers.create(ANN, actor=BOB, name="Fruit")).chat.id
        peers.heads[chat] = CHAT_FOUNDED_AT
        await peers.edge.send(SetRole(chat, ANN, Role.ADMIN, actor=BOB))
        return cls(peers, chat)

    async def create(self, endpoint: str, actor: AccountId = BOB) -> CreatedOutgoingWebhook:
        request = CreateOutgoingWebhook(self.chat, "Archive", endpoint, actor=actor)
        return await self.peers.edge.send(request)

    def commit(self, index: int) -> None:
        body = pack_segments((Text(f"text {index}"),))
        message = Message(self.chat, index, MessageId(100 + index), ANN, 1_000 + index, body, Nonce(index))
        self.peers.messages.setdefault(self.chat, []).append(message)
        self.peers.heads[self.chat] = index

    async def post(self, *indexes: int) -> None:
        for index in indexes:
            self.commit(index)
            await self.publish(OutgoingWebhooksDue(self.chat, index))

    async def publish(self, event: OutgoingWebhooksDue) -> None:
        await self.peers.message.publish_event(on.OUTGOING_WEBHOOKS_DUE, event, key=secrets.token_hex(8))

    async def hooks(self) -> list[OutgoingWebhookView]:
        return (await self.peers.edge.send(ListOutgoingWebhooks(self.chat, actor=BOB))).hooks

    async def hook(self) -> OutgoingWebhookView:
        (hook,) = await self.hooks()
        return hook

    async def wait(self, right: Callable[[OutgoingWebhookView], bool]) -> OutgoingWebhookView:
        return await eventually(self.hook, right)


def numbers(received: list[Received]) -> list[int]:
    return [int(one.number.partition(".")[2]) for one in received]


async def wait(receiver: WebhookReceiver, last: int) -> list[Received]:
    """Waits for the request about this message. Returns all requests up to it."""
    return await asyncio.to_thread(receiver.wait, lambda received: received and numbers(received)[-1] == last)


async def test_messages_are_posted_in_order_and_signed(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        made = await room.create(receiver.url())
        assert made.next == CHAT_FOUNDED_AT + 1
        assert made.secret not in repr(made)
        await room.post(*range(4, 30))
        received = await wait(receiver, 29)
        assert numbers(received) == [*range(4, 30)]
        assert all(one.is_signed_by(made.secret) and one.path == "/listen?key=1" for one in received)
        assert received[0].number == f"{room.chat}.4"
        profile = (await peers.edge.request(GetAccount.route, GetAccount(ANN))).profile
        assert received[0].event == {
            "ev": "message", "chat": room.chat, "index": 4, "id": 104, "sender": ANN, "time": 1_004,
            "segments": [{"t": "text", "text": "text 4"}],
            "face": {"nickname": "n1", "uuid": "u1", "v": profile.public_updated},
        }  # fmt: skip
        assert (await room.wait(lambda hook: hook.next == 30)).state is WebhookState.ACTIVE


async def test_message_learns_of_the_first_webhook(peers: BusPeers, settings: Settings) -> None:
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        before = await peers.changes(room.chat)
        made = await room.create("https://a.example/")
        after = await peers.changes(room.chat)
        assert (before.outgoing_hooks, after.outgoing_hooks) == (False, True)
        assert (await peers.version(room.chat), after.version) == (before.version + 1, before.version + 1)
        delete = DeleteOutgoingWebhook(room.chat, made.hook, actor=ANN)
        await peers.edge.send(delete)
        assert not (await peers.changes(room.chat)).outgoing_hooks


async def test_messages_without_an_event_are_found(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    hooks = QUICK.model_copy(update={"check_seconds": 0.05})
    async with running_service(with_webhooks(settings, hooks)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        for index in (4, 5):
            room.commit(index)
        assert numbers(await wait(receiver, 5)) == [4, 5]


async def test_a_receiver_that_fails_gets_the_same_message_again(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    receiver.status_of = lambda _: 503 if len(receiver.received) < 3 else 200
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        await room.post(4, 5)
        received = await wait(receiver, 5)
        assert numbers(received) == [4, 4, 4, 4, 5]
        assert len({one.body for one in received[:4]}) == 1
        assert (await room.wait(lambda hook: hook.next == 6)).error == ""


async def test_a_webhook_that_fails_for_long_stops_as_a_dead_letter_and_is_retried(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver, nats_server: NatsServer
) -> None:
    receiver.status_of = lambda _: 503
    hooks = QUICK.model_copy(update={"give_up_seconds": 0.2})
    async with running_service(with_webhooks(settings, hooks)):
        room = await HookedRoom.found(peers)
        made = await room.create(receiver.url())
        await room.post(4)
        stopped = await room.wait(lambda hook: hook.state is WebhookState.STOPPED)
        assert (stopped.next, stopped.error) == (4, "status 503")
        attempts = len(receiver.received)
        await room.post(5)
        async with open_stream(nats_server.settings("admin")) as dead_letters:

            async def of_the_webhook() -> list[DeadLetter]:
                return [one for one in await dead_letters.list() if made.hook in one.event]

            (dead,) = await eventually(of_the_webhook, bool)
            assert (dead.service, dead.subject) == ("session", on.OUTGOING_WEBHOOKS_DUE.subject)
            assert (dead.attempts, dead.error) == (str(attempts), "status 503")
            receiver.status_of = lambda _: 200
            await dead_letters.retry(dead.number)
        received = await wait(receiver, 5)
        assert numbers(received[attempts:]) == [4, 5]
        assert (await room.wait(lambda hook: hook.next == 6)).state is WebhookState.ACTIVE


async def test_the_time_in_which_no_process_runs_is_no_time_of_failure(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    receiver.status_of = lambda _: 503
    hooks = QUICK.model_copy(update={"give_up_seconds": 1.0, "longest_pause_seconds": 0.01})
    async with running_service(with_webhooks(settings, hooks)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        await room.post(4)
        await room.wait(lambda hook: hook.error == "status 503")
    await asyncio.sleep(1.0)
    failed = len(receiver.received)
    receiver.status_of = lambda _: 503 if len(receiver.received) == failed else 200
    async with running_service(with_webhooks(settings, hooks)):
        await room.wait(lambda hook: hook.next == 5)


async def test_a_receiver_that_is_gone_is_not_tried_again(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver, nats_server: NatsServer
) -> None:
    receiver.status_of = lambda _: 410
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        made = await room.create(receiver.url())
        await room.post(4)
        assert (await room.wait(lambda hook: hook.state is WebhookState.STOPPED)).error == "status 410"
        assert len(receiver.received) == 1
        async with open_stream(nats_server.settings("admin")) as dead_letters:
            assert not [one for one in await dead_letters.list() if made.hook in one.event]


async def test_another_process_goes_on_where_one_has_ended(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        await room.post(4, 5)
        await wait(receiver, 5)
    room.commit(6)
    await room.publish(OutgoingWebhooksDue(room.chat, 6))
    async with running_service(with_webhooks(settings)):
        assert numbers(await wait(receiver, 6)) == [4, 5, 6]


async def test_another_process_posts_what_one_has_begun(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_delivery, "_CLOSE_SECONDS", 0.1)
    release = hold(receiver)
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        await room.post(4)
        await asyncio.to_thread(receiver.begun.wait)
    receiver.status_of = lambda _: 200
    async with running_service(with_webhooks(settings)):
        await room.wait(lambda hook: hook.next == 5)
    release.set()


async def test_replicas_post_in_order_and_one_at_a_time_for_a_webhook(
    peers: BusPeers,
    nats_server: NatsServer,
    valkey_server: ValkeyServer,
    postgres_server: PostgresServer,
    receiver: WebhookReceiver,
) -> None:
    in_progress: set[str] = set()
    overlaps: list[str] = []

    def note_overlap(request: Received) -> int:
        if request.path in in_progress:
            overlaps.append(request.path)
        in_progress.add(request.path)
        time.sleep(0.002)
        in_progress.discard(request.path)
        return 200

    receiver.status_of = note_overlap
    paths = [f"/{number}" for number in range(4)]
    with postgres_server.database() as url:
        one, other = (with_webhooks(settings_for(nats_server, valkey_server, url)) for _ in range(2))
        async with running_service(one), running_service(other):
            room = await HookedRoom.found(peers)
            for path in paths:
                await room.create(receiver.url(path=path))
            await room.post(*range(4, 64))
            received = await asyncio.to_thread(receiver.wait, lambda received: len(received) >= 60 * len(paths))
    for path in paths:
        assert numbers([one for one in received if one.path == path]) == [*range(4, 64)]
    assert overlaps == []


def hold(receiver: WebhookReceiver) -> asyncio.Event:
    """Lets the receiver respond only after the returned event is set."""
    loop, release = asyncio.get_running_loop(), asyncio.Event()

    def delay(_: Received) -> int:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return 200

    receiver.status_of = delay
    return release


@contextmanager
def held_receiver() -> Iterator[tuple[WebhookReceiver, asyncio.Event]]:
    """The receiver does not respond until the event is set."""
    with WebhookReceiver() as receiver:
        yield receiver, hold(receiver)


async def test_a_slow_receiver_delays_no_other_webhook(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    with held_receiver() as (slow, release):
        async with running_service(with_webhooks(settings)):
            room = await HookedRoom.found(peers)
            await room.create(slow.url())
            await room.create(receiver.url())
            await room.post(4, 5)
            assert numbers(await wait(receiver, 5)) == [4, 5]
            assert slow.received == []
            release.set()
            await wait(slow, 5)


async def test_slow_receivers_delay_no_others_even_if_they_are_many(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    """There are more receivers than the process can serve at a time: 2 quick and 16 slow ones."""
    limits = LimitsSettings(outgoing_webhooks_per_group=100)
    crowded = with_webhooks(settings, QUICK.model_copy(update={"concurrent": 2})).model_copy(update={"limits": limits})
    with held_receiver() as (slow, release):
        async with running_service(crowded):
            room = await HookedRoom.found(peers)
            for number in range(20):
                await room.create(slow.url(path=f"/{number}"))
            await room.post(4)
            await asyncio.to_thread(slow.begun.wait)
            other = await HookedRoom.found(peers)
            await other.create(receiver.url())
            waited: list[float] = []
            for index in range(4, 14):
                began = time.monotonic()
                await other.post(index)
                await wait(receiver, index)
                waited.append(time.monotonic() - began)
            release.set()
            received = await asyncio.to_thread(slow.wait, lambda received: len({one.path for one in received}) == 20)
    assert statistics.median(waited) < 0.05 * QUICK.timeout_seconds
    assert max(waited) < 0.2 * QUICK.timeout_seconds
    assert set(numbers(received)) == {4}


async def test_a_webhook_that_is_replayed_has_one_turn_at_a_time(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    """Without this rule, users who replay such a webhook would delay all other webhooks."""
    with held_receiver() as (slow, release):
        async with running_service(with_webhooks(settings, QUICK.model_copy(update={"concurrent": 2}))):
            room = await HookedRoom.found(peers)
            made = await room.create(slow.url())
            await room.post(4)
            await asyncio.to_thread(slow.begun.wait)
            await peers.edge.send(ReplayOutgoingWebhook(room.chat, made.hook, 4, actor=ANN))
            slow.begun.clear()
            await room.create(receiver.url())
            await room.post(5)
            assert numbers(await wait(receiver, 5)) == [5]
            assert not slow.begun.is_set()
            release.set()
            assert numbers(await wait(slow, 5)) == [4, 4, 5]


async def test_messages_are_posted_again(peers: BusPeers, settings: Settings, receiver: WebhookReceiver) -> None:
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        made = await room.create(receiver.url())
        for index in (1, 2, 3):
            room.commit(index)
        await room.post(4)
        await wait(receiver, 4)
        replay = ReplayOutgoingWebhook(room.chat, made.hook, 2, actor=ANN)
        assert (await peers.edge.send(replay)).next == 2
        received = await asyncio.to_thread(receiver.wait, lambda received: len(received) == 4)
        assert numbers(received) == [4, 2, 3, 4]
        assert received[0].number == received[3].number
        for index, code in ((0, ErrorCode.INVALID), (-1, ErrorCode.INVALID)):
            bad = ReplayOutgoingWebhook(room.chat, made.hook, index, actor=ANN)
            assert (await rejection(peers.edge.send(bad))).code is code


async def test_a_webhook_that_ends_during_its_turn_posts_nothing_more(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver
) -> None:
    release = hold(receiver)
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        for index in (4, 5):
            room.commit(index)
        await room.post(6)
        await asyncio.to_thread(receiver.begun.wait)
        await peers.edge.send(EndMembership(room.chat, BOB, actor=BOB))
        release.set()
        await room.create(receiver.url(path="/later"), ANN)
        await room.post(7)
        received = await asyncio.to_thread(receiver.wait, lambda received: received and received[-1].path == "/later")
        assert numbers(received) == [4, 7]


@pytest.mark.parametrize("reason", ["disabled", "demoted"])
async def test_a_webhook_posts_while_its_maker_may_act(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """If the creator may no longer act during a turn, the turn ends with the message that is being posted."""
    monkeypatch.setattr(webhook_delivery, "_PAUSED_MS", 20)
    release = hold(receiver)

    async def set_right(is_granted: bool) -> None:
        if reason == "disabled":
            peers.inactive = set() if is_granted else {ANN}
        else:
            role = Role.ADMIN if is_granted else Role.MEMBER
            await peers.edge.send(SetRole(room.chat, ANN, role, actor=BOB))

    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url(), ANN)
        room.commit(4)
        await room.post(5)
        await asyncio.to_thread(receiver.begun.wait)
        await set_right(False)
        release.set()
        await room.create(receiver.url(path="/other"), BOB)
        await room.post(6)
        await asyncio.to_thread(receiver.wait, lambda received: received[-1].path == "/other")
        assert [hook.paused for hook in await room.hooks()] == [True, False]
        assert [one.path for one in receiver.received] == ["/listen?key=1", "/other"]
        await set_right(True)
        received = await asyncio.to_thread(receiver.wait, lambda received: len(received) == 4)
        assert numbers([one for one in received if one.path != "/other"]) == [4, 5, 6]


async def test_a_webhook_of_a_member_waits_until_its_history_may_be_read(
    peers: BusPeers, settings: Settings, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook waits until the message service has noticed that its creator is a member again."""
    monkeypatch.setattr(webhook_delivery, "_UNAVAILABLE_MS", 20)
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        await room.create(receiver.url())
        peers.history_is_forbidden = True
        await room.post(4)
        await until(lambda: len(peers.history_requests) >= 3)
        assert {(one.actor, one.start, one.all) for one in peers.history_requests} == {(BOB, 4, False)}
        peers.history_is_forbidden = False
        assert numbers(await wait(receiver, 4)) == [4]


async def test_webhooks_are_switched_off_by_default(peers: BusPeers, settings: Settings) -> None:
    async with running_service(settings):
        room = await HookedRoom.found(peers)
        failed = await rejection(room.create("https://a.example/"))
        assert (failed.code, failed.text) == (ErrorCode.FORBIDDEN, "outgoing webhooks are switched off here")


async def test_bad_endpoints_are_rejected(peers: BusPeers, settings: Settings) -> None:
    async with running_service(with_webhooks(settings)):
        room = await HookedRoom.found(peers)
        for endpoint in ("https://169.254.169.254/latest", "http://8.8.8.8/", "ftp://a.example/"):
            failed = await rejection(room.create(endpoint))
            assert (failed.code, failed.field) == (ErrorCode.INVALID, "endpoint")
        failed = await rejection(room.create("https://a.example/" + "a" * 2048))
        assert (failed.code, failed.field) == (ErrorCode.TOO_LARGE, "endpoint")


def test_pauses_grow_up_to_the_longest() -> None:
    assert [pause_ms(attempts, 60.0, 0.5) for attempts in (0, 1, 2, 5, 6, 5_000)] == [
        1000,
        2000,
        4000,
        32000,
        60000,
        60000,
    ]
    assert (pause_ms(1, 60.0, 0.0), pause_ms(1, 60.0, 1.0)) == (1600, 2400)
