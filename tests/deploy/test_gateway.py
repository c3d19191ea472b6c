"""Clients come in by an Ingress or by a Gateway: to the same host, and to the same port of the edges."""

from pathlib import Path

from tests.deploy.manifests import Object, needs_renderer, of_kind, rendered, with_component

pytestmark = needs_renderer


def others(objects: tuple[Object, ...]) -> list[Object]:
    return [one for one in objects if one["kind"] not in ("Ingress", "HTTPRoute")]


def test_both_lead_to_the_clients_port_of_the_edges(tmp_path: Path) -> None:
    objects = rendered("prod", with_component(tmp_path, "prod", "gateway", instead_of="ingress"))
    (route,) = [one for one in objects if one["kind"] == "HTTPRoute"]
    (ingress,) = of_kind("prod", "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (service,) = [one for one in objects if one["kind"] == "Service" and one["metadata"]["name"] == "edge"]
    (port,) = [one["port"] for one in service["spec"]["ports"] if one["name"] == "clients"]
    assert route["spec"]["hostnames"] == [rule["host"]]
    assert route["spec"]["rules"][0]["backendRefs"] == [{"name": "edge", "port": port}]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "edge", "port": {"name": "clients"}}
    assert others(objects) == others(rendered("prod"))
