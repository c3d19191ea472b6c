"""The chart: the same objects as Kustomize's, values that are checked, hooks in order."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.helm.generate import CHART, files
from tests.deploy.manifests import (
    BY_KEDA,
    EVERYTHING,
    HELM,
    K8S,
    SETTINGS,
    TRUSTED,
    Object,
    needs_helm,
    needs_renderer,
    rendered,
    template,
    with_component,
)
from tests.support.commands import ROOT

VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())
HOOKED = ("helm.sh/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "dragoman/")


def test_the_ingress_logs_no_path() -> None:
    """Paths may be secrets. Kustomize's ingress and the chart's have the same annotations."""
    kustomize = yaml.safe_load((ROOT / "deploy" / "k8s" / "components" / "ingress" / "ingress.yaml").read_text())
    annotations = kustomize["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/enable-access-log"] == "false"
    assert VALUES["ingress"]["annotations"] == annotations


def comparable(value: Any) -> Any:
    """Without what only one of the two has: hooks, hashes, empty fields; with the settings' plain name."""
    if isinstance(value, dict):
        found = {key: comparable(entry) for key, entry in value.items() if not key.startswith(HOOKED)}
        return {key: entry for key, entry in found.items() if entry not in (None, {}, [])}
    if isinstance(value, list):
        return [comparable(entry) for entry in value]
    if isinstance(value, str) and (SETTINGS.fullmatch(value) or value == "dragoman-settings-migrate"):
        return "dragoman-settings"
    return value


def by_name(objects: tuple[Object, ...]) -> dict[tuple[str, str], Any]:
    return {(one["kind"], one["metadata"]["name"]): comparable(one) for one in objects}


def is_of_helm_alone(kind: str, name: str) -> bool:
    return name in ("dragoman-settings-migrate", "dragoman-test", "dragoman-test-ops")


def is_of_kustomize_alone(kind: str, name: str) -> bool:
    return kind in ("Namespace", "PersistentVolumeClaim") or name.startswith("dashboard-")


@needs_renderer
def test_templates_are_generated_from_the_manifests() -> None:
    for name, text in files().items():
        assert (CHART / "templates" / name).read_text() == text, "run `python -m deploy.helm.generate`"


@needs_helm
@needs_renderer
@pytest.mark.parametrize("openshift", [False, True])
def test_the_chart_has_the_objects_of_the_overlay(openshift: bool, tmp_path: Path) -> None:
    on = f"openshift={str(openshift).lower()}"
    both = by_name(template(*EVERYTHING, on)) | by_name(template(*BY_KEDA, on))
    chart = {key: one for key, one in both.items() if not is_of_helm_alone(*key)}
    place = with_component(tmp_path, "chart", "openshift", instead_of="network/openshift") if openshift else K8S
    overlay = {
        (kind, SETTINGS.sub("dragoman-settings", name)): one
        for (kind, name), one in by_name(rendered("chart", place)).items()
        if not is_of_kustomize_alone(kind, name) and (openshift or not name.startswith("openshift-"))
    }
    for one in (*chart.values(), *overlay.values()):
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
            container.pop("imagePullPolicy", None)
    for objects in (chart, overlay):  # each installation's own
        objects["ConfigMap", "dragoman-settings"]["data"].pop("DRAGOMAN_EDGE__TRUSTED_PROXIES")
    assert set(chart) == set(overlay)
    for key, one in overlay.items():
        assert chart[key] == one, key


