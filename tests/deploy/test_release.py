"""Upgrades and rolls back the chart on a real API server with its controllers, without nodes. Checks the order of both.

The commands are those of docs/operate/kubernetes.md.
"""

import itertools

import pytest

from tests.deploy.installation import Installation
from tests.deploy.manifests import CHART, K8S
from tests.support.kubernetes import ApiServer, needs_api_server

pytestmark = needs_api_server
SERVICES = ("message", "session", "auth", "edge")
UPGRADE = K8S / "upgrade.sh"
VALUES = """
settings: {DRAGOMAN_EDGE__TRUSTED_PROXIES: '["10.244.3.0/24"]'}
autoscaling: {enabled: true}
dashboard: {enabled: true}
ingress: {enabled: true}
"""


@pytest.fixture(scope="module")
def release(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The release `dragoman` of the chart in the namespace `chat`."""
    installation = Installation(api_server, "chat", tmp_path_factory.mktemp("chat"))
    installation.values.write_text(VALUES)
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
    """Returns the processes whose pods have started since then, in order.

    Repetitions in a row count once. Search is omitted, because it may start at any place in the order.
    """
    ordered = (process for process, _ in api_server.started[since:] if process != "search")
    return [process for process, _ in itertools.groupby(ordered)]


def test_an_upgrade_replaces_one_service_after_the_other(api_server: ApiServer, release: Installation) -> None:
    since = len(api_server.started)
    options = ("--values", release.values, "--set", "image.tag=0.2.0")
    release.run(UPGRADE, "chat", "dragoman", *options)
    assert starts(api_server, since) == ["migrate", *SERVICES, "dashboard"]
    assert ("search", "dragoman:0.2.0") in api_server.started[since:]
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
    """The servers of the authority have certificates of their own."""
    of_nats = release.values.parent / "secrets" / "nats"
    files = ("--cert", of_nats / "server.crt", "--key", of_nats / "server.key")
    release.run("kubectl", "--namespace", "chat", "create", "secret", "tls", "chat-tls", *files)
    release.helm("upgrade", CHART, "--values", release.values, "--set", "ingress.tlsSecret=chat-tls")
    assert release.objects("ingresses")["Ingress", "dragoman"]["spec"]["tls"][0]["secretName"] == "chat-tls"


def test_helm_goes_back_by_itself_too(release: Installation) -> None:
    """Helm rolls back all Deployments at once."""
    before = release.images()
    release.helm("upgrade", CHART, "--values", release.values, "--set", "image.tag=0.4.0", "--wait")
    assert set(release.images().values()) == {"dragoman:0.4.0"}
    release.helm("rollback", "--wait")
    assert release.images() == before
