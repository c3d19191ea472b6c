"""Publishes committed changes. Redis and the replicas of the message service get the new versions of chats, and the
edges get events.

If Redis does not store a version, the notifier tries again until Redis stores it. Meanwhile, the replicas get the
version from NATS. Other losses are also repaired. Readers request a chat whose version is missing in Redis. Durable
events publish their versions again. Replicas that were disconnected from NATS query session again. Edges synchronize
with session again. A process that dies between a commit and its announcement stops sending heartbeats; then the
replicas also query session again.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import nats.errors
from redis.exceptions import RedisError

from services.session.metrics import SessionMetrics
from services.session.service.ports import Notification
from shared.bus.client import Bus, pack
from shared.clock import until_next
from shared.contract.edge import (
    ChatCreated,
    ChatModesChanged,
    ChatRenamed,
    FriendshipAnswered,
    Invited,
    MembershipAnswered,
    MembershipChanged,
    Notify,
    SessionEvent,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.contract.session import MembershipVersions
from shared.contract.subjects import NEW_VERSIONS, NOTIFY_ALL, notify
from shared.presence.store import Presence
from shared.tasks import Tasks, growing_pauses
from shared.telemetry import log

_log = log(__name__)

ReadSummaries = Callable[[Sequence[AccountId]], Awaitable[Mapping[AccountId, ProfileSummary]]]

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 2.0
_REPUBLISH_DELAY_SECONDS = 0.05
_UNPUBLISHED_CHATS = 10_000
_HEARTBEAT_SECONDS = 1.0
_RECIPIENTS_PER_MESSAGE = 12_000
"""With this number, a NATS message stays below 512 KiB even if it lists each recipient three times, and once with a
number."""


class EdgeNotifier:
    """Implements the port ChangeNotifier."""

    def __init__(self, bus: Bus, presence: Presence, metrics: SessionMetrics, read_summaries: ReadSummaries) -> None:
        self._bus = bus
        self._presence = presence
        self._metrics = metrics
        self._read_summaries = read_summaries
        self._tasks = Tasks()
        self._unpublished: dict[ChatId, int] = {}
        self._retry_task: asyncio.Task[None] | None = None
        self._missing: dict[ChatId, int] = {}
        self._process = secrets.token_hex(8)

    async def publish(self, versions: Mapping[ChatId, int], notifications: Iterable[Notification] = ()) -> bool:
        """Publish the versions, then notify the edges. Returns whether Redis stored the versions. Waits for Redis until
        its time limit at most. While earlier versions are unpublished, does not wait for Redis."""
        await self._announce(versions)
        published = await self._publish_versions(versions)
        await self._notify(list(notifications), presence=published)
        return published

    async def publish_or_raise(self, versions: Mapping[ChatId, int]) -> None:
        if not await self.publish(versions):
            raise RequestError(ErrorCode.UNAVAILABLE, "versions of chats are not published yet, please try again")

    async def close(self) -> None:
        await self._tasks.close()

    # Heartbeats

    async def run(self) -> None:
        """Send heartbeats to the replicas of the message service until cancelled."""
        while True:
            await self._beat()
            await asyncio.sleep(until_next(_HEARTBEAT_SECONDS))

    async def announce_shutdown(self) -> None:
        """Announce to the replicas of the message service that this process ends, unless some of its versions are not
        stored in Redis."""
        if not self._unpublished:
            await self._beat(leaving=True)

    async def _beat(self, *, leaving: bool = False) -> None:
        await self._send_versions(MembershipVersions({}, self._process, leaving))

    # Versions

    def republish(self, versions: Mapping[ChatId, int]) -> None:
        """Publish versions that are missing in Redis. All versions that are reported within a moment are published by
        one call. A failure is not retried, because the next reader reports the versions again."""
        if not self._missing:
            self._tasks.start(self._republish(), "republish versions")
        self._missing.update(versions)

    async def _republish(self) -> None:
        await asyncio.sleep(_REPUBLISH_DELAY_SECONDS)
        missing, self._missing = self._missing, {}
        try:
            await self._presence.publish_versions(missing)
        except RedisError as error:
            _log.debug("versions not published", chats=len(missing), error=repr(error))

    async def _announce(self, versions: Mapping[ChatId, int]) -> None:
        if versions:
            await self._send_versions(MembershipVersions(dict(versions)))

    async def _send_versions(self, message: MembershipVersions) -> None:
        try:
            await self._bus.publish(NEW_VERSIONS, pack(message))
        except nats.errors.Error as error:
            _log.warning("versions not announced", chats=len(message.versions), error=repr(error))

    async def _publish_versions(self, versions: Mapping[ChatId, int]) -> bool:
        if not self._unpublished:
            try:
                await self._presence.publish_versions(versions)
            except RedisError as error:
                _log.warning("versions were not published: will be retried", chats=len(versions), error=repr(error))
            else:
                return True
        self._queue(versions)
        return False

    def _queue(self, versions: Mapping[ChatId, int]) -> None:
        """Queue the highest version of each chat for further attempts. If the queue is full, versions of further chats
        are dropped."""
        for chat, version in versions.items():
            if chat in self._unpublished or len(self._unpublished) < _UNPUBLISHED_CHATS:
                self._unpublished[chat] = max(version, self._unpublished.get(chat, 0))
            else:
                self._metrics.versions_dropped.inc()
        self._metrics.versions_unpublished.set(len(self._unpublished))
        if self._retry_task is None or self._retry_task.done():
            self._retry_task = self._tasks.start(self._retry_unpublished(), "publish versions")

    async def _retry_unpublished(self) -> None:
        pauses = growing_pauses(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while self._unpublished:
            await asyncio.sleep(next(pauses))
            sent = dict(self._unpublished)
            try:
                await self._presence.publish_versions(sent)
            except RedisError as error:
                _log.debug("versions not published", chats=len(sent), error=repr(error))
                continue
            self._unpublished = {
                chat: version for chat, version in self._unpublished.items() if version > sent.get(chat, 0)
            }
            self._metrics.versions_unpublished.set(len(self._unpublished))

    # Events

    async def _notify(self, notifications: Sequence[Notification], presence: bool) -> None:
        """Send each event to the nodes of its recipients, or to all nodes if the recipients' nodes are unknown."""
        accounts = {account for notification in notifications for account in notification.recipients or ()}
        nodes = (await self._presence.lookup(accounts)).nodes if presence and accounts else None
        for event, recipients in await self._with_summaries(notifications):
            if recipients is None or nodes is None:
                await self._send(NOTIFY_ALL, event, recipients)
                continue
            for node, local_accounts in _by_node(nodes, recipients).items():
                await self._send(notify(node), event, local_accounts)

    async def _with_summaries(self, notifications: Sequence[Notification]) -> Sequence[Notification]:
        """Add to events the profile summaries of the accounts that they name, so that edges need not request the
        summaries."""
        named = {account for one in notifications for account in _named(one.event)} - {NO_ACCOUNT}
        if not named:
            return notifications
        try:
            faces = await self._read_summaries(sorted(named))
        except RequestError as error:
            _log.warning("profile summaries not read", error=str(error))
            return notifications
        return [_with_summaries(one, faces) for one in notifications]

    async def _send(self, subject: str, event: SessionEvent, recipients: Sequence[AccountId] | None) -> None:
        kind, reach = type(event).__name__, "all" if subject == NOTIFY_ALL else "node"
        for page in _pages(recipients):
            try:
                await self._bus.publish(subject, pack(Notify(_restrict_to(event, page), page)))
            except nats.errors.Error as error:
                _log.warning("event lost", kind=kind, error=repr(error))
                self._metrics.events_lost.inc()
            else:
                self._metrics.events.labels(kind, reach).inc()


