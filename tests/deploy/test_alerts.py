"""Tests the alert rules: they are valid, and each has tests and a complete runbook."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import manifests

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = manifests.RULES.read_text()
TEST_FILES = ("rules_test.yml", "rules_long_test.yml")
TESTS = "".join((PROMETHEUS / name).read_text() for name in TEST_FILES)
RUNBOOKS = {page.stem: page.read_text() for page in (ROOT / "docs" / "runbooks").glob("Dragoman*.md")}
ALERTS = re.findall(r"- alert: (\w+)", RULES)
SERVICES = {"auth", "edge", "message", "search", "session"}
NEEDED = SERVICES - {"search"}
WATCHDOG = "DragomanWatchdog"
"""The alert that always fires."""
EXPORTERS = {"certificates", "haproxy", "nats", "node", "postgres", "valkey"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool to check rules with")


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_rules_and_configuration_are_valid(tmp_path: Path) -> None:
    """The configuration and the rules are linked into one directory, as Compose mounts them."""
    for file in (PROMETHEUS / "prometheus.yml", manifests.RULES):
        (tmp_path / file.name).symlink_to(file)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


@needs_promtool
def test_alerts_fire_exactly_as_specified() -> None:
    promtool("test", "rules", *TEST_FILES)


def test_alert_names_are_unique() -> None:
    assert len(ALERTS) > 20
    assert len(ALERTS) == len(set(ALERTS))


@pytest.mark.parametrize("alert", ALERTS)
def test_alert_has_severity_summary_runbook_and_tests(alert: str) -> None:
    rule = re.split(r"- alert: ", RULES)[1:][ALERTS.index(alert)]
    assert re.search(r"labels: \{severity: (critical|warning|info)\}", rule)
    assert "summary: " in rule
    assert f"runbook_url: docs/runbooks/{alert}.md\n" in rule
    parts = re.findall(r"^- \*\*(\w+)\.\*\* \S", RUNBOOKS[alert], re.MULTILINE)
    assert parts == ["Symptom", "Impact", "Diagnose", "Mitigate", "Verify"]
    assert f"name: {alert} fires" in TESTS
    assert alert == WATCHDOG or f"name: {alert} is quiet" in TESTS


def test_every_runbook_has_an_alert() -> None:
    assert set(RUNBOOKS) == set(ALERTS)


def test_jobs_are_the_services_and_the_exporters() -> None:
    jobs = set(re.findall(r"job_name: (\w+)", (PROMETHEUS / "prometheus.yml").read_text()))
    assert jobs == SERVICES | EXPORTERS
    for named in re.findall(r'job=~"([^"]+)"', RULES):
        assert set(named.split("|")) in (SERVICES, NEEDED, EXPORTERS)


def test_alerts_of_servers_name_the_job() -> None:
    """The same Prometheus may also scrape servers of the same kinds that are not Dragoman's."""
    expressions = re.sub(r"^ *#.*|runbook_url: .*", "", RULES, flags=re.M)
    selected = re.findall(r"\b((?:gnatsd|haproxy|jetstream|nats|node|pg|probe|redis)_\w+)(\{job=)?", expressions)
    left_of_a_division = {name for name, job in selected if job}
    assert len(left_of_a_division) > 8
    assert {name for name, job in selected if not job} == {"node_filesystem_size_bytes"}, "the right side of a division"
