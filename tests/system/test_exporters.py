"""The servers' exporters export every metric that dashboards and alerts query.

The exporter of NATS runs with the arguments of Compose. The exporter of Valkey is a read-only user. The exporter of
PostgreSQL has the permissions of a monitor. There is also an exporter of the host.
"""

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import psycopg
import pytest
import yaml
from pydantic import SecretStr

from deploy.grafana.generate import DIRECTORY
from local import nats
from local.ports import free_port
from local.process_group import ProcessGroup
from services.auth.adapters.auth_callout import public_nkey
from services.cli.streams import provision
from shared.settings.servers import NatsSettings
from tests.support.commands import ROOT
from tests.support.servers import PostgresServer, Server, ValkeyServer
from tests.support.tls_servers import Certificates

pytestmark = pytest.mark.xdist_group("postgresql")

OF_NATS = shutil.which("prometheus-nats-exporter")
OF_VALKEY = shutil.which("prometheus-redis-exporter") or shutil.which("redis_exporter")
OF_POSTGRESQL = shutil.which("prometheus-postgres-exporter") or shutil.which("postgres_exporter")
OF_HOST = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
RULES = (ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml").read_text()
QUERIES = [query for path in DIRECTORY.glob("*.json") for query in re.findall(r'"expr": "(.*)"', path.read_text())]
EXPRESSIONS = "\n".join([*QUERIES, re.sub(r"#.*", "", RULES)])
_open = build_opener(ProxyHandler({})).open


def queried_metrics(prefix: str) -> set[str]:
    return set(re.findall(rf"\b{prefix}_[a-z_]+", EXPRESSIONS))


def exported(port: int) -> dict[str, str]:
    """Returns the value of each metric. If a metric has several series, this is the value of the last one."""
    with _open(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return dict(re.findall(r"^(\w+)(?:{.*})? (\S+)$", response.read().decode(), re.MULTILINE))


@pytest.fixture
def role(postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """The name and the password of a database role with the permissions that `dragoman secrets` gives to exporters."""
    name, password = f"exporter_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'".encode())
        connection.execute(f"GRANT pg_monitor TO {name}".encode())
        yield name, password
        connection.execute(f"DROP ROLE {name}".encode())


Run = Callable[[str, list[str], int], AbstractContextManager[Server]]


@pytest.fixture
def run(process_group: ProcessGroup, tmp_path: Path) -> Run:
    """A function that runs a command until its context ends. The command listens on a port."""

    @contextmanager
    def run(name: str, command: list[str], port: int) -> Iterator[Server]:
        server = Server(name, command, port, process_group, tmp_path / f"{name}.log")
        server.start()
        try:
            yield server
        finally:
            server.stop()

    return run


def like_compose(directory: Path) -> tuple[list[str], NatsSettings, int]:
    """Prepares nats-server with Compose's file.

    Returns the command that starts it, the user that creates its streams, and its monitoring port.
    """
    config, port, numbers = directory / "dragoman.conf", free_port(), free_port()
    certificates = Certificates(directory / "secrets", "127.0.0.1")
    text = (ROOT / "deploy" / "compose" / "nats.conf").read_text()
    config.write_text(text.replace("/data", str(directory / "data")).replace("/etc/nats", str(directory)))
    issuer = public_nkey("5e" * 32)
    (directory / "secrets" / "users.conf").write_bytes(nats.access(dict.fromkeys(nats.USERS, "known"), issuer))
    command = [*nats.command(config), "--addr", "127.0.0.1", "--port", str(port), "--http_port", str(numbers)]
    url, password, authority = f"nats://127.0.0.1:{port}", SecretStr("known"), certificates["ca.crt"]
    maker = NatsSettings(url=url, user=nats.SETUP, password=password, tls_ca=authority)
    return command, maker, numbers


@pytest.mark.skipif(OF_NATS is None, reason="there is no prometheus-nats-exporter")
async def test_the_nats_exporter_has_all_queried_metrics(run: Run, tmp_path: Path) -> None:
    assert OF_NATS is not None
    command, maker, numbers = like_compose(tmp_path)
    port = free_port()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["nats-exporter"]["command"]
    options = [argument.replace("nats:8222", f"127.0.0.1:{numbers}") for argument in compose]
    with run("nats", command, int(maker.url.rpartition(":")[2])) as server:
        await provision(maker)
        with run("exporter", [OF_NATS, "-addr=127.0.0.1", f"-port={port}", *options], port):
            found = exported(port)
            assert found["gnatsd_healthz_status_value"] == "1"
            assert queried_metrics("gnatsd") | queried_metrics("jetstream") <= set(found)
            assert len(queried_metrics("gnatsd") | queried_metrics("jetstream")) > 5
            server.stop()
            assert exported(port)["gnatsd_healthz_status_value"] == "0"


@pytest.mark.skipif(OF_VALKEY is None, reason="there is no redis_exporter")
def test_the_valkey_exporter_has_all_queried_metrics(valkey_server: ValkeyServer, run: Run) -> None:
    assert OF_VALKEY is not None
    port = free_port()
    command = [
        OF_VALKEY, f"-redis.addr=redis://127.0.0.1:{valkey_server.port}", "-redis.user=exporter",
        f"-redis.password={valkey_server.passwords['exporter']}", "-set-client-name=false",
        f"-web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with run("exporter", command, port):
        found = exported(port)
        assert found["redis_up"] == "1"
        assert queried_metrics("redis") <= set(found)
        assert len(queried_metrics("redis")) > 3


@pytest.mark.skipif(OF_POSTGRESQL is None, reason="there is no postgres_exporter")
def test_the_postgresql_exporter_has_all_queried_metrics(
    postgres_server: PostgresServer, role: tuple[str, str], run: Run
) -> None:
    assert OF_POSTGRESQL is not None
    port, (name, password) = free_port(), role
    source = f"postgresql://{name}:{password}@127.0.0.1:{postgres_server.port}/postgres?sslmode=disable"
    command = ["env", f"DATA_SOURCE_NAME={source}", OF_POSTGRESQL, f"--web.listen-address=127.0.0.1:{port}"]
    with run("exporter", command, port):
        found = exported(port)
        assert found["pg_up"] == "1"
        assert queried_metrics("pg") <= set(found)
        assert len(queried_metrics("pg")) > 5


@pytest.mark.skipif(OF_HOST is None, reason="there is no node_exporter")
def test_the_exporter_of_the_host_has_all_queried_metrics_and_the_times_of_backups(run: Run, tmp_path: Path) -> None:
    assert OF_HOST is not None
    port = free_port()
    (tmp_path / "backup.prom").write_text("dragoman_backup_time_seconds 1795000000\n")
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["node-exporter"]["command"]
    options = [re.sub("(?<==)/host", "/", one).replace("=/metrics", f"={tmp_path}") for one in compose]
    with run("exporter", [OF_HOST, f"--web.listen-address=127.0.0.1:{port}", *options], port):
        found = exported(port)
    assert float(found["dragoman_backup_time_seconds"]) == 1795000000
    assert queried_metrics("node") <= set(found)
    assert len(queried_metrics("node")) == 2
