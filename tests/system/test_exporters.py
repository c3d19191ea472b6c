"""What dashboards and alerts ask of the servers' exporters, these export: of Valkey as who may only look, of PostgreSQL
with the rights of a monitor."""

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import psycopg
import pytest

from deploy.grafana.generate import DIRECTORY
from services.cli.family import Family
from services.cli.ports import free_port
from tests.drills.cluster import ROOT
from tests.servers import PostgresServer, Server, ValkeyServer

pytestmark = pytest.mark.xdist_group("postgresql")

OF_VALKEY = shutil.which("prometheus-redis-exporter") or shutil.which("redis_exporter")
OF_POSTGRESQL = shutil.which("prometheus-postgres-exporter") or shutil.which("postgres_exporter")
RULES = (ROOT / "deploy" / "prometheus" / "rules" / "dragoman.yml").read_text()
ASKED = "".join(path.read_text() for path in DIRECTORY.glob("*.json")) + re.sub(r"#.*", "", RULES)
_open = build_opener(ProxyHandler({})).open


def asked(prefix: str) -> set[str]:
    return set(re.findall(rf"\b{prefix}_[a-z_]+", ASKED))


def exported(port: int) -> dict[str, str]:
    """Each metric's value, of the last of its series."""
    with _open(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return dict(re.findall(r"^(\w+)(?:{.*})? (\S+)$", response.read().decode(), re.MULTILINE))


@pytest.fixture
def role(postgres_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """A name and a password, with the rights that `dragoman secrets` gives."""
    name, password = f"exporter_{secrets.token_hex(4)}", secrets.token_hex(8)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'".encode())
        connection.execute(f"GRANT pg_monitor TO {name}".encode())
        yield name, password
        connection.execute(f"DROP ROLE {name}".encode())


@pytest.mark.skipif(OF_VALKEY is None, reason="there is no redis_exporter")
def test_valkey_tells_what_is_asked(valkey_server: ValkeyServer, family: Family, tmp_path: Path) -> None:
    assert OF_VALKEY is not None
    port = free_port()
    command = [
        OF_VALKEY, f"-redis.addr=redis://127.0.0.1:{valkey_server.port}", "-redis.user=exporter",
        f"-redis.password={valkey_server.passwords['exporter']}", "-set-client-name=false",
        f"-web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    exporter = Server("redis_exporter", command, port, family, tmp_path / "log")
    exporter.start()
    try:
        found = exported(port)
        assert found["redis_up"] == "1"
        assert asked("redis") <= set(found)
        assert len(asked("redis")) > 3
    finally:
        exporter.stop()


@pytest.mark.skipif(OF_POSTGRESQL is None, reason="there is no postgres_exporter")
def test_postgresql_tells_what_is_asked(
    postgres_server: PostgresServer, role: tuple[str, str], family: Family, tmp_path: Path
) -> None:
    assert OF_POSTGRESQL is not None
    port, (name, password) = free_port(), role
    source = f"postgresql://{name}:{password}@127.0.0.1:{postgres_server.port}/postgres?sslmode=disable"
    command = ["env", f"DATA_SOURCE_NAME={source}", OF_POSTGRESQL, f"--web.listen-address=127.0.0.1:{port}"]
    exporter = Server("postgres_exporter", command, port, family, tmp_path / "log")
    exporter.start()
    try:
        found = exported(port)
        assert found["pg_up"] == "1"
        assert asked("pg") <= set(found)
        assert len(asked("pg")) > 5
    finally:
        exporter.stop()
