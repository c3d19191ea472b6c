"""The message service on real servers, with edges, and with a session service whose replies a test prepares."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import TypeVar

import msgspec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from local.ports import free_port
from services.message.adapters.leadership import Leadership
from services.message.app import serve
from services.message.metrics import MessageMetrics
from services.message.store import open_database
from shared.bus.client import Bus, pack
from shared.clock import steady_ms
from shared.contract import subjects as on
from shared.contract.edge import Delivery, DeliveryBatch, Heartbeat
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import MemberPair, Role
from shared.contract.session import (
    ChangeTimes,
    ChatEntry,
    ChatList,
    GetMembership,
    ListChats,
    Member,
    Membership,
    MembershipVersions,
)
from shared.presence.store import Presence
from shared.settings import Settings
from shared.settings.messages import MessageSettings
from shared.settings.servers import DatabaseSettings, OpsSettings
from tests.support.databases import create_tables
from tests.support.ops_port import ops_get
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS

T = TypeVar("T")

ANN, BOB, CEM, DAN = (AccountId(number) for number in range(1, 5))
ROOM, HALL, LOFT = (ChatId(number) for number in range(101, 104))
NORTH, SOUTH = NodeId("north-1"), NodeId("south-1")
LEASE_SECONDS = 10.0

_decode_batch = msgspec.msgpack.Decoder(DeliveryBatch).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode


def sole_leadership() -> Leadership:
    """Returns the leadership of a replica that receives no heartbeats of others."""
    return Leadership(MessageSettings(), MessageMetrics(CollectorRegistry()))


async def wait_until(condition: Callable[[], bool]) -> None:
    """Polls until the condition holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


class FakeMembershipService:
    """A fake of session. It replies as session does, in pages of two, and publishes versions in presence."""

    def __init__(self, nats_server: NatsServer, valkey_server: ValkeyServer) -> None:
        self.bus = Bus(nats_server.settings("session"), "session", CollectorRegistry())
        self._presence = Presence(valkey_server.settings("session"))
        self._versions: dict[ChatId, int] = {}
        self._members: dict[ChatId, dict[AccountId, Member]] = {}
        self.requests: list[GetMembership] = []
        self.only_sender = NO_ACCOUNT
        """The only account that may send, in every chat."""
        self.muted: dict[AccountId, int] = {}
        self.pair: MemberPair | None = None
        """The pair of a private chat, for every chat."""
        self.change_times = ChangeTimes()
        """The times of changes, for every chat."""
        self.unavailable = False
        self.gate = asyncio.Event()
        """While this event is not set, requests for memberships get no reply."""
        self.gate.set()
        self.bus.serve(GetMembership.route, self._membership, queue="session")
        self.bus.serve(ListChats.route, self._chat_list, queue="session")

    async def close(self) -> None:
        await self.bus.stop()
        await self._presence.close()

    async def add_members(self, chat: ChatId, *accounts: int, first_index: int = 1, unread_from: int = 1) -> None:
        for account in accounts:
            await self.change_member(chat, account, Role.MEMBER, first_index, unread_from)

    async def remove_member(self, chat: ChatId, account: int) -> None:
        await self.change_member(chat, account, Role.LEFT, 1, 1)

    async def change_member(
        self,
        chat: ChatId,
        account: int,
        role: Role,
        first_index: int,
        unread_from: int,
        *,
        publish: bool = True,
        announce: bool = True,
    ) -> None:
        """Changes a member.

        `publish` writes the version to Redis, and `announce` sends it to the replicas of message.
        """
        version = self._versions[chat] = self._versions.get(chat, 0) + 1
        member = Member(AccountId(account), role, first_index, version, unread_from)
        self._members.setdefault(chat, {})[AccountId(account)] = member
        if announce:
            await self.bus.publish(on.NEW_VERSIONS, pack(MembershipVersions({chat: version})))
        if publish:
            await self._presence.publish_versions({chat: version})

    async def _membership(self, request: GetMembership) -> Membership:
        self.requests.append(request)
        await self.gate.wait()
        if self.unavailable:
            raise RequestError(ErrorCode.UNAVAILABLE, "unavailable")
        if request.chat not in self._versions:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such chat")
        after = max(tuple(request.after), (request.since, 2**63))
        rows = sorted(self._members[request.chat].values(), key=lambda member: (member.version, member.account))
        page = [member for member in rows if (member.version, member.account) > after]
        version, more = self._versions[request.chat], len(page) > 2
        return Membership(
            request.chat,
            version,
            page[:2],
            more=more,
            speaker=self.only_sender,
            muted=self.muted,
            pair=self.pair,
            change_times=self.change_times,
        )

    async def _chat_list(self, request: ListChats) -> ChatList:
        entries = [
            ChatEntry(chat, member.first_index, member.unread_from)
            for chat, members in sorted(self._members.items())
            if chat > request.after and (member := members.get(request.account)) and member.role is not Role.LEFT
        ]
        return ChatList(entries[:2], more=len(entries) > 2)


