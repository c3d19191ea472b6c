"""Tests the chart: it checks its values, writes them into its objects, and runs its hooks in order."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy.manifests import BY_KEDA, CHART, EVERYTHING, HELM, RULES, TRUSTED, Object, needs_helm, template

VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_ingress_logs_no_path() -> None:
    """Paths of requests may contain secrets."""
    assert VALUES["ingress"]["annotations"]["nginx.ingress.kubernetes.io/enable-access-log"] == "false"


def by_name(objects: tuple[Object, ...]) -> dict[tuple[str, str], Object]:
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


@needs_helm
def test_the_operator_of_prometheus_gets_the_rules() -> None:
    assert by_name(template(*EVERYTHING))["PrometheusRule", "dragoman"]["spec"] == yaml.safe_load(RULES.read_text())


@needs_helm
def test_both_ways_of_clients_lead_to_the_edges() -> None:
    objects = by_name(template(*EVERYTHING))
    ports = {one["name"]: one["port"] for one in objects["Service", "edge"]["spec"]["ports"]}
    (path,) = objects["Ingress", "dragoman"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "edge", "port": {"name": "clients"}}
    (rule,) = objects["HTTPRoute", "dragoman"]["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "edge", "port": ports["clients"]}]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}, "a WebSocket lasts"


@needs_helm
def test_helm_finds_no_fault_in_the_chart() -> None:
    assert HELM is not None
    done = subprocess.run([HELM, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@needs_helm
def test_the_release_has_no_volume_that_its_installation_would_wait_for() -> None:
    """`helm --wait` waits until a pod has bound each claim.

    The first pod of the backup starts only at night, so the wait would not end.
    """
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
    """With `helm upgrade --reuse-values`, the values that are new in this release are missing."""
    absent = (
        *("optionalSecrets=null", "gateway=null", "autoscaling.kind=null", "autoscaling.prometheus=null"),
        *("autoscaling.connections=null", "autoscaling.messages=null"),
    )
    for values in ((), ("autoscaling.enabled=true",)):
        assert template(*values, *absent) == template(*values)


@needs_helm
@pytest.mark.parametrize("absent", [("search.enabled=false",), ("search=null", "secrets.search=null")])
def test_without_search_nothing_names_it(absent: tuple[str, ...]) -> None:
    """The values of an older release have no `search`."""
    wanted, objects = template(*EVERYTHING), template(*EVERYTHING, *absent)
    assert len({name for kind, name in by_name(wanted) if (kind, name) not in by_name(objects)}) == 1
    settings = by_name(objects)["ConfigMap", "dragoman-settings"]["data"]
    assert settings.pop("DRAGOMAN_SEARCH__ENABLED") == "false"
    settings.pop("DRAGOMAN_SEARCH__DIRECTORY")
    assert "DRAGOMAN_SEARCH__ENABLED" not in by_name(wanted)["ConfigMap", "dragoman-settings"]["data"]
    others = [one for one in objects if one["kind"] not in ("ConfigMap", "PrometheusRule")]
    assert [one["metadata"]["name"] for one in others if re.search(r"\bsearch\b", yaml.dump(one))] == []


@needs_helm
def test_each_pod_of_search_keeps_its_index_on_a_volume_of_its_own() -> None:
    one = by_name(template("search.storage=7Gi", "search.storageClass=fast"))["StatefulSet", "search"]["spec"]
    (claim,) = one["volumeClaimTemplates"]
    assert claim["spec"]["resources"] == {"requests": {"storage": "7Gi"}}
    assert claim["spec"]["storageClassName"] == "fast"
    (container,) = one["template"]["spec"]["containers"]
    (place,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == claim["metadata"]["name"]]
    directory = VALUES["settings"]["DRAGOMAN_SEARCH__DIRECTORY"]
    assert Path(directory).parent == Path(place), "some volumes have a lost+found at their top"


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
    workloads = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet", "Job")]
    assert len(workloads) == 6
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
                for one in template(*assignments) if one["kind"] in ("Deployment", "StatefulSet")}  # fmt: skip

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
