"""Tests both installations: references resolve, permissions are minimal, and the named settings and metrics exist."""

import re
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
from shared.settings import Settings
from shared.settings.edge import LONGEST_DRAIN_SECONDS
from tests.deploy.manifests import (
    INSTALLATIONS,
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
OURS = {"edge", "auth", "session", "message", "search", "migrate", "dashboard"}
SERVICES = OURS - {"migrate", "dashboard"}

pytestmark = [needs_renderer, pytest.mark.parametrize("installation", INSTALLATIONS)]


def test_every_process_has_a_workload(installation: str) -> None:
    assert OURS <= {one["metadata"]["name"] for one in workloads(installation)}


def test_selectors_find_pods(installation: str) -> None:
    pods = [labels_of_pods(one) for one in workloads(installation)]
    for one in of_kind(installation, "Deployment", "StatefulSet"):
        assert matches(one["spec"]["selector"], labels_of_pods(one))
    for one in of_kind(installation, "Service"):
        assert any(one["spec"]["selector"].items() <= labels.items() for labels in pods), one["metadata"]["name"]
    for one in of_kind(installation, "PodDisruptionBudget"):
        assert any(matches(one["spec"]["selector"], labels) for labels in pods), one["metadata"]["name"]
    services = [one["metadata"]["labels"] for one in of_kind(installation, "Service")]
    for one in of_kind(installation, "ServiceMonitor"):
        assert any(matches(one["spec"]["selector"], labels) for labels in services), one["metadata"]["name"]


def test_named_ports_exist(installation: str) -> None:
    for one in workloads(installation):
        for container in containers(one):
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = container.get(probe, {})
                port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
                assert port is None or port in ports(one)
    for service in of_kind(installation, "Service"):
        backend = next(
            one for one in workloads(installation) if service["spec"]["selector"].items() <= labels_of_pods(one).items()
        )
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(backend))


def test_a_frozen_process_is_soon_replaced(installation: str) -> None:
    """A frozen edge does not react to the signal to end, so Kubernetes waits for the grace period.

    The edges' own period is long: without a shorter one in the probe, a frozen edge would remain two minutes longer.
    """
    for one in workloads(installation):
        for container in containers(one):
            if probe := container.get("livenessProbe"):
                period = one["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
                assert probe.get("terminationGracePeriodSeconds", period) <= 30, one["metadata"]["name"]


def test_disruption_leaves_a_replica(installation: str) -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
              for one in of_kind(installation, "HorizontalPodAutoscaler")}  # fmt: skip
    budgets = {
        one["metadata"]["name"]: one["spec"]["maxUnavailable"] for one in of_kind(installation, "PodDisruptionBudget")
    }
    for one in of_kind(installation, "Deployment"):
        name = one["metadata"]["name"]
        if name == "dashboard":  # the dashboard is a client and serves no requests
            continue
        assert budgets[name] < one["spec"].get("replicas", scaled.get(name, 0)), name


def test_a_broken_pod_of_a_server_does_not_keep_the_mended_one_waiting(installation: str) -> None:
    servers = of_kind(installation, "StatefulSet")
    assert {one["metadata"]["name"] for one in servers} - {"search"} == (set(PORTS) if installation == "dev" else set())
    assert all(one["spec"].get("podManagementPolicy") == "Parallel" for one in servers)


