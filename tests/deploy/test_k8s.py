"""The rendered manifests: references resolve, permissions are minimal, settings and metrics exist."""

import re
import shutil
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from dragoman.main import main
from local.options import variable
from local.settings_table import leaves
from services.cli.overview.command import dashboard as dashboard_command
from services.cli.secrets import PLACES, Addresses, issue
from shared.contract.permissions import publishes
from shared.outgoing_addresses import AddressRules
from shared.settings import Settings, TracingSettings
from tests.deploy.manifests import (
    OVERLAYS,
    allowed,
    containers,
    labels_of_pods,
    matches,
    needs_renderer,
    of_kind,
    pod_template,
    ports,
    rendered,
    settings,
    variables,
    workloads,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
OURS = {"edge", "auth", "session", "message", "migrate", "dashboard"}
SERVICES = OURS - {"migrate", "dashboard"}

pytestmark = [needs_renderer, pytest.mark.parametrize("overlay", OVERLAYS)]


def test_every_process_has_a_workload(overlay: str) -> None:
    assert OURS <= {one["metadata"]["name"] for one in workloads(overlay)}


def test_selectors_find_pods(overlay: str) -> None:
    pods = [labels_of_pods(one) for one in workloads(overlay)]
    for one in of_kind(overlay, "Deployment", "StatefulSet"):
        assert matches(one["spec"]["selector"], labels_of_pods(one))
    for one in of_kind(overlay, "Service"):
        assert any(one["spec"]["selector"].items() <= labels.items() for labels in pods), one["metadata"]["name"]
    for one in of_kind(overlay, "PodDisruptionBudget"):
        assert any(matches(one["spec"]["selector"], labels) for labels in pods), one["metadata"]["name"]
    services = [one["metadata"]["labels"] for one in of_kind(overlay, "Service")]
    for one in of_kind(overlay, "ServiceMonitor"):
        assert any(matches(one["spec"]["selector"], labels) for labels in services), one["metadata"]["name"]


def test_named_ports_exist(overlay: str) -> None:
    for one in workloads(overlay):
        for container in containers(one):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = container.get(probe, {})
                port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
                assert port is None or port in ports(one)
    for service in of_kind(overlay, "Service"):
        backend = next(
            one for one in workloads(overlay) if service["spec"]["selector"].items() <= labels_of_pods(one).items()
        )
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(backend))


def test_a_frozen_process_is_soon_replaced(overlay: str) -> None:
    """It does not end when it should: without a period of their own, edges would stay for two minutes more."""
    for one in workloads(overlay):
        for container in containers(one):
            if probe := container.get("livenessProbe"):
                period = one["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
                assert probe.get("terminationGracePeriodSeconds", period) <= 30, one["metadata"]["name"]


def test_disruption_leaves_a_replica(overlay: str) -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
              for one in of_kind(overlay, "HorizontalPodAutoscaler")}  # fmt: skip
    budgets = {
        one["metadata"]["name"]: one["spec"]["maxUnavailable"] for one in of_kind(overlay, "PodDisruptionBudget")
    }
    for one in of_kind(overlay, "Deployment"):
        name = one["metadata"]["name"]
        if name == "dashboard":  # a client waits for none
            continue
        assert budgets[name] < one["spec"].get("replicas", scaled.get(name, 0)), name


def test_a_broken_pod_of_a_server_does_not_keep_the_mended_one_waiting(overlay: str) -> None:
    servers = of_kind(overlay, "StatefulSet")
    assert {one["metadata"]["name"] for one in servers} == (set(PORTS) if overlay == "dev" else set())
    assert all(one["spec"].get("podManagementPolicy") == "Parallel" for one in servers)


