"""Alerts of a Prometheus during a trial: when they began, and a fault that lasts until one does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.deploy import alarms as module
from tests.deploy.alarms import Alarm, AlarmLog, Alarms, NoPrometheus
from tests.deploy.disturbed_trial import CommandFailed, TrialStep, alerts_of, by_step, following, until_alarm
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.sample_trials import SampleTrial
from tests.support.http_server import QuietHandler, serving


class FakePrometheus:
    def __init__(self) -> None:
        self.url = ""
        self.firing: set[str] = set()
        self.pending: set[str] = set()
        self.full: set[str] = set()
        """Mount points."""

    def alerts(self) -> object:
        states = [*((name, "firing") for name in (*self.firing, "DragomanWatchdog")),
                  *((name, "pending") for name in self.pending)]  # fmt: skip
        alerts = [{"labels": {"alertname": name}, "state": state} for name, state in states]
        disks = [{"alertname": "DragomanDiskFull", "mountpoint": one} for one in self.full]
        return {"data": {"alerts": alerts + [{"labels": one, "state": "firing"} for one in disks]}}


@pytest.fixture
def prometheus(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePrometheus]:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    prometheus = FakePrometheus()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.respond(200, json.dumps(prometheus.alerts()).encode(), {})

    with serving(Handler) as prometheus.url:
        yield prometheus


def test_an_alert_counts_from_when_it_begins_to_fire_each_time() -> None:
    log = AlarmLog()
    for now, firing in [(1.0, {"A"}), (2.0, {"A", "B"}), (3.0, set()), (4.0, {"A"})]:
        log.note(now, frozenset(firing))
    assert log.alarms == [Alarm("A", 1.0), Alarm("B", 2.0), Alarm("A", 4.0)]
    assert log.between(2.0, 4.0) == [Alarm("B", 2.0)]


def test_the_table_names_the_alerts_of_each_step() -> None:
    alarms = Alarms("http://unused")
    alarms.log.note(105.0, frozenset({"DragomanProcessDown"}))
    first, second = TrialStep("freeze auth", 100.0, 110.0, ""), TrialStep("kill auth", 110.0, 120.0, "")
    assert [alerts_of(step, alarms) for step in (first, second)] == ["DragomanProcessDown 5 s", "none"]
    head, rule, line, _ = by_step([first, second], IndexedTrial(SampleTrial({}, {}).trial), alarms).splitlines()
    assert head.endswith("| alerts, after |")
    assert rule.count("|") == head.count("|") == line.count("|")
    assert line.endswith("| DragomanProcessDown 5 s |")


async def test_a_fault_may_last_until_a_certain_alert_of_its_own_disk_fires(prometheus: FakePrometheus) -> None:
    alarms = Alarms(prometheus.url, "/disks/")
    prometheus.full = {"/"}
    async with asyncio.timeout(20), following(alarms):
        prometheus.firing = {"DragomanDependencyAway"}
        assert await alarms.raised(0.0, 10.0)
        assert not await alarms.raised(0.0, 0.1, "DragomanDiskFull")
        prometheus.full |= {"/disks/nats"}
        assert await alarms.raised(0.0, 10.0, "DragomanDiskFull")
        prometheus.full, prometheus.firing = {"/"}, set()
        assert await alarms.quiet(10.0)


async def test_alerts_that_look_back_over_many_steps_are_not_awaited(prometheus: FakePrometheus) -> None:
    alarms = Alarms(prometheus.url)
    prometheus.firing = {"DragomanSendsFailSlow"}
    async with asyncio.timeout(20), following(alarms):
        assert await alarms.raised(0.0, 10.0, "DragomanSendsFailSlow")
        assert not await alarms.raised(0.0, 0.1)
        assert await alarms.quiet(10.0)


async def test_a_fault_lasts_until_an_alert_fires_and_the_step_until_none_does(prometheus: FakePrometheus) -> None:
    course: list[str] = []

    @asynccontextmanager
    async def fault() -> AsyncIterator[None]:
        prometheus.pending = {"DragomanProcessDown"}
        asyncio.get_running_loop().call_later(0.1, prometheus.firing.add, "DragomanProcessDown")
        yield
        course.append(f"healed while {sorted(prometheus.firing)} fires")
        asyncio.get_running_loop().call_later(0.1, prometheus.firing.clear)

    alarms = Alarms(prometheus.url)
    began = time.monotonic()
    async with asyncio.timeout(20), following(alarms):
        await until_alarm(alarms, fault())
    assert course == ["healed while ['DragomanProcessDown'] fires"]
    assert alarms.log.firing == frozenset()
    (alarm,) = alarms.log.between(began, time.monotonic())
    assert (alarm.alert, alarm.at - began >= 0.1) == ("DragomanProcessDown", True)


async def test_an_alert_that_stays_is_a_failed_step(
    prometheus: FakePrometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.deploy.disturbed_trial.ALARM_SECONDS", 0.2)
    monkeypatch.setattr("tests.deploy.disturbed_trial.QUIET_SECONDS", 0.2)
    prometheus.firing = {"DragomanLag"}

    @asynccontextmanager
    async def fault() -> AsyncIterator[None]:
        yield

    alarms = Alarms(prometheus.url)
    async with following(alarms):
        with pytest.raises(CommandFailed, match="still firing 0 s later: DragomanLag"):
            await until_alarm(alarms, fault())


async def test_without_prometheus_the_trial_ends() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with following(Alarms("http://127.0.0.1:1")):
            await asyncio.Event().wait()
    assert raised.value.subgroup(NoPrometheus)
