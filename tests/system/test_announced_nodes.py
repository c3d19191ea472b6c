"""Without Valkey, edges announce their accounts to each other, and messages go only to edges that have a recipient.

Logins, logouts and moves of users to other edges must not lose or duplicate messages.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import msgspec
import nats
import pytest

from local.fork_server import ForkServer
from local.ports import free_port
from local.process_group import ProcessGroup
from shared.contract import subjects
from shared.contract.edge import DeliveryBatch
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.stack import ServiceProcess, Stack
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.system.conftest import Dial
from tests.system.users import V2User

_open = build_opener(ProxyHandler({})).open
_MESSAGES = 20
_MOVES = 6


@pytest.fixture
def monitoring(nats_server: NatsServer) -> Iterator[int]:
    """The port at which nats-server describes its connections."""
    port = free_port()
    with nats_server.configured(lambda settings: settings.__setitem__("http", f"127.0.0.1:{port}")):
        yield port


@pytest.fixture
def services(
    tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer, process_group: ProcessGroup,
    fork_server: ForkServer, monitoring: int,
) -> Iterator[list[ServiceProcess]]:  # fmt: skip
    """The services auth, session and message, and three edges."""
    url = f"sqlite:///{tmp_path}/{{service}}.db"
    stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
    with stack.running("auth", "session", "message", "edge", "edge", "edge") as services:
        yield services


def broadcast_receivers(monitoring: int) -> list[str]:
    """Returns the nodes that are subscribed to broadcasts in NATS."""
    with _open(f"http://127.0.0.1:{monitoring}/connz?subs=true", timeout=5) as response:
        connections: list[dict[str, Any]] = json.load(response)["connections"]
    return [one["name"] for one in connections if subjects.BROADCAST in one.get("subscriptions_list", ())]


@contextmanager
def counted_messages(nats_server: NatsServer) -> Iterator[Counter[str]]:
    """Counts the messages that are sent to each node on its own subject, and those to all nodes."""
    counts: Counter[str] = Counter()
    decode = msgspec.msgpack.Decoder(DeliveryBatch).decode
    loop, ended, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def count() -> None:
        settings = nats_server.settings("edge")
        client = await nats.connect(
            settings.url, user=settings.user, password=settings.password.get_secret_value(), inbox_prefix="inbox.edge"
        )

        async def receive(message: Any) -> None:
            counts[message.subject.split(".")[1]] += len(decode(message.data).deliveries)

        await client.subscribe(subjects.deliver("*"), cb=receive)  # type: ignore[arg-type]
        await client.flush()
        ready.set()
        await ended.wait()
        await client.drain()

    thread = threading.Thread(target=lambda: loop.run_until_complete(count()))
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    try:
        yield counts
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def entered(dial: Dial, edge: ServiceProcess) -> V2User:
    return dial(f"ws://127.0.0.1:{edge.port}").register()


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


def test_edges_without_a_recipient_get_nothing(
    services: list[ServiceProcess], nats_server: NatsServer, valkey_server: ValkeyServer, monitoring: int, dial: Dial
) -> None:
    edges = services[3:]
    ann, bob, idle = (entered(dial, edge) for edge in edges)
    session = ann.session(bob)
    assert len(broadcast_receivers(monitoring)) == 3
    valkey_server.kill()
    ann.post(session, "without")
    bob.receive_text("without")
    block_until(lambda: not broadcast_receivers(monitoring))
    with counted_messages(nats_server) as counts:
        for number in range(_MESSAGES):
            ann.post(session, str(number))
        assert received(bob, str(_MESSAGES - 1)) == list(map(str, range(_MESSAGES)))
    assert not broadcast_receivers(monitoring)
    assert counts.pop("all") == _MESSAGES, "to nobody"
    assert sorted(counts.values()) == [_MESSAGES, _MESSAGES]
    valkey_server.start()
    block_until(lambda: len(broadcast_receivers(monitoring)) == 3)
    ann.post(session, "again")
    assert received(bob, "again") == ["again"]
    for user in (ann, bob, idle):
        user.receive_nothing()


def test_logins_logouts_and_moves_lose_and_double_nothing(
    services: list[ServiceProcess], valkey_server: ValkeyServer, monitoring: int, dial: Dial
) -> None:
    """Bob moves from edge to edge while Ann writes, and Cem stays. The outage ends in the middle of this."""
    edges = services[3:]
    ann, cem, bob = (entered(dial, edge) for edge in edges)
    session, account = ann.session(cem, bob), bob.account
    valkey_server.kill()
    ann.post(session, "without")
    assert received(bob, "without") == received(cem, "without")
    block_until(lambda: not broadcast_receivers(monitoring))
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
