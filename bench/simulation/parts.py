"""The parts of a simulated system. Times are seconds; each part charges its costs to cores of its own."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.simulation.options import SimulatedSystem
from bench.simulation.recording import SimulationRecorder
from bench.simulation.stage_costs import StageCost
from bench.simulation.stations import Clock, Station, SyncedLog

_CONCURRENT_REQUESTS = 3
"""Of an edge to one replica; then messages gather."""
_GATHER_SECONDS = 0.02


class Post(NamedTuple):
    """A message on its way: the time of its arrival, its sender's edge, its owner, and its recipients at each edge."""

    born: float
    edge: int
    owner: int
    recipients: dict[int, int]


class PostBatch(NamedTuple):
    """A request of an edge."""

    edge: int
    posts: list[Post]
    arrived: float = 0.0


class Broker:
    """NATS servers in a cluster: each process uses one, and what crosses a route costs both servers."""

    def __init__(self, clock: Clock, servers: Sequence[Station], hop: float) -> None:
        self._clock, self.servers, self._hop = clock, servers, hop

    def send(self, source: int, target: int, work: float, callback: Callable[..., None], *arguments: Any) -> None:
        """Deliver from one process to another, by their numbers."""
        source, target = source % len(self.servers), target % len(self.servers)
        if source == target:
            self._last(target, work, callback, *arguments)
        else:
            done = self.servers[source].serve(work) + self._hop
            self._clock.at(done, self._last, target, work, callback, *arguments)

    def _last(self, target: int, work: float, callback: Callable[..., None], *arguments: Any) -> None:
        self._clock.at(self.servers[target].serve(work) + 2 * self._hop, callback, *arguments)


class SimulatedDatabase:
    """Commits on some cores, then waits for a shared sync."""

    def __init__(self, clock: Clock, cores: Station, system: SimulatedSystem, cost: StageCost) -> None:
        self.cores = cores
        self._clock, self._cost, self._hop = clock, cost, system.hop_ms / 1e3
        self._log = SyncedLog(clock, system.sync_ms / 1e3)

    def commit(self, rows: int, callback: Callable[[], None]) -> None:
        done = self.cores.serve((self._cost.commits + rows * self._cost.message) / 1e6) + self._hop
        self._clock.at(done, self._sync, callback)

    def _sync(self, callback: Callable[[], None]) -> None:
        self._clock.at(self._log.sync() + self._hop, callback)


class ReplicaPorts(NamedTuple):
    """What a replica uses."""

    clock: Clock
    recorder: SimulationRecorder
    database: SimulatedDatabase
    valkey: Station
    valkey_cost: StageCost
    publish: Callable[[int, list[PostBatch], dict[int, list[Post]]], None]
    """Publishes the envelopes of each edge, and the replies."""


class Replica:
    """A replica of message: each cycle looks up presence, then commits a batch while it publishes the one before."""

    def __init__(
        self, number: int, core: Station, system: SimulatedSystem, cost: StageCost, ports: ReplicaPorts
    ) -> None:
        self.core = core
        self._number, self._system, self._cost, self._ports = number, system, cost, ports
        self._queue: deque[PostBatch] = deque()
        self._committed: list[PostBatch] = []
        self._running = False
        self._open = 0

    def receive(self, batch: PostBatch) -> None:
        self._queue.append(batch._replace(arrived=self._ports.clock.now))
        if not self._running:
            self._cycle()

    def _cycle(self) -> None:
        batches, rows = list[PostBatch](), 0
        while self._queue and (not batches or rows + len(self._queue[0].posts) <= self._system.batch_rows):
            batches.append(self._queue.popleft())
            rows += len(batches[-1].posts)
        published, self._committed = self._committed, batches
        self._running = bool(batches or published)
        if not self._running:
            return
        now, cost = self._ports.clock.now, self._ports.valkey_cost
        for batch in batches:
            for _ in batch.posts:
                self._ports.recorder.sample("queue", now, now - batch.arrived)
        work = rows * cost.message + (cost.commits if rows else 0.0) + cost.delivery * _further(batches)
        done = self._ports.valkey.serve(work / 1e6) + 2 * self._system.hop_ms / 1e3
        self._ports.clock.at(done, self._looked_up, batches, rows, published, now)

    def _looked_up(self, batches: list[PostBatch], rows: int, published: list[PostBatch], began: float) -> None:
        clock, recorder, cost = self._ports.clock, self._ports.recorder, self._cost
        recorder.sample("look-up", clock.now, clock.now - began)
        self._open = 1 + bool(rows)
        if rows:
            work = cost.commits + rows * cost.message + len(batches) * cost.requests + cost.delivery * _further(batches)
            clock.at(self.core.serve(work / 1e6), self._commit, rows, clock.now)
        envelopes: dict[int, list[Post]] = {}
        for batch in published:
            for post in batch.posts:
                for edge in post.recipients.keys() | {post.edge}:
                    envelopes.setdefault(edge, []).append(post)
        done = self.core.serve(len(envelopes) * cost.envelopes / 1e6)
        clock.at(done, self._published, published, envelopes, clock.now)

    def _commit(self, rows: int, began: float) -> None:
        self._ports.database.commit(rows, lambda: self._committed_rows(rows, began))

    def _committed_rows(self, rows: int, began: float) -> None:
        now = self._ports.clock.now
        self._ports.recorder.count("commits", now)
        self._ports.recorder.count("committed", now, rows)
        self._ports.recorder.sample("commit", now, now - began)
        self._step_done()

    def _published(self, batches: list[PostBatch], envelopes: dict[int, list[Post]], began: float) -> None:
        now = self._ports.clock.now
        if batches:
            self._ports.recorder.count("envelopes", now, len(envelopes))
            self._ports.recorder.sample("fan-out", now, now - began)
            self._ports.publish(self._number, batches, envelopes)
        self._step_done()

    def _step_done(self) -> None:
        self._open -= 1
        if not self._open:
            self._cycle()


