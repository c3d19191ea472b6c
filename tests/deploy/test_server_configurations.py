"""The servers accept the configurations that Compose and Kubernetes give them."""

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import psycopg
import pytest
import yaml

from local import nats
from local.ports import free_port
from local.process_group import ProcessGroup
from services.cli.secrets import Addresses, issue
from shared.settings.servers import DatabaseSettings, with_tls
from tests.deploy.manifests import Object, needs_renderer, of_kind
from tests.support.commands import ROOT
from tests.support.servers import PostgresServer
from tests.support.tls_servers import VALKEY, TlsPostgresServer, adapt_access, needs_postgresql, needs_valkey

SECONDS = 30.0
VALKEY_CLI = shutil.which("valkey-cli") or shutil.which("redis-cli")
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
    return [*valkey_container()["args"]]


def valkey_container() -> Object:
    (one,) = [one for one in of_kind("dev", "Deployment", "StatefulSet") if one["metadata"]["name"] == "valkey"]
    container: Object = one["spec"]["template"]["spec"]["containers"][0]
    return container


@pytest.mark.parametrize("config", ["k8s/servers/nats.conf", "compose/nats.conf"])
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


@pytest.mark.parametrize("config", ["k8s/servers/nats.conf", "compose/nats.conf"])
def test_nats_server_demands_tls_of_its_clients(tmp_path: Path, secrets: Path, config: str) -> None:
    port = free_port()
    text = (ROOT / "deploy" / config).read_text().replace("/etc/nats/secrets", str(secrets / "nats"))
    for name, number in (("4222", port), ("8222", free_port()), ("6222", free_port())):
        text = text.replace(f": {name}\n", f": {number}\n")
    text = re.sub("pid_file: .*", f"pid_file: {tmp_path}/pid", text).replace("/data", f"{tmp_path}/data")
    (tmp_path / "nats.conf").write_text(text)
    (tmp_path / "secrets" / "users.conf").symlink_to(secrets / "nats" / "users.conf")
    command = nats.command(tmp_path / "nats.conf")
    with subprocess.Popen(command, env={"POD_NAME": "nats-0"}, stderr=subprocess.DEVNULL) as server:
        try:
            assert greeting(port)["tls_required"] is True
        finally:
            server.kill()


def greeting(port: int) -> dict[str, Any]:
    """Returns the first message of nats-server, which is never encrypted."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
                line = connection.makefile("rb").readline()
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            sent: dict[str, Any] = json.loads(line.removeprefix(b"INFO "))
            return sent


@needs_valkey
@pytest.mark.parametrize("source", ["compose", pytest.param("k8s", marks=needs_renderer)])
def test_valkey_accepts_its_arguments_and_has_no_port_without_tls(tmp_path: Path, secrets: Path, source: str) -> None:
    assert VALKEY is not None
    own = [one.replace("/secrets", str(secrets / "valkey")) for one in valkey_arguments(source)]
    assert own[own.index("--port") + 1] == "0"
    with valkey(own, secrets, tmp_path) as server:
        assert server.stdout is not None
        try:
            assert "Ready to accept connections" in until_ready(server)
        finally:
            server.kill()


def valkey(own: list[str], secrets: Path, directory: Path, port: int | None = None) -> "subprocess.Popen[bytes]":
    assert VALKEY is not None
    own[own.index("--tls-port") + 1] = str(port or free_port())
    adapt_access(secrets / "valkey" / "users.acl")
    return subprocess.Popen([VALKEY, *own], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@needs_valkey
@needs_renderer
@pytest.mark.skipif(VALKEY_CLI is None, reason="there is no valkey-cli or redis-cli")
@pytest.mark.parametrize("name", ["readinessProbe", "livenessProbe"])
def test_valkey_s_probes_leave_no_line_in_its_log(tmp_path: Path, secrets: Path, name: str) -> None:
    """For a TCP probe, Kubernetes opens a connection and closes it. A port with TLS would report an error each time."""
    assert VALKEY_CLI is not None
    own = [one.replace("/secrets", str(secrets / "valkey")) for one in valkey_arguments("k8s")]
    port = free_port()
    with valkey(own, secrets, tmp_path, port) as server:
        try:
            assert "Ready to accept connections" in until_ready(server)
            _, *options = valkey_container()[name]["exec"]["command"]
            probe = subprocess.run(
                [VALKEY_CLI, "-p", str(port), *options], capture_output=True, text=True, check=True, timeout=SECONDS
            )
        finally:
            server.terminate()
        rest, _ = server.communicate(timeout=SECONDS)
    assert "NOAUTH" in probe.stdout, "the server has answered"
    assert b"Error accepting" not in rest


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


class HAProxy(NamedTuple):
    process: "subprocess.Popen[str]"
    port: int
    metrics: int


@contextmanager
def balanced(directory: Path, edges: list[str] | None = None) -> Iterator[HAProxy]:
    """Runs HAProxy with the configuration of Compose, on free ports.

    `edges` are the addresses of edges, whose health is not checked.
    """
    if HAPROXY is None:
        pytest.skip("needs haproxy")
    text = (ROOT / "deploy" / "compose" / "haproxy.cfg").read_text()
    ports = {"8080": free_port(), "8404": free_port(), "8405": free_port()}
    for old, new in ports.items():
        text = re.sub(rf"bind (127\.0\.0\.1)?:{old}\b", f"bind 127.0.0.1:{new}", text)
    if edges:
        text = re.sub(r" +default-server .*\n", "", text)
    for number, address in enumerate(edges or [], 1):
        text = text.replace(f" edge-{number}:8080", f" {address}")
    (directory / "haproxy.cfg").write_text(text)
    command = [HAPROXY, "-f", str(directory / "haproxy.cfg")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield HAProxy(process, ports["8080"], ports["8405"])
        finally:
            process.kill()


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with balanced(tmp_path) as running:
        yield running


def test_no_secret_of_a_path_is_in_haproxy_s_log(haproxy: HAProxy) -> None:
    assert haproxy.process.stdout is not None
    for path in ("/verify/TICKET.CODE", "/media/SECRET?name=SECRET"):
        assert answered(haproxy.port, path)[0] == 503, "there is no edge"
    written = list(islice((line for line in haproxy.process.stdout if "clients" in line), 2))
    haproxy.process.terminate()
    rest, _ = haproxy.process.communicate(timeout=SECONDS)
    assert sorted(line.split()[-1] for line in written) == ["/media", "/verify"], "two threads may have logged them"
    assert not any(secret in "".join(written) + rest for secret in ("TICKET", "CODE", "SECRET"))


def test_haproxy_reports_that_there_is_no_edge(haproxy: HAProxy) -> None:
    status, metrics = answered(haproxy.metrics, "/metrics")
    assert status == 200
    assert 'haproxy_backend_status{proxy="edges",state="UP"} 0\n' in metrics
    assert answered(haproxy.metrics, "/")[0] == 404
    assert "haproxy_" not in answered(haproxy.port, "/metrics")[1]


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, because the tests look at the responses."""


