"""Auth, session and message as an edge meets them on the bus, with knobs for everything that can go wrong there."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus, Responder, pack
from shared.contract import subjects
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    ListRevocations,
    Login,
    Recover,
    Register,
    Revocation,
    Revocations,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.edge import (
    ChatCreated,
    Delivery,
    Envelope,
    Heartbeat,
    MaintenanceSet,
    MembershipChanged,
    Notice,
    Notify,
    Revoked,
    VerificationOpened,
)
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSynced, MarkRead, Posted, PostMessages, PostResults, Sync, SyncChat, Synced
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, Profile, ProfileSummary, Role, Segment
from shared.contract.session import (
    AccountView,
    Ack,
    ChatView,
    CreateChat,
    EnsureProfile,
    GetAccount,
    GetChat,
    GetProfileSummaries,
    ProfileSummaries,
)
from shared.database import now_ms
from shared.presence import Presence
from shared.tasks import Tasks
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.edge.devices import PATIENCE_SECONDS
from tests.unit.services.edge.world import World

ALL = NodeId("all")


class Neighbour:
    """One service's process. `asked` are the requests it got; `gates` hold them up by their type."""

    def __init__(self, name: str, server: NatsServer) -> None:
        self.bus = Bus(server.settings(name), name, CollectorRegistry())
        self.asked: list[Any] = []
        self.gates: dict[type[Any], asyncio.Event] = {}
        self._something = asyncio.Event()

    async def note(self, request: object) -> None:
        self.asked.append(request)
        self._something.set()
        if gate := self.gates.get(type(request)):
            await gate.wait()

    def close(self, kind: type[Any]) -> asyncio.Event:
        """Requests of this kind wait until the event is set."""
        gate = self.gates[kind] = asyncio.Event()
        return gate

    def open(self) -> None:
        """All gates."""
        for gate in self.gates.values():
            gate.set()

    def of(self, kind: type[Any]) -> list[Any]:
        return [request for request in self.asked if isinstance(request, kind)]

    async def until_asked(self, kind: type[Any], times: int = 1) -> None:
        await self._until(lambda: len(self.of(kind)) >= times)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._something.clear()
                await self._something.wait()


