"""Fakes of auth, session and message on a real NATS. They have a switch for each failure."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus, Responder, pack
from shared.clock import now_ms
from shared.contract import subjects
from shared.contract.admin import AnnouncementsOpened, OpenAnnouncements, ReportMessage
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    Entrance,
    ListRevocations,
    Login,
    Register,
    Revocation,
    Revocations,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.contacts import BlockedMembers, FindBlockedMembers, FindWatchable, SetBlocked, WatchableAccounts
from shared.contract.drafts import DraftSaved, SavedDraft, SaveDraft
from shared.contract.edge import (
    ChatCreated,
    Delivery,
    DeliveryBatch,
    EdgeEvent,
    Heartbeat,
    MaintenanceSet,
    MembershipChanged,
    Notify,
    Revoked,
    VerificationOpened,
)
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId, DeviceId, NodeId
from shared.contract.message import (
    ChangeKind,
    ChangePage,
    ChatSynced,
    DeviceOpened,
    GetChanges,
    Marked,
    MarkRead,
    MarkUnread,
    MessageChange,
    OpenDevice,
    Posted,
    PostMessages,
    PostResults,
    ReadRange,
    Sync,
    SyncChat,
    Synced,
    UnreadMarked,
)
from shared.contract.model import Chat, ChatKind, JoinPolicy, Message, Profile, ProfileSummary, Role, Segment
from shared.contract.own_settings import OwnSettings, SetOwnSettings
from shared.contract.receipts import (
    FindReaders,
    FindReadIndexes,
    FindReceiptChats,
    Readers,
    ReadIndex,
    ReadIndexes,
    ReceiptChats,
)
from shared.contract.recovery import Recover, Recovered
from shared.contract.routes import Ack
from shared.contract.session import (
    AccountView,
    ChatsFound,
    ChatView,
    CreateChat,
    EnsureProfile,
    GetAccount,
    GetChat,
    GetChats,
    GetProfileSummaries,
    MemberSettings,
    MuteChat,
    PlaceChat,
    ProfileSummaries,
)
from shared.presence.store import Presence
from shared.tasks import Tasks
from tests.support.servers import NatsServer, ValkeyServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.fake_backend import FakeBackend

ALL = NodeId("all")
ANNOUNCEMENTS = 100
"""The chat with announcements for account 1. The numbers after it are those of the other accounts."""


class FakeService:
    """A fake process of a service. It notes its requests, and `gates` block them by their type."""

    def __init__(self, name: str, server: NatsServer) -> None:
        self.bus = Bus(server.settings(name), name, CollectorRegistry())
        self._name = name
        self.requests: list[Any] = []
        self.gates: dict[type[Any], asyncio.Event] = {}
        self._changed = asyncio.Event()

    async def record(self, request: object) -> None:
        self.requests.append(request)
        self._changed.set()
        if gate := self.gates.get(type(request)):
            await gate.wait()

    def serve(self, route: Any, reply: Callable[[Any], Any]) -> None:
        """Records requests of this route. The reply to each is made afterwards."""

        async def handle(request: Any) -> Any:
            await self.record(request)
            return reply(request)

        self.bus.serve(route, handle, queue=self._name)

    def block(self, kind: type[Any]) -> asyncio.Event:
        """Makes requests of this type wait until the event is set."""
        gate = self.gates[kind] = asyncio.Event()
        return gate

    def unblock_all(self) -> None:
        """Lets all blocked requests continue."""
        for gate in self.gates.values():
            gate.set()

    def requests_of(self, kind: type[Any]) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    async def until_requested(self, kind: type[Any], times: int = 1) -> None:
        await self._until(lambda: len(self.requests_of(kind)) >= times)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class FakeAuthService(FakeService):
    """A fake of auth in which each secret is "right". Logins may wait for a verification."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__("auth", server)
        self.requires_verification = False
        self.accepts_mails = True
        self.verified: set[str] = set()
        self.revocations: list[Revocation] = []
        self.maintenance = False
        self.entrance = Entrance(verified=True, by_question=False, by_mail=True, secret_min=8)
        self.time_limit_ms = 60_000
        self._accounts = 100
        self.bus.serve(Login.route, self._login, queue="auth")
        self.bus.serve(Register.route, self._register, queue="auth")
        self.bus.serve(ListRevocations.route, self._watch, queue="auth")
        self.bus.serve(SendVerification.route, self._mail, queue="auth")
        self.bus.serve(DeleteAccount.route, self._delete, queue="auth")
        self.bus.serve(Recover.route, self._recover, queue="auth")

    async def _login(self, request: Login) -> Authenticated | VerificationNeeded:
        if request.secret.value != "right":
            raise RequestError(ErrorCode.UNAUTHENTICATED, "wrong")
        return await self._enter(request, AccountId(int(request.identifier)))

    async def _register(self, request: Register) -> Authenticated | VerificationNeeded:
        self._accounts += 1
        return await self._enter(request, AccountId(self._accounts))

    async def _enter(self, request: Login | Register, account: AccountId) -> Authenticated | VerificationNeeded:
        revision = len(self.revocations)
        await self.record(request)
        if self.requires_verification and request.ticket not in self.verified:
            return VerificationNeeded(f"ticket-{account}", now_ms() + self.time_limit_ms)
        return Authenticated(
            account=account, sid=secrets.token_hex(4), token="token", expires=2**31, uuid=f"uuid-{account}",
            nickname=f"name-{account}", revision=revision,
        )  # fmt: skip

    async def _mail(self, request: SendVerification) -> Ack:
        await self.record(request)
        if not self.accepts_mails:
            raise RequestError(ErrorCode.RATE_LIMITED, "several mails were sent")
        return Ack()

    async def open_link(self, node: NodeId, connection: int, ticket: str, *, passed: bool = True) -> None:
        if passed:
            self.verified.add(ticket)
        await self.notify(VerificationOpened(ticket, connection, passed), node)

    async def _watch(self, request: ListRevocations) -> Revocations:
        news = [revocation for revocation in self.revocations if revocation.number > request.since]
        answer = Revocations(
            len(self.revocations),
            news[:100],
            self.maintenance,
            more=len(news) > 100,
            now=now_ms(),
            entrance=self.entrance,
        )
        await self.record(request)
        return answer

    async def _delete(self, request: DeleteAccount) -> Ack:
        await self.revoke(request.actor)
        await self.record(request)
        return Ack()

    async def _recover(self, request: Recover) -> Recovered:
        await self.revoke(int(request.username))
        await self.record(request)
        return Recovered()

    async def announce(self) -> None:
        """Makes the announcement that each replica of auth makes every second, except in the previous version."""
        state = Revocations(len(self.revocations), [], self.maintenance, now=now_ms())
        await self.bus.publish(subjects.AUTH_STATE, pack(state))

    async def revoke(self, account: int, *, sid: str = "", notified: bool = True) -> None:
        revocation = Revocation(len(self.revocations) + 1, AccountId(account), sid, 0)
        self.revocations.append(revocation)
        if notified:
            await self.notify(Revoked([revocation]))

    async def set_maintenance(self, on: bool) -> None:
        self.maintenance = on
        await self.notify(MaintenanceSet(on))

    async def notify(self, event: EdgeEvent, node: NodeId = ALL) -> None:
        await self.bus.publish(subjects.NOTIFY_ALL if node == ALL else subjects.notify(node), pack(Notify(event)))


