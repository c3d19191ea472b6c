"""All edges have the same password.

Each process can use only the subjects of its own node, and receives nothing for other nodes.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from local.installation import Server
from local.process_group import ProcessGroup
from services.cli.doctor import broker
from shared.bus import nats_client
from shared.bus.client import Bus
from shared.bus.failures import Unavailable
from shared.bus.node_identity import NodeIdentity, new_identity
from shared.contract import subjects as on
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.edge import FlushReadState, ReadStateFlushed
from shared.contract.ids import AccountId, NodeId
from tests.support.nodes_nats import NodesNatsServer
from tests.support.waiting import WAIT_SECONDS

REJECTED = r"(?i)authorization violation"


@pytest.fixture(scope="module")
def _server(server_directory: Path, process_group: ProcessGroup) -> Iterator[NodesNatsServer]:
    server = NodesNatsServer(server_directory / "nodes-nats", process_group)
    yield server
    server.stop()


@pytest.fixture
async def server(_server: NodesNatsServer) -> NodesNatsServer:
    await _server.make_fresh()
    return _server


def shorten_decisions(configuration: dict[str, Any]) -> None:
    """Lets an attempt to connect wait for auth for one second."""
    configuration["authorization"]["timeout"] = 1


@pytest.fixture
def impatient_server(server: NodesNatsServer) -> Iterator[NodesNatsServer]:
    with server.configured(shorten_decisions):
        yield server


async def revocations(request: ListRevocations) -> Revocations:
    return Revocations(last=request.since + 1, revocations=[], maintenance=False)


def new_auth(server: NodesNatsServer) -> Bus:
    bus = server.auth()
    bus.serve(ListRevocations.route, revocations, queue="auth")
    return bus


class NodeProcess:
    """The bus of one edge. The process may flush the read state of any account."""

    def __init__(self, server: NodesNatsServer, name: str = "edge-1", user: str = "node") -> None:
        self.identity = new_identity(name)
        settings = server.settings("edge").model_copy(update={"user": user})
        self.registry = CollectorRegistry()
        self.bus = Bus(settings, "edge", self.registry, node=self.identity)
        self.bus.serve(on.flush(self.identity.id), self._flush)
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.bus.subscribe(on.deliver(self.identity.id), self.received.put_nowait)
        self.bus.subscribe(on.BROADCAST, self.received.put_nowait)

    async def _flush(self, request: FlushReadState) -> ReadStateFlushed:
        return ReadStateFlushed(self.identity.id, present=False)

    async def request_of_auth(self) -> int:
        return (await self.bus.send(ListRevocations(since=41), seconds=WAIT_SECONDS)).last

    @property
    def denials(self) -> float | None:
        return self.registry.get_sample_value("dragoman_bus_errors_total", {"kind": "permission"})


@asynccontextmanager
async def running(*buses: Bus) -> AsyncIterator[None]:
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*(bus.start() for bus in buses))
    try:
        yield
    finally:
        await asyncio.gather(*(bus.stop() for bus in buses))


@asynccontextmanager
async def logged_in(server: NodesNatsServer, node: NodeIdentity, errors: list[str]) -> AsyncIterator[Client]:
    """Connects with the credentials of a compromised edge."""

    async def note(error: Exception) -> None:
        errors.append(str(error))

    client = await nats_client.connect(server.settings("edge"), node, allow_reconnect=False, error_cb=note)
    try:
        yield client
    finally:
        await client.close()


async def test_nodes_with_one_password_do_their_work(server: NodesNatsServer) -> None:
    auth, message = new_auth(server), Bus(server.settings("message"), "message", CollectorRegistry())
    one, other = NodeProcess(server), NodeProcess(server)
    async with running(auth, message), running(one.bus, other.bus):
        assert list(await asyncio.gather(one.request_of_auth(), other.request_of_auth())) == [42, 42]
        flushed = await one.bus.request(on.flush(other.identity.id), FlushReadState(account=AccountId(1)))
        assert isinstance(flushed, ReadStateFlushed)
        await message.publish(on.deliver(other.identity.id), b"to the other")
        await message.publish(on.BROADCAST, b"to all")
        message.flush()
        async with asyncio.timeout(WAIT_SECONDS):
            assert [await other.received.get(), await other.received.get()] == [b"to the other", b"to all"]
            assert await one.received.get() == b"to all"
        assert [one.denials, other.denials] == [0, 0]


async def test_a_node_hears_nothing_of_another(server: NodesNatsServer) -> None:
    auth, victim, errors, heard = new_auth(server), NodeProcess(server), list[str](), list[str]()
    message = Bus(server.settings("message"), "message", CollectorRegistry())
    id = victim.identity.id
    wanted = [
        ">", "*.>", "inbox.>", "inbox.*.>", "inbox.edge.>", "inbox.edge.*.>", "inbox.edge.*.*.*", f"inbox.edge.{id}.>",
        "edge.>", "edge.*.>", "edge.*.deliver", "edge.*.notify", "edge.*.flush", f"edge.{id}.deliver",
        f"edge.{id}.flush", "_INBOX.>", "$SYS.>", "$SYS.REQ.USER.AUTH", "auth.>",
    ]  # fmt: skip

    async def hear(received: Msg) -> None:
        heard.append(received.subject)

    async with running(auth, message), running(victim.bus), logged_in(server, new_identity("spy"), errors) as spy:
        for subject in wanted:
            await spy.subscribe(subject, cb=hear)
            await spy.subscribe(subject, queue="edge", cb=hear)
        await spy.flush()
        await spy.flush()
        assert await victim.request_of_auth() == 42
        await message.publish(on.deliver(id), b"secret")
        message.flush()
        async with asyncio.timeout(WAIT_SECONDS):
            assert await victim.received.get() == b"secret"
        await spy.flush()
    assert heard == []
    assert len([error for error in errors if "permissions violation" in error.lower()]) == 2 * len(wanted)


async def test_a_node_forges_no_reply(server: NodesNatsServer) -> None:
    errors: list[str] = []
    async with running(new_auth(server)), logged_in(server, new_identity("spy"), errors) as spy:
        for inbox in ("inbox.edge.edge-1-x.1.2", "inbox.admin.1.2", "$SYS._INBOX.x.y", "$SYS.REQ.USER.AUTH"):
            await spy.publish(inbox, b"+")
        await spy.flush()
        await spy.flush()
    assert len(errors) == 4


@pytest.mark.parametrize("lie", ["name", "secret", "password", "user", "wildcard"])
async def test_a_name_without_its_secret_is_rejected(server: NodesNatsServer, lie: str) -> None:
    victim, liar, settings = new_identity("edge-1"), new_identity("edge-1"), server.settings("edge")
    nodes = {"name": replace(liar, id=victim.id), "secret": replace(liar, secret=""),
             "wildcard": replace(liar, id=NodeId("*-" + liar.id.rpartition("-")[2]))}  # fmt: skip
    changes: dict[str, dict[str, Any]] = {"password": {"password": SecretStr("another")}, "user": {"user": "other"}}
    async with running(new_auth(server)):
        with pytest.raises(nats.errors.Error, match=REJECTED):
            await nats_client.connect(
                settings.model_copy(update=changes.get(lie, {})), nodes.get(lie, liar), allow_reconnect=False,
                error_cb=ignore,
            )  # fmt: skip


async def ignore(_: Exception) -> None:
    """Ignores the error here, because it is also raised."""


async def test_a_rejected_attempt_leaves_no_socket_open(server: NodesNatsServer) -> None:
    async with running(new_auth(server)):
        with pytest.raises(nats.errors.Error, match=REJECTED):
            await NodeProcess(server, user="edge").bus.start()
        gc.collect()  # an open socket would cause a warning here, and the warning would fail the test


async def test_a_node_waits_for_auth_at_its_start_and_after_the_broker_was_away(
    impatient_server: NodesNatsServer,
) -> None:
    server = impatient_server
    node, auth = NodeProcess(server), new_auth(server)
    starting = asyncio.create_task(node.bus.start())
    await asyncio.wait([starting], timeout=0.5)
    assert not starting.done()
    async with running(auth):
        async with asyncio.timeout(WAIT_SECONDS):
            await starting
        assert await node.request_of_auth() == 42
    try:
        server.restart()  # auth is unavailable
        with pytest.raises(Unavailable):
            await node.bus.send(ListRevocations(since=1), seconds=1)
        async with running(new_auth(server)):
            async with asyncio.timeout(WAIT_SECONDS):
                while not await is_connected(node.bus):
                    await asyncio.sleep(0.05)
            assert await node.request_of_auth() == 42
    finally:
        await node.bus.stop()


async def is_connected(bus: Bus) -> bool:
    try:
        await bus.check()
    except (TimeoutError, nats.errors.Error):
        return False
    return True


async def test_doctor_checks_the_rights_of_a_node(server: NodesNatsServer) -> None:
    settings = server.settings("edge")
    with server.configured(shorten_decisions):
        (found,) = await broker.check(settings, Server.ELSEWHERE)
    assert "auth" in found.text
    async with running(new_auth(server)):
        (found,) = await broker.check(settings, Server.ELSEWHERE)
    assert "exactly its own permissions" in found.text


async def test_a_node_that_sends_no_utf_8_silences_no_service(server: NodesNatsServer) -> None:
    """After an exception, nats-py stops reading, until its pings get no reply."""
    auth, message = new_auth(server), Bus(server.settings("message"), "message", CollectorRegistry())
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    message.subscribe(on.PRESENCE_INCOMPLETE, heard.put_nowait)
    start, subject = b"NATS/1.0\r\ntraceparent: \xff\r\n\r\n", on.PRESENCE_INCOMPLETE.encode()
    async with running(auth, message), logged_in(server, new_identity("edge-1"), []) as client:
        await client._send_command(
            b"HPUB %b %d %d\r\n%b1\r\n" % (subject, len(start), len(start) + 1, start)
            + b"PUB %b \xff 1\r\n2\r\n" % subject
        )
        await client.publish(on.PRESENCE_INCOMPLETE, b"3")
        async with asyncio.timeout(WAIT_SECONDS):
            assert [await heard.get(), await heard.get()] == [b"1", b"3"]