def test_pods_meet_the_restricted_standard(installation: str) -> None:
    for one in workloads(installation):
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
    enforced = of_kind(installation, "Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_every_variable_is_a_setting(installation: str) -> None:
    known = {variable(name) for name, _, _ in leaves(Settings())}
    assert set(settings(rendered(installation))) <= known
    for one in workloads(installation):
        used = {entry["name"] for entry in variables(one)}
        assert {name for name in used if name.startswith("DRAGOMAN_")} <= known


def test_every_secret_is_issued(installation: str, tmp_path: Path) -> None:
    issue(tmp_path, Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    mounted = {
        volume["secret"]["secretName"]
        for one in workloads(installation)
        for volume in pod_template(one)["spec"]["volumes"]
        if "secret" in volume
    }
    assert mounted <= {f"dragoman-{place}" for place in PLACES}
    assert {f"dragoman-{name}" for name in OURS} <= mounted
    for entry in (entry for one in workloads(installation) for entry in variables(one)):
        if of := entry.get("valueFrom", {}).get("secretKeyRef"):
            assert (tmp_path / of["name"].removeprefix("dragoman-") / of["key"]).is_file(), entry
    assert not of_kind(installation, "Secret")


def test_grace_period_covers_the_drain(installation: str) -> None:
    edge = next(one for one in of_kind(installation, "Deployment") if one["metadata"]["name"] == "edge")
    pod = edge["spec"]["template"]["spec"]
    waiting = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= waiting + LONGEST_DRAIN_SECONDS + 20


SERVERS = {("edge", "valkey"), ("auth", "valkey"), ("session", "valkey"), ("message", "valkey"),
           ("auth", "postgres"), ("session", "postgres"), ("message", "postgres"), ("migrate", "postgres"),
           ("dragoman-backup", "postgres"),
           *((ours, "nats") for ours in OURS)}  # fmt: skip
FROM_DASHBOARD = {("dashboard", name, "9000") for name in SERVICES}
PORTS = {"nats": "4222", "valkey": "6379", "postgres": "5432", "s3": "7070"}
OWN_SERVERS = SERVERS | {("edge", "s3")}


def test_ingress_rules_are_exactly_those_needed(installation: str) -> None:
    expected = {("edge", "dragoman/ingress", "8080"), ("dashboard", "dragoman/operators", "8090")}
    expected |= {(name, "dragoman/monitoring", "9000") for name in SERVICES}
    expected |= {(reached, dashboard, port) for dashboard, reached, port in FROM_DASHBOARD}
    if installation == "dev":
        expected |= {(server, ours, PORTS[server]) for ours, server in OWN_SERVERS} | {("nats", "nats", "6222")}
    assert set(allowed(installation, "Ingress")) == expected


def test_egress_rules_are_exactly_those_needed(installation: str) -> None:
    reached = set(allowed(installation, "Egress"))
    if installation == "dev":
        expected = {(ours, server, PORTS[server]) for ours, server in OWN_SERVERS} | {("nats", "nats", "6222")}
    else:
        expected = {(ours, "10.0.0.0/8", PORTS[server]) for ours, server in SERVERS}
    assert reached == expected | FROM_DASHBOARD | {("auth", "0.0.0.0/0", "587"), ("edge", "0.0.0.0/0", "443")}


def test_default_policy_denies_all(installation: str) -> None:
    denied = next(one for one in of_kind(installation, "NetworkPolicy") if one["metadata"]["name"] == "default-deny")
    assert denied["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_image_versions_are_pinned(installation: str) -> None:
    for one in workloads(installation):
        for container in containers(one):
            assert re.search(r":v?\d", container["image"]), container["image"]
    assert rendered(installation)


@pytest.mark.parametrize(
    ("value", "opened"),
    [
        ("bucket", {("edge", "dragoman/bucket", "443"), ("edge", "dragoman/bucket", "9000")}),
        ("tracing", {(name, "dragoman/tracing", "4318") for name in SERVICES}),
        ("nodeLocalDns", {(name, "169.254.20.10/32", "53") for name in (*OURS, "dragoman-backup")}),
    ],
)
def test_a_switch_opens_exactly_its_connections(
    installation: str, value: str, opened: set[tuple[str, str, str]]
) -> None:
    servers = set(PORTS) if installation == "dev" and value == "nodeLocalDns" else set()
    expected = opened | {(name, "169.254.20.10/32", "53") for name in servers}
    switched = set(allowed(installation, "Egress", f"network.{value}=true"))
    assert switched - set(allowed(installation, "Egress")) == expected


def test_session_alone_reaches_public_addresses(installation: str) -> None:
    objects = rendered(installation, "network.outgoingWebhooks=true")
    (policy,) = [one["spec"] for one in objects if one["metadata"]["name"] == "to-webhooks"]
    reached = {
        one["metadata"]["name"]
        for one in workloads(installation)
        if matches(policy["podSelector"], labels_of_pods(one))
    }
    assert reached == {"session"}
    blocks = [one["ipBlock"] for rule in policy["egress"] for one in rule["to"]]
    rules = AddressRules([])
    for private in (network for block in blocks for network in block.get("except", ())):
        assert not rules.is_permitted(ip_network(private)[1], is_encrypted=True)


def test_the_dashboard_knows_every_process_and_serves_one_user_of_its_own(installation: str) -> None:
    (dashboard,) = [one for one in of_kind(installation, "Deployment") if one["metadata"]["name"] == "dashboard"]
    (container,) = containers(dashboard)
    addresses = [urlsplit(argument) for argument in container["args"] if argument.startswith("http")]
    headless = {one["metadata"]["name"]: one["spec"] for one in of_kind(installation, "Service")
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