class FakeSessionService(FakeService):
    """A fake of session that creates chats in the backend. It notifies every edge, unless it is `silent`."""

    def __init__(self, server: NatsServer, backend: FakeBackend) -> None:
        super().__init__("session", server)
        self._backend = backend
        self.silent = False
        self.events_have_since = True
        """Whether events of joins have the field `since`. The previous release does not send this field."""
        self.nicknames: dict[AccountId, str] = {}
        """The nicknames of accounts. An account that is not listed has its number as its name."""
        self.uuids: dict[AccountId, str] = {}
        """The UUIDs of accounts. The UUID of an account that is not listed is made from its number."""
        self.missing_accounts: set[AccountId] = set()
        """Accounts that requests do not find."""
        self.blocked_members: set[tuple[AccountId, ChatId]] = set()
        """Members of private chats that the other member has blocked."""
        self.unwatchable: set[AccountId] = set()
        """Accounts whose presence others may not see."""
        self.without_receipts: set[ChatId] = set()
        """Chats in which members do not see which messages others have read."""
        self.opens_announcements = True
        """Whether announcement chats can be opened."""
        self.shows_profiles = False
        """Whether the service replies to a request for several profiles, as newer versions do."""
        for route in (EnsureProfile.route, SetBlocked.route, MuteChat.route, ReportMessage.route):
            self.serve(route, lambda _: Ack())
        self.serve(PlaceChat.route, lambda request: MemberSettings(pinned=request.pinned is True, archived=True))
        self.serve(SetOwnSettings.route, lambda _: OwnSettings(7, level="none"))
        self.serve(
            FindWatchable.route,
            lambda request: WatchableAccounts([one for one in request.accounts if one not in self.unwatchable]),
        )
        self.bus.serve(GetAccount.route, self._account, queue="session")
        self.bus.serve(CreateChat.route, self._create, queue="session")
        self.bus.serve(GetChat.route, self._chat, queue="session")
        self.bus.serve(GetProfileSummaries.route, self._profile_summaries, queue="session")
        self.bus.serve(GetChats.route, self._chats, queue="session")
        self.bus.serve(OpenAnnouncements.route, self._open_announcements, queue="session")
        self.bus.serve(FindBlockedMembers.route, self._find_blocked, queue="session")
        self.bus.serve(FindReceiptChats.route, self._find_receipt_chats, queue="session")

    async def _account(self, request: GetAccount) -> AccountView:
        await self.record(request)
        if request.account in self.missing_accounts:
            raise RequestError(ErrorCode.NOT_FOUND, "no such account")
        return AccountView(_profile(request.account))

    async def _find_receipt_chats(self, request: FindReceiptChats) -> ReceiptChats:
        await self.record(request)
        shown = [chat for chat in request.chats if chat not in self.without_receipts]
        return ReceiptChats({chat: len(self._backend.chats[chat].members) for chat in shown})

    async def _find_blocked(self, request: FindBlockedMembers) -> BlockedMembers:
        await self.record(request)
        return BlockedMembers([one for one in request.members if one in self.blocked_members])

    async def _profile_summaries(self, request: GetProfileSummaries) -> ProfileSummaries:
        names = {account: self.nicknames.get(account, f"name-{account}") for account in request.accounts}
        await self.record(request)
        if request.profiles:
            known = set(request.accounts) - self.missing_accounts if self.shows_profiles else set()
            return ProfileSummaries({}, {account: _profile(account) for account in known})
        summaries = {
            account: ProfileSummary(name, self.uuids.get(account, f"uuid-{account}")) for account, name in names.items()
        }
        return ProfileSummaries(summaries)

    async def _create(self, request: CreateChat) -> ChatView:
        chat = await self.create(max(self._backend.chats, default=0) + 1, request.actor, *request.members)
        await self.record(request)
        return _view(chat, request.actor)

    async def _chat(self, request: GetChat) -> ChatView:
        await self.record(request)
        if request.chat in self._backend.chats and request.actor not in self._backend.chats[request.chat].members:
            raise RequestError(ErrorCode.FORBIDDEN, "not a member")
        return _view(request.chat, request.actor)

    async def _chats(self, request: GetChats) -> ChatsFound:
        await self.record(request)
        views = [replace(_view(chat, request.actor).chat, name=f"chat {chat}") for chat in request.chats]
        return ChatsFound(views)

    async def _open_announcements(self, request: OpenAnnouncements) -> AnnouncementsOpened:
        await self.record(request)
        if not self.opens_announcements:
            raise RequestError(ErrorCode.INTERNAL, "not now")
        for account in request.accounts:
            if ChatId(ANNOUNCEMENTS + account - 1) not in self._backend.chats:
                await self.create(ANNOUNCEMENTS + account - 1, SYSTEM_ACCOUNT, account)
        chats = {account: ChatId(ANNOUNCEMENTS + account - 1) for account in request.accounts}
        return AnnouncementsOpened(chats, ProfileSummary("system", "uuid-system"))

    async def create(self, number: int, *members: int) -> ChatId:
        room = self._backend.add_chat(number, *members)
        await self._notify(ChatCreated(room.chat, AccountId(members[0]), list(room.members), room.version))
        return room.chat

    async def join(self, chat: int, account: int, *, everything: bool = False) -> None:
        room = self._backend.chats[ChatId(chat)]
        since = room.version
        room.join(account, everything=everything)
        first = room.members[AccountId(account)][0]
        joined = MembershipChanged(room.chat, AccountId(account), Role.MEMBER, first, room.version, since)
        await self._notify(joined if self.events_have_since else replace(joined, since=0))

    async def leave(self, chat: int, account: int) -> None:
        room = self._backend.chats[ChatId(chat)]
        room.leave(account)
        await self._notify(MembershipChanged(room.chat, AccountId(account), Role.LEFT, 0, room.version))

    async def _notify(self, event: EdgeEvent) -> None:
        if not self.silent:
            await self.bus.publish(subjects.NOTIFY_ALL, pack(Notify(event)))


