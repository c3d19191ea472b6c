"""Whole systems, started as users start them.

There is one for each configuration, and the tests of one worker share it.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from local.ports import free_ports
from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import ROOT
from tests.support.tls_servers import Certificates
from tests.system.compiled import WANTED, compiled
from tests.system.mail import Postbox
from tests.system.users import DialectUser, NativeUser, V2User

Dial = Callable[..., V2User]
Enter = Callable[[], NativeUser]
Users = tuple[NativeUser, NativeUser, DialectUser]

SUITE = ROOT.parent / "shared" / "conformance"
collect_ignore = [] if SUITE.is_dir() else ["test_conformance.py"]


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A system with two edges, the default settings, no rate limits, and plain TCP.

    It ends with the package, because an idle system also needs CPU time.
    """
    tcp_port = str(free_ports(2))
    with Cluster(tmp_path_factory.mktemp("system") / "data", *RELAXED, "--tcp-port", tcp_port) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the product: the checkout, or a compiled copy."""
    return compiled(tmp_path_factory.mktemp("compiled")) if WANTED else ROOT


@pytest.fixture(scope="module")
def postbox() -> Iterator[Postbox]:
    with Postbox() as postbox:
        yield postbox


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates") / "tls", "127.0.0.1")


@contextmanager
def trusting(certificates: Certificates, data: Path, *settings: str) -> Iterator[Cluster]:
    """A system that trusts the certificate authority of the test's push service."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", certificates["ca.crt"])
        with Cluster(data, *RELAXED, *settings) as cluster:
            yield cluster


@pytest.fixture
def dial() -> Iterator[Dial]:
    """A function that opens connections. They are closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda edge, **how: stack.enter_context(V2User(edge, **how))


@pytest.fixture
def connect(system: Cluster) -> Iterator[Enter]:
    """A function that opens connections, alternately to each edge. They end with the test."""
    with ExitStack() as stack:
        turns = count()
        yield lambda: stack.enter_context(NativeUser(system.edges[next(turns) % 2]))


@pytest.fixture
def ann(connect: Enter) -> NativeUser:
    return registered(connect)


def registered(connect: Enter) -> NativeUser:
    user = connect()
    user.register()
    return user


@pytest.fixture
def bob(connect: Enter, ann: NativeUser) -> NativeUser:
    """A native user on the other edge."""
    return registered(connect)


@pytest.fixture
def users(system: Cluster) -> Iterator[Users]:
    """Three users: Ann on one edge, and Bob and Pat on the other."""
    with ExitStack() as stack:
        ann, bob = (stack.enter_context(NativeUser(edge)) for edge in system.edges)
        pat = stack.enter_context(DialectUser(system.edges[1], "pipe"))
        for user in (ann, bob, pat):
            user.register()
        yield ann, bob, pat


@pytest.fixture
def couple(system: Cluster, dial: Dial) -> tuple[V2User, V2User, int]:
    """Two users on two edges, and their common session."""
    one, two = (dial(edge).register() for edge in system.edges)
    return one, two, one.session(two)
