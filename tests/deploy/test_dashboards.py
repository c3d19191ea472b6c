"""Tests Grafana's dashboards: the code generates them, they follow conventions, and their PromQL is valid."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.generate import DIRECTORY, LIMITS, RELATED, files
from deploy.grafana.panels import Scope, of_process
from shared.dashboard.panels import Panel, PanelKind, Unit, count, gauge, mean, percentiles, rate, share
from tests.deploy import manifests

ROOT = Path(__file__).parents[2]
DASHBOARDS: dict[str, dict[str, Any]] = {path.name: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(manifests.RULES.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
COLOURS = {"info": "yellow", "warning": "orange", "critical": "red"}
PROMTOOL = shutil.which("promtool")


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (one for one in dashboard["panels"] if one["type"] == "timeseries")


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    yield from (target["expr"] for one in panels(dashboard) for target in one["targets"])


def alerts_of(one: dict[str, Any]) -> list[str]:
    return [link["title"].removeprefix("Runbook of ") for link in one["links"]]


def limit(expression: str) -> str:
    """Returns the comparison at the end of the whole expression, or before its first `and` or `or`."""
    found = re.search(r"(== 0|> [\d.]+)(?:\s+(?:and|or absent)\b.*)?\s*$", expression, re.DOTALL)
    assert found is not None, expression
    return found[1]


def drawn_limits(one: dict[str, Any]) -> dict[str, str]:
    """Returns the limits that a panel draws, with their colours.

    If values are green only from 1 on, the limit is zero.
    """
    assert one["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] == {"mode": "dashed"}
    lowest, *above = one["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert lowest["value"] is None
    if lowest["color"] == "green":
        return {f"> {round(step['value'], 6):g}": step["color"] for step in above}
    assert above == [{"color": "green", "value": 1}]
    return {"== 0": lowest["color"]}


def metrics(expression: str) -> set[str]:
    names = r"\b(?:up\b|(?:dragoman|process|gnatsd|nats|jetstream|redis|pg)[_:]\w+(?::[a-z]+)?)"
    return set(re.findall(names, re.sub(r"\{.*?\}", "", expression)))


def test_files_match_the_code() -> None:
    written = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert written == files(), "run `./dev docs`"


def test_each_service_and_server_has_a_dashboard() -> None:
    names = {"overview", "edge", "auth", "session", "message", "search", "nats", "valkey", "database", "runbooks"}
    assert set(DASHBOARDS) == {f"{name}.json" for name in names}


@manifests.needs_renderer
def test_kubernetes_mounts_each_dashboard_for_the_sidecar() -> None:
    found = manifests.kustomized(DIRECTORY.parent)
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in found)
    assert {name: text for one in found for name, text in one["data"].items()} == files()


def test_grafana_finds_dashboards_and_prometheus_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    provisioning = DIRECTORY.parent / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "dragoman.yml").read_text())["providers"]
    mounted = dict(one.split(":")[1::-1] for one in compose["grafana"]["volumes"])
    assert (ROOT / mounted[provider["options"]["path"]]).resolve() == DIRECTORY
    assert (ROOT / mounted["/etc/grafana/provisioning"]).resolve() == provisioning
    first = Path(compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (str(first.parent), first.name in DASHBOARDS) == (provider["options"]["path"], True)
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    assert "prometheus" in compose


def test_uids_and_panel_ids_are_unique() -> None:
    assert len({one["uid"] for one in DASHBOARDS.values()}) == len(DASHBOARDS)
    for one in DASHBOARDS.values():
        numbers = [panel["id"] for panel in one["panels"]]
        assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_follows_conventions(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert "__inputs" not in dashboard
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["dragoman"]
    assert [one["schemaVersion"] for one in DASHBOARDS.values()] == [dashboard["schemaVersion"]] * len(DASHBOARDS)
    assert name == "runbooks.json" or dashboard["templating"]["list"][0]["type"] == "datasource"
    assert [(link["type"], link["tags"]) for link in dashboard["links"]] == [("dashboards", ["dragoman"])]
    for one in panels(dashboard):
        assert one["fieldConfig"]["defaults"]["unit"]
        assert one["targets"]
        for target in (one, *one["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for expression in expressions(dashboard):
        assert set(re.findall(r"\[(.*?)\]", expression)) <= {"$__rate_interval"}, expression


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_selector_names_a_job(name: str) -> None:
    for expression in expressions(DASHBOARDS[name]):
        outside = re.sub(r"\{job=[^}]*\}", "{}", re.sub(r"\[.*?\]|\w+ by \([^)]*\)", "", expression))
        without = set(re.findall(r"\b[a-z_][\w:]*+(?!\s*[({])", outside))
        assert {one for one in without if one != "or" and not one.startswith("dragoman:")} == set(), expression


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_of_errors_and_of_alerts_have_descriptions_and_instructions(name: str) -> None:
    for one in panels(DASHBOARDS[name]):
        related = {*LIMITS.get(one["title"], ()), *RELATED.get(one["title"], ())}
        assert one["description"] or not (related or one["fieldConfig"]["defaults"]["color"]["mode"] == "shades"), one
        assert set(alerts_of(one)) == related
        assert one["description"].count("**What to do:**") == len(related)


@pytest.mark.parametrize("title", LIMITS)
def test_panel_draws_the_limits_of_its_alerts(title: str) -> None:
    """On all panels of the same metrics, a limit has the colour of the most severe alert with this limit."""
    by_severity = sorted(LIMITS[title], key=lambda alert: list(COLOURS).index(RULES[alert]["labels"]["severity"]))
    limits = {limit(RULES[alert]["expr"]): COLOURS[RULES[alert]["labels"]["severity"]] for alert in by_severity}
    found = [one for dashboard in DASHBOARDS.values() for one in panels(dashboard) if one["title"] == title]
    assert found
    for one in found:
        assert drawn_limits(one) == limits
        queried = {metric for target in one["targets"] for metric in metrics(target["expr"])}
        assert [alert for alert in LIMITS[title] if not queried & metrics(RULES[alert]["expr"])] == []


def test_each_alert_of_processes_is_on_a_panel() -> None:
    """Only alerts about Dragoman's processes need a panel. Alerts about other servers do not."""
    ours = re.compile(r"\b(?:dragoman(?!_backup)|process)_")
    on_panels = {alert for dashboard in DASHBOARDS.values() for one in panels(dashboard) for alert in alerts_of(one)}
    assert {alert for alert, rule in RULES.items() if ours.search(rule["expr"])} - on_panels == set()