def test_an_edge_that_is_just_replaced_keeps_no_client(tmp_path: Path) -> None:
    """The balancer still has the address of the previous container."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        edges = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{server.server_port}"]
        with balanced(tmp_path, edges) as running:
            assert [answered(running.port, "/")[0] for _ in range(4)] == [204] * 4
        server.shutdown()


def answered(port: int, path: str) -> tuple[int, str]:
    """Waits until HAProxy listens. Returns the status and the body of its response."""
    deadline = time.monotonic() + SECONDS
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        finally:
            connection.close()


def postgres_arguments(source: str) -> list[str]:
    if source == "compose":
        services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        assert (
            "install -o postgres -m 0600 /run/issued/server.key /run/server.key"
            in services["postgres"]["entrypoint"][2]
        )
        return [re.sub(r"\$\{\w+:-(.*)\}", r"\1", one) for one in services["postgres"]["command"]]
    (one,) = [one for one in of_kind("dev", "StatefulSet") if one["metadata"]["name"] == "postgres"]
    return [*one["spec"]["template"]["spec"]["containers"][0]["args"]]


class DeployedPostgres(TlsPostgresServer):
    """PostgreSQL with the options of the deployment, and with paths of this machine."""

    def __init__(self, directory: Path, process_group: ProcessGroup, secrets: Path, source: str) -> None:
        self._secrets = secrets
        files = {
            "/etc/postgresql": str(ROOT / "deploy" / "k8s" / "servers"),
            "/run/issued": str(secrets / "postgres"),
            "/run/server.key": str(secrets / "postgres" / "server.key"),
        }
        options = {}
        for option in postgres_arguments(source)[2::2]:
            name, _, value = option.partition("=")
            for there, here in files.items():
                value = value.replace(there, here)
            options[name] = value
        key = Path(options["ssl_key_file"])
        key.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(key, "nobody")
        PostgresServer.__init__(self, directory, process_group, **options)

    def url(self, database: str, driver: str = "") -> str:
        settings = DatabaseSettings(tls_ca=str(self._secrets / "auth" / "ca.crt"))
        return with_tls(self.plain_url(database), settings)

    def plain_url(self, database: str) -> str:
        return PostgresServer.url(self, database)


@needs_postgresql
@pytest.mark.parametrize("source", ["compose", pytest.param("k8s", marks=needs_renderer)])
def test_postgresql_accepts_encrypted_connections_alone(
    server_directory: Path, process_group: ProcessGroup, source: str
) -> None:
    directory = server_directory / f"deployed-{source}"
    directory.mkdir()
    issue(directory / "secrets", Addresses("nats://nats:4222", "valkey:6379", "postgres:5432", "dragoman"))
    (directory / "secrets").chmod(0o755)
    server = DeployedPostgres(directory / "server", process_group, directory / "secrets", source)
    server.start()
    try:
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(f"{server.plain_url('postgres')}?sslmode=disable")
        ready = [str(server.tools / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(server.port)]
        assert subprocess.run(ready, check=False, env={"PGSSLMODE": "disable"}).returncode == 0
    finally:
        server.stop()
