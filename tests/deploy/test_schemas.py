"""Every object of the manifests and of the chart matches its schema of Kubernetes or of an extension."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.manifests import (
    BY_KEDA,
    DEPLOY,
    EVERYTHING,
    INSTALLATIONS,
    K8S,
    Object,
    kustomized,
    needs_renderer,
    of_kind,
    rendered,
    template,
)

KUBERNETES = "1.37"
SCHEMAS = Path(__file__).parent / "schemas"
EXTENSIONS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in SCHEMAS.iterdir()}

pytestmark = needs_renderer


def validate(one: Object) -> None:
    """Validates an object. Raises jsonschema.ValidationError, or SchemaNotFoundError for an unknown kind."""
    extension = EXTENSIONS.get(one["kind"].lower())
    if extension:
        jsonschema.validate(one, extension)
    else:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def external_secrets() -> list[Object]:
    return list(yaml.safe_load_all((K8S / "external-secrets.yaml").read_text()))


@pytest.mark.parametrize("installation", INSTALLATIONS)
def test_every_object_matches_its_schema(installation: str) -> None:
    assert len(rendered(installation)) > 30
    for one in rendered(installation):
        validate(one)


@pytest.mark.parametrize(
    "values", [(), EVERYTHING, BY_KEDA, (*EVERYTHING, "openshift=true", "ingress.tlsSecret=chat-tls")]
)
def test_every_object_of_the_chart_matches_its_schema(values: tuple[str, ...]) -> None:
    objects = template(*values)
    assert len(objects) > 20
    for one in objects:
        validate(one)


def test_every_object_that_is_applied_beside_them_matches_its_schema() -> None:
    files = [K8S / f"{name}.yaml" for name in ("external-secrets", "test-ports", "servers/exporters")]
    objects = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    assert len(objects) > 12
    for one in (*objects, *kustomized(DEPLOY / "grafana")):
        validate(one)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "NetworkPolicy", "HorizontalPodAutoscaler", "Ingress"])
def test_unknown_key_is_found(kind: str) -> None:
    wrong = deepcopy((of_kind("prod", kind) or of_kind("dev", kind))[0])
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


def test_unknown_key_of_an_extension_is_found() -> None:
    extended = [
        one
        for one in (*template(*EVERYTHING), *template(*BY_KEDA), *external_secrets())
        if one["kind"].lower() in EXTENSIONS
    ]
    assert {one["kind"].lower() for one in extended} == set(EXTENSIONS)
    for one in extended:
        with pytest.raises(jsonschema.ValidationError):
            validate({**one, "spec": {**one["spec"], "interval": "15s"}})
