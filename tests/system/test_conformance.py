"""Runs the conformance suite, which is beside the checkout, on whole systems.

Tests that depend on the database run on PostgreSQL, and the others on SQLite. With DRAGOMAN_TEST_COMPILED=1, all tests
run on PostgreSQL, with compiled modules as in the image.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import ROOT
from tests.support.servers import PostgresServer
from tests.system.compiled import WANTED, from_
from tests.system.conftest import SUITE

pytestmark = pytest.mark.timeout(900)

AFTER = 3
IN_THE_LOBBY = ("wild_clients", "ourchat_v0", "detection", "accounts", "groups", "interop")
"""The v0 users of these tests share the lobby, so only one of these files may run at a time. The tests mostly wait."""

OF_DATABASES = ("accounts", "groups", "interop", "ourchat_v1", "service", "wild_clients")
"""Files about accounts, logins, chats, history and unread messages.

The other files send frames of more dialects, but the services get the same requests from these. The other tests of this
package send such requests to systems on SQLite.
"""
FILES = frozenset(path.stem[5:] for path in SUITE.glob("test_*.py"))


def conforms(cluster: Cluster, names: Collection[str]) -> None:
    """Runs the files with these names in random order. Shows the output if one fails."""
    files = {name: f"test_{name}.py" for name in sorted(names)}
    parts = [[files.pop(name) for name in IN_THE_LOBBY if name in files], *([file] for file in files.values())]
    seed = str(secrets.randbits(32))
    with ExitStack() as stack:
        for run in [
            stack.enter_context(start(cluster, "-p", "tests.system.shuffle", "--order", seed, *part)) for part in parts
        ]:
            output, _ = run.communicate()
            assert run.returncode == 0, f"--order {seed}:\n{output[-8000:]}"


@contextmanager
def start(cluster: Cluster, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Runs a part of the suite. It ends at the end of this context at the latest."""
    edge, other = cluster.edges
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.system.patience", "-W", "ignore",
        "--edge", edge, "--edge2", other, "--mailbox", str(cluster.data / "outbox"), *arguments,
    ]  # fmt: skip
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=SUITE, env=ours | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


@pytest.mark.xdist_group("conformance")
def test_what_is_independent_of_the_database(system: Cluster) -> None:
    conforms(system, FILES.difference(OF_DATABASES))


@pytest.mark.xdist_group("verification")
def test_verification_after_failed_logins(tmp_path: Path) -> None:
    setting = f"verification.after_failed_logins={AFTER}"
    with Cluster(tmp_path / "data", *RELAXED, "--set", setting) as cluster:
        only = ("test_ourchat_v2.py", "-k", "verif or login", "--verify-after", str(AFTER))
        with start(cluster, *only) as run:
            output, _ = run.communicate()
        assert run.returncode == 0, output[-8000:]


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_server: PostgresServer, packages: Path) -> Iterator[Cluster]:
    with (
        postgres_server.databases() as url,
        Cluster(tmp_path / "data", *RELAXED, "--database", url, program=from_(packages)) as cluster,
    ):
        yield cluster


@pytest.mark.xdist_group("postgresql")
def test_what_depends_on_the_database(on_postgres: Cluster) -> None:
    conforms(on_postgres, FILES if WANTED else OF_DATABASES)
