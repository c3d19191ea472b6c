"""Fixtures that every test may use. Each test process has one set of real servers, and each test finds them empty."""

import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from shared import clock
from tests.support import citus
from tests.support.citus import CitusCluster
from tests.support.commands import COLLECT_AFTER, FORKING, command_server
from tests.support.compiled_statements import share_compiled_statements
from tests.support.grouping import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler
from tests.support.scratch import write_to_memory
from tests.support.servers import NatsServer, PostgresServer, S3Server, ValkeyServer

if TYPE_CHECKING:
    from tests.support.collector import Collector


# A loaded machine may need any time for an example. Each run draws other examples, so a single run needs only a few.
hypothesis.settings.register_profile(
    "loaded", deadline=None, max_examples=30, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("loaded")

os.environ[FORKING] = "1"
os.environ.setdefault("GOMAXPROCS", "1")  # as `dragoman up` sets it on few cores: nats-server takes less CPU time

write_to_memory()
share_compiled_statements()

# This line has the effect of a wall clock that was set forward after the start. So code that confuses the wall clock
# with the monotonic clock fails. The line must run before other modules import the constant.
vars(clock)["STARTED_MS"] -= 100_000

gc.disable()  # pytest's collection leaves no garbage; pytest_collection_finish enables gc again

_WORKERS_PER_CORE = 2.5
_LONGEST_GROUPS = ("system", "machine", "chat", "chat_offline")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Returns more workers than cores, because tests of whole systems mostly wait.

    Tests that need the same servers run one after the other.
    """
    return round(_WORKERS_PER_CORE * (os.cpu_count() or 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the longest groups first.

    If they began late, one worker would still run them after the others had finished.
    """
    if hasattr(config, "workerinput"):
        groups = {item: item.get_closest_marker("xdist_group") for item in items}
        items.sort(key=lambda item: (mark := groups[item]) is None or mark.args[0] not in _LONGEST_GROUPS)


def pytest_collection_finish() -> None:
    """Excludes the collected tests from garbage collection, because these ten thousand objects stay until the end."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _interrupts_reach_children() -> None:
    """Makes child processes react to interrupts.

    If a shell runs pytest in the background, interrupts are ignored, and child processes inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _transactions_survive_a_stall() -> Iterator[None]:
    """Allows long transactions, because a loaded machine may stop a process for seconds.

    No test is about this limit.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.database._IDLE_SECONDS", 60)
        yield


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory for servers.

    Its path is short enough for Unix sockets. PostgreSQL's user may read it, unlike pytest's own directories.
    """
    directory = Path(tempfile.mkdtemp(prefix="dragoman-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def process_group(server_directory: Path) -> Iterator[ProcessGroup]:
    with ProcessGroup() as process_group:
        yield process_group


@pytest.fixture(scope="session")
def fork_server() -> ForkServer:
    return command_server()


@pytest.fixture(scope="session")
def _nats_process(server_directory: Path, process_group: ProcessGroup) -> Iterator[NatsServer]:
    server = NatsServer(server_directory / "nats", process_group)
    yield server
    server.stop()


@pytest.fixture
async def nats_server(_nats_process: NatsServer) -> NatsServer:
    """A nats-server with the streams and consumers of this version, which are empty."""
    await _nats_process.make_fresh()
    return _nats_process


@pytest.fixture(scope="session")
def _valkey_process(server_directory: Path, process_group: ProcessGroup) -> Iterator[ValkeyServer]:
    server = ValkeyServer(server_directory / "valkey", process_group)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_server(_valkey_process: ValkeyServer) -> ValkeyServer:
    _valkey_process.make_fresh()
    return _valkey_process


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path, process_group: ProcessGroup) -> Iterator[PostgresServer]:
    make = CitusCluster if citus.WANTED else PostgresServer
    server = make(server_directory / "postgresql", process_group)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _s3_process(server_directory: Path, process_group: ProcessGroup) -> Iterator[S3Server]:
    server = S3Server(server_directory / "s3", process_group)
    yield server
    server.stop()


@pytest.fixture
def s3_server(_s3_process: S3Server) -> S3Server:
    if _s3_process.running:
        _s3_process.resume()
    else:
        _s3_process.start()
    return _s3_process


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator["Collector"]:
    """A collector that receives the spans of the test. Tracers of this process send them soon."""
    from tests.support.collector import Collector  # imported here, because few tests need this slow library

    monkeypatch.setattr("shared.tracing._GATHER_SECONDS", 0.1)
    with closing(Collector()) as collector:
        yield collector


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database. Each test runs twice: with SQLite and with PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> Iterator[None]:
    """Writes tracebacks as plain text, because structlog's coloured tracebacks with all locals stop the event loop for
    seconds.

    No logger keeps its own configuration. Otherwise, a test could not capture a logger's lines after another test had
    configured the logger.
    """
    configure = structlog.configure

    def configure_uncached(**options: Any) -> None:
        configure(**{**options, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        configure_uncached(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
            ]
        )
        yield


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Restores the logging configuration.

    A command configures it for its whole process, and here this process runs all tests.
    """
    root, configuration = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.get_config() != configuration:
        structlog.configure(**configuration)
        structlog.contextvars.clear_contextvars()
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes a developer's own DRAGOMAN_… variables, which must not affect the tests."""
    for name in [name for name in os.environ if name.startswith("DRAGOMAN_")]:
        monkeypatch.delenv(name)
