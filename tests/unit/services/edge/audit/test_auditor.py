"""Tests at which stage the auditor finds messages on an edge, and the counter of lost messages."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.edge import audit
from services.edge.app import Edge
from services.edge.client.client import Client
from services.edge.delivery.local_chats import LocalChats
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.journal import Confirmed, MessageJournal
from shared.bus.client import Bus
from shared.contract.audit import DeliveryStage, LocateMessage, MessageAtEdge, TraceMessages
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MarkRead
from shared.contract.model import Message
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

ANN, BOB = AccountId(1), AccountId(2)


class StopAuditing(Exception):
    pass


@pytest.fixture
async def operator(cluster: EdgeCluster) -> Bus:
    bus = Bus(cluster.nats.settings("admin"), "admin", CollectorRegistry())
    await cluster.run(bus)
    return bus


@pytest.fixture
async def ann(cluster: EdgeCluster) -> EdgeClient:
    """Ann, who is in a chat with Bob. Her edge sends pings only when a test wants it."""
    (ann,) = await cluster.chat(ANN, BOB, online=[ANN], confirm_interval_seconds=1000.0, audited_accounts_per_second=0)
    return ann


async def push(cluster: EdgeCluster, ann: EdgeClient, text: str) -> Message:
    """Pushes a message of Bob to Ann. Bob is connected to no edge."""
    await cluster.message.send_texts(7, BOB, text)
    await ann.socket.until(lambda: text in ann.texts(7))
    return cluster.backend.chats[ChatId(7)].messages[-1]


async def locate(operator: Bus, message: Message) -> MessageAtEdge:
    request = LocateMessage(message.chat, message.index, message.time, message.nonce, [ANN, BOB])
    [reply] = await operator.request_all(LocateMessage.route, request)
    return reply


def stage_of(edge: Edge, message: Message) -> DeliveryStage:
    """Returns the stage of a message that Ann has not read."""
    [(_, stage)] = edge.locator.stages_of(edge.accounts.by_account[ANN], [message])
    return stage


def stages(reply: MessageAtEdge) -> dict[AccountId, DeliveryStage]:
    return {one.account: one.stage for one in reply.accounts}


async def test_a_message_is_followed_to_its_confirmation(cluster: EdgeCluster, operator: Bus, ann: EdgeClient) -> None:
    ann.socket.mute = True
    message = await push(cluster, ann, "hello")
    reply = await locate(operator, message)
    assert stages(reply) == {ANN: DeliveryStage.PUSHED}
    [arrival] = reply.arrivals
    assert arrival.replica == cluster.message.replica
    assert not reply.confirmations
    ann.client.confirmation.ping(0.0)
    ann.socket.pong()
    await cluster.message.until_requested(MarkRead)
    [confirmation] = (await locate(operator, message)).confirmations
    assert (confirmation.account, confirmation.dialect) == (ANN, ann.client.dialect.name)


async def test_an_edge_remembers_acknowledgements_and_traces(
    cluster: EdgeCluster, operator: Bus, ann: EdgeClient
) -> None:
    await ann.post(7, "hello")
    message = cluster.backend.chats[ChatId(7)].messages[-1]
    reply = await locate(operator, message)
    assert reply.acceptance is not None
    assert reply.acceptance.account == ANN
    assert 0 <= reply.acceptance.acknowledged - reply.acceptance.at < 5_000
    [trace] = reply.traces
    [traced] = await operator.request_all(TraceMessages.route, TraceMessages(trace))
    assert traced.nonces == [message.nonce]


async def lost_after_audit(
    cluster: EdgeCluster, meanwhile: Callable[[], Awaitable[object]] | None = None
) -> dict[str, float]:
    """Audits Ann, with `meanwhile` while her connections are watched. Returns the lost messages by stage."""
    edge, steps = cluster.edges[0], iter([meanwhile])

    async def pause(_seconds: float) -> None:
        if (step := next(steps, None)) is not None:
            await step()

    edge.auditor._pause = pause
    await edge.auditor._audit(ANN)
    assert all(client.record is None for client in edge.endpoint.clients.values())
    found = {stage.value: child._value.get() for stage, child in edge.context.metrics.lost.items()}
    return {stage: count for stage, count in found.items() if count}


@pytest.mark.parametrize(("others", "seconds"), [(0, 300.0), (999, 0.5)])
async def test_an_account_is_audited_at_most_once_in_the_interval(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch, others: int, seconds: float
) -> None:
    """The auditor checks each account every 300 seconds, but at most two accounts in a second."""
    edge, begun, rests = cluster.edges[0], list[AccountId](), list[float]()
    accounts = [ANN, *map(AccountId, range(1_000, 1_000 + others))]
    local = edge.accounts.by_account[ANN]
    monkeypatch.setattr(edge.accounts, "by_account", dict.fromkeys(accounts, local))

    async def audit(account: AccountId) -> None:
        begun.append(account)

    async def pause(rest: float) -> None:
        rests.append(rest)
        await asyncio.sleep(0)
        if sum(rests) >= seconds * len(accounts):
            raise StopAuditing

    monkeypatch.setattr(edge.auditor, "_audit", audit)
    monkeypatch.setattr(edge.auditor, "_pause", pause)
    with pytest.raises(ExceptionGroup) as error:
        await edge.auditor.run(2.0, 300.0)
    assert error.group_contains(StopAuditing)
    assert (begun, sum(rests)) == (accounts, seconds * len(accounts))


async def test_accounts_that_come_are_audited_before_the_long_rest_of_few_accounts_ends(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, rests = cluster.edges[0], list[float]()
    local = edge.accounts.by_account[ANN]
    accounts = {ANN: local}
    monkeypatch.setattr(edge.accounts, "by_account", accounts)

    async def audit(account: AccountId) -> None:
        if account != ANN:
            raise StopAuditing

    async def pause(rest: float) -> None:
        rests.append(rest)
        accounts.update(dict.fromkeys(map(AccountId, range(1_000, 1_099)), local))
        await asyncio.sleep(0)

    monkeypatch.setattr(edge.auditor, "_audit", audit)
    monkeypatch.setattr(edge.auditor, "_pause", pause)
    with pytest.raises(ExceptionGroup):
        await edge.auditor.run(2.0, 300.0)
    assert sum(rests) < 20.0


def forget_even_messages(monkeypatch: pytest.MonkeyPatch, *forgetful: Client) -> None:
    """Makes these clients, or all clients, miss the messages with an even index."""
    deliver = Client.deliver

    def deliver_odd(client: Client, messages: Sequence[EncodedMessage]) -> None:
        drops = client in forgetful or not forgetful
        deliver(client, [encoded for encoded in messages if not drops or encoded.message.index % 2])

    monkeypatch.setattr(Client, "deliver", deliver_odd)


async def test_a_connection_that_does_not_get_a_message_counts_as_a_loss(
    cluster: EdgeCluster, operator: Bus, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(cluster, ann, "before")
    monkeypatch.setattr(audit, "_AGE_MS", -1_000)
    assert await lost_after_audit(cluster) == {}
    forget_even_messages(monkeypatch)
    await cluster.message.send_texts(7, BOB, "gone")
    await push(cluster, ann, "after")
    assert await lost_after_audit(cluster) == {"no-delivery": 1}
    assert await lost_after_audit(cluster) == {"no-delivery": 1}
    message = cluster.backend.chats[ChatId(7)].messages[1]
    assert stages(await locate(operator, message)) == {ANN: DeliveryStage.NO_DELIVERY}


async def test_a_device_that_lacks_what_another_has_counts_as_a_loss(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await cluster.client(ANN)
    await phone.until_synced()
    forget_even_messages(monkeypatch, phone.client)

    async def send() -> None:
        for text in ("one", "two", "three"):
            await push(cluster, ann, text)
        await phone.socket.until(lambda: "three" in phone.texts(7))
        ann.client.confirmation.ping(0.0)
        await cluster.message.until_requested(MarkRead)

    assert await lost_after_audit(cluster, send) == {"no-delivery": 1}
    assert (phone.texts(7), ann.texts(7)) == (["one", "three"], ["one", "two", "three"])


async def test_devices_that_get_everything_lose_nothing(cluster: EdgeCluster, ann: EdgeClient) -> None:
    """A device that connects or disconnects during the audit is not judged."""
    phone, tablet = await cluster.client(ANN), await cluster.client(ANN)
    for device in (phone, tablet):
        await device.until_synced()

    async def talk() -> None:
        await ann.post(7, "from the desk")
        await phone.post(7, "from the phone")
        tablet.socket.leave()
        await push(cluster, ann, "from Bob")
        await phone.socket.until(lambda: "from Bob" in phone.texts(7))
        await (await cluster.client(ANN)).until_synced()

    assert await lost_after_audit(cluster, talk) == {}


async def test_a_client_that_marks_messages_itself_is_audited_while_it_is_watched(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ann.client.dialect), "confirms_pushes", False)
    assert await lost_after_audit(cluster, lambda: push(cluster, ann, "one")) == {}
    forget_even_messages(monkeypatch)

    async def send() -> None:
        await cluster.message.send_texts(7, BOB, "gone")
        await push(cluster, ann, "after")

    assert await lost_after_audit(cluster, send) == {"no-delivery": 1}


async def test_a_batch_that_the_edge_ignores_counts_as_a_loss(
    cluster: EdgeCluster, operator: Bus, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await push(cluster, ann, "before")
    monkeypatch.setattr(audit, "_AGE_MS", -1_000)
    ignored = asyncio.Event()

    def ignore(_chats: LocalChats, _run: Sequence[Delivery]) -> None:
        ignored.set()

    monkeypatch.setattr(LocalChats, "receive", ignore)
    await cluster.message.send_texts(7, BOB, "gone")
    await ignored.wait()
    assert await lost_after_audit(cluster) == {"no-envelope": 1}


async def test_unread_messages_of_a_client_that_marks_them_itself_are_no_loss(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(ann.client.dialect), "confirms_pushes", False)
    message = await push(cluster, ann, "hello")
    edge = cluster.edges[0]
    stage = stage_of(edge, message)
    assert stage is DeliveryStage.UNMARKED


async def test_the_journal_is_searched_once_for_many_messages(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One search for each of thousands of unread messages stopped the edge for ten seconds."""
    searched = list[AccountId]()
    search = MessageJournal.confirmations_by

    def counted(journal: MessageJournal, account: AccountId) -> Confirmed:
        searched.append(account)
        return search(journal, account)

    monkeypatch.setattr(MessageJournal, "confirmations_by", counted)
    message = await push(cluster, ann, "hello")
    edge = cluster.edges[0]
    assert len(list(edge.locator.stages_of(edge.accounts.by_account[ANN], [message] * 1_000))) == 1_000
    assert searched == [ANN]


async def test_what_waits_is_not_lost(cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_AGE_MS", -1_000)
    ann.socket.mute = True
    message = await push(cluster, ann, "hello")
    edge = cluster.edges[0]
    unread, _ = await edge.auditor._unread(edge.accounts.by_account[ANN])
    looked: list[Any] = [unread]
    ann.socket.close(1000, "")
    looked.append(stage_of(edge, message))
    assert looked == [{}, DeliveryStage.PUSHED]
