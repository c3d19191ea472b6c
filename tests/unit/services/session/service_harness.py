"""The whole service on real servers, and the other services and clients on NATS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from local.ports import free_port
from services.session.app import serve
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.auth import FindInactive, InactiveAccounts
from shared.contract.bots import CreatedBot, CreateWebhookAccount
from shared.contract.contacts import ListPendingEvents, PendingEvent, RequestFriendship
from shared.contract.edge import Notify
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.happenings import ListHappenings
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.installation import DatabaseState, DescribeDatabase
from shared.contract.message import GetHeads, GetHistory, Heads, History
from shared.contract.model import JoinPolicy, Message
from shared.contract.session import (
    AccountView,
    ChatView,
    CreateChat,
    EnsureProfile,
    EraseAccount,
    GetAccount,
    GetMembership,
    MembershipVersions,
)
from shared.contract.session import Membership as MembershipPage
from shared.contract.subjects import notify
from shared.presence.store import Presence
from shared.settings import Settings
from shared.settings.limits import LimitsSettings
from shared.settings.servers import DatabaseSettings, OpsSettings, RedisSettings
from tests.support.databases import create_tables
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS

T = TypeVar("T")

A, B = NodeId("edge-1-a"), NodeId("edge-2-b")
ANN, BOB, CEM, DAN = (AccountId(number) for number in (1, 2, 3, 4))
LOBBY = ChatId(1)

_decode = msgspec.msgpack.Decoder(Notify).decode


def _faceless(data: bytes) -> Notify:
    """Decodes an event and removes the profile summaries (`faces`) from it. `test_edge_notifier` tests these."""
    notified = _decode(data)
    event: Any = notified.event
    changes: dict[str, Any] = {"faces": {}} if hasattr(event, "faces") else {}
    for name in ("settings", "modes", "invited"):
        if (part := getattr(event, name, None)) is not None:
            changes[name] = msgspec.structs.replace(part, faces={})
    return msgspec.structs.replace(notified, event=msgspec.structs.replace(event, **changes))


async def eventually(probe: Callable[[], Awaitable[T]], right: Callable[[T], bool]) -> T:
    """Repeats the probe, and returns its first value for which `right` is true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not right(found := await probe()):
            await asyncio.sleep(0.02)
    return found


async def rejection(action: Awaitable[T]) -> Failure:
    try:
        await action
    except RequestError as rejected:
        return rejected.failure
    raise AssertionError("was not rejected")


def redis_settings(valkey_server: ValkeyServer, user: str) -> RedisSettings:
    return valkey_server.settings(user).model_copy(update={"timeout_seconds": WAIT_SECONDS})