@needs_helm
def test_helm_finds_no_fault_in_the_chart() -> None:
    assert HELM is not None
    done = subprocess.run([HELM, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs_helm
def test_the_release_has_no_volume_that_its_installation_would_wait_for() -> None:
    """`helm --wait` waits for claims until a pod has bound them, and the backup's first pod comes at night."""
    objects = template(*EVERYTHING, "backup.claim=mine")
    assert not [one for one in objects if one["kind"] == "PersistentVolumeClaim"]
    (job,) = [one for one in objects if one["kind"] == "CronJob"]
    volumes = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "backups", "persistentVolumeClaim": {"claimName": "mine"}} in volumes


@needs_helm
def test_what_a_cluster_may_lack_is_off_by_default() -> None:
    kinds = {one["kind"] for one in template()}
    assert kinds.isdisjoint({"ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "ScaledObject"})
    assert kinds.isdisjoint({"Ingress", "HTTPRoute", "CronJob", "Namespace"})
    numbers = {one["metadata"]["name"]: one["spec"]["replicas"] for one in template() if one["kind"] == "Deployment"}
    assert numbers == {"auth": 2, "edge": 2, "message": 2, "session": 2}


@needs_helm
def test_one_autoscaler_scales_a_deployment() -> None:
    for values, kind, other in (
        (EVERYTHING, "HorizontalPodAutoscaler", "ScaledObject"),
        (BY_KEDA, "ScaledObject", "HorizontalPodAutoscaler"),
    ):
        objects = by_name(template(*values))
        assert {name for found, name in objects if found == kind} == {"edge", "message"}
        assert not [name for found, name in objects if found == other]


@needs_helm
def test_keda_reads_the_numbers_of_the_release_from_the_given_prometheus() -> None:
    values = (*BY_KEDA, "autoscaling.prometheus=http://own:9090", "edge.maxReplicas=7")
    spec = by_name(template(*values, namespace="chat"))["ScaledObject", "edge"]["spec"]
    (metadata,) = [one["metadata"] for one in spec["triggers"] if one["type"] == "prometheus"]
    assert metadata["serverAddress"] == "http://own:9090"
    assert metadata["query"] == 'sum(dragoman_edge_connections{namespace="chat"})'
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 7)


@needs_helm
def test_both_autoscalers_have_the_aims_of_the_values() -> None:
    aims = ("autoscaling.connections=60", "autoscaling.messages=20000000")
    autoscalers, scaled = by_name(template(*EVERYTHING, *aims)), by_name(template(*BY_KEDA, *aims))
    for name, aim in (("edge", "60"), ("message", "20000000")):
        (target,) = [
            one["pods"]["target"]
            for one in autoscalers["HorizontalPodAutoscaler", name]["spec"]["metrics"]
            if one["type"] == "Pods"
        ]
        (metadata,) = [
            one["metadata"] for one in scaled["ScaledObject", name]["spec"]["triggers"] if one["type"] == "prometheus"
        ]
        assert (target["averageValue"], metadata["threshold"]) == (aim, aim)


@needs_helm
def test_the_route_has_the_host_and_the_gateways_of_the_values() -> None:
    gateways = '[{"name": "one", "namespace": "edge", "sectionName": "https"}, {"name": "two"}]'
    values = ("gateway.enabled=true", "gateway.host=*.own.example", f"gateway.parentRefs={gateways}")
    objects = by_name(template(TRUSTED, *values))
    spec = objects["HTTPRoute", "dragoman"]["spec"]
    assert spec["hostnames"] == ["*.own.example"]
    assert spec["parentRefs"] == json.loads(gateways)
    assert not [kind for kind, _ in objects if kind == "Ingress"]


@needs_helm
def test_values_of_an_older_release_are_enough() -> None:
    """`helm upgrade --reuse-values` has none of the new ones."""
    absent = (
        *("optionalSecrets=null", "gateway=null", "autoscaling.kind=null", "autoscaling.prometheus=null"),
        *("autoscaling.connections=null", "autoscaling.messages=null"),
    )
    for values in ((), ("autoscaling.enabled=true",)):
        assert template(*values, *absent) == template(*values)


@needs_helm
@pytest.mark.parametrize(
    ("switch", "name"),
    [("bucket", "to-own-bucket"), ("nodeLocalDns", "node-local-names"), ("outgoingHooks", "to-hooks")],
)
def test_each_policy_has_its_own_switch(switch: str, name: str) -> None:
    assert ("NetworkPolicy", name) not in by_name(template())
    assert ("NetworkPolicy", name) in by_name(template(f"network.{switch}=true"))
    assert ("NetworkPolicy", name) not in by_name(template(f"network.{switch}=true", "network.policies=false"))


@needs_helm
def test_the_migration_comes_before_all_else_and_with_what_it_needs() -> None:
    hooks = {
        (one["kind"], one["metadata"]["name"]): one["metadata"]["annotations"]
        for one in template()
        if "pre-upgrade" in one["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    needed = {("ServiceAccount", "migrate"), ("ConfigMap", "dragoman-settings-migrate")}
    assert set(hooks) == needed | {("Job", "migrate")}
    weights = {key: int(one["helm.sh/hook-weight"]) for key, one in hooks.items()}
    assert all(weights[key] < weights["Job", "migrate"] for key in needed)
    assert all(one["helm.sh/hook-delete-policy"] == "before-hook-creation" for one in hooks.values())


@needs_helm
def test_values_reach_every_pod() -> None:
    objects = template(
        'tolerations=[{"key": "chat", "operator": "Exists"}]', 'image.pullSecrets=[{"name": "pull"}]',
        'extraEnv=[{"name": "AWS_REGION", "value": "x"}]', "priorityClassName=chat", "image.registry=registry.example",
        "image.tag=v9", 'edge.affinity={"podAffinity": {}}', "secrets.auth=own", "optionalSecrets.mail=smtp",
        "settings.DRAGOMAN_LOG__LEVEL=debug",
    )  # fmt: skip
    workloads = [one for one in objects if one["kind"] in ("Deployment", "Job")]
    assert len(workloads) == 5
    for one in workloads:
        pod = one["spec"]["template"]["spec"]
        assert pod["tolerations"] == [{"key": "chat", "operator": "Exists"}]
        assert pod["imagePullSecrets"] == [{"name": "pull"}]
        assert pod["priorityClassName"] == "chat"
        assert ("affinity" in pod) is (one["metadata"]["name"] == "edge")
        (container,) = pod["containers"]
        assert container["image"] == "registry.example/dragoman:v9"
        assert {"name": "AWS_REGION", "value": "x"} in container["env"]
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert ("own" in secrets) is (one["metadata"]["name"] == "auth")
        from_mail = {"secretRef": {"name": "smtp", "optional": True}} in container["envFrom"]
        assert from_mail is (one["metadata"]["name"] == "auth")
    settings = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
    assert [data["DRAGOMAN_LOG__LEVEL"] for data in settings] == ["debug", "debug"]


@needs_helm
def test_a_changed_setting_replaces_all_pods() -> None:
    def hashes(*assignments: str) -> dict[str, str]:
        return {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"]["dragoman/settings"]
                for one in template(*assignments) if one["kind"] == "Deployment"}  # fmt: skip

    before, after = hashes(), hashes("settings.DRAGOMAN_LOG__LEVEL=debug")
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    "wrong",
    [{"replica": 1}, {"settings": {"LOG": "x"}}, {"edge": {**VALUES["edge"], "replicas": 0}}, {"secrets": {}},
     {"network": {**VALUES["network"], "nats": "nats.example"}}, {"image": {**VALUES["image"], "pullPolicy": "No"}},
     {"gateway": {**VALUES["gateway"], "parentRefs": []}}, {"gateway": {**VALUES["gateway"], "host": ""}},
     {"gateway": {**VALUES["gateway"], "parentRefs": [{"kind": "Gateway"}]}},
     {"autoscaling": {"enabled": True, "kind": "vpa"}}, {"autoscaling": {"enabled": True, "kind": "keda"}},
     {"autoscaling": {**VALUES["autoscaling"], "prometheus": "prometheus:9090"}},
     {"autoscaling": {**VALUES["autoscaling"], "connections": 0}}],
)  # fmt: skip
def test_wrong_values_are_rejected(wrong: Object) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(VALUES, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, **wrong}, schema)


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in text