def _profile(account: AccountId) -> Profile:
    return Profile(id=account, uuid="", nickname=f"name-{account}")


def _view(chat: ChatId, owner: AccountId) -> ChatView:
    return ChatView(Chat(id=chat, kind=ChatKind.GROUP, name="", owner=owner, join_policy=JoinPolicy.CLOSED), [owner])


async def _acknowledge() -> bool:
    return True


class FakeMessageService(FakeService):
    """A fake replica of message.

    `on_batch` returns the delivery batches to publish in place of one, or [] if the batch is lost. `on_reply` decides
    whether a request gets a reply. The next drafts are rejected with `failures` instead of being committed.
    """

    def __init__(self, server: NatsServer, valkey: ValkeyServer, backend: FakeBackend) -> None:
        super().__init__("message", server)
        self.replica = secrets.token_hex(4)
        self.backend = backend
        self.broadcast_members = 1_000
        self.failures: list[Failure] = []
        self.unreadable: set[ChatId] = set()
        """Chats that requests do not find."""
        self.on_batch: Callable[[NodeId, DeliveryBatch], list[DeliveryBatch]] = lambda node, batch: [batch]
        self.on_reply: Callable[[], Awaitable[bool]] = _acknowledge
        self.dies_after_commit = False
        self.beats = True
        self.received = 0
        """The number of PostMessages requests, including those that are blocked."""
        self.batches = 0
        self.replies = 0
        self.presence = Presence(valkey.settings("message"))
        self.bus.subscribe(subjects.PRESENCE_INCOMPLETE, self.presence.receive_incomplete)
        self._counters: dict[NodeId, int] = {}
        self._posts: asyncio.Queue[tuple[PostMessages, Responder]] = asyncio.Queue()
        self._tasks = Tasks()
        self.bus.serve_deferred(PostMessages.route, self._receive, queue="message")
        self.bus.serve(Sync.route, self._sync, queue="message")
        self.bus.serve(SyncChat.route, self._sync_chat, queue="message")
        self.bus.serve(MarkRead.route, self._mark_read, queue="message")
        self.bus.serve(FindReaders.route, self._readers, queue="message")
        self.bus.serve(FindReadIndexes.route, self._read_indexes, queue="message")
        self.bus.serve(MarkUnread.route, self._mark_unread, queue="message")
        self.bus.serve(SaveDraft.route, self._save_draft, queue="message")
        self.bus.serve(GetChanges.route, self._changes, queue="message")
        self.bus.serve(OpenDevice.route, self._open_device, queue="message")

    async def start(self) -> None:
        await self.bus.start()
        self._tasks.start(self._post_all(), "posts")
        self._tasks.start(self._beat_all(), "heartbeats")

    async def stop(self) -> None:
        await self._tasks.close()
        await self.bus.stop()
        await self.presence.close()

    # Posting

    def _receive(self, request: PostMessages, responder: Responder) -> None:
        self._posts.put_nowait((request, responder))
        self.received += 1
        self._changed.set()

    async def _post_all(self) -> None:
        while True:
            request, responder = await self._posts.get()
            await self.record(request)
            results = [self.failures.pop(0) if self.failures else self.backend.commit(each) for each in request.drafts]
            if self.dies_after_commit:
                return
            await self.fan_out([result for result in results if isinstance(result, Message)])
            self.batches += 1
            self._changed.set()
            self._tasks.start(self._reply(results, responder), "answer")

    async def _reply(self, results: list[Message | Failure], responder: Responder) -> None:
        if await self.on_reply():
            posted = [Posted(one.id, one.index, one.time) if isinstance(one, Message) else None for one in results]
            failures = {position: one for position, one in enumerate(results) if isinstance(one, Failure)}
            await responder.reply(PostResults(posted, failures))
            self.replies += 1
            self._changed.set()

    async def until_received(self, requests: int) -> None:
        await self._until(lambda: self.received >= requests)

    async def until_fanned_out(self, times: int = 1) -> None:
        await self._until(lambda: self.batches >= times)

    async def until_replied(self, times: int = 1) -> None:
        """Waits until this number of posts have been acknowledged."""
        await self._until(lambda: self.replies >= times)

    async def send_texts(
        self, chat: int, sender: int, *texts: str | Segment, lost: bool = False, without: int = 0
    ) -> None:
        """Commits and delivers messages of a sender elsewhere. Their batches may be `lost`, or not name `without`."""
        before = self.on_batch
        if lost or without:
            self.on_batch = lambda _, batch: [] if lost else [self.without(batch, without)]
        await self.fan_out(self.backend.commit_texts(chat, sender, *texts))
        self.on_batch = before

    async def fan_out(self, messages: list[Message]) -> None:
        pages: dict[NodeId, list[Delivery]] = {}
        for message in messages:
            room = self.backend.chats[message.chat]
            if len(room.members) >= self.broadcast_members:
                pages.setdefault(ALL, []).append(Delivery(message, None, room.version))
                continue
            members = [account for account, (first, _) in room.members.items() if first <= message.index]
            presence = (await self.presence.lookup(members)).nodes
            nodes: dict[NodeId, list[AccountId]] = {}
            for account in members:
                for node in (ALL,) if presence is None else presence.get(account, ()):
                    nodes.setdefault(node, []).append(account)
            for node, recipients in nodes.items():
                pages.setdefault(node, []).append(Delivery(message, recipients, room.version))
        for node, deliveries in pages.items():
            await self.send_batch(node, deliveries)

    async def send_batch(self, node: NodeId, deliveries: list[Delivery]) -> None:
        counter = self._counters[node] = self._counters.get(node, 0) + 1
        for batch in self.on_batch(node, DeliveryBatch(self.replica, 1, counter, deliveries)):
            await self.publish(node, batch)

    async def publish(self, node: NodeId, batch: DeliveryBatch) -> None:
        await self.bus.publish(subjects.BROADCAST if node == ALL else subjects.deliver(node), pack(batch))

    @staticmethod
    def without(batch: DeliveryBatch, account: int) -> DeliveryBatch:
        """Returns the same delivery batch without this recipient."""
        deliveries = [
            replace(one, recipients=[each for each in one.recipients or () if each != account])
            for one in batch.deliveries
        ]
        return replace(batch, deliveries=deliveries)

    async def _beat_all(self) -> None:
        while True:
            if self.beats:
                await self.beat()
            await asyncio.sleep(0.5)

    async def beat(self) -> None:
        """Sends a heartbeat, and the empty batches that follow the last batch to each node."""
        counters = {str(ALL): self._counters[ALL]} if ALL in self._counters else {}
        for node in self._counters.keys() - {ALL}:
            self._counters[node] += 1
            await self.publish(node, DeliveryBatch(self.replica, 1, self._counters[node], []))
        await self.bus.publish(subjects.HEARTBEAT, pack(Heartbeat(self.replica, 1, counters, now=now_ms())))

    # The methods below reply to reads from a snapshot, taken at the moment when the request arrived.

    async def _sync(self, request: Sync) -> Synced:
        """Replies to a sync. A request for several accounts is recorded as one request for each account."""
        alone = [replace(request, account=account, also=[]) for account in (request.account, *request.also)]
        first, *others = [self.backend.sync(each) for each in alone]
        for each in alone:
            await self.record(each)
        return replace(first, also=dict(zip(request.also, others, strict=True)))

    async def _changes(self, request: GetChanges) -> ChangePage:
        """Returns the last change of the chat, which recalls its first message."""
        await self.record(request)
        rev = self.backend.chats[request.chat].rev
        change = MessageChange(request.chat, rev, 1, ChangeKind.RECALL, NO_ACCOUNT, 0)
        return ChangePage([change] if rev > request.after else [], rev)

    async def _sync_chat(self, request: SyncChat) -> ChatSynced:
        answer = self.backend.sync_chat(request)
        await self.record(request)
        if request.chat in self.unreadable:
            raise RequestError(ErrorCode.NOT_FOUND, "no such chat")
        return answer

    async def _mark_read(self, request: MarkRead) -> Marked:
        await self.record(request)
        for span in request.ranges:
            self.backend.mark_delivered(*span_of(span))
        return Marked()

    async def _save_draft(self, request: SaveDraft) -> DraftSaved:
        """Saves a draft. The next draft has the `rev` two."""
        await self.record(request)
        return DraftSaved(conflict=SavedDraft(2, "hi")) if request.base > 1 else DraftSaved(2)

    async def _open_device(self, request: OpenDevice) -> DeviceOpened:
        return DeviceOpened(DeviceId(1))

    async def _mark_unread(self, request: MarkUnread) -> UnreadMarked:
        await self.record(request)
        self.backend.mark_unread(request.actor, request.chat, request.index)
        return UnreadMarked(len(self.backend.unread(request.actor, request.chat)), 0)

    async def _readers(self, request: FindReaders) -> Readers:
        await self.record(request)
        chat, index = request.chat, request.index
        members = sorted(self.backend.chats[chat].members)
        read = [one for one in members if self.backend.cursor(one, chat).read_index >= index]
        return Readers(len(read), read)

    async def _read_indexes(self, request: FindReadIndexes) -> ReadIndexes:
        await self.record(request)
        return ReadIndexes(
            [
                ReadIndex(
                    account,
                    chat,
                    self.backend.cursor(account, chat).read_index,
                    len(self.backend.unread(account, chat)) if request.counts else 0,
                    unread_from=self.backend.cursor(account, chat).unread_from or 0,
                )
                for account, chat in request.members
                if account in self.backend.chats[chat].members
            ]
        )


def span_of(span: ReadRange) -> tuple[int, int, int, int, int]:
    return span.account, span.chat, span.low, span.high, span.read
