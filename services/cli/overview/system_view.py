"""Combines the dashboards of all processes into one view of the system, without input or output."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.cli.top.poller import ProcessState
from shared.dashboard.history import PERIOD_SECONDS, DashboardData, PanelData

Numbers = list[float | None]


class Target(NamedTuple):
    """A process to show. `address`: the address of the operations port, or empty. `restarts` and `ready`: the
    supervisor's data; None if there is no supervisor. `version`: the version of a server that has no operations
    port."""

    name: str
    address: str = ""
    restarts: int | None = None
    ready: bool | None = None
    version: str = ""


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """A process on the dashboard. `state`: ready, not ready, no answer, or running (for a server that has no status
    page). `processor`: the CPU cores in use."""

    name: str
    state: str
    reason: str = ""
    version: str = ""
    address: str = ""
    restarts: int | None = None
    up_seconds: float | None = None
    processor: float | None = None
    memory: float | None = None


class Hop(msgspec.Struct, frozen=True):
    """A stage of the message path. `rate`: messages per second. `waiting`: the length of the queue; None if the stage
    has no queue. `p99`: in seconds, with the threshold of the alert."""

    title: str
    text: str
    rate: float | None
    waiting: float | None
    p99: float | None
    threshold: float | None


class Chart(msgspec.Struct, frozen=True):
    title: str
    unit: str
    series: dict[str, Numbers]
    threshold: float | None = None


class Rejection(msgspec.Struct, frozen=True):
    """A kind of rejection. `count`: the number of rejections in the last three minutes."""

    process: str
    reason: str
    count: float


class DashboardView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole dashboard. `seconds`: the time between two numbers of a chart. `lost`: the messages lost in the last
    three minutes, by stage. `dead_letters`: the number of dead letters; None if they cannot be counted."""

    processes: list[ProcessView]
    hops: list[Hop]
    charts: list[Chart]
    connections: dict[str, float]
    rejections: list[Rejection]
    lost: dict[str, float]
    dead_letters: int | None = None
    seconds: float = PERIOD_SECONDS


def summarize(targets: Sequence[Target], states: Mapping[str, ProcessState], dead_letters: int | None) -> DashboardView:
    """Combines `states`, the states of the targets by name."""
    panels = _Panels([state.dashboard for state in states.values() if state.dashboard is not None])
    return DashboardView(
        processes=[_process(target, states.get(target.name)) for target in targets],
        hops=list(_hops(panels)),
        charts=list(_charts(panels)),
        connections={label: _last(numbers) or 0.0 for label, numbers in panels.labelled("edge", "Connections").items()},
        rejections=sorted(_rejections(states), key=lambda one: -one.count),
        lost=_counts(panels.labelled("edge", "Messages lost")),
        dead_letters=dead_letters,
    )


class _Panels:
    """The panels of all processes, by service and title."""

    def __init__(self, dashboards: Sequence[DashboardData]) -> None:
        self.services = list(dict.fromkeys(dashboard.service for dashboard in dashboards))
        self._panels: dict[tuple[str, str], list[PanelData]] = defaultdict(list)
        for dashboard in dashboards:
            for group in dashboard.groups:
                for panel in group.rows:
                    self._panels[dashboard.service, panel.title].append(panel)

    def labelled(self, service: str, title: str) -> dict[str, Numbers]:
        """The sums of all processes, by label."""
        found: dict[str, list[Numbers]] = defaultdict(list)
        for panel in self._panels[service, title]:
            for label, numbers in panel.series.items():
                found[label].append(numbers)
        return {label: _combined(several, sum) for label, several in found.items()}

    def summed(self, service: str, title: str) -> Numbers:
        """The sums of all processes and labels."""
        return _combined(self.labelled(service, title).values(), sum)

    def worst(self, service: str, title: str, label: str = "p99") -> Numbers:
        """The highest value of all processes."""
        return _combined([panel.series.get(label, []) for panel in self._panels[service, title]], max)


def _combined(several: Iterable[Numbers], how: Callable[[list[float]], float]) -> Numbers:
    """Combines series of numbers that end at the same time. Shorter series are extended at their beginning."""
    rows = [row for row in several if row]
    length = max(map(len, rows), default=0)
    padded: list[Numbers] = [[*[None] * (length - len(row)), *row] for row in rows]
    return [
        how(known) if (known := [one for one in at if one is not None]) else None for at in zip(*padded, strict=True)
    ]


