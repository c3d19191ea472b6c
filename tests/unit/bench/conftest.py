"""One real system for all measurements in this package, started as the bench starts its own."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.system.system import MeasuredSystem
from local.probes import listens
from tests.support.cluster import Cluster


@pytest.fixture(scope="package")
def _system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredSystem]:
    """Two edges, and the cheapest password hash."""
    quick = ("--set", "auth.argon2_memory_kib=8", "--set", "auth.argon2_iterations=1")
    with Cluster(tmp_path_factory.mktemp("bench") / "data", "--no-limits", *quick) as cluster:
        yield MeasuredSystem(cluster.edges, cluster.data)


@pytest.fixture
async def target(_system: MeasuredSystem) -> MeasuredSystem:
    """With all its edges running, whatever the previous test did to them."""
    for edge in _system.edges:
        check = listens(urlsplit(edge).port or 0)
        while not await check():
            await asyncio.sleep(0.02)
    return _system