class BusPeers:
    """An edge, auth, message and an operator, each with its own user of NATS."""

    def __init__(self, nats_server: NatsServer, valkey_server: ValkeyServer) -> None:
        self.edge, self.auth, self.message, self.admin = (
            Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("edge", "auth", "message", "admin")
        )
        self.presence = Presence(redis_settings(valkey_server, "edge"))
        self.heads: dict[ChatId, int] = {}
        self.revs: dict[ChatId, int] = {}
        """The last rev of each chat. If a chat is not listed, the reply is that of an older version of message."""
        self.head_replies_left: int | None = None
        """The number of GetHeads requests that message will still answer. If it is None, message answers all."""
        self.events: dict[str, list[Notify]] = {}
        self._announcements: list[MembershipVersions] = []
        self.message.subscribe(on.NEW_VERSIONS, self._record_announcement)
        self.message.serve(GetHeads.route, self._heads, queue="message")
        self.message.serve(on.DESCRIBE_MESSAGE_DATABASE, self._describe, queue="message")
        self.messages: dict[ChatId, list[Message]] = {}
        self.history_requests: list[GetHistory] = []
        self.history_is_forbidden = False
        self.message.serve(GetHistory.route, self._history, queue="message")
        self.inactive: set[AccountId] = set()
        self.auth.serve(FindInactive.route, self._find_inactive, queue="auth")
        self.auth.serve(CreateWebhookAccount.route, self._create_webhook_account, queue="auth")
        self.webhook_accounts: list[CreateWebhookAccount] = []

    def _record_announcement(self, data: bytes) -> None:
        self._announcements.append(msgspec.msgpack.decode(data, type=MembershipVersions))

    async def announcements(self) -> list[MembershipVersions]:
        """Returns the versions and heartbeats that session has sent to message so far."""
        return self._announcements

    async def _describe(self, _request: DescribeDatabase) -> DatabaseState:
        return DatabaseState()

    async def _heads(self, request: GetHeads) -> Heads:
        if self.head_replies_left is not None:
            if self.head_replies_left == 0:
                raise RequestError(ErrorCode.UNAVAILABLE, "later")
            self.head_replies_left -= 1
        heads = {chat: self.heads.get(chat, 0) for chat in request.chats}
        return Heads(heads, {chat: self.revs[chat] for chat in request.chats if chat in self.revs})

    async def _find_inactive(self, request: FindInactive) -> InactiveAccounts:
        return InactiveAccounts([one for one in request.accounts if one in self.inactive])

    async def _create_webhook_account(self, request: CreateWebhookAccount) -> CreatedBot:
        self.webhook_accounts.append(request)
        number = 900 + len(self.webhook_accounts)
        return CreatedBot(AccountId(number), f"u{number}", request.name, 1_000)

    async def _history(self, request: GetHistory) -> History:
        self.history_requests.append(request)
        if self.history_is_forbidden:
            raise RequestError(ErrorCode.FORBIDDEN, "you are in no such chat")
        found = [one for one in self.messages.get(request.chat, ()) if one.index >= request.start][: request.count]
        return History(found, self.heads.get(request.chat, 0))

    def subscribe(self, *nodes: NodeId) -> None:
        """Collects the events that are sent to these nodes and to all nodes. Call this before `running`."""
        for subject in (on.NOTIFY_ALL, *map(notify, nodes)):
            self.events[subject] = []
            self.edge.subscribe(subject, lambda data, subject=subject: self.events[subject].append(_faceless(data)))  # type: ignore[misc]

    async def wait_for_events(self, subject: str, count: int = 1) -> list[Notify]:
        """Waits until there are `count` events on a subject, and returns them."""

        async def probe() -> list[Notify]:
            return self.events[subject]

        return await eventually(probe, lambda found: len(found) >= count)

    async def register(self, *accounts: int, lobby: bool = False) -> None:
        for account in accounts:
            seed = EnsureProfile(account=AccountId(account), uuid=f"u{account}", nickname=f"n{account}", lobby=lobby)
            await self.edge.send(seed)

    async def create(
        self, *members: int, actor: int, name: str = "", join_policy: JoinPolicy = JoinPolicy.CLOSED
    ) -> ChatView:
        others = [AccountId(one) for one in members]
        request = CreateChat(members=others, name=name, join_policy=join_policy, actor=AccountId(actor))
        return await self.edge.send(request)

    async def befriend(self, one: AccountId, other: AccountId) -> None:
        for actor, account in ((one, other), (other, one)):
            await self.edge.send(RequestFriendship(account, actor=actor))

    async def view(self, account: AccountId, actor: AccountId, lists: bool = True) -> AccountView:
        return await self.edge.send(GetAccount(account, lists, actor=actor))

    async def pending_events(self, account: AccountId) -> list[PendingEvent]:
        return (await self.edge.send(ListPendingEvents(account))).kept

    async def pending_numbers(self, account: AccountId) -> dict[AccountId, int]:
        """Returns the number of the account's newest pending event, in the form of the field `kept`."""
        return dict.fromkeys([account], (await self.pending_events(account))[-1].number)

    async def erase(self, account: int) -> None:
        await self.auth.request(on.ERASE_PROFILE, EraseAccount(AccountId(account)))

    async def chats(self, account: int) -> list[ChatId] | None:
        request = GetAccount(AccountId(account), lists=True, actor=AccountId(account))
        return (await self.edge.send(request)).chats

    async def changes(self, chat: ChatId, since: int = 0) -> MembershipPage:
        return await self.message.send(GetMembership(chat, since))

    async def happened(self, chat: ChatId, actor: AccountId = ANN) -> list[int]:
        """Returns the times of the events in a group's history of happenings."""
        listed = await self.edge.send(ListHappenings(chat, 0, 2**53, 9, actor=actor))
        return [one.time for one in listed.happenings]

    async def version(self, chat: ChatId) -> int | None:
        """Returns the version that Redis contains."""
        return (await self.presence.lookup(chats=[chat])).versions.get(chat)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["BusPeers"]:
        buses = (self.edge, self.auth, self.message, self.admin)
        await asyncio.gather(*(bus.start() for bus in buses))
        try:
            yield self
        finally:
            await asyncio.gather(*(bus.stop() for bus in buses))
            await self.presence.close()


def settings_for(
    nats_server: NatsServer, valkey_server: ValkeyServer, database_url: str, limits: LimitsSettings | None = None
) -> Settings:
    """Returns settings with a migrated database."""
    settings = Settings(
        nats=nats_server.settings("session"),
        redis=redis_settings(valkey_server, "session"),
        database=DatabaseSettings(url=SecretStr(database_url)),
        ops=OpsSettings(port=free_port()),
        limits=limits or LimitsSettings(),
    )
    create_tables("session", settings.database_url("session"))
    return settings


@contextlib.asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[asyncio.Event]:
    """Runs a replica of session. When the event is set, the replica stops."""
    stopping = asyncio.Event()
    task = asyncio.create_task(serve(settings, stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await task