class _Lane:
    """The messages of an edge to one replica."""

    __slots__ = ("gathering", "in_flight", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Post] = []
        self.in_flight = 0
        self.gathering = False


class SimulatedEdge:
    """An edge: each tick does all that has come since the last one; its messages to one replica share a request."""

    def __init__(
        self,
        number: int,
        core: Station,
        cost: StageCost,
        ports: tuple[Clock, SimulationRecorder],
        send: Callable[[int, PostBatch], None],
    ) -> None:
        self.core = core
        self._number, self._cost, self._send = number, cost, send
        self._clock, self._recorder = ports
        self._posts: list[Post] = []
        self._envelopes: list[tuple[float, list[Post]]] = []
        self._lanes: dict[int, _Lane] = {}
        self._touched: set[int] = set()
        self._running = False

    def post(self, post: Post) -> None:
        self._posts.append(post)
        self._wake()

    def deliver(self, posts: list[Post]) -> None:
        """An envelope."""
        self._envelopes.append((self._clock.now, posts))
        self._wake()

    def replied(self, owner: int) -> None:
        self._lanes[owner].in_flight -= 1
        self._touched.add(owner)
        self._wake()

    def _gathered(self, owner: int) -> None:
        self._lanes[owner].gathering = False
        self._touched.add(owner)
        self._wake(patient=False)

    def _wake(self, *, patient: bool = True) -> None:
        if not self._running:
            self._tick(patient=patient)

    def _tick(self, *, patient: bool) -> None:
        posts, self._posts = self._posts, []
        envelopes, self._envelopes = self._envelopes, []
        cost, further = self._cost, self._cost.delivery
        work = len(posts) * max(0.0, cost.message - further) + len(envelopes) * cost.envelopes
        work += further * sum(post.recipients.get(self._number, 0) for _, some in envelopes for post in some)
        for post in posts:
            self._lanes.setdefault(post.owner, _Lane()).waiting.append(post)
            self._touched.add(post.owner)
        requests = self._requests(patient=patient)
        work += len(requests) * cost.requests
        self._running = True
        self._clock.at(self.core.serve(work / 1e6), self._end, requests, envelopes)

    def _requests(self, *, patient: bool) -> list[tuple[int, list[Post]]]:
        """What is sent in this tick; messages to a busy replica gather for a while."""
        requests = []
        for owner in sorted(self._touched):
            lane = self._lanes[owner]
            if lane.waiting and (lane.in_flight < _CONCURRENT_REQUESTS or not patient):
                requests.append((owner, lane.waiting))
                lane.waiting, lane.in_flight = [], lane.in_flight + 1
            elif lane.waiting and not lane.gathering:
                lane.gathering = True
                self._clock.at(self._clock.now + _GATHER_SECONDS, self._gathered, owner)
        self._touched.clear()
        return requests

    def _end(self, requests: list[tuple[int, list[Post]]], envelopes: list[tuple[float, list[Post]]]) -> None:
        now, recorder = self._clock.now, self._recorder
        recorder.count("requests", now, len(requests))
        for owner, posts in requests:
            for post in posts:
                recorder.sample("edge in", now, now - post.born)
            self._send(owner, PostBatch(self._number, posts))
        for arrived, posts in envelopes:
            for post in posts:
                self._delivered(post, now, arrived)
        self._running = False
        if self._posts or self._envelopes or self._touched:
            self._tick(patient=True)

    def _delivered(self, post: Post, now: float, arrived: float) -> None:
        if self._number not in post.recipients:
            return
        self._recorder.sample("edge out", now, now - arrived)
        self._recorder.sample("delivery", now, now - post.born)
        if self._number == min(post.recipients):
            self._recorder.left(now, post.born)


def _further(batches: Sequence[PostBatch]) -> int:
    """Recipients after the first of each message."""
    return sum(sum(post.recipients.values()) - 1 for batch in batches for post in batch.posts)
