"""The chart checks the namespace before Helm changes anything.

If an object is missing, the error message is one sentence.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import CHART, HELM, TRUSTED, needs_helm
from tests.support.http_server import QuietHandler, serving

pytestmark = needs_helm
SECRETS = tuple(yaml.safe_load((CHART / "values.yaml").read_text())["secrets"].values())
EXTENSIONS = [("monitoring.enabled=true", "monitoring.coreos.com/v1/ServiceMonitor"),
              ("gateway.enabled=true", "gateway.networking.k8s.io/v1/HTTPRoute"),
              ("autoscaling.enabled=true,autoscaling.kind=keda", "keda.sh/v1alpha1/ScaledObject")]  # fmt: skip
ISSUER = r"ingress.enabled=true,ingress.annotations.cert-manager\.io/cluster-issuer=own"
APIS = [(ISSUER, {"cert-manager.io/v1": "cert-manager"}),
        ("autoscaling.enabled=true", {"metrics.k8s.io/v1beta1": "metrics-server",
                                      "custom.metrics.k8s.io/v1beta2": "prometheus-adapter"}),
        ("autoscaling.enabled=true,autoscaling.kind=keda", {"metrics.k8s.io/v1beta1": "metrics-server"})]  # fmt: skip
"""Values of the chart, each with APIs of extensions.

The cluster accepts the objects of these values even without the extensions.
"""
DNS = ("pods", "coredns")
KINDS = {"pods": "Pod", "configmaps": "ConfigMap", "secrets": "Secret",
         "persistentvolumeclaims": "PersistentVolumeClaim"}  # fmt: skip


class FakeCluster:
    """An API server of Kubernetes.

    Its namespace has a few objects, by resource and name, and no objects of other kinds.
    """

    def __init__(self) -> None:
        self.url = ""
        self.objects = {DNS, ("configmaps", "kube-root-ca.crt"), *(("secrets", name) for name in SECRETS)}
        self.data = {"key": "YQ=="}
        """The data in each Secret."""
        self.forbidden = ""
        self.deployments: dict[str, object] = {}

    def answer(self, path: str) -> tuple[int, object]:
        match path.partition("?")[0].strip("/").split("/"):
            case ["version"]:
                return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
            case ["api"]:
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                groups = [{"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}]}]
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["api", "v1"]:
                return 200, resource_list("v1", KINDS)
            case ["apis", "apps", "v1"]:
                return 200, resource_list("apps/v1", {"deployments": "Deployment"})
            case ["api", "v1", "namespaces", "kube-system", resource] if resource == self.forbidden:
                return failure(403, "Forbidden")
            case ["api", "v1", "namespaces", "kube-system", "pods"]:
                dns = {"metadata": {"name": "coredns", "labels": {"k8s-app": "kube-dns"}}}
                pods: list[object] = [{"metadata": {"name": "etcd"}}, *([dns] if DNS in self.objects else [])]
                return 200, {"apiVersion": "v1", "kind": "PodList", "items": pods}
            case ["api", "v1", "namespaces", _, resource, name] if (resource, name) in self.objects:
                return 200, {"apiVersion": "v1", "kind": KINDS[resource], "metadata": {"name": name}, "data": self.data}
            case ["apis", "apps", "v1", "namespaces", _, "deployments", name] if name in self.deployments:
                return 200, self.deployments[name]
            case _:
                return failure(404, "NotFound")


def failure(code: int, reason: str) -> tuple[int, object]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}


def resource_list(version: str, kinds: dict[str, str]) -> object:
    resources = [
        {"name": name, "kind": kind, "namespaced": True, "verbs": ["get", "list"]} for name, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    cluster = FakeCluster()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            status, answer = cluster.answer(self.path)
            self.respond(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    with serving(Handler) as cluster.url:
        yield cluster


def render(
    cluster: FakeCluster, directory: Path, *values: str, validate: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Renders the chart as `helm install` does, with access to the objects of the cluster.

    Only with `validate`, templates can also list the kinds of the cluster.
    """
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}],
    }  # fmt: skip
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    return template("--validate" if validate else "--dry-run=server", "--kubeconfig", str(kubeconfig), values=values)


