"""What a simulation records: latencies by part, batches, and how busy each part was."""

import msgspec

from bench.simulation.options import SimulatedLoad, SimulatedSystem

LATENCIES = ("edge in", "broker", "queue", "look-up", "commit", "fan-out", "edge out", "delivery")
"""From a message's arrival at an edge, in the order of its way; `broker`: both ways; `delivery`: all of it."""


class PartUse(msgspec.Struct, frozen=True):
    """Shares of the time in which a core of this part was busy: `mean` of all, and of the busiest (`most`)."""

    mean: float
    most: float


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds; 0 if nothing was delivered."""

    p50: float
    p99: float


class SimulationResult(msgspec.Struct, frozen=True):
    """`offered`, `sent`, `delivered`: messages a second that came, that left their edge for message, that reached a
    recipient's edge. `in_flight`: the mean number of messages between arrival and first delivery, `sojourn`: their mean
    seconds there. `shares`: requests, commits and envelopes of a message. `costs`: µs of a message by part. `owners`:
    the replicas that own chats."""

    system: SimulatedSystem
    load: SimulatedLoad
    owners: int
    seconds: float
    offered: float
    delivered: float
    in_flight: float
    sojourn: float
    uses: dict[str, PartUse]
    latencies: dict[str, Latency]
    shares: dict[str, float]
    costs: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """The part with the busiest core."""
        return max(self.uses, key=lambda part: self.uses[part].most)


class SimulationRecorder:
    """Records from `start` on, in seconds."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.samples: dict[str, list[float]] = {name: [] for name in LATENCIES}
        self.counts = {"requests": 0, "commits": 0, "envelopes": 0, "committed": 0}
        self.offered = self.delivered = 0
        self.sojourns: list[float] = []
        self._present, self._changed, self._area = 0, start, 0.0

    def arrived(self, now: float) -> None:
        self._change(now, 1)
        self.offered += now >= self.start

    def left(self, now: float, born: float) -> None:
        """A message has reached its first recipient."""
        self._change(now, -1)
        if now >= self.start:
            self.delivered += 1
            self.sojourns.append(now - born)

    def sample(self, name: str, now: float, seconds: float) -> None:
        if now >= self.start:
            self.samples[name].append(seconds)

    def count(self, name: str, now: float, number: int = 1) -> None:
        if now >= self.start:
            self.counts[name] += number

    def mean_present(self, now: float) -> float:
        self._change(now, 0)
        return self._area / (now - self.start)

    def latencies(self) -> dict[str, Latency]:
        return {name: _latency(values) for name, values in self.samples.items()}

    def shares(self) -> dict[str, float]:
        committed = max(1, self.counts["committed"])
        return {name: number / committed for name, number in self.counts.items() if name != "committed"}

    def _change(self, now: float, by: int) -> None:
        if now > self._changed:
            self._area += self._present * (now - self._changed)
            self._changed = now
        self._present += by


def _latency(values: list[float]) -> Latency:
    ordered = sorted(values)
    return Latency(*(1e3 * ordered[int(share * (len(ordered) - 1))] if ordered else 0.0 for share in (0.5, 0.99)))