def test_pods_meet_the_restricted_standard(overlay: str) -> None:
    for one in workloads(overlay):
        pod = pod_template(one)["spec"]
        assert pod["securityContext"]["runAsNonRoot"], one["metadata"]["name"]
        assert pod["securityContext"]["runAsUser"] != 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        kinds = {next(kind for kind in volume if kind != "name") for volume in pod["volumes"]}
        assert kinds <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        for container in containers(one):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    enforced = of_kind(overlay, "Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_every_variable_is_a_setting(overlay: str) -> None:
    known = {variable(name) for name, _, _ in leaves(Settings())}
    assert set(settings(rendered(overlay))) <= known
    for one in workloads(overlay):
        used = {entry["name"] for entry in variables(one)}
        assert {name for name in used if name.startswith("DRAGOMAN_")} <= known


def test_every_secret_is_issued(overlay: str, tmp_path: Path) -> None:
    issue(tmp_path, Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    mounted = {
        volume["secret"]["secretName"]
        for one in workloads(overlay)
        for volume in pod_template(one)["spec"]["volumes"]
        if "secret" in volume
    }
    assert mounted <= {f"dragoman-{place}" for place in PLACES}
    assert {f"dragoman-{name}" for name in OURS} <= mounted
    for entry in (entry for one in workloads(overlay) for entry in variables(one)):
        if of := entry.get("valueFrom", {}).get("secretKeyRef"):
            assert (tmp_path / of["name"].removeprefix("dragoman-") / of["key"]).is_file(), entry
    assert not of_kind(overlay, "Secret")


def test_grace_period_covers_the_drain(overlay: str) -> None:
    drain = float(settings(rendered(overlay))["DRAGOMAN_EDGE__DRAIN_SECONDS"])
    edge = next(one for one in of_kind(overlay, "Deployment") if one["metadata"]["name"] == "edge")
    pod = edge["spec"]["template"]["spec"]
    waiting = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= waiting + drain + 20


def test_autoscaler_metrics_are_exported(overlay: str) -> None:
    source = "".join(file.read_text() for file in (ROOT / "services").glob("*/metrics.py"))
    for one in of_kind(overlay, "HorizontalPodAutoscaler"):
        for metric in one["spec"]["metrics"]:
            if metric["type"] == "Pods":
                assert f'"{metric["pods"]["metric"]["name"]}"' in source


SERVERS = {("edge", "valkey"), ("auth", "valkey"), ("session", "valkey"), ("message", "valkey"),
           ("auth", "postgres"), ("session", "postgres"), ("message", "postgres"), ("migrate", "postgres"),
           ("dragoman-backup", "postgres"),
           *((ours, "nats") for ours in OURS)}  # fmt: skip
FROM_DASHBOARD = {("dashboard", name, "9000") for name in SERVICES}
PORTS = {"nats": "4222", "valkey": "6379", "postgres": "5432", "s3": "7070"}
OWN_SERVERS = SERVERS | {("edge", "s3")}


def test_ingress_rules_are_exactly_those_needed(overlay: str) -> None:
    expected = {("edge", "dragoman/ingress", "8080"), ("dashboard", "dragoman/operators", "8090")}
    expected |= {(name, "dragoman/monitoring", "9000") for name in SERVICES}
    expected |= {(reached, dashboard, port) for dashboard, reached, port in FROM_DASHBOARD}
    if overlay == "dev":
        expected |= {(server, ours, PORTS[server]) for ours, server in OWN_SERVERS} | {("nats", "nats", "6222")}
    assert set(allowed(overlay, "Ingress")) == expected


def test_egress_rules_are_exactly_those_needed(overlay: str) -> None:
    reached = set(allowed(overlay, "Egress"))
    if overlay == "dev":
        expected = {(ours, server, PORTS[server]) for ours, server in OWN_SERVERS} | {("nats", "nats", "6222")}
    else:
        expected = {(ours, "10.0.0.0/8", PORTS[server]) for ours, server in SERVERS}
        expected |= {("auth", "0.0.0.0/0", "587"), ("edge", "0.0.0.0/0", "443")}
    assert reached == expected | FROM_DASHBOARD


def test_default_policy_denies_all(overlay: str) -> None:
    denied = next(one for one in of_kind(overlay, "NetworkPolicy") if one["metadata"]["name"] == "default-deny")
    assert denied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_image_versions_are_pinned(overlay: str) -> None:
    for one in workloads(overlay):
        for container in containers(one):
            assert re.search(r":v?\d", container["image"]), container["image"]
    assert rendered(overlay)


def test_tracing_component_allows_the_collector(overlay: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    kustomization = tmp_path / "deploy" / "k8s" / "overlays" / overlay / "kustomization.yaml"
    text = kustomization.read_text()
    kustomization.write_text(text.replace("components:\n", "components:\n  - ../../components/tracing\n"))
    objects = rendered(overlay, tmp_path / "deploy" / "k8s")
    given = settings(objects)
    tracing = TracingSettings(
        endpoint=given["DRAGOMAN_TRACING__ENDPOINT"], sample_ratio=given["DRAGOMAN_TRACING__SAMPLE_RATIO"]
    )
    (policy,) = [one["spec"] for one in objects if one["metadata"]["name"] == "to-collector"]
    (rule,) = policy["egress"]
    assert tracing.endpoint.endswith(f":{rule['ports'][0]['port']}")
    reached = {
        one["metadata"]["name"] for one in workloads(overlay) if matches(policy["podSelector"], labels_of_pods(one))
    }
    assert reached == SERVICES


def test_a_component_lets_session_alone_reach_public_addresses(overlay: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    kustomization = tmp_path / "deploy" / "k8s" / "overlays" / overlay / "kustomization.yaml"
    text = kustomization.read_text()
    component = "components:\n  - ../../components/network/outgoing-hooks\n"
    kustomization.write_text(text.replace("components:\n", component))
    objects = rendered(overlay, tmp_path / "deploy" / "k8s")
    (policy,) = [one["spec"] for one in objects if one["metadata"]["name"] == "to-hooks"]
    reached = {
        one["metadata"]["name"] for one in workloads(overlay) if matches(policy["podSelector"], labels_of_pods(one))
    }
    assert reached == {"session"}
    blocks = [one["ipBlock"] for rule in policy["egress"] for one in rule["to"]]
    rules = AddressRules([])
    for private in (network for block in blocks for network in block.get("except", ())):
        assert not rules.is_permitted(ip_network(private)[1], is_encrypted=True)


def test_the_dashboard_knows_every_process_and_serves_one_user_of_its_own(overlay: str) -> None:
    (dashboard,) = [one for one in of_kind(overlay, "Deployment") if one["metadata"]["name"] == "dashboard"]
    (container,) = containers(dashboard)
    addresses = [urlsplit(argument) for argument in container["args"] if argument.startswith("http")]
    headless = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "Service")
                if one["spec"].get("clusterIP") == "None" and one["spec"].get("publishNotReadyAddresses")}  # fmt: skip
    found = {headless[str(one.hostname)]["selector"]["app.kubernetes.io/name"] for one in addresses}
    assert found == SERVICES, "each process has an address of its own, ready or not"
    assert {one.port for one in addresses} == {9000}
    assert CliRunner().invoke(main, [*container["args"][:1], "--help"]).exit_code == 0
    options = {option for parameter in dashboard_command.params for option in parameter.opts}
    assert {one.partition("=")[0] for one in container["args"] if one.startswith("--")} <= options
    secrets = [
        one["secret"]["secretName"] for one in dashboard["spec"]["template"]["spec"]["volumes"] if "secret" in one
    ]
    assert secrets == ["dragoman-dashboard"]
    assert publishes("dashboard") == [
        "$JS.API.STREAM.INFO.DEAD", "edge.all.locate", "edge.all.trace", "message.find",
    ]  # fmt: skip