def template(*options: str, values: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    assert HELM is not None
    assignments = [part for value in (TRUSTED, *values) for part in ("--set", value)]
    command = [HELM, "template", "dragoman", str(CHART), "--namespace", "chat", "--kube-version", "1.30.0",
               *options, *assignments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_namespace_with_all_secrets_gets_the_chart(cluster: FakeCluster, tmp_path: Path) -> None:
    done = render(cluster, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("missing", "values", "sentence"),
    [
        (("secrets", "dragoman-keys"), (), "Secrets are missing in the namespace chat (dragoman-keys)"),
        (("secrets", "dragoman-dashboard"), ("dashboard.enabled=true",), "(dragoman-dashboard)"),
        (("", ""), ("secrets.auth=own",), "(own)"),
        (("", ""), ("backup.enabled=true",), "there is no PersistentVolumeClaim backups in the namespace chat"),
        (("", ""), ("ingress.enabled=true", "ingress.tlsSecret=chat-tls"), "there is no Secret chat-tls"),
        (DNS, (), "no pod k8s-app=kube-dns in kube-system resolves names"),
        (("", ""), ("edge.minReplicas=50",), "edge.minReplicas is more than edge.maxReplicas"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_sentence(
    cluster: FakeCluster, tmp_path: Path, missing: tuple[str, str], values: tuple[str, ...], sentence: str
) -> None:
    cluster.objects.discard(missing)
    done = render(cluster, tmp_path, *values)
    assert done.returncode == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(("value", "kind"), EXTENSIONS)
def test_a_kind_that_the_cluster_lacks_is_one_sentence(
    cluster: FakeCluster, tmp_path: Path, value: str, kind: str
) -> None:
    done = render(cluster, tmp_path, value, validate=True)
    assert done.returncode == 1
    assert f"the cluster has no kind {kind}" in done.stderr


@pytest.mark.parametrize(("value", "kind"), EXTENSIONS)
def test_a_kind_that_the_cluster_has_is_rendered(value: str, kind: str) -> None:
    done = template(*having("v1/ConfigMap", kind, "metrics.k8s.io/v1beta1"), values=[value])
    assert done.returncode == 0, done.stderr
    assert f"kind: {kind.rpartition('/')[2]}\n" in done.stdout


def having(*apis: str) -> list[str]:
    return [part for api in apis for part in ("--api-versions", api)]


@pytest.mark.parametrize(("value", "apis"), APIS)
def test_an_extension_that_the_cluster_lacks_is_one_sentence(value: str, apis: dict[str, str]) -> None:
    cluster = ("v1/ConfigMap", "keda.sh/v1alpha1/ScaledObject", *apis)
    assert template(*having(*cluster), values=[value]).returncode == 0
    for api, program in apis.items():
        done = template(*having(*(one for one in cluster if one != api)), values=[value])
        sentence = f"the cluster does not serve {api.replace('/v1beta2', '')}: install {program} first"
        assert (done.returncode, sentence in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("value", ["ingress.enabled=true", "gateway.enabled=true"])
def test_a_proxy_that_no_edge_trusts_is_one_sentence(value: str) -> None:
    setting = "settings.DRAGOMAN_EDGE__TRUSTED_PROXIES"
    done = template(values=[f"{setting}=[]", value])
    assert (done.returncode, "or all clients have one address" in done.stderr) == (1, True)
    assert template(values=[f"{setting}=[]"]).returncode == 0
    done = template(values=[f'{setting}=["0.0.0.0/0"]', value])
    assert (done.returncode, "lets each client forge its own" in done.stderr) == (1, True)
    for place in ("extraEnv", "edge.extraEnv"):
        variable = f"{place}[0].name=DRAGOMAN_EDGE__TRUSTED_PROXIES,{place}[0].value="
        assert template(values=[f"{setting}=[]", value, f"{variable}10.1.0.0/16"]).returncode == 0, place
        done = template(values=[value, f"{variable}0.0.0.0/0"])
        assert (done.returncode, "lets each client forge its own" in done.stderr) == (1, True), place


def test_without_a_cluster_its_extensions_are_not_looked_for() -> None:
    """This test renders the chart as `helm template` does, without access to a cluster."""
    for value, _ in APIS:
        assert template(values=[value]).returncode == 0


def test_the_dashboard_s_secret_is_needed_with_the_dashboard_alone(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.objects.discard(("secrets", "dragoman-dashboard"))
    assert render(cluster, tmp_path).returncode == 0


def test_a_certificate_that_cert_manager_will_make_is_not_awaited(cluster: FakeCluster, tmp_path: Path) -> None:
    issuer = r"ingress.annotations.cert-manager\.io/cluster-issuer=own"
    done = render(cluster, tmp_path, "ingress.enabled=true", "ingress.tlsSecret=chat-tls", issuer)
    assert done.returncode == 0, done.stderr


def test_an_optional_secret_may_be_missing_and_replaces_its_pods_when_it_comes(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    before = secret_hashes(render(cluster, tmp_path).stdout)
    cluster.objects.add(("secrets", "dragoman-mail"))
    after = secret_hashes(render(cluster, tmp_path).stdout)
    assert {name for name in before if after[name] != before[name]} == {"auth"}


@pytest.mark.parametrize(
    ("annotations", "values", "numbers"),
    [
        ({}, ("autoscaling.enabled=true",), {"edge": 7, "message": None}),
        ({"dragoman/replicas": "autoscaler"}, ("autoscaling.enabled=true",), {"edge": None, "message": None}),
        ({"dragoman/replicas": "autoscaler"}, ("edge.replicas=3",), {"edge": 3, "message": 2}),
    ],
)
def test_only_the_autoscaler_sets_a_number_that_helm_has_never_stated(
    cluster: FakeCluster,
    tmp_path: Path,
    annotations: dict[str, str],
    values: tuple[str, ...],
    numbers: dict[str, int | None],
) -> None:
    """The chart must not render a number of pods that the autoscaler changes: an upgrade or a rollback would restore
    the old number.

    If a later release omits a number that an earlier one rendered, Kubernetes would set it to 1. In this test, edge has
    seven pods, and message is not deployed yet.
    """
    metadata = {"name": "edge", "annotations": annotations}
    cluster.deployments["edge"] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
                                   "spec": {"replicas": 7}}  # fmt: skip
    done = render(cluster, tmp_path, *values)
    assert done.returncode == 0, done.stderr
    found = {one["metadata"]["name"]: one for one in yaml.safe_load_all(done.stdout)
             if one and one["kind"] == "Deployment" and one["metadata"]["name"] in numbers}  # fmt: skip
    assert {name: one["spec"].get("replicas") for name, one in found.items()} == numbers
    for name, one in found.items():
        assert ("dragoman/replicas" in one["metadata"].get("annotations", {})) is (numbers[name] is None)


def secret_hashes(rendered: str) -> dict[str, str]:
    """Returns the hash of the secrets that is in the annotations of each Deployment, by the Deployment's name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["annotations"]["dragoman/secrets"]
        for one in yaml.safe_load_all(rendered)
        if one and one["kind"] == "Deployment"
    }


@pytest.mark.parametrize(
    "value", ["network.nodeLocalDns=true", "network.policies=false", "network.checkDns=false", "openshift=true"]
)
def test_other_names_than_the_cluster_s_are_not_looked_for(cluster: FakeCluster, tmp_path: Path, value: str) -> None:
    cluster.objects.discard(DNS)
    cluster.forbidden = DNS[0]
    done = render(cluster, tmp_path, value)
    assert done.returncode == 0, done.stderr
