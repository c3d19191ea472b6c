"""Whole systems, started as a user starts them: one per configuration, shared by its tests (one worker runs them)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.drills.cluster import ROOT, Cluster, free_ports
from tests.system.users import V2User

Dial = Callable[..., V2User]

SUITE = ROOT.parent / "shared" / "conformance"
collect_ignore = [] if SUITE.is_dir() else ["test_conformance.py"]


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two edges, with the defaults but for rate limits and plain TCP."""
    tcp_port = str(free_ports(2))
    with Cluster(tmp_path_factory.mktemp("system") / "data", "--no-limits", "--tcp-port", tcp_port) as cluster:
        yield cluster


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connections that are closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda edge, **how: stack.enter_context(V2User(edge, **how))


@pytest.fixture
def couple(system: Cluster, dial: Dial) -> tuple[V2User, V2User, int]:
    """Two users on two edges, and their session."""
    one, two = (dial(edge).register() for edge in system.edges)
    return one, two, one.session(two)
