"""The manifests of deploy/k8s as Kustomize renders them, and the chart's as Helm does, as plain values."""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.generate import CHART

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = ("dev", "prod")
SETTINGS = re.compile("dragoman-settings-[a-z0-9]{10}")
RENDERERS = {"kustomize": "build", "kubectl": "kustomize"}
RENDERER = next(filter(shutil.which, RENDERERS), None)
needs_renderer = pytest.mark.skipif(RENDERER is None, reason="there is neither kustomize nor kubectl")
HELM = shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="there is no helm to render the chart with")
TRUSTED = """settings.DRAGOMAN_EDGE__TRUSTED_PROXIES=["10.244.3.0/24"]"""
"""A value of the chart, which it wants behind an Ingress or a Gateway."""
EVERYTHING = (TRUSTED, "autoscaling.enabled=true", "ingress.enabled=true", "gateway.enabled=true",
              "monitoring.enabled=true", "dashboard.enabled=true", "backup.enabled=true", "network.bucket=true",
              "network.nodeLocalDns=true", "network.outgoingHooks=true")  # fmt: skip
"""Values of the chart."""
BY_KEDA = (*EVERYTHING, "autoscaling.kind=keda")

Object = dict[str, Any]


@functools.cache
def rendered(overlay: str, place: Path = K8S) -> tuple[Object, ...]:
    assert RENDERER is not None
    command = [RENDERER, RENDERERS[RENDERER], str(place / "overlays" / overlay)]
    text = subprocess.run(command, capture_output=True, check=True, timeout=50).stdout
    return tuple(yaml.safe_load_all(text))


@functools.cache
def template(*assignments: str, namespace: str = "dragoman") -> tuple[Object, ...]:
    """The chart with these values."""
    assert HELM is not None
    options = [part for one in assignments for part in ("--set-json" if "=[{" in one or "={" in one else "--set", one)]
    command = [HELM, "template", "dragoman", str(CHART), f"--namespace={namespace}", "--kube-version=1.27.0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def copied(directory: Path) -> Path:
    """A copy of the manifests in a new place of this directory."""
    shutil.copytree(K8S.parent, directory / "deploy")
    return directory / "deploy" / "k8s"


def with_component(directory: Path, overlay: str, component: str, *, instead_of: str = "") -> Path:
    """A copy of the manifests, whose overlay has one more component, as its last one, or one instead of another."""
    place = copied(directory)
    file = place / "overlays" / overlay / "kustomization.yaml"
    text, line = file.read_text(), f"  - ../../components/{component}\n"
    if instead_of:
        text = text.replace(f"  - ../../components/{instead_of}\n", line)
    else:
        text = re.sub(r"(components:\n(?:  - .*\n)+)", rf"\1{line}", text)
    file.write_text(text)
    return place


def of_kind(overlay: str, *kinds: str, place: Path = K8S) -> list[Object]:
    return [one for one in rendered(overlay, place) if one["kind"] in kinds]


def settings(objects: Iterable[Object]) -> dict[str, str]:
    """By variable. Its name ends in a hash of the content."""
    (found,) = [one for one in objects if one["kind"] == "ConfigMap" and SETTINGS.fullmatch(one["metadata"]["name"])]
    data: dict[str, str] = found["data"]
    return data


def workloads(overlay: str) -> list[Object]:
    return of_kind(overlay, "Deployment", "StatefulSet", "Job", "CronJob")


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


def allowed(overlay: str, direction: str, place: Path = K8S) -> Iterator[tuple[str, str, str]]:
    """(workload, peer, port) of each rule of the network policies except DNS."""
    pods = {one["metadata"]["name"]: labels_of_pods(one) for one in workloads(overlay)}
    number = {(name, port): str(n) for one in workloads(overlay) for name in [one["metadata"]["name"]]
              for port, n in ports(one).items()}  # fmt: skip
    for policy in of_kind(overlay, "NetworkPolicy", place=place):
        if policy["metadata"]["name"] == "names":
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
