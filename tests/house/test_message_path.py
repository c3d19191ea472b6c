"""docs/architecture.md lists the functions that a message passes inside an edge: they are called in that order, and no
module is entered twice."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from itertools import count, groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from websockets.frames import Frame, Opcode

import services.edge as edge_package
from services.edge.app import Edge
from services.edge.canonical.transport import Handshake
from services.edge.gateway.parser import parser_factory
from services.edge.gateway.websocket import WebSocket
from services.edge.gateway.write_batch import WriteBatch
from shared.bus.client import pack
from shared.contract.auth import Authenticated
from shared.contract.edge import Delivery, Envelope
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import Posted, PostMessages, PostResults, Sync, Synced
from shared.contract.model import Message, Text, pack_segments
from shared.settings import Settings
from tests.unit.services.edge.json_dialect import ENTRY, frame

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
SECTION = PAGE.read_text().split("## The way of a message, as functions")[1].split("\n## ")[0]
WAYS = ["In: from a frame to the message service", "Out: from an envelope to the socket"]
ACCOUNT, CHAT = AccountId(1), ChatId(7)
POST = Frame(Opcode.TEXT, frame(ref=1, do="post", chat=CHAT, text="hello")).serialize(mask=True)
DIALECT = "dialects.base"
"""A dialect's functions are listed as those of its base class."""


def listed(heading: str) -> list[str]:
    """The functions of a numbered list, as module:Class.function."""
    return re.findall(r"^\d+\. `([\w.]+:[\w.]+)`", SECTION.split(f"### {heading}")[1].split("### ")[0], re.MULTILINE)


HELPERS = set(re.findall(r"`([\w.]+)`", SECTION.split("### ")[0].split("Helpers:")[1]))
"""Modules whose functions are called on the way and return at once."""
EDGE = Path(edge_package.__path__[0])
MODULES = {".".join(path.relative_to(EDGE).with_suffix("").parts) for path in EDGE.rglob("*.py")}


def module_of(frame: FrameType | None) -> str:
    name = str(frame.f_globals.get("__name__", "")) if frame else ""
    return DIALECT if name == ENTRY.factory.__module__ else name.removeprefix("services.edge.")


class Recorder:
    """Calls of the edge's functions from another module, up to the first call of the function `last`."""

    def __init__(self, last: str) -> None:
        self._last = last
        self.calls: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        module = module_of(frame)
        if event != "call" or module not in MODULES or module in HELPERS or module == module_of(frame.f_back):
            return
        self.calls.append(f"{module}:{frame.f_code.co_qualname.replace(ENTRY.factory.__name__, 'Dialect')}")
        if self.calls[-1] == self._last:
            sys.setprofile(None)


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
    parser = parser_factory("picows", 10_000)()
    socket = WebSocket(transport, parser, 10_000, WriteBatch(loop), lambda _: None)
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
    async with asyncio.timeout(5):
        while b'"ok":' not in transport.written:
            await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
def test_no_module_is_entered_twice(way: str) -> None:
    modules = [module for module, _ in groupby(name.partition(":")[0] for name in listed(way))]
    assert len(modules) > 5
    assert [module for module in modules if modules.count(module) > 1] == []


async def test_a_frame_passes_these_functions_on_its_way_in(edge: Edge) -> None:
    socket, transport = await connect(edge)
    recorder = Recorder("")
    sys.setprofile(recorder)
    try:
        await post(socket, transport)
    finally:
        sys.setprofile(None)
    assert recorder.calls == listed(WAYS[0])


async def test_a_message_passes_these_functions_on_its_way_out(edge: Edge) -> None:
    _, transport = await connect(edge)
    message = Message(CHAT, 2, MessageId(2), AccountId(2), 0, pack_segments((Text("hello"),)), Nonce(2))
    recorder = Recorder(listed(WAYS[1])[-1])
    sys.setprofile(recorder)
    try:
        receive(edge, message)
    finally:
        sys.setprofile(None)
    assert recorder.calls == listed(WAYS[1])
    await asyncio.sleep(0)
    assert b"hello" in transport.written
