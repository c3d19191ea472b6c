"""Runs command blocks of docs/operate as they are printed. The API server of Kubernetes is real and has no nodes."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.installation import SERVERS, Installation
from tests.deploy.manifests import DEPLOY
from tests.support.commands import ROOT
from tests.support.kubernetes import ApiServer, needs_api_server
from tests.system.shown_blocks import blocks

pytestmark = needs_api_server
NAMESPACE = "dragoman"


class Reader:
    """A reader of the page, who runs its commands in an own directory."""

    def __init__(self, api_server: ApiServer, directory: Path) -> None:
        self.directory = directory
        self.api_server = api_server
        (directory / "deploy").symlink_to(DEPLOY)
        (directory / "docs").symlink_to(ROOT / "docs")

    def type(self, section: str, number: int, *replaced: tuple[str, str]) -> str:
        """Runs a block. Replaces the parts that differ in each installation."""
        script: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", section, str(number)]
        block = subprocess.run(script, capture_output=True, text=True, check=True).stdout
        for printed, own in replaced:
            assert printed in block
            block = block.replace(printed, own)
        return self.run("sh", "-euc", block)

    def attempt(self, *command: str) -> tuple[int, str]:
        environment = {**self.api_server.environment, "HOME": str(self.directory), "DRAGOMAN_STEP_SECONDS": "60"}
        done = subprocess.run(command, env=environment, cwd=self.directory, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def run(self, *command: str) -> str:
        status, output = self.attempt(*command)
        assert status == 0, output
        return output

    def names(self, kind: str) -> dict[str, str]:
        """Returns the UID of each object by its name."""
        listed = yaml.safe_load(self.run("kubectl", "-n", NAMESPACE, "get", kind, "--output", "yaml"))["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in listed}


@pytest.fixture(scope="module")
def reader(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    api_server.request("POST", "/apis/storage.k8s.io/v1/storageclasses", {
        "metadata": {"name": "own", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "own.example/none",
    })  # fmt: skip
    return Reader(api_server, tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def installed(reader: Reader) -> Reader:
    """An installation with its own servers, which was upgraded and rolled back."""
    reader.type("With Kubernetes", 1)
    reader.type("With Kubernetes", 2)
    return reader


def pages() -> str:
    return " ".join(" ".join(page.read_text() for page in (ROOT / "docs" / "operate").glob("*.md")).split())


def images(reader: Reader) -> set[str]:
    path = "jsonpath={.items[*].spec.template.spec.containers[*].image}"
    return set(reader.run("kubectl", "-n", NAMESPACE, "get", "deployments", "--output", path).split())


def test_it_is_installed_upgraded_and_taken_back(installed: Reader) -> None:
    assert images(installed) == {"dragoman:0.1.0"}
    assert {"nats", "valkey", "postgres", "s3", "search"} == set(installed.names("statefulsets"))


def test_a_pod_is_described(installed: Reader) -> None:
    """The third command of the block, `logs --previous`, needs a node. deploy/k8s/page_commands.sh runs it."""
    script: list[str | Path] = [ROOT / "deploy" / "printed_commands.sh", "A pod of a server does not start", "1"]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    listed, described = (installed.run("sh", "-euc", line) for line in lines[:2])
    assert "nats-2" in listed
    assert "Name:             nats-2" in described


def test_what_is_applied_beside_the_chart_is_accepted(installed: Reader, api_server: ApiServer) -> None:
    for namespace in ("monitoring", "ingress-nginx"):
        api_server.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    page = pages()
    for command in (
        "kubectl apply --server-side -n monitoring -k deploy/grafana",
        "kubectl apply --server-side -n dragoman -f deploy/k8s/servers/exporters.yaml",
        "kubectl apply --server-side -n dragoman -f deploy/k8s/servers/backups.yaml",
        "kubectl label namespace ingress-nginx dragoman/ingress=true",
        "kubectl -n dragoman rollout restart statefulset",
    ):
        assert f"`{command}`" in page
        installed.run(*command.split())


def test_external_secrets_are_accepted(installed: Reader, api_server: ApiServer) -> None:
    command = "kubectl apply --server-side -n dragoman -f deploy/k8s/external-secrets.yaml"
    page = pages()
    assert f"`{command}`" in page
    status, output = installed.attempt("sh", "-euc", command)
    assert (status, "no matches for kind" in output) == (1, True), output
    api_server.define("external-secrets.io", "v1", "ExternalSecret")
    installed.run("sh", "-euc", command)
    assert "dragoman-auth" in installed.names("externalsecrets")


def test_the_chart_is_installed_and_tested(api_server: ApiServer, tmp_path: Path) -> None:
    """The chart uses servers that are operated elsewhere, and the values of the page."""
    installation = Installation(api_server, "chat", tmp_path)
    installation.run("kubectl", "-n", "chat", "create", "secret", "generic", "chat-tls")
    reader = Reader(api_server, tmp_path)
    (values,) = (block.text for block in blocks("docs/operate/kubernetes.md", "yaml") if "settings:" in block.text)
    (tmp_path / "mine.yaml").write_text(values)
    addresses = " ".join(SERVERS)
    output = reader.type(
        "With Kubernetes", 3, ("--nats nats://… --valkey host:port --postgres host:port", addresses),
        ("secrets.sh dragoman ", "secrets.sh chat "), ("--namespace dragoman", "--namespace chat"),
        ("upgrade.sh dragoman ", "upgrade.sh chat "),
    )  # fmt: skip
    assert "Phase:          Succeeded" in output
    path = "jsonpath={.items[*].spec.template.spec.containers[*].image}"
    found = reader.run("kubectl", "-n", "chat", "get", "deployments", "--output", path)
    assert set(found.split()) == {"dragoman:0.1.0"}
