"""The servers accept their configurations of Compose and Kubernetes."""

import os
import selectors
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.embedded import nats, valkey
from services.cli.secrets import Addresses, issue
from tests.deploy.manifests import needs_renderer, of_kind
from tests.drills.cluster import ROOT

SECONDS = 30.0
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    issue(directory, Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    return directory


def valkey_arguments(source: str) -> list[str]:
    if source == "compose":
        services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        return [*services["valkey"]["command"]]
    (one,) = [one for one in of_kind("dev", "Deployment", "StatefulSet") if one["metadata"]["name"] == "valkey"]
    return [*one["spec"]["template"]["spec"]["containers"][0]["args"]]


@pytest.mark.parametrize("config", ["k8s/components/nats/nats.conf", "compose/nats.conf"])
def test_nats_server_accepts_its_configuration(tmp_path: Path, secrets: Path, config: str) -> None:
    text = (ROOT / "deploy" / config).read_text()
    (tmp_path / "nats.conf").write_text(text.replace("/etc/nats/secrets", str(secrets / "nats")))
    (tmp_path / "secrets" / "users.conf").symlink_to(secrets / "nats" / "users.conf")
    command = [*nats.command(tmp_path / "nats.conf"), "-t"]
    done = subprocess.run(
        command, env={"POD_NAME": "nats-0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "valid" in done.stdout


@pytest.mark.parametrize("source", ["compose", pytest.param("k8s", marks=needs_renderer)])
def test_valkey_accepts_its_arguments(tmp_path: Path, secrets: Path, source: str) -> None:
    program = valkey.command(tmp_path)[0]
    own = [str(secrets / "valkey" / "users.acl") if one.endswith(".acl") else one for one in valkey_arguments(source)]
    command = [program, *own, "--port", "0", "--unixsocket", str(tmp_path / "socket")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        assert server.stdout is not None
        try:
            assert "Ready to accept connections" in until_ready(server)
        finally:
            server.kill()


def until_ready(server: "subprocess.Popen[bytes]") -> str:
    assert server.stdout is not None
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        while b"Ready to accept" not in text and selector.select(SECONDS):
            chunk = os.read(server.stdout.fileno(), 65_536)
            if not chunk:
                break
            text += chunk
    return text.decode()


@pytest.mark.skipif(HAPROXY is None, reason="needs haproxy")
def test_haproxy_accepts_its_configuration() -> None:
    assert HAPROXY is not None
    config = ROOT / "deploy" / "compose" / "haproxy.cfg"
    done = subprocess.run([HAPROXY, "-c", "-f", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
