"""Grafana's dashboards: as the code has them, by the house's conventions, in Prometheus's language."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.generate import DIRECTORY, files
from deploy.grafana.queries import GrafanaPanel, Query, Scope, panel
from shared.dashboard.panels import Panel, PanelKind, Unit, count, gauge, mean, percentiles, rate, share
from tests.deploy.manifests import needs_renderer, of_kind

ROOT = Path(__file__).parents[2]
DASHBOARDS: dict[str, dict[str, Any]] = {path.name: json.loads(path.read_text()) for path in DIRECTORY.glob("*.json")}
PROMTOOL = shutil.which("promtool")


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (one for one in dashboard["panels"] if one["type"] != "row")


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    yield from (target["expr"] for one in panels(dashboard) for target in one["targets"])


def test_the_files_are_as_the_code_has_them() -> None:
    written = {path.name: path.read_text() for path in DIRECTORY.glob("*.json")}
    assert written == files(), "run `python -m deploy.grafana.generate`"


def test_there_is_one_for_each_service_and_for_what_they_stand_on() -> None:
    names = {"overview", "edge", "auth", "session", "message", "nats", "valkey", "database"}
    assert set(DASHBOARDS) == {f"{name}.json" for name in names}


@needs_renderer
def test_kubernetes_gets_each_as_a_file_for_the_sidecar() -> None:
    found = [one for one in of_kind("prod", "ConfigMap") if one["metadata"]["name"].startswith("dashboard-")]
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in found)
    assert {name: text for one in found for name, text in one["data"].items()} == files()


def test_grafana_finds_them_and_prometheus_where_compose_puts_them() -> None:
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


def test_each_can_be_told_by_its_uid_and_its_panels_by_their_ids() -> None:
    assert len({one["uid"] for one in DASHBOARDS.values()}) == len(DASHBOARDS)
    for one in DASHBOARDS.values():
        numbers = [panel["id"] for panel in one["panels"]]
        assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_conventions_are_kept(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert "__inputs" not in dashboard
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["dragoman"]
    assert [one["schemaVersion"] for one in DASHBOARDS.values()] == [dashboard["schemaVersion"]] * len(DASHBOARDS)
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for one in panels(dashboard):
        assert one["fieldConfig"]["defaults"]["unit"]
        assert one["targets"]
        for target in (one, *one["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for expression in expressions(dashboard):
        assert set(re.findall(r"\[(.*?)\]", expression)) <= {"$__rate_interval"}, expression


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_lie_side_by_side(name: str) -> None:
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
def test_expressions_are_prometheus_own(tmp_path: Path) -> None:
    """Each as a recording rule."""
    said = {expression for dashboard in DASHBOARDS.values() for expression in expressions(dashboard)}
    plain = sorted(one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in said)
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
def test_a_row_is_asked_for_as_it_is_read(row: Panel, expressions: list[str]) -> None:
    assert [query.expression for query in panel(row, ONE).queries] == expressions


def test_what_is_bad_stays_so() -> None:
    assert panel(rate("Quarrels", "quarrels", bad=True), ONE) == GrafanaPanel(
        "Quarrels",
        Unit.PER_SECOND,
        (Query('sum by (instance) (rate(quarrels_total{job="talk"}[$__rate_interval]))', "{{instance}}"),),
        bad=True,
    )
