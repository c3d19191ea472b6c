"""The objects of the two installations of docs/operate/kubernetes.md, as Helm and Kustomize render them.

`dev` has its own servers. `prod` uses servers that are operated elsewhere.
"""

import functools
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
K8S, CHART = DEPLOY / "k8s", DEPLOY / "helm" / "dragoman"
RULES = CHART / "files" / "rules.yml"
INSTALLATIONS = ("dev", "prod")
_KUSTOMIZERS = {"kustomize": "build", "kubectl": "kustomize"}
_KUSTOMIZER = next(filter(shutil.which, _KUSTOMIZERS), None)
HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="there is no helm to render the chart with")
needs_renderer = pytest.mark.skipif(
    HELM is None or _KUSTOMIZER is None, reason="there is no helm, or neither kustomize nor kubectl"
)
TRUSTED = """settings.DRAGOMAN_EDGE__TRUSTED_PROXIES=["10.244.3.0/24"]"""
"""A value that the chart requires for an installation behind an Ingress or a Gateway."""
PROD = (TRUSTED, "autoscaling.enabled=true", "ingress.enabled=true", "monitoring.enabled=true",
        "dashboard.enabled=true", "backup.enabled=true")  # fmt: skip
EVERYTHING = (*PROD, "gateway.enabled=true", "network.bucket=true", "network.nodeLocalDns=true",
              "network.outgoingWebhooks=true", "network.tracing=true")  # fmt: skip
BY_KEDA = (*EVERYTHING, "autoscaling.kind=keda")

Object = dict[str, Any]


@functools.cache
def rendered(installation: str, *assignments: str) -> tuple[Object, ...]:
    """Returns the objects of an installation, rendered with these additional values."""
    namespace = yaml.safe_load((K8S / "namespace.yaml").read_text())
    if installation == "dev":
        return namespace, *kustomized(K8S / "servers"), *template(*assignments, file=K8S / "dev.yaml")
    return namespace, *template(*PROD, *assignments)


@functools.cache
def kustomized(directory: Path) -> tuple[Object, ...]:
    assert _KUSTOMIZER is not None
    command = [_KUSTOMIZER, _KUSTOMIZERS[_KUSTOMIZER], str(directory)]
    text = subprocess.run(command, capture_output=True, check=True, timeout=50).stdout
    return tuple(yaml.safe_load_all(text))


@functools.cache
def template(*assignments: str, namespace: str = "dragoman", file: Path | None = None) -> tuple[Object, ...]:
    """Renders the chart with these values, which override the values in `file`."""
    assert HELM is not None
    options = [] if file is None else [f"--values={file}"]
    for one in assignments:
        options += ["--set-json" if "=[{" in one or "={" in one else "--set", one]
    command = [HELM, "template", "dragoman", str(CHART), f"--namespace={namespace}", "--kube-version=1.27.0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def of_kind(installation: str, *kinds: str) -> list[Object]:
    return [one for one in rendered(installation) if one["kind"] in kinds]


def settings(objects: Iterable[Object]) -> dict[str, str]:
    """Returns the settings in the ConfigMap: each variable with its value."""
    (found,) = [one for one in objects if one["metadata"]["name"] == "dragoman-settings"]
    data: dict[str, str] = found["data"]
    return data


def workloads(installation: str) -> list[Object]:
    return of_kind(installation, "Deployment", "StatefulSet", "Job", "CronJob")


def pod_template(workload: Object) -> Object:
    spec = workload["spec"]["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else workload["spec"]
    template: Object = spec["template"]
    return template


def labels_of_pods(workload: Object) -> dict[str, str]:
    labels: dict[str, str] = pod_template(workload)["metadata"]["labels"]
    return labels


def containers(workload: Object) -> list[Object]:
    spec = pod_template(workload)["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def ports(workload: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for one in containers(workload) for port in one.get("ports", ())}


def variables(workload: Object) -> list[Object]:
    return [entry for one in containers(workload) for entry in one.get("env", ())]


def matches(selector: Object, labels: dict[str, str]) -> bool:
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def allowed(installation: str, direction: str, *assignments: str) -> Iterator[tuple[str, str, str]]:
    """Yields (workload, peer, port) for each rule of the network policies, except the rules for DNS."""
    pods = {one["metadata"]["name"]: labels_of_pods(one) for one in workloads(installation)}
    number = {(name, port): str(n) for one in workloads(installation) for name in [one["metadata"]["name"]]
              for port, n in ports(one).items()}  # fmt: skip
    for policy in rendered(installation, *assignments):
        if policy["kind"] != "NetworkPolicy" or policy["metadata"]["name"] in ("names", "dragoman-test"):
            continue
        for name, labels in pods.items():
            if not matches(policy["spec"]["podSelector"], labels):
                continue
            for rule in policy["spec"].get(direction.lower(), ()):
                for peer in rule["from" if direction == "Ingress" else "to"]:
                    for other in _ends(peer, pods):
                        for port in rule["ports"]:
                            yield name, other, number.get((name, str(port["port"])), str(port["port"]))


def _ends(peer: Object, pods: dict[str, dict[str, str]]) -> list[str]:
    if "namespaceSelector" in peer:
        return [next(iter(peer["namespaceSelector"]["matchLabels"]))]
    if "ipBlock" in peer:
        return [peer["ipBlock"]["cidr"]]
    return [name for name, labels in pods.items() if matches(peer["podSelector"], labels)]
