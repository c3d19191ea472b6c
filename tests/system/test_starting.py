"""Each service can start before its dependencies.

It waits, reports the missing dependency, and serves when all of them run.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.stack import ServiceProcess, Stack
from tests.support.waiting import block_until

pytestmark = pytest.mark.xdist_group("postgresql")

NAMES = ("auth", "session", "message", "edge")
SECONDS = 30.0
Start = Callable[..., dict[str, ServiceProcess]]
_open = build_opener(ProxyHandler({})).open


@pytest.fixture
def start(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer,
    process_group: ProcessGroup, fork_server: ForkServer,
) -> Iterator[Start]:  # fmt: skip
    """Starts the services with these names, on migrated databases."""
    running: dict[str, ServiceProcess] = {}
    with postgres_server.databases() as url:
        stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
        stack.migrate()

        def start(*names: str) -> dict[str, ServiceProcess]:
            running.update({name: stack.start(name) for name in names})
            return running

        yield start
        for service in running.values():
            service.process.kill()
            service.process.wait()


def readiness(service: ServiceProcess) -> tuple[int, str]:
    """Returns the status and the body of /readyz. The status is 0 without a reply."""
    try:
        with _open(f"http://127.0.0.1:{service.ops}/readyz", timeout=5) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (URLError, OSError):
        return 0, ""


def becomes(service: ServiceProcess, status: int, word: str) -> None:
    def seen() -> bool:
        found, body = readiness(service)
        return found == status and word in body

    block_until(seen, SECONDS)
    assert service.process.poll() is None


def logs(directory: Path, name: str, service: ServiceProcess, words: str) -> None:
    block_until(lambda: words in (directory / f"{name}-{service.ops}.log").read_text(), SECONDS)


def test_without_a_broker(start: Start, nats_server: NatsServer, tmp_path: Path) -> None:
    nats_server.kill()
    services = start(*NAMES)
    for name, service in services.items():
        becomes(service, 503, '"nats":')
        logs(tmp_path, name, service, "connecting to the bus")
    nats_server.start()
    for service in services.values():
        becomes(service, 200, "ready")


def test_without_a_database(start: Start, postgres_server: PostgresServer, tmp_path: Path) -> None:
    postgres_server.stop()
    try:
        services = start("auth", "session", "message")
        for name, service in services.items():
            becomes(service, 503, '"database":')
            logs(tmp_path, name, service, "database unavailable")
    finally:
        postgres_server.start()
    for service in services.values():
        becomes(service, 200, "ready")


def test_without_valkey_they_serve(start: Start, valkey_server: ValkeyServer) -> None:
    valkey_server.kill()
    services = start(*NAMES)
    for service in services.values():
        becomes(service, 200, "ready")
    valkey_server.start()
    for service in services.values():
        becomes(service, 200, "ready")
