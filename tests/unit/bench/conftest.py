"""A real system for all measurements in this package. It is started as the bench starts a system."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.system.system import MeasuredSystem
from local.probes import listens
from tests.support.cluster import RELAXED, Cluster


@pytest.fixture(scope="package")
def _system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredSystem]:
    """A system with two edges. Its timeouts are long, because no test here is about a timeout."""
    with Cluster(tmp_path_factory.mktemp("bench") / "data", *RELAXED) as cluster:
        yield MeasuredSystem(cluster.edges, cluster.data)


@pytest.fixture
async def target(_system: MeasuredSystem) -> MeasuredSystem:
    """The system with all its edges running, even if the previous test has stopped some."""
    for edge in _system.edges:
        check = listens(urlsplit(edge).port or 0)
        while not await check():
            await asyncio.sleep(0.02)
    return _system
