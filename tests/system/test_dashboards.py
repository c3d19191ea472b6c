"""The metrics of a running system, and how its pages, dashboards and alerts show them."""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from deploy.grafana.generate import DIRECTORY
from local.data import RunningProcess, read_run
from local.process_group import ProcessGroup
from tests.deploy.manifests import RULES
from tests.support.browser import CHROMIUM, Browser
from tests.support.cluster import Cluster
from tests.support.commands import run_dragoman
from tests.system.prometheus import PROMETHEUS, Prometheus, scrape
from tests.system.users import V2User

pytestmark = pytest.mark.xdist_group("system")

LEGENDS = {
    target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*"): target["legendFormat"]
    for path in DIRECTORY.glob("*.json")
    for panel in json.loads(path.read_text())["panels"]
    for target in panel.get("targets", ())
}
"""For each expression, the legend of its lines in Grafana. Labels are in {{braces}}."""
SELECTOR = r"\b(?:dragoman|process|python)_\w+(?:\{[^}]*\})?"
SAMPLES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
NOT_EXPORTED = {"up"}
"""Metrics that Prometheus itself makes."""
NOT_SHOWN = {"dragoman_build_info"}
"""A metric that is always 1. Its labels are for queries."""
OF_BACKUPS = {"dragoman_backup_time_seconds", "dragoman_backup_schedule_start_seconds"}
"""Metrics that no process exports. `dragoman backup --metrics` and the backup scripts write them."""


def named(expression: str) -> set[str]:
    """Returns the names of the metrics in an expression."""
    return set(re.findall(r"\b(?:dragoman|process|python)_\w+|\bup\b(?=\{)", re.sub(r"\{[^}]*\}", "{", expression)))


def processes(system: Cluster) -> list[RunningProcess]:
    run = read_run(system.data)
    assert run is not None
    return [one for one in run.processes if one.ops]


def exported(system: Cluster, job: str = "") -> dict[str, str]:
    """Returns the type of each metric. Omits the creation times of series, which the client library adds."""
    scrapes = [scrape(process) for process in processes(system) if process.name.startswith(job)]
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", "".join(scrapes), re.MULTILINE))
    return {name: kind for name, kind in types.items() if not name.endswith("_created")}


def samples(types: dict[str, str]) -> dict[str, str]:
    """Returns the metrics, by the names of their samples."""
    return {f"{name}{suffix}": name for name, kind in types.items() for suffix in SAMPLES[kind]}


def test_dashboards_show_exactly_the_exported_metrics(system: Cluster) -> None:
    shown, there = set().union(*map(named, LEGENDS)), exported(system)
    known = samples(there)
    assert shown - set(known) == NOT_EXPORTED
    assert set(there) - {known[name] for name in shown - NOT_EXPORTED} == NOT_SHOWN


def test_every_panel_queries_services_that_export_its_metric(system: Cluster) -> None:
    known = {job: samples(exported(system, job)) for job in ("auth", "edge", "message", "search", "session")}
    queried = {
        (name, job)
        for expression in LEGENDS
        for name, jobs in re.findall(r'((?:dragoman|process|python)_\w+)\{[^}]*job=~?"([^"]+)"', expression)
        for job in jobs.split("|")
    }
    assert len({name for name, _ in queried}) > 50
    assert {(name, job) for name, job in queried if name not in known[job]} == set()


def test_every_metric_of_an_alert_is_exported(system: Cluster) -> None:
    text = RULES.read_text()
    assert named(re.sub(r"severity:.*", "", text)) - set(samples(exported(system))) == NOT_EXPORTED | OF_BACKUPS


@pytest.fixture
def prometheus(system: Cluster, process_group: ProcessGroup, tmp_path: Path) -> Iterator[Prometheus]:
    server = Prometheus(tmp_path, processes(system), process_group)
    server.start()
    yield server
    server.stop()


@pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus to ask")
def test_dashboards_and_alerts_have_their_data(prometheus: Prometheus, couple: tuple[V2User, V2User, int]) -> None:
    one, other, session = couple
    prometheus.await_samples("count(dragoman_loop_lag_seconds_count) == 6")
    for number in range(50):
        one.post(session, f"message {number}")
        other.receive_text(f"message {number}")
    prometheus.await_samples('rate(dragoman_edge_deliveries_total{job="edge"}[1m]) > 0')
    prometheus.await_samples("rate(dragoman_message_commit_seconds_count[1m]) > 0")
    for expression, legend in LEGENDS.items():
        if named(expression) and all(map(prometheus.request, re.findall(SELECTOR, expression))):
            prometheus.await_samples(expression)
        lines = prometheus.request(expression)  # an empty result is right if no such event has happened
        wanted = set(re.findall(r"{{(\w+)}}", legend))
        assert [line["metric"] for line in lines if not wanted <= set(line["metric"])] == [], (expression, legend)
    assert [rule["name"] for rule in prometheus.rules() if rule["health"] != "ok"] == []


def shown(title: str) -> str:
    """Returns a JavaScript expression for the number below this title on a status page.

    The expression is undefined until the page shows the number.
    """
    tile = f"[...document.querySelectorAll('.tile')].find((tile) => tile.querySelector('h3').textContent === '{title}')"
    return f"{tile}?.querySelector('.value').textContent"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open a page with")
def test_the_page_of_an_edge_shows_the_activity_of_its_clients(
    system: Cluster, couple: tuple[V2User, V2User, int], tmp_path: Path
) -> None:
    one, other, session = couple
    edge = system.process("edge-1")
    assert edge is not None
    with Browser(tmp_path) as browser:
        browser.open(f"http://127.0.0.1:{edge.ops}/")
        browser.wait_for(f"{shown('Deliveries')} === '0/s'")
        assert browser.text().startswith("edge edge-1")
        for number in count():
            one.post(session, f"message {number}")
            other.receive_text(f"message {number}")
            if browser.evaluate(f"parseFloat({shown('Deliveries')}) > 0"):
                break
        browser.wait_for(f"/ms|s/.test({shown('Time to acknowledge')})")
        assert browser.complaints == []


def test_top_shows_every_process(system: Cluster, tmp_path: Path) -> None:
    shown = run_dragoman(["top", "--once", "--data", system.data], tmp_path / "log", 60)
    heads = [line for line in shown.splitlines() if line and not line.startswith(" ")]
    assert sorted(heads) == [f"{name}  ready" for name in ("auth", "edge-1", "edge-2", "message", "search", "session")]
