"""Every object of the manifests and of the chart matches the schema of Kubernetes or of an extension."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.manifests import (
    BY_KEDA,
    EVERYTHING,
    OVERLAYS,
    Object,
    needs_helm,
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
    """Raises jsonschema.ValidationError; SchemaNotFoundError for an unknown kind."""
    extension = EXTENSIONS.get(one["kind"].lower())
    if extension:
        jsonschema.validate(one, extension)
    else:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", [*OVERLAYS, "example", "chart", "trial", "external-secrets"])
def test_every_object_matches_its_schema(overlay: str) -> None:
    assert len(rendered(overlay)) > (6 if overlay == "external-secrets" else 30)
    for one in rendered(overlay):
        validate(one)


@needs_helm
@pytest.mark.parametrize(
    "values", [(), EVERYTHING, BY_KEDA, (*EVERYTHING, "openshift=true", "ingress.tlsSecret=chat-tls")]
)
def test_every_object_of_the_chart_matches_its_schema(values: tuple[str, ...]) -> None:
    objects = template(*values)
    assert len(objects) > 20
    for one in objects:
        validate(one)


def _extended(overlay: str) -> list[Object]:
    return [one for one in rendered(overlay) if one["kind"].lower() in EXTENSIONS]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "NetworkPolicy", "HorizontalPodAutoscaler", "Ingress"])
def test_unknown_key_is_found(kind: str) -> None:
    wrong = deepcopy((of_kind("prod", kind) or of_kind("dev", kind))[0])
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


def test_unknown_key_of_an_extension_is_found() -> None:
    extended = [*_extended("chart"), *_extended("external-secrets")]
    assert {one["kind"].lower() for one in extended} == set(EXTENSIONS)
    for one in extended:
        with pytest.raises(jsonschema.ValidationError):
            validate({**one, "spec": {**one["spec"], "interval": "15s"}})