def test_links_to_runbooks_lead_to_them() -> None:
    pages = {one["id"]: one for one in DASHBOARDS["runbooks.json"]["panels"]}
    for one in pages.values():
        runbook = ROOT / "docs" / "runbooks" / f"{one['title']}.md"
        assert runbook.read_text().endswith(f"\n\n{one['options']['content']}\n")
    for dashboard in DASHBOARDS.values():
        for one in panels(dashboard):
            for link, alert in zip(one["links"], alerts_of(one), strict=True):
                page, _, number = link["url"].partition("?viewPanel=")
                assert page == f"/d/{DASHBOARDS['runbooks.json']['uid']}"
                assert pages[int(number)]["title"] == alert


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    places = [one["gridPos"] for one in DASHBOARDS[name]["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool to read expressions with")
def test_expressions_are_valid_promql(tmp_path: Path) -> None:
    """Writes each expression into a recording rule, because promtool can check rules."""
    used = {expression for dashboard in DASHBOARDS.values() for expression in expressions(dashboard)}
    plain = sorted(one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in used)
    rules = [{"record": f"tested:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "tested", "rules": rules}]}))
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "rules", tmp_path / "rules.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


ONE = Scope('job="talk"', "instance")


@pytest.mark.parametrize(
    ("row", "expressions"),
    [
        (gauge("", "people"), ['sum by (instance) (people{job="talk"})']),
        (gauge("", "people", by="room"), ['sum by (room) (people{job="talk"})']),
        (Panel("", "since", PanelKind.AGE, Unit.SECONDS), ['time() - since{job="talk"}']),
        (
            rate("", "said", by="word", but="no"),
            ['sum by (word) (rate(said_total{job="talk",word!="no"}[$__rate_interval]))'],
        ),
        (count("", "took"), ['sum by (instance) (rate(took_count{job="talk"}[$__rate_interval]))']),
        (
            percentiles("", "took"),
            [
                f'histogram_quantile({at}, sum by (instance, le) (rate(took_bucket{{job="talk"}}[$__rate_interval])))'
                for at in (0.5, 0.99)
            ],
        ),
        (
            mean("", "took"),
            [
                'sum by (instance) (rate(took_sum{job="talk"}[$__rate_interval]))'
                ' / sum by (instance) (rate(took_count{job="talk"}[$__rate_interval]))'
            ],
        ),
        (
            share("", "made", "sent"),
            [
                'sum by (instance) (rate(made_total{job="talk"}[$__rate_interval]))'
                ' / sum by (instance) (rate(sent_total{job="talk"}[$__rate_interval]))'
            ],
        ),
    ],
)
def test_panel_is_translated_to_promql(row: Panel, expressions: list[str]) -> None:
    assert [expression for expression, _ in of_process(row, ONE).queries] == expressions


def test_error_panel_stays_marked() -> None:
    assert of_process(rate("Quarrels", "quarrels", bad=True), ONE).bad
