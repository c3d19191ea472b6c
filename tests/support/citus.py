"""Citus, with a coordinator and two workers. It needs a PostgreSQL on this machine that has the extension.

With DRAGOMAN_TEST_CITUS=1, the tests use Citus in place of PostgreSQL, and the tables of message are distributed.
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench.system import postgresql
from local.process_group import ProcessGroup
from shared.migrate import upgrade
from tests.support.servers import PostgresServer

DISTRIBUTE = Path(__file__).parents[2] / "deploy/citus/distribute.sql"
WANTED = os.environ.get("DRAGOMAN_TEST_CITUS") == "1"

_OPTIONS = {
    "shared_preload_libraries": "citus",
    "max_prepared_transactions": "200",
    "max_connections": "400",
    "citus.node_conninfo": "sslmode=disable",
    "citus.recover_2pc_interval": "1s",
}


class PlainNode(PostgresServer):
    """A PostgreSQL of the same version, without Citus."""

    def _find_binaries(self, directory: Path) -> Path:
        found = postgresql.installed_programs()
        assert found is not None, "there is no PostgreSQL of the system"
        return found


class _Node(PlainNode):
    def __init__(self, directory: Path, process_group: ProcessGroup, **options: str) -> None:
        super().__init__(directory, process_group, **_OPTIONS | options)
        (directory / "home" / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")


class CitusCluster(_Node):
    """A Citus cluster. This server is its coordinator. A test can stop and start its `workers`."""

    def __init__(self, directory: Path, process_group: ProcessGroup, **options: str) -> None:
        super().__init__(directory, process_group, **options)
        self.workers = [_Node(directory / f"worker{number}", process_group, **options) for number in (1, 2)]

    def start(self) -> None:
        for worker in self.workers:
            worker.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        for worker in self.workers:
            worker.stop()

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        name = f"test_{secrets.token_hex(6)}"
        self._create(name)
        try:
            yield self.url(name, "+psycopg")
        finally:
            self._drop(name)

    @contextlib.contextmanager
    def databases(self) -> Iterator[str]:
        with super().databases() as url:
            name = url.rpartition("/")[2].format(service="message")
            self._administer(f"DROP DATABASE {name}")
            self._create(name)
            upgrade("message", self.url(name, "+psycopg"))
            distribute(self.url(name))
            try:
                yield url
            finally:
                self._drop(name)
                self._administer(f"CREATE DATABASE {name}")

    def _create(self, name: str) -> None:
        for node in (self, *self.workers):
            node._administer(f"CREATE DATABASE {name} TEMPLATE template0")
            with psycopg.connect(node.url(name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION citus")
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", [self.port])
            for worker in self.workers:
                connection.execute("SELECT citus_add_node('127.0.0.1', %s)", [worker.port])

    def _drop(self, name: str) -> None:
        for node in (self, *self.workers):
            node._administer(f"DROP DATABASE {name} WITH (FORCE)")


def distribute(url: str) -> None:
    """Distributes the tables of the message service in a migrated database of the coordinator, by the statements that
    operators use."""
    url = url.replace("+psycopg", "")
    command = ["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-f", str(DISTRIBUTE), url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