def _last(numbers: Numbers) -> float | None:
    return numbers[-1] if numbers else None


def _hops(panels: _Panels) -> Iterator[Hop]:
    def hop(title: str, text: str, rate: Numbers, waiting: Numbers | None, p99: Numbers, limit: float | None) -> Hop:
        return Hop(title, text, _last(rate), _last(waiting) if waiting is not None else None, _last(p99), limit)

    edge, message = "edge", "message"
    unsent = panels.summed(edge, "Waiting to be sent to NATS")
    yield hop(
        "Edges receive", "frames a second; from a message's frame to its reply", panels.summed(edge, "Frames in"), None,
        panels.worst(edge, "Time to acknowledge"), 1.0,
    )  # fmt: skip
    yield hop(
        "NATS carries", "requests of edges a second; bytes wait; time until answered",
        panels.summed(edge, "Requests asked"), unsent, panels.worst(edge, "Time until answered"), None,
    )  # fmt: skip
    yield hop(
        "The message service commits", "messages a second; in flight; a transaction",
        panels.summed(message, "Acknowledged"), panels.summed(message, "Messages in flight"),
        panels.worst(message, "Time to commit"), 0.5,
    )  # fmt: skip
    yield hop(
        "It sends to edges", "delivery batches a second; bytes wait; a batch", panels.summed(message,
        "Delivery batches"), panels.summed(message, "Waiting to be sent to NATS"), panels.worst(message,
        "Time to fan out"), None,
    )  # fmt: skip
    yield hop(
        "Edges deliver", "deliveries a second; from the commit to the socket", panels.summed(edge, "Deliveries"), None,
        panels.worst(edge, "Time to deliver"), 2.0,
    )  # fmt: skip


def _charts(panels: _Panels) -> Iterator[Chart]:
    rates = {"committed": panels.summed("message", "Acknowledged"), "delivered": panels.summed("edge", "Deliveries")}
    yield Chart("Messages", "/s", rates)
    for title, name, limit in (("Acknowledgement", "Time to acknowledge", 1.0), ("Delivery", "Time to deliver", 2.0)):
        spread = {label: panels.worst("edge", name, label) for label in ("p99", "p50")}
        yield Chart(f"{title}, slowest edge", "s", spread, limit)
    commit = {label: panels.worst("message", "Time to commit", label) for label in ("p99", "p50")}
    yield Chart("Commit, slowest replica", "s", commit, 0.5)
    yield Chart("Connections by dialect", "", panels.labelled("edge", "Connections"))
    yield Chart("CPU time, cores", "", {kind: panels.summed(kind, "CPU time") for kind in panels.services})


def _rejections(states: Mapping[str, ProcessState]) -> Iterator[Rejection]:
    for name, state in states.items():
        for group in state.dashboard.groups if state.dashboard else ():
            for panel in group.rows:
                if panel.title == "Rejected":
                    yield from (Rejection(name, reason, count) for reason, count in _counts(panel.series).items())


def _counts(series: Mapping[str, Numbers]) -> dict[str, float]:
    """The counts of events by label, without zeros, from a series of rates per second."""
    counts = {label: sum(one or 0.0 for one in numbers) * PERIOD_SECONDS for label, numbers in series.items()}
    return {label: round(count) for label, count in counts.items() if round(count)}


def _process(target: Target, state: ProcessState | None) -> ProcessView:
    if state is None:  # this is a server without a status page
        ready = "running" if target.ready else "no answer"
        return ProcessView(name=target.name, state=ready, version=target.version, restarts=target.restarts)
    if state.dashboard is None:
        return ProcessView(
            name=target.name, state="no answer", reason=state.error, address=target.address, restarts=target.restarts
        )
    data = state.dashboard
    panels = {panel.title: panel for group in data.groups for panel in group.rows}

    def last(title: str) -> float | None:
        panel = panels.get(title)
        return _last(_combined(panel.series.values(), sum)) if panel else None

    return ProcessView(
        name=target.name,
        state="not ready" if data.wrong else "ready",
        reason="; ".join(f"{name}: {error}" for name, error in (data.wrong or data.degraded).items()),
        version=data.version,
        address=target.address,
        restarts=target.restarts,
        up_seconds=last("Up for"),
        processor=last("CPU time"),
        memory=last("Memory"),
    )