def _named(event: SessionEvent) -> tuple[AccountId, ...]:
    """The accounts whose profile summaries must be added to the event: the event names them, and contains no summaries
    yet."""
    match event:
        case MembershipChanged() if not event.faces:
            return event.account, event.by
        case MembershipAnswered() if event.accepted:
            return (event.account,)
        case ChatRenamed(invited=Invited(account=account)):
            return event.by, account
        case ChatRenamed(modes=ChatModesChanged(changes=changes)):
            return event.by, *(AccountId(int(one.text)) for one in changes if one.mode in "qov")
        case ChatRenamed():
            return (event.by,)
    return ()


def _with_summaries(one: Notification, known: Mapping[AccountId, ProfileSummary]) -> Notification:
    faces = {account: known[account] for account in _named(one.event) if account in known}
    if not faces:
        return one
    changes: dict[str, object] = {"faces": faces}
    for name in ("settings", "modes", "invited") if isinstance(one.event, ChatRenamed) else ():
        if (part := getattr(one.event, name)) is not None:
            changes[name] = msgspec.structs.replace(part, faces=faces)
    return one._replace(event=msgspec.structs.replace(one.event, **changes))


def _by_node(
    nodes: Mapping[AccountId, Sequence[NodeId]], recipients: Iterable[AccountId]
) -> dict[NodeId, list[AccountId]]:
    local_accounts: dict[NodeId, list[AccountId]] = defaultdict(list)
    for account in recipients:
        for node in nodes.get(account, ()):
            local_accounts[node].append(account)
    return local_accounts


def _pages(recipients: Sequence[AccountId] | None) -> Iterator[list[AccountId] | None]:
    if recipients is None:
        yield None
        return
    for start in range(0, len(recipients), _RECIPIENTS_PER_MESSAGE):
        yield list(recipients[start : start + _RECIPIENTS_PER_MESSAGE])


def _restrict_to(event: SessionEvent, page: list[AccountId] | None) -> SessionEvent:
    """The event with only the data that concerns these recipients."""
    if page is None:
        return event
    if not isinstance(event, ChatCreated | FriendshipAnswered | MembershipAnswered):
        return event
    numbers = {account: number for account in page if (number := event.kept.get(account)) is not None}
    if isinstance(event, ChatCreated):
        return msgspec.structs.replace(event, members=page, kept=numbers)
    return msgspec.structs.replace(event, kept=numbers)
