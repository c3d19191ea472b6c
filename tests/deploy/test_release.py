"""Releases of the chart on a real API server with its controllers, without nodes: an upgrade in order and back, and a
move from Kustomize. The commands are those of docs/operations.md."""

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.helm.generate import CHART
from tests.deploy.installation import Installation
from tests.deploy.manifests import Object, copied
from tests.support.commands import ROOT
from tests.support.kubernetes import ApiServer, needs_api_server

pytestmark = needs_api_server
SERVICES = ("message", "session", "auth", "edge")
UPGRADE = CHART.parent / "upgrade.sh"
OF_PROD = """
settings: {DRAGOMAN_EDGE__TRUSTED_PROXIES: '["10.244.3.0/24"]'}
autoscaling: {enabled: true}
backup: {enabled: true}
dashboard: {enabled: true}
ingress: {enabled: true}
"""
"""Values with which the chart has the objects of the overlay prod, but for the monitors, which need an installation."""
OWNED = "deployments,services,configmaps,networkpolicies,horizontalpodautoscalers,ingresses,cronjobs,serviceaccounts"


@pytest.fixture(scope="module")
def release(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The release `dragoman` of the chart in the namespace `chat`."""
    installation = Installation(api_server, "chat", tmp_path_factory.mktemp("chat"))
    installation.values.write_text(OF_PROD.replace("backup: {enabled: true}\n", ""))
    for api, program in (("metrics.k8s.io", "metrics-server"), ("custom.metrics.k8s.io", "prometheus-adapter")):
        status, output = installation.attempt("helm", "install", "dragoman", CHART, "--namespace", "chat",
                                              "--values", installation.values)  # fmt: skip
        assert (status, f"install {program} first" in output) == (1, True), output
        api_server.define(api, "v1beta1", "Metric")
    installation.helm("upgrade --install", CHART, "--values", installation.values, "--dry-run=server")
    assert not installation.deployments()
    installation.helm("upgrade --install", CHART, "--values", installation.values, "--wait")
    installation.helm("test")
    return installation


def starts(api_server: ApiServer, since: int) -> list[str]:
    """Processes whose pods have started since then, without repetitions in a row."""
    return [process for process, _ in itertools.groupby(process for process, _ in api_server.started[since:])]


def test_an_upgrade_replaces_one_service_after_the_other(api_server: ApiServer, release: Installation) -> None:
    since = len(api_server.started)
    options = ("--values", release.values, "--set", "image.tag=0.2.0")
    release.run(UPGRADE, "chat", "dragoman", *options)
    assert starts(api_server, since) == ["migrate", *SERVICES, "dashboard"]
    assert set(release.images().values()) == {"dragoman:0.2.0"}

    since, before = len(api_server.started), release.deployments()
    api_server.unready.add(("session", "dragoman:0.3.0"))
    options = ("--values", release.values, "--set", "image.tag=0.3.0")
    status, output = release.attempt(UPGRADE, "chat", "dragoman", *options, seconds=10)
    assert (status, "session was not ready within 10 s: went back to revision 2" in output) == (1, True), output
    assert starts(api_server, since) == ["migrate", "message", "session", "message"]
    assert release.deployments() == before

    since = len(api_server.started)
    release.run(UPGRADE, "--back", "chat", "dragoman", "1")
    assert starts(api_server, since) == ["dashboard", *reversed(SERVICES)]
    assert set(release.images().values()) == {"dragoman:0.1.0"}


def test_an_upgrade_that_the_checks_reject_pauses_nothing(release: Installation) -> None:
    before = release.objects("deployments")
    for options, sentence in (
        (("--set", "ingress.tlsSecret=chat-tls"), "there is no Secret chat-tls"),
        (("--set", "secrets.auth=own"), "Secrets are missing in the namespace chat (own)"),
        (("--set", "edge.replicas=0"), "replicas"),
    ):
        status, output = release.attempt(UPGRADE, "chat", "dragoman", "--values", release.values, *options)
        assert (status, sentence in output, "nothing was changed" in output) == (1, True, True), output
    assert release.objects("deployments") == before


def test_a_certificate_of_one_s_own_is_found(release: Installation) -> None:
    """The authority's servers have some."""
    of_nats = release.values.parent / "secrets" / "nats"
    files = ("--cert", of_nats / "server.crt", "--key", of_nats / "server.key")
    release.run("kubectl", "--namespace", "chat", "create", "secret", "tls", "chat-tls", *files)
    release.helm("upgrade", CHART, "--values", release.values, "--set", "ingress.tlsSecret=chat-tls")
    assert release.objects("ingresses")["Ingress", "dragoman"]["spec"]["tls"][0]["secretName"] == "chat-tls"


def test_a_move_from_kustomize_keeps_what_runs(
    api_server: ApiServer, release: Installation, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Afterwards the objects are those of a new release. The cluster has the extensions that another one needs."""
    assert release.cluster is api_server
    installation = Installation(api_server, "dragoman", tmp_path)
    overlay = copied(tmp_path) / "overlays" / "prod"
    kustomization = overlay / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text().replace("  - ../../components/monitoring\n", ""))
    settings = overlay / "settings.yaml"
    settings.write_text(settings.read_text().replace('PROXIES: "[]"', """PROXIES: '["10.244.3.0/24"]'"""))
    api_server.request("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "metadata": {"name": "own", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "own.example/none",
    })  # fmt: skip
    installation.run(overlay.parents[1] / "upgrade.sh", overlay)
    installation.values.write_text(OF_PROD)
    uids = {key: one["metadata"]["uid"] for key, one in installation.objects(OWNED).items()}
    status, output = installation.attempt("helm", "upgrade", "--install", "dragoman", CHART, "--namespace", "dragoman",
                                      "--values", installation.values)  # fmt: skip
    assert (status, "exists and cannot be imported" in output) == (1, True), output

    since = len(api_server.started)
    listed = installation.run("sh", "-euc", as_printed(2).replace("mine.yaml", str(installation.values)))
    assert starts(api_server, since) == ["migrate", *SERVICES, "dashboard"]
    installation.helm("test")
    moved = installation.objects(OWNED)
    assert {key for key, one in moved.items() if one["metadata"]["uid"] != uids.get(key)} == {
        ("ConfigMap", "dragoman-settings"), ("ConfigMap", "dragoman-settings-migrate"), ("ServiceAccount", "migrate"),
    }  # fmt: skip
    left = [line for line in listed.splitlines() if re.match("[a-z.]+/", line)]
    assert [re.sub("-[a-z0-9]{10}$", "-…", one) for one in left] == [
        "configmap/dragoman-settings-…", "configmap/dragoman-settings-migrate"
    ]  # fmt: skip

    new = Installation(api_server, "new", tmp_path_factory.mktemp("new"))
    new.values.write_text(OF_PROD.replace("backup: {enabled: true}\n", ""))
    new.helm("install", CHART, "--values", new.values, "--wait")
    for key, one in new.objects(OWNED).items():
        assert comparable(moved[key]) == comparable(one), key

    since = len(api_server.started)
    installation.run(overlay.parents[1] / "upgrade.sh", overlay)
    installation.run("sh", "-euc", way_back())
    assert starts(api_server, since) == ["migrate", *SERVICES, "dashboard"]
    assert installation.run("helm", "list", "--namespace", "dragoman", "--short") == ""
    assert {key for key, one in installation.objects(OWNED).items() if one["metadata"]["uid"] == uids.get(key)} >= {
        ("Deployment", one) for one in SERVICES
    }


def test_helm_goes_back_by_itself_too(release: Installation) -> None:
    """With all Deployments at once."""
    before = release.images()
    release.helm("upgrade", CHART, "--values", release.values, "--set", "image.tag=0.4.0", "--wait")
    assert set(release.images().values()) == {"dragoman:0.4.0"}
    release.helm("rollback", "--wait")
    assert release.images() == before


def test_the_end_of_a_release_is_that_of_its_objects(release: Installation) -> None:
    release.helm("uninstall")
    assert not release.deployments()


def as_printed(block: int) -> str:
    command: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", "With Helm", str(block)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def way_back() -> str:
    """The command that makes Helm forget a release."""
    page = (ROOT / "docs" / "operations.md").read_text()
    return str(re.findall(r"`(kubectl -n dragoman delete secrets [^`]*)`", page)[0])


def comparable(one: Object) -> Any:
    """Without what each installation has of its own: addresses, hashes of Secrets, numbers that autoscalers set."""
    text = yaml.safe_dump({key: value for key, value in one.items() if key not in ("metadata", "status")})
    return re.sub(r"(clusterIPs?|dragoman/secrets|namespace|replicas): .*|- 10\.0\.0\.\d+\n", "", text)
