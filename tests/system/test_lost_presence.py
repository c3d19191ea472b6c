"""Without Valkey, logins, logouts and moves of users to other edges must not lose or duplicate messages."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.stack import ServiceProcess, Stack
from tests.system.conftest import Dial
from tests.system.users import V2User

_open = build_opener(ProxyHandler({})).open
_MESSAGES = 20
_MOVES = 6


@pytest.fixture
def services(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, process_group: ProcessGroup,
    fork_server: ForkServer,
) -> Iterator[list[ServiceProcess]]:  # fmt: skip
    """The services auth, session and message, and three edges."""
    url = f"sqlite:///{tmp_path}/{{service}}.db"
    stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
    with stack.running("auth", "session", "message", "edge", "edge", "edge") as services:
        yield services


def received(user: V2User, upto: str) -> list[str]:
    """Receives texts up to this one, and returns all of them in order."""
    texts: list[str] = []
    while upto not in texts:
        texts.append(user.receive_code(0)["msg"][0]["text"])
    return texts


def left(user: V2User) -> list[str]:
    """Closes the connection with a closing handshake, and returns the texts that still arrive."""
    closing = threading.Thread(target=user.connection.close)
    closing.start()
    user.closed()
    closing.join()
    return [frame["msg"][0]["text"] for frame in user.pending if frame["code"] == 0]


def test_logins_logouts_and_moves_lose_and_double_nothing(
    services: list[ServiceProcess], valkey_server: ValkeyServer, dial: Dial
) -> None:
    """Bob moves from edge to edge while Ann writes, and Cem stays. The outage ends in the middle of this."""
    edges = services[3:]
    ann, cem, bob = (dial(f"ws://127.0.0.1:{edge.port}").register() for edge in edges)
    session, account = ann.session(cem, bob), bob.account
    valkey_server.kill()
    ann.post(session, "without")
    assert received(bob, "without") == received(cem, "without")
    over, sent = threading.Event(), list[str]()

    def write() -> None:
        while not over.is_set():
            sent.append(str(len(sent)))
            ann.post(session, sent[-1])
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    texts: list[str] = []
    try:
        for move in range(_MOVES):
            texts += received(bob, str(len(sent) + 5))
            texts += left(bob)
            if move == _MOVES - 2:
                valkey_server.start()
            bob = dial(f"ws://127.0.0.1:{edges[move % 3].port}")
            bob.login(account)
            bob.list_session(session)
    finally:
        over.set()
        writer.join()
    texts += received(bob, sent[-1])
    assert texts == sent
    assert received(cem, sent[-1]) == sent
    bob.receive_nothing()
