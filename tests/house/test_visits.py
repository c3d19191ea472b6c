"""Counts the functions and files of Dragoman that one message passes.

A native client sends the message to a client of OurChat v2. It passes a real edge, NATS, a real message service and its
database. Messages before it have filled all caches.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from websockets.frames import Frame, Opcode

from services.edge.app import Edge
from services.edge.canonical.transport import Handshake
from services.edge.gateway.flood import ReceiveBudget
from services.edge.gateway.parser import FrameParserPool
from services.edge.gateway.websocket import WebSocket, WriteBatch
from shared.contract.model import ProfileSummary
from shared.contract.routes import Ack
from shared.contract.session import EnsureProfile, GetProfileSummaries, ProfileSummaries
from shared.settings import Settings
from shared.settings.limits import LimitsSettings
from tests.support.databases import create_tables
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import until
from tests.unit.services.edge.fake_services import FakeAuthService
from tests.unit.services.message.environment import (
    ANN,
    BOB,
    LEASE_SECONDS,
    ROOM,
    FakeMembershipService,
    running_replica,
    settings_for,
)

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / name}/" for name in ("services", "shared"))
BESIDE = tuple(
    f"{ROOT / 'shared' / name}" for name in ("bus/", "dashboard/", "ops.py", "plain_histogram.py", "telemetry.py")
)
"""Files that are not counted. Every request passes the bus in the same way, and the other files only measure."""
PAGE = (ROOT / "docs" / "understand" / "architecture.md").read_text()
PARTS = {
    "In: from a frame to the message service": "edge",
    "Between: from a request to its delivery batches and its reply": "message",
    "Out: from a delivery batch to the socket": "edge",
}
"""The lists of the page, each with the service that it describes."""
OF_A_DIALECT = {"decode": "Dialect", "encode_message": "Dialect", "admit": "PushGate"}
"""The page lists these functions under their base classes."""
MOST_VISITS, MOST_FILES = 152, 39
MESSAGES = 60
QUIET_SECONDS = 0.05
"""After this time without a step, no step of the message's path is missing."""


class Visits:
    """Records the called functions and their files in order.

    When a coroutine resumes, that does not count as a call.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.calls: list[str] = []
        """The called functions, in the form module:Class.function."""
        self._seen: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        is_ours = file.startswith(OURS) and not file.startswith(BESIDE) and name != "<genexpr>"
        if event == "call" and is_ours and frame not in self._seen:
            self._seen.add(frame)
            self.files.append(file.removeprefix(f"{ROOT}/"))
            module = str(frame.f_globals["__name__"])
            if (base := OF_A_DIALECT.get(name)) and module.startswith("services.edge.dialects."):
                self.calls.append(f"services.edge.dialects.base:{base}.{name}")
            else:
                self.calls.append(f"{module}:{frame.f_code.co_qualname}")

    @property
    def count(self) -> int:
        """Returns the number of visits.

        A visit is one call of a function, or several successive calls of functions in the same file.
        """
        return len(list(groupby(self.files)))


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


class LocalPeer:
    """A client whose WebSocket is connected to the edge in memory, without TCP."""

    def __init__(self, edge: Edge, path: str) -> None:
        loop, self.transport = asyncio.get_running_loop(), FakeTransport()
        parser, budget = FrameParserPool(10_000)(), ReceiveBudget(1_000_000)
        self._socket = WebSocket(self.transport, parser, LimitsSettings(), budget, WriteBatch(loop), lambda _: None)
        self._socket.open(edge.endpoint, Handshake(path, "chat.example", "192.0.2.1", False, (), ""))

    def send(self, **fields: object) -> None:
        self.transport.written = b""
        self._socket.data_received(Frame(Opcode.TEXT, msgspec.json.encode(fields)).serialize(mask=True))

    async def until_written(self, text: str) -> None:
        await until(lambda: text.encode() in self.transport.written)


@dataclass
class System:
    edge: Edge
    native: LocalPeer
    v2: LocalPeer
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def send(self, visits: Visits | None = None) -> None:
        """Sends one message.

        Waits until both clients have their frames and the last step of the message's path is done.
        """
        number = next(self._numbers)
        text = f"message {number}."
        self.v2.transport.written = b""
        sys.setprofile(visits)
        try:
            self.native.send(op="send", id=number, chat=ROOM, text=text, nonce=f"n{number}")
            await self.native.until_written('"re":')
            await self.v2.until_written(text)
            await asyncio.sleep(QUIET_SECONDS)
        finally:
            sys.setprofile(None)


@pytest.fixture
async def system(
    nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[System]:
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    monkeypatch.setattr("shared.database._BRIEF_SECONDS", 60.0)
    session = FakeMembershipService(nats_server, valkey_server)

    async def summaries(request: GetProfileSummaries) -> ProfileSummaries:
        return ProfileSummaries({one: ProfileSummary(f"name-{one}", f"uuid-{one}") for one in request.accounts})

    async def ensure(_: EnsureProfile) -> Ack:
        return Ack()

    session.bus.serve(GetProfileSummaries.route, summaries, queue="session")
    session.bus.serve(EnsureProfile.route, ensure, queue="session")
    message = settings_for(nats_server, valkey_server, create_tables("message", f"sqlite:///{tmp_path / 'm.db'}"))
    own = Settings(nats=nats_server.settings("edge"), redis=valkey_server.settings("edge"), limits={"rates": False})
    async with AsyncExitStack() as stack:
        for service in (FakeAuthService(nats_server), session):
            await service.bus.start()
            stack.push_async_callback(service.bus.stop)
        stack.push_async_callback(session.close)
        await session.add_members(ROOM, ANN, BOB)
        await stack.enter_async_context(running_replica(message))
        edge = Edge(own, CollectorRegistry())
        await edge.bus.start()
        stack.push_async_callback(edge.close)
        await edge.presence.beat(edge.id, LEASE_SECONDS)
        native, v2 = LocalPeer(edge, "/ws/native"), LocalPeer(edge, "/ws/ourchat-v2")
        native.send(op="login", id=0, identifier=str(ANN), secret={"scheme": "plain", "value": "right"})
        await native.until_written('"sid"')
        v2.send(code=6, login_type=1, account=f"{BOB:010}", password="right")
        await v2.until_written('"token"')
        yield System(edge, native, v2)
        for client in list(edge.endpoint.clients.values()):
            client.closed()


async def test_one_message_visits_few_files(system: System) -> None:
    for _ in range(3):
        await system.send()
    for _ in range(MESSAGES):  # a heartbeat can raise the count of a message, and nothing can lower it
        visits = Visits()
        await system.send(visits)
        if visits.count <= MOST_VISITS and len(set(visits.files)) <= MOST_FILES:
            return
    pytest.fail(f"{visits.count} visits of {len(set(visits.files))} files: {visits.files}")


async def test_a_message_passes_the_functions_of_the_page_in_their_order(system: System) -> None:
    for _ in range(3):
        await system.send()
    visits = Visits()
    await system.send(visits)
    for heading, service in PARTS.items():
        calls = iter(visits.calls)
        lines = PAGE.split(f"### {heading}\n")[1].split("\n#")[0]
        listed = re.findall(r"^\d+\. `([\w.]+:[\w.]+)`", lines, re.MULTILINE)
        assert listed
        assert [one for one in listed if f"services.{service}.{one}" not in calls] == [], heading
