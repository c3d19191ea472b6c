"""What others are told of a committed change: its version through Redis, and edges through NATS.

A version that Redis does not take is told again until it is. What is lost beyond that is harmless: a chat without a
version in Redis is asked for, durable events tell theirs again, and edges sync.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import nats.errors
from redis.exceptions import RedisError

from services.session.metrics import Metrics
from shared.bus.client import Bus, pack
from shared.contract.edge import (
    ChatCreated,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    MembershipChanged,
    Notify,
    ProfileChanged,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.subjects import NOTIFY_ALL, notify
from shared.presence import Presence
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)

_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
_TOGETHER_SECONDS = 0.05
_WAITING_CHATS = 10_000
_PAGE = 12_000
"""Recipients of one message on the bus: below 512 KiB, though each may be named three times, once with a number."""

Notice = (
    ChatCreated
    | MembershipChanged
    | MembershipApplied
    | MembershipAnswered
    | ChatRenamed
    | ProfileChanged
    | FriendshipRequested
    | FriendshipAnswered
)


class Told(NamedTuple):
    """A notice and whom it concerns; None: whoever is a member, as the edges know it."""

    notice: Notice
    recipients: Sequence[AccountId] | None


class Notices:
    def __init__(self, bus: Bus, presence: Presence, metrics: Metrics) -> None:
        self._bus = bus
        self._presence = presence
        self._metrics = metrics
        self._tasks = Tasks()
        self._untold: dict[ChatId, int] = {}
        self._catching_up: asyncio.Task[None] | None = None
        self._forgotten: dict[ChatId, int] = {}

    async def announce(self, versions: Mapping[ChatId, int], told: Iterable[Told] = ()) -> bool:
        """Publish the versions, then tell the edges; whether Redis took the versions. Never waits for Redis longer
        than its time-out, and not at all while it is known to be away."""
        published = await self._publish(versions)
        await self._tell(list(told), presence=published)
        return published

    async def insist(self, versions: Mapping[ChatId, int]) -> None:
        """Publish them, or raise Refused: it must be tried again."""
        if not await self.announce(versions):
            raise RequestError(ErrorCode.UNAVAILABLE, "the versions of chats are not published yet")

    async def close(self) -> None:
        await self._tasks.close()

    # Versions

    def remind(self, versions: Mapping[ChatId, int]) -> None:
        """Redis has forgotten these. It is told in a moment, once: whoever misses them asks again."""
        if not self._forgotten:
            self._tasks.start(self._remind(), "remind of versions")
        self._forgotten.update(versions)

    async def _remind(self) -> None:
        await asyncio.sleep(_TOGETHER_SECONDS)
        forgotten, self._forgotten = self._forgotten, {}
        try:
            await self._presence.publish_versions(forgotten)
        except RedisError as error:
            _log.debug("versions not published", chats=len(forgotten), error=repr(error))

    async def _publish(self, versions: Mapping[ChatId, int]) -> bool:
        if not self._untold:
            try:
                await self._presence.publish_versions(versions)
            except RedisError as error:
                _log.warning("versions not published, will be retried", chats=len(versions), error=repr(error))
            else:
                return True
        self._keep(versions)
        return False

    def _keep(self, versions: Mapping[ChatId, int]) -> None:
        for chat, version in versions.items():
            if chat in self._untold or len(self._untold) < _WAITING_CHATS:
                self._untold[chat] = max(version, self._untold.get(chat, 0))
            else:
                self._metrics.dropped.inc()
        self._metrics.untold.set(len(self._untold))
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = self._tasks.start(self._catch_up(), "publish versions")

    async def _catch_up(self) -> None:
        attempt = 0
        while self._untold:
            await asyncio.sleep(_PAUSES_SECONDS[min(attempt, len(_PAUSES_SECONDS) - 1)])
            attempt += 1
            told = dict(self._untold)
            try:
                await self._presence.publish_versions(told)
            except RedisError as error:
                _log.debug("versions not published", chats=len(told), error=repr(error))
                continue
            self._untold = {chat: version for chat, version in self._untold.items() if version > told.get(chat, 0)}
            self._metrics.untold.set(len(self._untold))

    # Notices

    async def _tell(self, told: Sequence[Told], presence: bool) -> None:
        accounts = {account for one in told for account in one.recipients or ()}
        homes = (await self._presence.lookup(accounts)).nodes if presence and accounts else None
        for notice, recipients in told:
            if recipients is None or homes is None:
                await self._send(NOTIFY_ALL, notice, recipients)
                continue
            for node, residents in _by_node(homes, recipients).items():
                await self._send(notify(node), notice, residents)

    async def _send(self, subject: str, notice: Notice, recipients: Sequence[AccountId] | None) -> None:
        kind, reach = type(notice).__name__, "all" if subject == NOTIFY_ALL else "node"
        for page in _pages(recipients):
            try:
                await self._bus.publish(subject, pack(Notify(_addressed(notice, page), page)))
            except nats.errors.Error as error:
                _log.warning("notice lost", kind=kind, error=repr(error))
                self._metrics.notices_lost.inc()
            else:
                self._metrics.notices.labels(kind, reach).inc()


def _by_node(
    homes: Mapping[AccountId, Sequence[NodeId]], recipients: Iterable[AccountId]
) -> dict[NodeId, list[AccountId]]:
    residents: dict[NodeId, list[AccountId]] = defaultdict(list)
    for account in recipients:
        for node in homes.get(account, ()):
            residents[node].append(account)
    return residents


def _pages(recipients: Sequence[AccountId] | None) -> Iterator[list[AccountId] | None]:
    if recipients is None:
        yield None
        return
    for start in range(0, len(recipients), _PAGE):
        yield list(recipients[start : start + _PAGE])


def _addressed(notice: Notice, page: list[AccountId] | None) -> Notice:
    """A notice names only those it goes to, as new members or as those it is kept for."""
    if page is None:
        return notice
    if not isinstance(notice, ChatCreated | FriendshipAnswered | MembershipAnswered):
        return notice
    kept = {account: number for account in page if (number := notice.kept.get(account)) is not None}
    if isinstance(notice, ChatCreated):
        return msgspec.structs.replace(notice, members=page, kept=kept)
    return msgspec.structs.replace(notice, kept=kept)
