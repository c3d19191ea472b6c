"""One real system for all scenarios of this room, as the bench starts its own."""

from collections.abc import Iterator

import pytest

from services.cli.bench.target import Target
from tests.drills.cluster import Cluster


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Two edges, and the cheapest password hash."""
    quick = ("--set", "auth.argon2_memory_kib=8", "--set", "auth.argon2_iterations=1")
    with Cluster(tmp_path_factory.mktemp("bench") / "data", "--no-limits", *quick) as cluster:
        yield Target(cluster.edges, cluster.data)
