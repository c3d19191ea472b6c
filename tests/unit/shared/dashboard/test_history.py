"""A process keeps the history of its last minutes."""

import msgspec
from prometheus_client import CollectorRegistry, Counter

from shared.dashboard.history import DashboardData, PanelHistory, take_sample
from shared.dashboard.panels import Dashboard, PanelGroup, rate

DASHBOARD = Dashboard("talk", (PanelGroup("Talk", (rate("Said", "said"),)),))


def test_every_moment_after_the_first_look_has_its_number() -> None:
    registry = CollectorRegistry()
    counter = Counter("said", "What was said", ["word"], registry=registry)
    dashboard = Dashboard("talk", (PanelGroup("Talk", (rate("Said", "said", by="word"),)),), "talk-1")
    history = PanelHistory(dashboard)
    history.add(take_sample(dashboard, registry, 1000.0, 10.0))
    assert history.show({}).moments == []
    counter.labels("yes").inc(4)
    history.add(take_sample(dashboard, registry, 1002.0, 12.0))
    counter.labels("no").inc(1.5)
    history.add(take_sample(dashboard, registry, 1008.0, 18.0))
    shown = msgspec.json.decode(msgspec.json.encode(history.show({"nats": "away"})), type=DashboardData)
    assert (shown.service, shown.name, shown.wrong) == ("talk", "talk-1", {"nats": "away"})
    assert shown.moments == [1002.0, 1004.0, 1006.0, 1008.0]
    (row,) = shown.groups[0].rows
    assert (row.title, row.help, row.unit) == ("Said", "What was said", "/s")
    assert row.series == {"yes": [2.0, 0.0, 0.0, 0.0], "no": [None, 0.25, 0.25, 0.25]}


def test_only_the_last_minutes_are_kept() -> None:
    registry = CollectorRegistry()
    Counter("said", "What was said", registry=registry)
    history = PanelHistory(DASHBOARD)
    for second in range(0, 600, 2):
        history.add(take_sample(DASHBOARD, registry, float(second), float(second)))
    shown = history.show({})
    assert shown.moments == [float(second) for second in range(420, 600, 2)]
    assert shown.groups[0].rows[0].series == {"": [0.0] * 90}


def test_numbers_are_as_short_as_can_be_seen() -> None:
    registry = CollectorRegistry()
    counter = Counter("said", "What was said", registry=registry)
    history = PanelHistory(DASHBOARD)
    history.add(take_sample(DASHBOARD, registry, 0, 0))
    counter.inc(10)
    history.add(take_sample(DASHBOARD, registry, 2.7, 2.7))
    assert history.show({}).groups[0].rows[0].series == {"": [3.704]}
