"""Auth as its neighbours see it: the whole service on a real bus, with an edge and the peers it asks."""

import asyncio
import email
import email.policy
from collections import deque
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from prometheus_client import CollectorRegistry

from services.auth.app import serve
from shared.bus.client import Bus
from shared.contract.auth import (
    Authenticated,
    IdentifierKind,
    Login,
    Origin,
    Register,
    SetMaintenance,
    VerificationNeeded,
)
from shared.contract.edge import Notice, Notify
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import Scheme, Secret
from shared.contract.session import Ack, EraseAccount
from shared.contract.subjects import (
    ACCOUNT_DELETED,
    ACCOUNT_REGISTERED,
    ERASE_PROFILE,
    ERASE_READ_STATE,
    LOGIN,
    NOTIFY_ALL,
    REGISTER,
    SET_MAINTENANCE,
    Route,
    notify,
)
from shared.settings import Settings
from tests.support.servers import NatsServer

N = TypeVar("N")
Q = TypeVar("Q")
R = TypeVar("R")

NODE = NodeId("edge-1-a1b2")
WAIT_SECONDS = 10.0


def plain(password: str) -> Secret:
    return Secret(Scheme.PLAIN, password)


class Edge:
    """An edge node: it asks, and hears notices."""

    def __init__(self, nats: NatsServer) -> None:
        self.bus = Bus(nats.settings("edge"), "edge", CollectorRegistry())
        self.bus.subscribe(NOTIFY_ALL, self._hear)
        self.bus.subscribe(notify(NODE), self._hear)
        self._decode = msgspec.msgpack.Decoder(Notify).decode
        self._notices: deque[Notice] = deque()
        self._heard = asyncio.Event()

    def _hear(self, payload: bytes) -> None:
        self._notices.append(self._decode(payload).notice)
        self._heard.set()

    @property
    def has_heard_nothing(self) -> bool:
        return not self._notices

    async def hears(self, kind: type[N]) -> N:
        """The next notice, which is of this kind."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not self._notices:
                self._heard.clear()
                await self._heard.wait()
        notice = self._notices.popleft()
        assert isinstance(notice, kind)
        return notice

    async def ask(self, route: Route[Q, R], request: Q) -> R:
        return await self.bus.request(route, request, seconds=WAIT_SECONDS)

    async def register(self, email: str = "", password: str = "secret", **more: Any) -> Authenticated:
        answer = await self.ask(REGISTER, registration(email, password, **more))
        assert isinstance(answer, Authenticated)
        return answer

    async def login(self, email: str, password: str = "secret", **more: Any) -> Authenticated | VerificationNeeded:
        request = Login(kind=IdentifierKind.EMAIL, identifier=email, secret=plain(password), origin=ORIGIN)
        return await self.ask(LOGIN, msgspec.structs.replace(request, **more))


ORIGIN = Origin(NODE, 7, "192.0.2.1")


def registration(email: str = "", password: str = "secret", **more: Any) -> Register:
    request = Register(email=email, secret=plain(password), nickname="Ann", origin=ORIGIN)
    return msgspec.structs.replace(request, **more)


class Peer:
    """Session or message, as far as auth knows them: told to erase accounts, at once and by the event."""

    def __init__(self, nats: NatsServer, service: str, route: Route[EraseAccount, Ack]) -> None:
        self.bus = Bus(nats.settings(service), service, CollectorRegistry())
        self.asked: list[AccountId] = []
        self.registered: asyncio.Queue[AccountRegistered] = asyncio.Queue()
        self.deleted: asyncio.Queue[AccountDeleted] = asyncio.Queue()
        self.bus.serve(route, self._erase, queue=service)
        self.bus.consume(ACCOUNT_DELETED, self.deleted.put)
        if service == "session":
            self.bus.consume(ACCOUNT_REGISTERED, self.registered.put)

    async def _erase(self, request: EraseAccount) -> Ack:
        self.asked.append(request.account)
        return Ack()


class World:
    """Start what a test needs; everything is stopped in the end."""

    def __init__(self, settings: Settings, nats: NatsServer) -> None:
        self.settings = settings
        self._nats = nats
        self._stopping = asyncio.Event()
        self._auth: list[asyncio.Task[None]] = []
        self._buses: list[Bus] = []

    async def edge(self) -> Edge:
        edge = Edge(self._nats)
        await self._start(edge.bus)
        return edge

    async def session(self) -> Peer:
        return await self._peer("session", ERASE_PROFILE)

    async def message(self) -> Peer:
        return await self._peer("message", ERASE_READ_STATE)

    async def operator(self) -> Bus:
        bus = Bus(self._nats.settings("admin"), "admin", CollectorRegistry())
        await self._start(bus)
        return bus

    async def set_maintenance(self, on: bool) -> None:
        """As the operator does it."""
        await (await self.operator()).request(SET_MAINTENANCE, SetMaintenance(on))

    def auth(self) -> asyncio.Task[None]:
        """One more replica of the service."""
        self._auth.append(asyncio.get_running_loop().create_task(serve(self.settings, self._stopping)))
        return self._auth[-1]

    async def stop_auth(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._auth)
        self._auth.clear()
        self._stopping.clear()

    def forget_auth(self) -> None:
        """It has ended by itself."""
        self._auth.clear()

    async def close(self) -> None:
        await asyncio.gather(self.stop_auth(), *(bus.stop() for bus in self._buses))

    async def mail(self, number: int = 1) -> str:
        """The text of the newest mail, when there are so many."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(mails := _mails(self.settings.mail.outbox)) < number:
                await asyncio.sleep(0.01)
        message = email.message_from_bytes(mails[-1].read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return str(message.get_content())

    async def _peer(self, service: str, route: Route[EraseAccount, Ack]) -> Peer:
        peer = Peer(self._nats, service, route)
        await self._start(peer.bus)
        return peer

    async def _start(self, bus: Bus) -> None:
        self._buses.append(bus)
        await bus.start()


def _mails(outbox: Path) -> list[Path]:
    return sorted(outbox.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
