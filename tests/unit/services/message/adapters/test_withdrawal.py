"""A replica that is cut off from its database leaves its requests to the other replicas."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import msgspec
import nats.errors
import pytest

from services.message.adapters import leadership
from services.message.adapters.leadership import Leadership, Withdrawal
from services.message.metrics import MessageMetrics
from shared.bus.client import Bus
from shared.contract.edge import Heartbeat
from shared.contract.message import GetHeads, Heads
from shared.partitions import STOPPING
from shared.settings.messages import MessageSettings
from shared.telemetry import new_registry
from tests.support.servers import NatsServer

SECONDS = 20
PARTITIONS = 256


class QueueReplica:
    """A replica that serves a queue group. `failures` are the failures that its readiness check reports."""

    def __init__(self, nats: NatsServer) -> None:
        registry = new_registry()
        self.failures: dict[str, str] = {}
        self.requests = 0
        self.bus = Bus(nats.settings("message"), "message", registry)
        self.leadership = Leadership(MessageSettings(partitions=PARTITIONS), MessageMetrics(registry))
        self.withdrawal = Withdrawal(self.bus, self.leadership, self.read_failures)
        self.bus.serve(GetHeads.route, self.serve, queue="message")

    async def read_failures(self) -> Mapping[str, str]:
        return self.failures

    async def serve(self, _: GetHeads) -> Heads:
        self.requests += 1
        return Heads({})

    def hear(self, other: "QueueReplica") -> None:
        heartbeat = Heartbeat(other.leadership.replica, 1, {}, partitions=other.leadership.announced)
        self.leadership.receive_heartbeat(msgspec.msgpack.encode(heartbeat))

    async def until_withdrawn(self, is_withdrawn: bool) -> None:
        async with asyncio.timeout(SECONDS):
            while self.leadership.withdrawn is not is_withdrawn:
                await asyncio.sleep(0.01)
            await self.bus.check()


@pytest.fixture
async def replicas(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[QueueReplica]]:
    monkeypatch.setattr(leadership, "_INTERVAL_SECONDS", 0.02)
    replicas = [QueueReplica(nats_server), QueueReplica(nats_server)]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await replica.bus.start()
            stack.push_async_callback(replica.bus.stop)
            running = asyncio.create_task(replica.withdrawal.run())
            stack.callback(running.cancel)
        yield replicas


@pytest.fixture
async def requester(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = Bus(nats_server.settings("session"), "session", new_registry())
    await bus.start()
    yield bus
    await bus.stop()


async def request(requester: Bus, times: int) -> None:
    for _ in range(times):
        await requester.send(GetHeads([]), seconds=SECONDS)


async def test_the_others_get_its_requests_until_its_database_works(
    replicas: list[QueueReplica], requester: Bus
) -> None:
    cut_off, other = replicas
    cut_off.hear(other)
    cut_off.failures = {"database": "no answer in time"}
    await cut_off.until_withdrawn(True)
    assert cut_off.leadership.announced == STOPPING
    async with asyncio.timeout(SECONDS):
        while other.requests < 30:
            before = cut_off.requests
            await request(requester, 30)
            if cut_off.requests > before:
                other.requests = 0  # the replica was still withdrawing
    cut_off.failures = {}
    await cut_off.until_withdrawn(False)
    assert cut_off.leadership.announced == PARTITIONS
    async with asyncio.timeout(SECONDS):
        before = cut_off.requests
        while cut_off.requests == before:
            await request(requester, 1)


async def test_it_serves_again_after_nats_did_not_answer(
    replicas: list[QueueReplica], requester: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off, other = replicas
    cut_off.hear(other)
    cut_off.failures = {"database": "no answer in time"}
    await cut_off.until_withdrawn(True)

    async def unanswered() -> None:
        raise nats.errors.FlushTimeoutError

    monkeypatch.setattr(cut_off.bus._broker, "_settle", unanswered)
    for is_withdrawn in (False, True, False):
        cut_off.failures = {"database": "no answer in time"} if is_withdrawn else {}
        await cut_off.until_withdrawn(is_withdrawn)
    async with asyncio.timeout(SECONDS):
        before = cut_off.requests
        while cut_off.requests == before:
            await request(requester, 1)


async def test_the_only_replica_keeps_its_requests(replicas: list[QueueReplica], requester: Bus) -> None:
    alone = replicas[0]
    alone.failures = {"database": "no answer in time"}
    await replicas[1].bus.stop()
    alone.hear(alone)
    await asyncio.sleep(0.2)
    assert not alone.leadership.withdrawn
    await request(requester, 3)
    assert alone.requests == 3


async def test_other_failures_do_not_matter(replicas: list[QueueReplica]) -> None:
    replica, other = replicas
    replica.hear(other)
    replica.failures = {"nats": "no answer in time"}
    await asyncio.sleep(0.2)
    assert not replica.leadership.withdrawn
