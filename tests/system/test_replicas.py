"""Two message replicas in one cluster: either may fail at any moment, and clients notice no more than a pause."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.process_group import ProcessGroup
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.system.conftest import Dial
from tests.system.databases import databases
from tests.system.stack import ServiceProcess, Stack
from tests.system.users import V2User

pytestmark = [pytest.mark.xdist_group("postgresql"), pytest.mark.timeout(120)]

WORDS = 120
FROZEN_SECONDS = 3.0


@pytest.fixture
def replicas(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer,
    process_group: ProcessGroup, dial: Dial,
) -> Iterator[tuple[list[ServiceProcess], list[ServiceProcess]]]:  # fmt: skip
    """Two of message, two edges, and one of each other service."""
    with databases(postgres_server) as url:
        stack = Stack(tmp_path, nats_server, valkey_server, url, process_group)
        stack.migrate()
        names = ("auth", "session", "message", "message", "edge", "edge")
        services = [stack.start(name) for name in names]
        try:
            stack.await_ready(*services)
            yield services[2:4], services[4:6]
        finally:
            for service in services:
                service.process.kill()
                service.process.wait()


@pytest.fixture
def couple(replicas: tuple[list[ServiceProcess], list[ServiceProcess]], dial: Dial) -> tuple[V2User, V2User, int]:
    one, two = (dial(f"ws://127.0.0.1:{edge.port}").register() for edge in replicas[1])
    return one, two, one.session(two)


def talk(couple: tuple[V2User, V2User, int], since: int, upto: int) -> None:
    speaker, _, session = couple
    for number in range(since, upto):
        speaker.post(session, str(number))


def check_received(couple: tuple[V2User, V2User, int]) -> None:
    """Both have received all messages, once, in order."""
    _, listener, _ = couple
    assert [listener.receive_code(0)["msg"][0]["text"] for _ in range(WORDS)] == list(map(str, range(WORDS)))
    listener.receive_nothing()


def test_both_replicas_work_and_one_may_be_killed(
    replicas: tuple[list[ServiceProcess], list[ServiceProcess]], couple: tuple[V2User, V2User, int]
) -> None:
    messages, _ = replicas
    talk(couple, 0, WORDS // 2)
    assert all(replica.metric("dragoman_message_acknowledged_total") > 0 for replica in messages)
    messages[0].process.kill()
    talk(couple, WORDS // 2, WORDS)
    check_received(couple)


def test_a_frozen_replica_is_bypassed_and_publishes_nothing_late(
    replicas: tuple[list[ServiceProcess], list[ServiceProcess]], couple: tuple[V2User, V2User, int]
) -> None:
    messages, _ = replicas
    talk(couple, 0, WORDS // 2)
    os.kill(messages[0].pid, signal.SIGSTOP)
    thawed = time.monotonic() + FROZEN_SECONDS
    talk(couple, WORDS // 2, WORDS - 10)
    time.sleep(max(0.0, thawed - time.monotonic()))
    os.kill(messages[0].pid, signal.SIGCONT)
    talk(couple, WORDS - 10, WORDS)
    check_received(couple)
