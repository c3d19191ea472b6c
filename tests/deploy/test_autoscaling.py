"""Both autoscalers scale alike, by metrics that the services have and that the adapter serves."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.edge.metrics import EdgeMetrics
from services.message.metrics import MessageMetrics
from tests.deploy.manifests import K8S, Object, needs_renderer, of_kind, rendered, with_component

pytestmark = needs_renderer
COMPONENTS = K8S / "components"


def served() -> set[str]:
    """The metrics that the rule of the adapter selects."""
    values = yaml.safe_load((COMPONENTS / "autoscaling" / "prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["custom"]
    selected = re.search('__name__=~"([^"]+)"', rule["seriesQuery"])
    assert selected is not None
    return set(selected[1].split("|"))


def with_keda(directory: Path) -> tuple[Object, ...]:
    return rendered("prod", with_component(directory, "prod", "autoscaling-keda", instead_of="autoscaling"))


def by_autoscaler(one: Object) -> tuple[Any, ...]:
    """Bounds, behavior, and the aimed values by metric."""
    spec = one["spec"]
    aims = {}
    for metric in spec["metrics"]:
        source = metric["pods"] if metric["type"] == "Pods" else metric["resource"]
        name = source["metric"]["name"] if metric["type"] == "Pods" else source["name"]
        aims[name] = source["target"]["type"], source["target"]["averageValue"]
    return spec["scaleTargetRef"]["name"], spec["minReplicas"], spec["maxReplicas"], spec["behavior"], aims


def by_scaled_object(one: Object) -> tuple[Any, ...]:
    """As `by_autoscaler`."""
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


def test_both_scale_alike(tmp_path: Path) -> None:
    objects = with_keda(tmp_path)
    assert not [one for one in objects if one["kind"] == "HorizontalPodAutoscaler"]
    scaled = [by_scaled_object(one) for one in objects if one["kind"] == "ScaledObject"]
    assert scaled == [by_autoscaler(one) for one in of_kind("prod", "HorizontalPodAutoscaler")]
    assert [name for name, *_ in scaled] == ["edge", "message"]


@pytest.mark.parametrize("name", ["edge", "message"])
def test_the_autoscaler_alone_sets_the_number(name: str, tmp_path: Path) -> None:
    for objects in (rendered("prod"), with_keda(tmp_path)):
        (one,) = [each for each in objects if each["kind"] == "Deployment" and each["metadata"]["name"] == name]
        assert "replicas" not in one["spec"]


def test_the_adapter_serves_the_metrics_of_the_services() -> None:
    registry = CollectorRegistry()
    EdgeMetrics(registry)
    MessageMetrics(registry)
    autoscalers = [by_autoscaler(one) for one in of_kind("prod", "HorizontalPodAutoscaler")]
    wanted = {metric for *_, aims in autoscalers for metric in aims} - {"cpu"}
    assert wanted == served()
    assert wanted <= {metric.name for metric in registry.collect()}