class EdgeNodes:
    """Two edge nodes on one connection. They record delivery batches in the order of arrival, and send requests."""

    def __init__(self, nats_server: NatsServer, valkey_server: ValkeyServer) -> None:
        self.bus = Bus(nats_server.settings("edge"), "edge", CollectorRegistry())
        self.presence = Presence(valkey_server.settings("edge"))
        self.batches: dict[str, list[DeliveryBatch]] = {NORTH: [], SOUTH: [], "all": []}
        self.empty_batches: dict[str, list[DeliveryBatch]] = {NORTH: [], SOUTH: [], "all": []}
        self.heartbeats: list[Heartbeat] = []
        self._nonces = count(secrets.randbits(60))
        self.last_nonce = Nonce(0)
        self.bus.subscribe(on.deliver(NORTH), self._recorder(NORTH))
        self.bus.subscribe(on.deliver(SOUTH), self._recorder(SOUTH))
        self.bus.subscribe(on.BROADCAST, self._recorder("all"))
        self.bus.subscribe(on.HEARTBEAT, self._record_heartbeat)

    def _recorder(self, node: str) -> Callable[[bytes], None]:
        """Returns a function that records the delivery batches of a node.

        Empty batches are recorded in a separate list.
        """

        def record(data: bytes) -> None:
            batch = _decode_batch(data)
            (self.batches if batch.deliveries else self.empty_batches)[node].append(batch)

        return record

    def _record_heartbeat(self, data: bytes) -> None:
        self.heartbeats.append(_decode_heartbeat(data))

    async def close(self) -> None:
        await self.bus.stop()
        await self.presence.close()

    async def join(self, node: NodeId, *accounts: AccountId) -> None:
        await self.presence.beat(node, LEASE_SECONDS)
        await self.presence.join(node, accounts)

    def draft(
        self,
        sender: AccountId,
        chat: ChatId,
        body: bytes = b"hi",
        *,
        nonce: int | None = None,
        seconds: float = WAIT_SECONDS,
    ) -> Draft:
        self.last_nonce = Nonce(next(self._nonces) if nonce is None else nonce)
        return Draft(sender, chat, self.last_nonce, int(steady_ms() + seconds * 1000), body)

    async def post(self, *drafts: Draft, seconds: float = WAIT_SECONDS) -> PostResults:
        return await self.bus.send(PostMessages(NORTH, list(drafts)), seconds=seconds)

    async def send(self, sender: AccountId, chat: ChatId, body: bytes = b"hi") -> Posted:
        """Posts one message, which must be committed."""
        (posted,) = (await self.post(self.draft(sender, chat, body))).posted
        assert posted is not None
        return posted

    def deliveries(self, node: str) -> list[Delivery]:
        return [delivery for batch in self.batches[node] for delivery in batch.deliveries]

    def received(self, node: str) -> list[tuple[ChatId, int, list[AccountId] | None]]:
        """Returns the chat, the index and the recipients of each delivery to a node, or to "all"."""
        return [
            (one.message.chat, one.message.index, one.recipients if one.recipients is None else sorted(one.recipients))
            for one in self.deliveries(node)
        ]


class MessageEnvironment:
    """A session service and edges, for replicas of message."""

    def __init__(self, nats_server: NatsServer, valkey_server: ValkeyServer) -> None:
        self.session = FakeMembershipService(nats_server, valkey_server)
        self.edges = EdgeNodes(nats_server, valkey_server)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["MessageEnvironment"]:
        await asyncio.gather(self.session.bus.start(), self.edges.bus.start())
        try:
            yield self
        finally:
            self.session.gate.set()
            await asyncio.gather(self.session.close(), self.edges.close())

    async def wait_for_replicas(self, replicas: int = 1) -> None:
        """Waits until this number of replicas have sent heartbeats."""
        await wait_until(lambda: len({beat.replica for beat in self.edges.heartbeats}) >= replicas)


def settings_for(
    nats_server: NatsServer, valkey_server: ValkeyServer, url: str, message: MessageSettings | None = None
) -> Settings:
    """Returns settings with a migrated database."""
    settings = Settings(
        nats=nats_server.settings("message"),
        redis=valkey_server.settings("message"),
        database=DatabaseSettings(url=SecretStr(url)),
        ops=OpsSettings(port=free_port()),
        message=message or MessageSettings(),
    )
    create_tables("message", settings.database_url("message"))
    return settings


def second_replica(settings: Settings) -> Settings:
    """Returns the settings of a second replica."""
    return settings.model_copy(update={"ops": OpsSettings(port=free_port())})


@contextlib.asynccontextmanager
async def running_replica(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """Runs a replica of message. When the event is set, the replica stops."""
    stopping = asyncio.Event()
    task = asyncio.create_task(serve(settings, stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await task


async def metric_value(settings: Settings, name: str) -> float:
    _, text = await ops_get(settings, "/metrics")
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


@contextlib.asynccontextmanager
async def locked_database(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """Inside this context, no other connection can commit, until the event is set."""
    database = open_database(settings.database_url("message"))
    is_locked, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_connection: object) -> None:
        loop.call_soon_threadsafe(is_locked.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    transaction = asyncio.create_task(database.write(hold))
    await is_locked.wait()
    try:
        yield release
    finally:
        release.set()
        await transaction
        await database.close()
