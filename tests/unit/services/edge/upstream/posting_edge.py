"""An edge's publisher, which finds the replicas of message by their heartbeats."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from prometheus_client import CollectorRegistry

from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.upstream.attempt import Leaders
from services.edge.upstream.publisher import MessagePublisher
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.edge import Heartbeat
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

_RECEIVERS = ("leader", "other", "any")
_SENDER = AccountId(1)

_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


class ResultCounter:
    """Counts the results of drafts, and waits for them."""

    def __init__(self) -> None:
        self.results: dict[Nonce, Failure | None] = {}
        self._arrived = asyncio.Event()

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self._note(draft, None)

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._note(draft, failure)

    def crashed(self) -> None:
        raise AssertionError

    def _note(self, draft: Draft, failure: Failure | None) -> None:
        assert draft.nonce not in self.results
        self.results[draft.nonce] = failure
        self._arrived.set()

    async def all_confirmed(self, drafts: int) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.results) < drafts:
                self._arrived.clear()
                await self._arrived.wait()
        assert set(self.results.values()) == {None}


class PostingEdge:
    """An edge that posts. It gets heartbeats from NATS, and `hear` is for replicas that send none."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("edge"), "edge", CollectorRegistry())
        self.leaders = Leaders(256)
        self.registry = CollectorRegistry()
        self.publisher = MessagePublisher(
            self.bus, NodeId("edge-1"), 5.0, self.leaders, EdgeMetrics(self.registry), MessageJournal()
        )
        self.bus.subscribe(subjects.HEARTBEAT, self._receive_heartbeat)

    def _receive_heartbeat(self, data: bytes) -> None:
        self.leaders.heartbeat(_decode_heartbeat(data), asyncio.get_running_loop().time())

    def hear(self, *replicas: str, partitions: int = 256) -> None:
        now = asyncio.get_running_loop().time()
        for replica in replicas:
            self.leaders.heartbeat(Heartbeat(replica, 1, {}, partitions=partitions), now)

    def leader(self, chat: ChatId) -> str:
        return self.leaders.leader(chat, asyncio.get_running_loop().time())

    async def post(self, chats: Sequence[ChatId]) -> float:
        """Sends one message to each chat in one event-loop iteration. Returns the seconds until all are confirmed."""
        counter, loop = ResultCounter(), asyncio.get_running_loop()
        began = loop.time()
        for chat in chats:
            draft = Draft(_SENDER, chat, self.publisher.new_nonce(), self.publisher.deadline(began), b"x")
            self.publisher.post(counter, [draft], began)
        self.publisher.flush()
        await counter.all_confirmed(len(chats))
        return loop.time() - began

    def requests(self) -> dict[str, float]:
        """Returns the number of requests by receiver."""
        values = ((to, self.registry.get_sample_value("dragoman_edge_posts_total", {"to": to})) for to in _RECEIVERS)
        return {to: value for to, value in values if value}


@asynccontextmanager
async def running_edge(server: NatsServer) -> AsyncIterator[PostingEdge]:
    edge = PostingEdge(server)
    await edge.bus.start()
    try:
        yield edge
    finally:
        await edge.publisher.finish(0)
        await edge.bus.stop()
