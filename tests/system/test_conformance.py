"""The suite of conformance tests that lies beside the checkout, against whole systems on SQLite and on PostgreSQL."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.cluster import ROOT, Cluster
from tests.servers import PostgresServer
from tests.system.conftest import SUITE
from tests.system.databases import databases

pytestmark = pytest.mark.timeout(600)

NO_MEDIA = "not file and not transfer and not wrong_size and not package and not second_announcement"
AFTER = 3


def conforms(cluster: Cluster, *arguments: str) -> None:
    """Run the suite in random order, several tests at a time, since much of it is waiting; its own words are shown when
    it fails."""
    edge, other = cluster.edges
    seed = secrets.randbits(32)
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "-n", "4",
        "-p", "tests.system.shuffle", "--order", str(seed),
        "--edge", edge, "--edge2", other, "--mailbox", str(cluster.data / "outbox"), *arguments,
    ]  # fmt: skip
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=SUITE, env=ours | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"--order {seed}:\n{done.stdout[-8000:]}{done.stderr[-2000:]}"


@pytest.mark.xdist_group("system")
def test_everything(system: Cluster) -> None:
    conforms(system, "-k", NO_MEDIA)


@pytest.mark.xdist_group("verification")
def test_verification_after_failed_logins(tmp_path: Path) -> None:
    setting = f"verification.after_failed_logins={AFTER}"
    with Cluster(tmp_path / "data", "--no-limits", "--set", setting) as cluster:
        conforms(cluster, "test_ourchat_v2.py", "-k", "verif or login", "--verify-after", str(AFTER))


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Cluster]:
    with (
        databases(postgres_server) as url,
        Cluster(tmp_path / "data", "--no-limits", "--database", url) as cluster,
    ):
        yield cluster


@pytest.mark.xdist_group("postgresql")
def test_everything_on_postgresql(on_postgres: Cluster) -> None:
    conforms(on_postgres, "-k", NO_MEDIA)
