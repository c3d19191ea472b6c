"""Both autoscalers have the same rules. The services export the metrics of these rules, and the adapter serves them."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.edge.metrics import EdgeMetrics
from services.message.metrics import MessageMetrics
from tests.deploy.manifests import BY_KEDA, EVERYTHING, K8S, Object, needs_helm, template

pytestmark = needs_helm


def served() -> set[str]:
    """Returns the metrics that the rules of the adapter select."""
    values = yaml.safe_load((K8S / "prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["custom"]
    selected = re.search('__name__=~"([^"]+)"', rule["seriesQuery"])
    assert selected is not None
    return set(selected[1].split("|"))


def of_kind(kind: str, values: tuple[str, ...]) -> list[Object]:
    return [one for one in template(*values) if one["kind"] == kind]


def by_autoscaler(one: Object) -> tuple[Any, ...]:
    """Returns the bounds, the behavior, and the target value of each metric."""
    spec = one["spec"]
    aims = {}
    for metric in spec["metrics"]:
        source = metric["pods"] if metric["type"] == "Pods" else metric["resource"]
        name = source["metric"]["name"] if metric["type"] == "Pods" else source["name"]
        aims[name] = source["target"]["type"], source["target"]["averageValue"]
    return spec["scaleTargetRef"]["name"], spec["minReplicas"], spec["maxReplicas"], spec["behavior"], aims


def by_scaled_object(one: Object) -> tuple[Any, ...]:
    """Returns the scaling rules of a ScaledObject, in the form of `by_autoscaler`."""
    spec = one["spec"]
    aims = {}
    for trigger in spec["triggers"]:
        metadata = trigger["metadata"]
        if trigger["type"] == "cpu":
            aims["cpu"] = trigger["metricType"], metadata["value"]
        else:
            found = re.fullmatch(r'sum\((\w+)\{namespace="dragoman"\}\)', metadata["query"])
            assert found is not None
            aims[found[1]] = trigger["metricType"], metadata["threshold"]
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return spec["scaleTargetRef"]["name"], spec["minReplicaCount"], spec["maxReplicaCount"], behavior, aims


def test_both_scale_alike() -> None:
    scaled = [by_scaled_object(one) for one in of_kind("ScaledObject", BY_KEDA)]
    assert scaled == [by_autoscaler(one) for one in of_kind("HorizontalPodAutoscaler", EVERYTHING)]
    assert [name for name, *_ in scaled] == ["edge", "message"]


@pytest.mark.parametrize("values", [EVERYTHING, BY_KEDA])
def test_the_autoscaler_alone_sets_the_number(values: tuple[str, ...]) -> None:
    stated = {one["metadata"]["name"] for one in of_kind("Deployment", values) if "replicas" in one["spec"]}
    assert stated == {"auth", "session", "dashboard"}


def test_the_adapter_serves_the_metrics_of_the_services() -> None:
    registry = CollectorRegistry()
    EdgeMetrics(registry)
    MessageMetrics(registry)
    autoscalers = [by_autoscaler(one) for one in of_kind("HorizontalPodAutoscaler", EVERYTHING)]
    wanted = {metric for *_, aims in autoscalers for metric in aims} - {"cpu"}
    assert wanted == served()
    assert wanted <= {metric.name for metric in registry.collect()}