class Auth(Neighbour):
    """Anybody's secret is "right". With `withhold`, registrations and logins wait to be verified."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__("auth", server)
        self.withhold = False
        self.mails = True
        self.verified: set[str] = set()
        self.revocations: list[Revocation] = []
        self.maintenance = False
        self.time_limit_ms = 60_000
        self._accounts = 100
        self.bus.serve(subjects.LOGIN, self._login, queue="auth")
        self.bus.serve(subjects.REGISTER, self._register, queue="auth")
        self.bus.serve(subjects.LIST_REVOCATIONS, self._watch, queue="auth")
        self.bus.serve(subjects.SEND_VERIFICATION, self._mail, queue="auth")
        self.bus.serve(subjects.DELETE_ACCOUNT, self._delete, queue="auth")
        self.bus.serve(subjects.RECOVER, self._recover, queue="auth")

    async def _login(self, request: Login) -> Authenticated | VerificationNeeded:
        if request.secret.value != "right":
            raise RequestError(ErrorCode.UNAUTHENTICATED, "wrong")
        return await self._enter(request, AccountId(int(request.identifier)))

    async def _register(self, request: Register) -> Authenticated | VerificationNeeded:
        self._accounts += 1
        return await self._enter(request, AccountId(self._accounts))

    async def _enter(self, request: Login | Register, account: AccountId) -> Authenticated | VerificationNeeded:
        revision = len(self.revocations)
        await self.note(request)
        if self.withhold and request.ticket not in self.verified:
            return VerificationNeeded(f"ticket-{account}", now_ms() + self.time_limit_ms)
        return Authenticated(
            account=account, sid=secrets.token_hex(4), token="token", expires=2**31, uuid=f"uuid-{account}",
            nickname=f"name-{account}", revision=revision,
        )  # fmt: skip

    async def _mail(self, request: SendVerification) -> Ack:
        await self.note(request)
        if not self.mails:
            raise RequestError(ErrorCode.RATE_LIMITED, "enough mails were sent")
        return Ack()

    async def open_link(self, node: NodeId, connection: int, ticket: str, *, passed: bool = True) -> None:
        if passed:
            self.verified.add(ticket)
        await self.tell(VerificationOpened(ticket, connection, passed), node)

    async def _watch(self, request: ListRevocations) -> Revocations:
        news = [revocation for revocation in self.revocations if revocation.number > request.since]
        answer = Revocations(len(self.revocations), news[:100], self.maintenance, more=len(news) > 100)
        await self.note(request)
        return answer

    async def _delete(self, request: DeleteAccount) -> Ack:
        await self.revoke(request.actor)
        await self.note(request)
        return Ack()

    async def _recover(self, request: Recover) -> Ack:
        await self.revoke(int(request.username))
        await self.note(request)
        return Ack()

    async def revoke(self, account: int, *, sid: str = "", told: bool = True) -> None:
        revocation = Revocation(len(self.revocations) + 1, AccountId(account), sid, 0)
        self.revocations.append(revocation)
        if told:
            await self.tell(Revoked([revocation]))

    async def maintain(self, on: bool) -> None:
        self.maintenance = on
        await self.tell(MaintenanceSet(on))

    async def tell(self, notice: Notice, node: NodeId = ALL) -> None:
        await self.bus.publish(subjects.NOTIFY_ALL if node == ALL else subjects.notify(node), pack(Notify(notice)))


class Session(Neighbour):
    """Makes chats in the world and tells every edge, unless `silent`."""

    def __init__(self, server: NatsServer, world: World) -> None:
        super().__init__("session", server)
        self._world = world
        self.silent = False
        self.nicknames: dict[AccountId, str] = {}
        """Of those who are not called by their numbers."""
        self.uuids: dict[AccountId, str] = {}
        """The same."""
        self.nobody: set[AccountId] = set()
        """There are no such accounts, when they are asked for."""
        self.shows_profiles = False
        """Of many at once; before, it did not."""
        self.bus.serve(subjects.ENSURE_PROFILE, self._ensure, queue="session")
        self.bus.serve(subjects.GET_ACCOUNT, self._account, queue="session")
        self.bus.serve(subjects.CREATE_CHAT, self._create, queue="session")
        self.bus.serve(subjects.GET_CHAT, self._chat, queue="session")
        self.bus.serve(subjects.GET_PROFILE_SUMMARIES, self._faces, queue="session")

    async def _ensure(self, request: EnsureProfile) -> Ack:
        await self.note(request)
        return Ack()

    async def _account(self, request: GetAccount) -> AccountView:
        await self.note(request)
        if request.account in self.nobody:
            raise RequestError(ErrorCode.NOT_FOUND, "no such account")
        return AccountView(_profile(request.account))

    async def _faces(self, request: GetProfileSummaries) -> ProfileSummaries:
        names = {account: self.nicknames.get(account, f"name-{account}") for account in request.accounts}
        await self.note(request)
        if request.profiles:
            known = set(request.accounts) - self.nobody if self.shows_profiles else set()
            return ProfileSummaries({}, {account: _profile(account) for account in known})
        faces = {
            account: ProfileSummary(name, self.uuids.get(account, f"uuid-{account}")) for account, name in names.items()
        }
        return ProfileSummaries(faces)

    async def _create(self, request: CreateChat) -> ChatView:
        chat = await self.create(max(self._world.rooms, default=0) + 1, request.actor, *request.members)
        await self.note(request)
        return _view(chat, request.actor)

    async def _chat(self, request: GetChat) -> ChatView:
        await self.note(request)
        if request.chat in self._world.rooms and request.actor not in self._world.rooms[request.chat].members:
            raise RequestError(ErrorCode.FORBIDDEN, "not a member")
        return _view(request.chat, request.actor)

    async def create(self, number: int, *members: int) -> ChatId:
        room = self._world.room(number, *members)
        await self._tell(ChatCreated(room.chat, AccountId(members[0]), list(room.members), room.version))
        return room.chat

    async def join(self, chat: int, account: int, *, everything: bool = False) -> None:
        room = self._world.rooms[ChatId(chat)]
        room.join(account, everything=everything)
        first = room.members[AccountId(account)][0]
        await self._tell(MembershipChanged(room.chat, AccountId(account), Role.MEMBER, first, room.version))

    async def leave(self, chat: int, account: int) -> None:
        room = self._world.rooms[ChatId(chat)]
        room.leave(account)
        await self._tell(MembershipChanged(room.chat, AccountId(account), Role.LEFT, 0, room.version))

    async def _tell(self, notice: Notice) -> None:
        if not self.silent:
            await self.bus.publish(subjects.NOTIFY_ALL, pack(Notify(notice)))


def _profile(account: AccountId) -> Profile:
    return Profile(id=account, uuid="", nickname=f"name-{account}")


def _view(chat: ChatId, owner: AccountId) -> ChatView:
    return ChatView(Chat(id=chat, kind=ChatKind.GROUP, name="", owner=owner, join_policy=JoinPolicy.CLOSED), [owner])


async def _acknowledge() -> bool:
    return True


class MessageService(Neighbour):
    """One replica. What becomes of an envelope is what `on_envelope` makes of it, [] if it is lost; whether a request
    is answered at all, `on_answer` says; `refusals` are what the next drafts are told instead of being committed."""

    def __init__(self, server: NatsServer, valkey: ValkeyServer, world: World, *, beat_seconds: float = 0.5) -> None:
        super().__init__("message", server)
        self.replica = secrets.token_hex(4)
        self.world = world
        self.broadcast_members = 1_000
        self.refusals: list[Failure] = []
        self.unreadable: set[ChatId] = set()
        """There are no such chats, when they are asked for."""
        self.on_envelope: Callable[[NodeId, Envelope], list[Envelope]] = lambda node, envelope: [envelope]
        self.on_answer: Callable[[], Awaitable[bool]] = _acknowledge
        self.dies_after_commit = False
        self.beats = True
        self.taken = 0
        """Requests to post, also those that wait at a gate."""
        self.batches = 0
        self.answers = 0
        self._beat_seconds = beat_seconds
        self.presence = Presence(valkey.settings("message"))
        self._counters: dict[NodeId, int] = {}
        self._posts: asyncio.Queue[tuple[PostMessages, Responder]] = asyncio.Queue()
        self._tasks = Tasks()
        self.bus.serve_deferred(subjects.POST_MESSAGES, self._taken, queue="message")
        self.bus.serve(subjects.SYNC, self._sync, queue="message")
        self.bus.serve(subjects.SYNC_CHAT, self._sync_chat, queue="message")
        self.bus.serve(subjects.MARK_READ, self._mark_read, queue="message")

    async def start(self) -> None:
        await self.bus.start()
        self._tasks.start(self._post_all(), "posts")
        self._tasks.start(self._beat_all(), "heartbeats")

    async def stop(self) -> None:
        await self._tasks.close()
        await self.bus.stop()
        await self.presence.close()

    # Posting

    def _taken(self, request: PostMessages, responder: Responder) -> None:
        self._posts.put_nowait((request, responder))
        self.taken += 1
        self._something.set()

    async def _post_all(self) -> None:
        while True:
            request, responder = await self._posts.get()
            await self.note(request)
            outcomes = [self.refusals.pop(0) if self.refusals else self.world.commit(each) for each in request.drafts]
            if self.dies_after_commit:
                return
            await self.fan_out([outcome for outcome in outcomes if isinstance(outcome, Message)])
            self.batches += 1
            self._something.set()
            self._tasks.start(self._answer(outcomes, responder), "answer")

    async def _answer(self, outcomes: list[Message | Failure], responder: Responder) -> None:
        if await self.on_answer():
            posted = [Posted(one.id, one.index, one.time) if isinstance(one, Message) else None for one in outcomes]
            failures = {position: one for position, one in enumerate(outcomes) if isinstance(one, Failure)}
            await responder.reply(PostResults(posted, failures))
            self.answers += 1
            self._something.set()

    async def until_taken(self, requests: int) -> None:
        await self._until(lambda: self.taken >= requests)

    async def until_fanned_out(self, times: int = 1) -> None:
        await self._until(lambda: self.batches >= times)

    async def until_answered(self, times: int = 1) -> None:
        """So many posts have been acknowledged."""
        await self._until(lambda: self.answers >= times)

    async def say(self, chat: int, sender: int, *said: str | Segment) -> None:
        """Somebody elsewhere says something."""
        await self.fan_out(self.world.say(chat, sender, *said))

    async def fan_out(self, messages: list[Message]) -> None:
        pages: dict[NodeId, list[Delivery]] = {}
        for message in messages:
            room = self.world.rooms[message.chat]
            if len(room.members) >= self.broadcast_members:
                pages.setdefault(ALL, []).append(Delivery(message, None, room.version))
                continue
            members = [account for account, (first, _) in room.members.items() if first <= message.index]
            homes = (await self.presence.lookup(members)).nodes
            nodes: dict[NodeId, list[AccountId]] = {}
            for account in members:
                for node in (ALL,) if homes is None else homes.get(account, ()):
                    nodes.setdefault(node, []).append(account)
            for node, recipients in nodes.items():
                pages.setdefault(node, []).append(Delivery(message, recipients, room.version))
        for node, deliveries in pages.items():
            await self.send(node, deliveries)

    async def send(self, node: NodeId, deliveries: list[Delivery]) -> None:
        counter = self._counters[node] = self._counters.get(node, 0) + 1
        for envelope in self.on_envelope(node, Envelope(self.replica, 1, counter, deliveries)):
            await self.publish(node, envelope)

    async def publish(self, node: NodeId, envelope: Envelope) -> None:
        await self.bus.publish(subjects.BROADCAST if node == ALL else subjects.deliver(node), pack(envelope))

    @staticmethod
    def without(envelope: Envelope, account: int) -> Envelope:
        """The same envelope, but not for this account."""
        deliveries = [
            replace(one, recipients=[each for each in one.recipients or () if each != account])
            for one in envelope.deliveries
        ]
        return replace(envelope, deliveries=deliveries)

    async def _beat_all(self) -> None:
        while True:
            if self.beats:
                await self.beat()
            await asyncio.sleep(self._beat_seconds)

    async def beat(self) -> None:
        counters = {str(node): counter for node, counter in self._counters.items()}
        await self.bus.publish(subjects.HEARTBEAT, pack(Heartbeat(self.replica, 1, counters)))

    # Reading: the answer is a snapshot of the moment when the request came

    async def _sync(self, request: Sync) -> Synced:
        """As many as come together are noted one by one."""
        alone = [replace(request, account=account, also=[]) for account in (request.account, *request.also)]
        first, *others = [self.world.sync(each) for each in alone]
        for each in alone:
            await self.note(each)
        return replace(first, also=dict(zip(request.also, others, strict=True)))

    async def _sync_chat(self, request: SyncChat) -> ChatSynced:
        answer = self.world.sync_chat(request)
        await self.note(request)
        if request.chat in self.unreadable:
            raise RequestError(ErrorCode.NOT_FOUND, "no such chat")
        return answer

    async def _mark_read(self, request: MarkRead) -> Ack:
        await self.note(request)
        for span in request.ranges:
            self.world.mark_read(*span_of(span))
        return Ack()


def span_of(span: Any) -> tuple[int, int, int, int]:
    return span.account, span.chat, span.low, span.high
