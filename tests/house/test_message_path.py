"""docs/architecture.md lists the functions that a message passes in an edge and in the message service: they are called
in that order."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, TypeVarTuple

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from websockets.frames import Frame, Opcode

from services.edge.app import Edge
from services.edge.canonical.transport import Handshake
from services.edge.gateway.flood import ReceiveBudget
from services.edge.gateway.parser import FrameParserPool
from services.edge.gateway.websocket import WebSocket, WriteBatch
from services.message.adapters.fanout import Fanout
from services.message.adapters.roster_cache import RosterCache
from services.message.metrics import MessageMetrics
from services.message.service.posting import PostingBatcher
from services.message.store import MessageStore
from shared.bus.client import pack
from shared.clock import now_ms
from shared.contract import subjects
from shared.contract.auth import Authenticated
from shared.contract.body import pack_segments
from shared.contract.edge import Delivery, Envelope
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults, Sync, Synced
from shared.contract.model import Message, Role, Text
from shared.contract.session import GetMembership, Member, Membership
from shared.database import Database
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings import LimitsSettings, MessageSettings, RedisSettings, Settings
from tests.support.databases import create_tables
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.json_dialect import ENTRY, frame
from tests.unit.services.message.environment import sole_ownership

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
SECTION = PAGE.read_text().split("## The way of a message, as functions")[1].split("\n## ")[0]
WAYS = ["In: from a frame to the message service", "Out: from an envelope to the socket"]
COMMIT = "Between: from a request to its envelopes and its reply"
ACCOUNT, CHAT, NODE = AccountId(1), ChatId(7), NodeId("edge-1")
POST = Frame(Opcode.TEXT, frame(ref=1, do="post", chat=CHAT, text="hello")).serialize(mask=True)
DIALECT = "dialects.base"
"""A dialect's functions are listed as those of its base class."""


def listed(heading: str) -> list[str]:
    """The functions of a numbered list, as module:Class.function."""
    return re.findall(r"^\d+\. `([\w.]+:[\w.]+)`", SECTION.split(f"### {heading}")[1].split("### ")[0], re.MULTILINE)


def helpers(text: str) -> set[str]:
    """Modules, and functions of other modules, that are called on the way and return at once."""
    return set(re.findall(r"`([\w.:]+)`", text.split("Helpers:")[1].split("\n\n")[0]))


HELPERS = {"edge": helpers(SECTION.split("### ")[0]), "message": helpers(SECTION.split(f"### {COMMIT}")[1])}


class Recorder:
    """Calls of a service's functions from another module, up to the first call of the function `last`. A nested
    function belongs to the one that holds it."""

    def __init__(self, service: str, last: str = "") -> None:
        self._package = f"services.{service}"
        self._helpers = HELPERS[service]
        self._last = last
        self.calls: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        module, name = self._module_of(frame), frame.f_code.co_qualname
        if event != "call" or not module or module == self._module_of(frame.f_back) or "<locals>" in name:
            return
        call = f"{module}:{name.replace(ENTRY.factory.__name__, 'Dialect')}"
        if module in self._helpers or call in self._helpers:
            return
        self.calls.append(call)
        if self.calls[-1] == self._last:
            sys.setprofile(None)

    def _module_of(self, frame: FrameType | None) -> str:
        """The module without the name of the service's package; empty if it is outside."""
        name = str(frame.f_globals.get("__name__", "")) if frame else ""
        if name == ENTRY.factory.__module__:
            return DIALECT
        return name.removeprefix(f"{self._package}.") if name.startswith(self._package) else ""


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def is_closing(self) -> bool:
        return True


@pytest.fixture
async def edge(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Edge]:
    """Without servers. The message service commits each message, and publishes it before it replies."""
    edge = Edge(Settings(), CollectorRegistry(), (ENTRY,))
    index = count(1)

    async def request(route: object, request: object, **_: object) -> object:
        sys.setprofile(None)
        if isinstance(request, PostMessages):
            (draft,) = request.drafts
            message = Message(CHAT, next(index), MessageId(1), ACCOUNT, 0, draft.body, draft.nonce)
            receive(edge, message)
            return PostResults([Posted(message.id, message.index, 0)])
        assert isinstance(request, Sync), request
        return Synced([])

    async def flushed(*_: object) -> None:
        """Nothing is read anywhere."""

    monkeypatch.setattr(edge.bus, "request", request)
    monkeypatch.setattr(edge.bus, "flush", lambda: None)
    monkeypatch.setattr(edge.read_state, "flush_account", flushed)
    yield edge
    for client in list(edge.endpoint.clients.values()):
        client.closed()
    await edge.context.tasks.close()
    await edge.publisher.finish(0)


def receive(edge: Edge, message: Message) -> None:
    envelope = Envelope("message-1", 1, next(edge_counter), [Delivery(message, [ACCOUNT], 0)])
    edge.receiver.receive_envelope(pack(envelope), edge.id)


edge_counter = count(1)


