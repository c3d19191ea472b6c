"""What a change of an overlay changes in the rendered objects: hashes of settings, opened connections, spreading."""

from pathlib import Path

import pytest

from tests.deploy.manifests import (
    OVERLAYS,
    Object,
    allowed,
    containers,
    copied,
    matches,
    needs_renderer,
    of_kind,
    pod_template,
    rendered,
    settings,
    with_component,
    workloads,
)

pytestmark = needs_renderer
SERVICES = ("auth", "edge", "message", "session")


def pod_templates(objects: tuple[Object, ...]) -> dict[str, Object]:
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if one["kind"] == "Deployment"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_changed_setting_replaces_all_pods(overlay: str, tmp_path: Path) -> None:
    place = copied(tmp_path)
    settings = place / "base" / "settings.env"
    settings.write_text(settings.read_text().replace("DRAIN_SECONDS=60", "DRAIN_SECONDS=50"))
    before, after = pod_templates(rendered(overlay)), pod_templates(rendered(overlay, place))
    assert set(before) == {*SERVICES, "dashboard"}
    assert all(after[name] != before[name] for name in before)


def test_an_overlay_s_setting_replaces_all_pods(tmp_path: Path) -> None:
    place = copied(tmp_path)
    settings = place / "overlays" / "prod" / "settings.yaml"
    settings.write_text(settings.read_text().replace("smtp.example", "smtp.chat.example"))
    before, after = pod_templates(rendered("prod")), pod_templates(rendered("prod", place))
    assert all(after[name] != before[name] for name in before)


def test_the_example_s_patches_reach_every_pod_and_change_nothing_else() -> None:
    """Registry, pull secrets, place and environment; the backup is no Dragoman process, and gets no environment."""
    before = {one["metadata"]["name"]: one for one in workloads("prod")}
    for one in workloads("example"):
        pod, old = dict(pod_template(one)["spec"]), dict(pod_template(before.pop(one["metadata"]["name"]))["spec"])
        assert pod.pop("imagePullSecrets") == [{"name": "registry"}]
        assert pod.pop("priorityClassName") == "chat"
        assert pod.pop("tolerations") == [{"key": "chat", "operator": "Exists", "effect": "NoSchedule"}]
        assert set(pod.pop("affinity")) == {"nodeAffinity"}
        for container in containers(one):
            assert container["image"].startswith("registry.example/")
            assert ({"name": "TZ", "value": "Europe/Berlin"} in container["env"]) is (one["kind"] != "CronJob")
        assert len(pod.pop("containers")) == len(old.pop("containers")) == 1
        assert pod == old
    assert before == {}
    assert settings(rendered("example")) == settings(rendered("prod")) | {"DRAGOMAN_LOG__LEVEL": "warning"}


@pytest.mark.parametrize(
    ("component", "direction", "opened"),
    [
        ("exporters", "Ingress", {("nats", "dragoman/monitoring", "8222"), ("valkey", "dragoman/monitoring", "6379"),
                                  ("postgres", "dragoman/monitoring", "5432")}),
        ("bucket", "Egress", {("edge", "dragoman/bucket", "443"), ("edge", "dragoman/bucket", "9000")}),
        ("node-local-dns", "Egress", {(name, "169.254.20.10/32", "53") for name in
                                      (*SERVICES, "dashboard", "migrate", "dragoman-backup", "nats", "postgres",
                                           "s3", "valkey")}),
        ("backups", "Ingress", set()),
    ],
)  # fmt: skip
def test_a_switch_opens_exactly_its_connections(
    component: str, direction: str, opened: set[tuple[str, str, str]], tmp_path: Path
) -> None:
    place = with_component(tmp_path, "dev", f"network/{component}")
    assert set(allowed("dev", direction, place)) - set(allowed("dev", direction)) == opened


def test_backups_reach_the_database_alone(tmp_path: Path) -> None:
    place = with_component(tmp_path, "dev", "network/backups")
    policies = {
        one["metadata"]["name"]: one["spec"] for one in rendered("dev", place) if one["kind"] == "NetworkPolicy"
    }
    (from_backup,) = policies["backups"]["egress"]
    (to_database,) = policies["backups-postgres"]["ingress"]
    assert from_backup["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "postgres"}}}]
    assert to_database["from"] == [{"podSelector": policies["backups"]["podSelector"]}]
    assert matches(policies["backups"]["podSelector"], {"dragoman/backup": "true"})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_version_is_spread_over_the_nodes_by_itself(overlay: str) -> None:
    for one in of_kind(overlay, "Deployment"):
        if one["spec"].get("replicas") == 1:
            continue
        hosts, zones = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert hosts["topologyKey"] == "kubernetes.io/hostname"
        assert (hosts["whenUnsatisfiable"], hosts["nodeTaintsPolicy"]) == ("DoNotSchedule", "Honor")
        assert "pod-template-hash" in hosts["matchLabelKeys"]
        assert (zones["topologyKey"], zones["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")
        assert "pod-template-hash" in zones["matchLabelKeys"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_autoscaler_alone_sets_the_number(overlay: str) -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(overlay, "HorizontalPodAutoscaler")}
    assert overlay == "dev" or scaled == {"edge", "message"}
    for one in of_kind(overlay, "Deployment"):
        assert ("replicas" in one["spec"]) is (one["metadata"]["name"] not in scaled)


def test_mail_can_be_written_without_a_mail_server() -> None:
    (auth,) = [one for one in of_kind("dev", "Deployment") if one["metadata"]["name"] == "auth"]
    pod = auth["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (outbox,) = [entry["value"] for entry in container["env"] if entry["name"] == "DRAGOMAN_MAIL__OUTBOX"]
    (volume,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == outbox]
    assert {"name": volume, "emptyDir": {"sizeLimit": "64Mi"}} in pod["volumes"]
