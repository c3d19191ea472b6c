"""A system whose Redis is a cluster of three real nodes: messages come to the other edge, whatever node fails."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.fork_server import ForkServer
from services.cli.process_group import ProcessGroup
from shared.settings import RedisSettings, Settings
from tests.support.servers import NatsServer
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.conftest import Dial
from tests.system.stack import ServiceProcess, Stack
from tests.system.users import V2User


def with_installed_time_out(settings: Settings) -> Settings:
    """That of other tests, which wait for a loaded machine, is longer than an edge waits for a message's confirmation:
    a frozen node of Redis would make it refuse the message."""
    redis = settings.redis.model_copy(update={"timeout_seconds": RedisSettings().timeout_seconds})
    return settings.model_copy(update={"redis": redis})


@pytest.fixture
def services(
    tmp_path: Path, nats_server: NatsServer, valkey_cluster: ValkeyCluster, process_group: ProcessGroup,
    fork_server: ForkServer,
) -> Iterator[list[ServiceProcess]]:  # fmt: skip
    """Auth, session, message and two edges."""
    url = f"sqlite:///{tmp_path}/{{service}}.db"
    stack = Stack(tmp_path, nats_server, valkey_cluster, url, process_group, fork_server=fork_server)
    with stack.running("auth", "session", "message", "edge", "edge", change=with_installed_time_out) as services:
        yield services


@pytest.fixture
def couple(services: list[ServiceProcess], dial: Dial) -> tuple[V2User, V2User, int]:
    one, other = (dial(f"ws://127.0.0.1:{edge.port}").register() for edge in services[3:])
    return one, other, one.session(other)


class NumberedTalk:
    """Numbered messages from one user to the other, each of which arrives before the next is sent."""

    def __init__(self, couple: tuple[V2User, V2User, int]) -> None:
        self._speaker, self._listener, self._session = couple
        self._number = 0

    def one_more(self) -> None:
        self._number += 1
        self._speaker.post(self._session, str(self._number))
        assert self._listener.receive_code(0)["msg"][0]["text"] == str(self._number)


def until_presence_is_known(message: ServiceProcess, talk: NumberedTalk) -> None:
    """Says something until the message service knows again where the listener is."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        before = message.metric("dragoman_message_presence_unknown_total")
        talk.one_more()
        if message.metric("dragoman_message_presence_unknown_total") == before:
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_messages_arrive_while_nodes_fail(
    services: list[ServiceProcess], couple: tuple[V2User, V2User, int], valkey_cluster: ValkeyCluster
) -> None:
    message, talk = services[2], NumberedTalk(couple)
    until_presence_is_known(message, talk)
    for node in valkey_cluster.nodes:
        node.kill()
        talk.one_more()
        node.start()
        valkey_cluster.wait_until_whole()
        talk.one_more()
    for node in valkey_cluster.nodes:
        until_presence_is_known(message, talk)  # else nobody would read from the node
        node.pause()
        talk.one_more()
        node.resume()
        valkey_cluster.wait_until_whole()
    until_presence_is_known(message, talk)