async def connect(edge: Edge) -> tuple[WebSocket, FakeTransport]:
    """A client that is logged in, is in the chat, and has posted and received a message."""
    loop, transport = asyncio.get_running_loop(), FakeTransport()
    parser = FrameParserPool(10_000)()
    socket = WebSocket(transport, parser, LimitsSettings(), ReceiveBudget(1_000_000), WriteBatch(loop), lambda _: None)
    socket.open(edge.endpoint, Handshake(ENTRY.path, "chat.example", "192.0.2.1", False, (), ""))
    (client,) = edge.endpoint.clients.values()
    answer = Authenticated(account=ACCOUNT, sid="", token="", expires=2**31, uuid="", nickname="", revision=0)
    await client.session.log_in(answer, [], None)
    client.session.catch_up.cancel()
    local = edge.accounts.get(ACCOUNT)
    assert local is not None
    edge.chats.joined(local, CHAT, 0)
    await post(socket, transport)
    return socket, transport


async def post(socket: WebSocket, transport: FakeTransport) -> None:
    transport.written = b""
    socket.data_received(POST)
    async with asyncio.timeout(WAIT_SECONDS):
        while b'"ok":' not in transport.written:
            await asyncio.sleep(0)


async def test_a_frame_passes_these_functions_on_its_way_in(edge: Edge) -> None:
    socket, transport = await connect(edge)
    recorder = Recorder("edge")
    sys.setprofile(recorder)
    try:
        await post(socket, transport)
    finally:
        sys.setprofile(None)
    assert recorder.calls == listed(WAYS[0])


async def test_a_message_passes_these_functions_on_its_way_out(edge: Edge) -> None:
    _, transport = await connect(edge)
    message = Message(CHAT, 2, MessageId(2), AccountId(2), 0, pack_segments((Text("hello"),)), Nonce(2))
    recorder = Recorder("edge", listed(WAYS[1])[-1])
    sys.setprofile(recorder)
    try:
        receive(edge, message)
    finally:
        sys.setprofile(None)
    assert recorder.calls == listed(WAYS[1])
    await asyncio.sleep(0)
    assert b"hello" in transport.written


# The message service


class InlineDatabase(Database):
    """Runs each transaction on the event loop, however slow the disk is."""

    @property
    def commits_inline(self) -> bool:
        return True

    async def write(
        self, work: Callable[[sa.Connection, *Ts], T], *args: *Ts, brief: bool = False, background: bool = False
    ) -> T:
        return self._write(lambda connection: work(connection, *args))


class FakePresence(Presence):
    """Each account is on one node."""

    async def lookup(self, accounts: Iterable[AccountId] = (), chats: Iterable[ChatId] = ()) -> PresenceSnapshot:
        return PresenceSnapshot(dict.fromkeys(accounts, (NODE,)), dict.fromkeys(chats, 1))


class FakeResponder:
    cause = ""

    def __init__(self) -> None:
        self.replied = asyncio.Event()

    def to_wall_clock(self, requester_ms: int) -> int:
        return requester_ms

    async def reply(self, reply: object) -> None:
        assert isinstance(reply, PostResults)
        assert not reply.failures
        self.replied.set()

    async def reply_error(self, failure: Failure) -> None:
        raise AssertionError(failure)


async def get_membership(request: GetMembership) -> Membership:
    return Membership(request.chat, 1, [Member(ACCOUNT, Role.MEMBER, 1, 1, 1)])


async def publish(subject: str, payload: bytes) -> None:
    assert subject == subjects.deliver(NODE)


@pytest.fixture
async def batcher(tmp_path: Path) -> AsyncIterator[PostingBatcher]:
    """Without servers, but for a database."""
    url = create_tables("message", f"sqlite:///{tmp_path / 'message.db'}")
    database, presence, metrics = (
        InlineDatabase(url),
        FakePresence(RedisSettings()),
        MessageMetrics(CollectorRegistry()),
    )
    rosters = RosterCache(get_membership, metrics)
    fanout = Fanout(publish, presence, rosters, metrics, MessageSettings(), sole_ownership(), lambda *_: None)
    batcher = PostingBatcher(MessageStore(database), rosters, fanout, metrics, MessageSettings(), lambda: None)
    running = asyncio.create_task(batcher.run())
    yield batcher
    batcher.close()
    await running
    await rosters.close()
    await presence.close()
    await database.close()


async def request_post(batcher: PostingBatcher, nonce: int) -> None:
    body, responder = pack_segments((Text("hello"),)), FakeResponder()
    draft = Draft(ACCOUNT, CHAT, Nonce(nonce), now_ms() + 60_000, body)
    batcher.submit(PostMessages(NODE, [draft]), responder)
    async with asyncio.timeout(WAIT_SECONDS):
        await responder.replied.wait()


async def test_a_request_passes_these_functions_of_the_message_service(batcher: PostingBatcher) -> None:
    await request_post(batcher, 1)
    recorder = Recorder("message")
    sys.setprofile(recorder)
    try:
        await request_post(batcher, 2)
    finally:
        sys.setprofile(None)
    assert recorder.calls == listed(COMMIT)
