"""Two replicas of message in one system. Either may fail at any moment, and clients notice only a pause."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.stack import ServiceProcess, Stack
from tests.system.conftest import Dial
from tests.system.users import V2User

pytestmark = pytest.mark.xdist_group("postgresql")

WORDS = 120
FROZEN_SECONDS = 4.0
"""The duration of a freeze, which is longer than a replica's lease."""
LONGEST_SECONDS = 3.0
"""The longest time in which a chat may be without service.

On a loaded machine, ten times the longest wait before the fault is added.
"""


@pytest.fixture
def replicas(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, postgres_server: PostgresServer,
    process_group: ProcessGroup, fork_server: ForkServer, dial: Dial,
) -> Iterator[tuple[list[ServiceProcess], list[ServiceProcess]]]:  # fmt: skip
    """Two replicas of message, two edges, and one process of each other service."""
    with postgres_server.databases() as url:
        stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
        with stack.running("auth", "session", "message", "message", "edge", "edge") as services:
            yield services[2:4], services[4:6]


@pytest.fixture
def couple(replicas: tuple[list[ServiceProcess], list[ServiceProcess]], dial: Dial) -> tuple[V2User, V2User, int]:
    one, two = (dial(f"ws://127.0.0.1:{edge.port}").register() for edge in replicas[1])
    return one, two, one.session(two)


def talk(couple: tuple[V2User, V2User, int], since: int, upto: int) -> float:
    """Posts messages. Returns the longest time in seconds until one was acknowledged."""
    speaker, _, session = couple
    longest = 0.0
    for number in range(since, upto):
        sent = time.monotonic()
        speaker.post(session, str(number))
        longest = max(longest, time.monotonic() - sent)
    return longest


def owner_of_the_session(replicas: list[ServiceProcess]) -> ServiceProcess:
    """Returns the replica that has acknowledged the messages of the session."""
    (owner,) = [one for one in replicas if one.metric("dragoman_message_acknowledged_total") >= WORDS // 2]
    return owner


def check_received(couple: tuple[V2User, V2User, int]) -> None:
    """Checks that both users have received all messages, once and in order."""
    _, listener, _ = couple
    assert [listener.receive_code(0)["msg"][0]["text"] for _ in range(WORDS)] == list(map(str, range(WORDS)))
    listener.receive_nothing()


def test_the_owner_of_a_chat_may_be_killed(
    replicas: tuple[list[ServiceProcess], list[ServiceProcess]], couple: tuple[V2User, V2User, int]
) -> None:
    usual = talk(couple, 0, WORDS // 2)
    owner_of_the_session(replicas[0]).process.kill()
    assert talk(couple, WORDS // 2, WORDS) < LONGEST_SECONDS + 10 * usual
    check_received(couple)


def test_a_frozen_owner_is_bypassed_and_publishes_nothing_late(
    replicas: tuple[list[ServiceProcess], list[ServiceProcess]], couple: tuple[V2User, V2User, int]
) -> None:
    usual = talk(couple, 0, WORDS // 2)
    owner = owner_of_the_session(replicas[0])
    os.kill(owner.pid, signal.SIGSTOP)
    thawed = time.monotonic() + FROZEN_SECONDS
    longest = talk(couple, WORDS // 2, WORDS - 40)
    time.sleep(max(0.0, thawed - time.monotonic()))
    longest = max(longest, talk(couple, WORDS - 40, WORDS - 10))
    os.kill(owner.pid, signal.SIGCONT)
    assert max(longest, talk(couple, WORDS - 10, WORDS)) < LONGEST_SECONDS + 10 * usual
    check_received(couple)
