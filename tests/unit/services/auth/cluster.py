"""The whole auth service on a real NATS, with an edge, and with the services that auth sends requests to."""

import asyncio
import email
import email.policy
from collections import deque
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.auth.app import serve
from shared.bus.client import Bus
from shared.contract.admin import SetMaintenance
from shared.contract.auth import Authenticated, IdentifierKind, Login, Origin, Register, Revocations, VerificationNeeded
from shared.contract.edge import EdgeEvent, Notify
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import AccountId, NodeId
from shared.contract.installation import DatabaseState, DescribeDatabase
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack, HasRoute, Route
from shared.contract.session import EraseAccount
from shared.contract.subjects import (
    ACCOUNT_DELETED,
    ACCOUNT_REGISTERED,
    AUTH_STATE,
    DESCRIBE_SESSION_DATABASE,
    ERASE_PROFILE,
    ERASE_READ_STATE,
    NOTIFY_ALL,
    notify,
)
from shared.settings import Settings
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS

N = TypeVar("N")
Q = TypeVar("Q")
R = TypeVar("R")

NODE = NodeId("edge-1-a1b2")


def plain(password: str) -> Secret:
    return Secret(Scheme.PLAIN, password)


class EdgeProbe:
    """A simulated edge that sends requests and receives notifications."""

    def __init__(self, nats: NatsServer) -> None:
        self.bus = Bus(nats.settings("edge"), "edge", CollectorRegistry())
        self.bus.subscribe(NOTIFY_ALL, self._on_notification)
        self.bus.subscribe(notify(NODE), self._on_notification)
        self.bus.subscribe(AUTH_STATE, self._on_state)
        self.state: Revocations | None = None
        """The last state that auth has announced."""
        self._decode = msgspec.msgpack.Decoder(Notify).decode
        self._events: deque[EdgeEvent] = deque()
        self._received = asyncio.Event()

    def _on_notification(self, payload: bytes) -> None:
        self._events.append(self._decode(payload).event)
        self._received.set()

    def _on_state(self, payload: bytes) -> None:
        self.state = msgspec.msgpack.decode(payload, type=Revocations)
        self._received.set()

    async def receive_state(self, right: Callable[[Revocations], bool]) -> Revocations:
        """Returns the first announced state of auth for which `right` is true."""
        async with asyncio.timeout(WAIT_SECONDS):
            while self.state is None or not right(self.state):
                self._received.clear()
                await self._received.wait()
        return self.state

    @property
    def has_received_nothing(self) -> bool:
        return not self._events

    async def receive(self, kind: type[N]) -> N:
        """Returns the next notification, which must be of this kind."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not self._events:
                self._received.clear()
                await self._received.wait()
        event = self._events.popleft()
        assert isinstance(event, kind)
        return event

    async def send(self, request: HasRoute[R]) -> R:
        return await self.bus.send(request, seconds=WAIT_SECONDS)

    async def request(self, route: Route[Q, R], request: Q) -> R:
        return await self.bus.request(route, request, seconds=WAIT_SECONDS)

    async def register(self, email: str = "", password: str = "secret", **more: Any) -> Authenticated:
        reply = await self.send(registration(email, password, **more))
        assert isinstance(reply, Authenticated)
        return reply

    async def login(self, email: str, password: str = "secret", **more: Any) -> Authenticated | VerificationNeeded:
        request = Login(kind=IdentifierKind.EMAIL, identifier=email, secret=plain(password), origin=ORIGIN)
        return await self.send(msgspec.structs.replace(request, **more))


ORIGIN = Origin(NODE, 7, "192.0.2.1")
ELSEWHERE = Origin(NodeId("edge-2"), 1, "198.51.100.1")


def registration(email: str = "", password: str = "secret", **more: Any) -> Register:
    request = Register(email=email, secret=plain(password), nickname="Ann", origin=ORIGIN)
    return msgspec.structs.replace(request, **more)


async def rejection(work: Awaitable[Any]) -> RequestError:
    """Returns the error reply to a request."""
    with pytest.raises(RequestError) as caught:
        await work
    return caught.value


async def rejection_code(work: Awaitable[Any]) -> ErrorCode:
    return (await rejection(work)).failure.code


async def logs_in(edge: EdgeProbe, email: str, secret: Secret) -> bool:
    try:
        await edge.login(email, secret=secret)
    except RequestError as error:
        return error.failure.code != ErrorCode.UNAUTHENTICATED
    return True


class ErasurePeer:
    """A simulated session or message service. It erases accounts, by request and by the durable event."""

    def __init__(self, nats: NatsServer, service: str, route: Route[EraseAccount, Ack]) -> None:
        self.bus = Bus(nats.settings(service), service, CollectorRegistry())
        self.erased: list[AccountId] = []
        self.registered: asyncio.Queue[AccountRegistered] = asyncio.Queue()
        self.deleted: asyncio.Queue[AccountDeleted] = asyncio.Queue()
        self.bus.serve(route, self._erase, queue=service)
        self.bus.consume(ACCOUNT_DELETED, self.deleted.put)
        if service == "session":
            self.bus.consume(ACCOUNT_REGISTERED, self.registered.put)

    async def _erase(self, request: EraseAccount) -> Ack:
        self.erased.append(request.account)
        return Ack()


class AuthCluster:
    """Replicas of auth, edges and other services, which a test starts as it needs them. `close` stops all of them."""

    def __init__(self, settings: Settings, nats: NatsServer) -> None:
        self.settings = settings
        self._nats = nats
        self._stopping = asyncio.Event()
        self._replicas: list[asyncio.Task[None]] = []
        self._buses: list[Bus] = []

    async def edge(self) -> EdgeProbe:
        """Starts an edge, and a session service without data. No account gets a number without a session service."""
        session = Bus(self._nats.settings("session"), "session", CollectorRegistry())
        session.serve(DESCRIBE_SESSION_DATABASE, self._describe, queue="session")
        edge = EdgeProbe(self._nats)
        await asyncio.gather(self._start(session), self._start(edge.bus))
        return edge

    async def _describe(self, _request: DescribeDatabase) -> DatabaseState:
        return DatabaseState()

    async def session(self) -> ErasurePeer:
        return await self._peer("session", ERASE_PROFILE)

    async def message(self) -> ErasurePeer:
        return await self._peer("message", ERASE_READ_STATE)

    async def operator(self) -> Bus:
        bus = Bus(self._nats.settings("admin"), "admin", CollectorRegistry())
        await self._start(bus)
        return bus

    async def set_maintenance(self, on: bool) -> None:
        """Sends the operator's request for maintenance mode."""
        await (await self.operator()).send(SetMaintenance(on))

    def start_auth(self) -> asyncio.Task[None]:
        """Starts one more replica of auth."""
        self._replicas.append(asyncio.get_running_loop().create_task(serve(self.settings, self._stopping)))
        return self._replicas[-1]

    async def stop_auth(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._replicas)
        self._replicas.clear()
        self._stopping.clear()

    def drop_auth(self) -> None:
        """Removes the replicas that have ended by themselves from the list."""
        self._replicas.clear()

    async def close(self) -> None:
        await asyncio.gather(self.stop_auth(), *(bus.stop() for bus in self._buses))

    async def mail(self, number: int = 1) -> str:
        """Waits until there are `number` mails, and returns the text of the newest one."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(mails := _mails(self.settings.mail.outbox)) < number:
                await asyncio.sleep(0.01)
        message = email.message_from_bytes(mails[-1].read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return str(message.get_content())

    async def _peer(self, service: str, route: Route[EraseAccount, Ack]) -> ErasurePeer:
        peer = ErasurePeer(self._nats, service, route)
        await self._start(peer.bus)
        return peer

    async def _start(self, bus: Bus) -> None:
        self._buses.append(bus)
        await bus.start()


def _mails(outbox: Path) -> list[Path]:
    return sorted(outbox.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
