"""Tests how a drill records the alerts of a Prometheus: when they began, and how the table of the steps shows them."""

import asyncio

import pytest

from tests.deploy.alarms import Alarm, AlarmLog, Alarms, NoPrometheus
from tests.deploy.disturbed_drill import DisturbedStep, alerts_of, by_step, following
from tests.deploy.watched_search import SearchSeen
from tests.drills.record_index import RecordIndex
from tests.drills.sample_records import SampleRecords


def test_an_alert_counts_from_when_it_begins_to_fire_each_time() -> None:
    log = AlarmLog()
    for now, firing in [(1.0, {"A"}), (2.0, {"A", "B"}), (3.0, set()), (4.0, {"A"})]:
        log.note(now, frozenset(firing))
    assert log.alarms == [Alarm("A", 1.0), Alarm("B", 2.0), Alarm("A", 4.0)]
    assert log.between(2.0, 4.0) == [Alarm("B", 2.0)]


def test_the_table_names_the_alerts_of_each_step() -> None:
    alarms = Alarms("http://unused")
    alarms.log.note(105.0, frozenset({"DragomanProcessDown"}))
    first = DisturbedStep("freeze auth", "auth", 100.0, 110.0, "", SearchSeen())
    second = DisturbedStep("kill auth", "auth", 110.0, 120.0, "", SearchSeen())
    assert [alerts_of(step, alarms) for step in (first, second)] == ["DragomanProcessDown 5 s", "none"]
    head, rule, line, _ = by_step([first, second], RecordIndex(SampleRecords({}, {}).recorded), alarms).splitlines()
    assert head.endswith("| alerts, after |")
    assert rule.count("|") == head.count("|") == line.count("|")
    assert line.endswith("| DragomanProcessDown 5 s |")


async def test_without_prometheus_the_drill_ends() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with following(Alarms("http://127.0.0.1:1")):
            await asyncio.Event().wait()
    assert raised.value.subgroup(NoPrometheus)
