"""Caches the rosters of chats by version; loads changes since the cached version from session.

A roster is fresh while Redis confirms its version and session has announced no newer one, however old it is. If Redis
names another version, which session does not have, or a session of the version before has replied, which does not name
all, a roster is fresh for 30 s; if it names none (it is unreachable, or has lost it), for one second. After
announcements may have been lost, session is queried again for every chat.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping

from services.message.metrics import MessageMetrics
from services.message.service.roster import Roster
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId
from shared.contract.session import GetMembership, Membership, MembershipVersions
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_UNEXPLAINED_SECONDS = 30.0
"""Redis is ahead of a restored database, or behind until session publishes the version again; or session is older."""
_UNNAMED_SECONDS = 1.0
_MAX_MEMBERS = 500_000

RequestMembership = Callable[[GetMembership], Awaitable[Membership]]
"""Requests a page of a membership from session. Raises RequestError."""

NO_SUCH_CHAT = Failure(ErrorCode.NOT_FOUND, "there is no such chat", "chat")
MEMBERS_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the members of this chat cannot be read now, please try again")


class RosterCache:
    """The rosters of recently used chats, with at most `max_members` members in total."""

    def __init__(
        self,
        request_membership: RequestMembership,
        metrics: MessageMetrics,
        *,
        max_members: int = _MAX_MEMBERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request_membership = request_membership
        self._refreshes = metrics.refreshes
        self._max_members = max_members
        self._clock = clock
        self._rosters: OrderedDict[ChatId, Roster] = OrderedDict()
        self._members = 0
        self._loading: dict[ChatId, asyncio.Task[Roster | Failure]] = {}
        self._announced: dict[ChatId, int] = {}
        """Versions that are newer than the cached rosters, or than those that are being loaded."""
        self._trusted_since = 0.0
        """Rosters that were checked before may have missed an announcement."""
        self._tasks = Tasks()

    async def close(self) -> None:
        await self._tasks.close()

    def announce(self, versions: Mapping[ChatId, int]) -> None:
        """Session has changed the membership of these chats."""
        for chat, version in versions.items():
            roster = self._rosters.get(chat)
            if roster is not None and roster.version < version:
                roster.confirmed_version = roster.version  # Redis may have confirmed the number before a restore
            elif chat not in self._loading:
                continue
            self._announced[chat] = max(version, self._announced.get(chat, 0))

    def announcements_lost(self, _reason: str) -> None:
        self._trusted_since = self._clock()

    def announced(self, chat: ChatId) -> int:
        """The version that was announced since the cached roster was loaded, else 0."""
        return self._announced.get(chat, 0)

    def cached(self, chat: ChatId) -> Roster | None:
        """The roster that was loaded last, however old."""
        roster = self._rosters.get(chat)
        if roster is not None:
            self._rosters.move_to_end(chat)
        return roster

    def fresh(self, chat: ChatId, versions: Mapping[ChatId, int]) -> Roster | None:
        """The cached roster, unless session must be queried first. `versions`: those that Redis names now."""
        roster = self.cached(chat)
        version = versions.get(chat)
        if roster is None or max(version or 0, self.announced(chat)) > roster.confirmed_version:
            return None
        if roster.checked_at < self._trusted_since:
            return None
        if version == roster.version and roster.change_times is not None:
            return roster
        age = self._clock() - roster.checked_at
        return roster if age < (_UNNAMED_SECONDS if version is None else _UNEXPLAINED_SECONDS) else None

    async def load(
        self, chats: Collection[ChatId], versions: Mapping[ChatId, int], seconds: float | None = None
    ) -> dict[ChatId, Roster | Failure]:
        """The fresh roster of each chat, or the reason why there is none after `seconds`; session is queried for all
        concurrently, and the queries go on after that."""
        rosters = await asyncio.gather(*(self._load_within(chat, versions, seconds) for chat in chats))
        return dict(zip(chats, rosters, strict=True))

    async def _load_within(
        self, chat: ChatId, versions: Mapping[ChatId, int], seconds: float | None
    ) -> Roster | Failure:
        try:
            async with asyncio.timeout(seconds):
                return await self._load_roster(chat, versions)
        except TimeoutError:
            return MEMBERS_UNAVAILABLE

    async def _load_roster(self, chat: ChatId, versions: Mapping[ChatId, int]) -> Roster | Failure:
        while (roster := self.fresh(chat, versions)) is None:
            started_here = chat not in self._loading
            if started_here:
                task = self._tasks.start(self._request_roster(chat, versions.get(chat, 0)), "membership")
                self._loading[chat] = task
            loaded = await asyncio.shield(self._loading[chat])
            if started_here or isinstance(loaded, Failure):
                return loaded
        return roster

    async def _request_roster(self, chat: ChatId, version: int) -> Roster | Failure:
        try:
            return await self._refresh(chat, version)
        except RequestError as error:
            self._refreshes.labels(error.failure.code.value).inc()
            if error.failure.code is not ErrorCode.NOT_FOUND:
                return MEMBERS_UNAVAILABLE
            self._forget(chat)
            return NO_SUCH_CHAT
        except Exception:
            _log.exception("membership not loaded", chat=chat)
            return MEMBERS_UNAVAILABLE
        finally:
            del self._loading[chat]

    async def _refresh(self, chat: ChatId, version: int) -> Roster:
        started = self._clock()
        roster = self._rosters.get(chat) or Roster()
        since = roster.version
        unnamed = not version or version < roster.version
        pages = [page := await self._request_membership(GetMembership(chat, roster.version, unnamed=unnamed))]
        while page.more:
            last = page.members[-1]
            page = await self._request_membership(GetMembership(chat, roster.version, (last.version, last.account)))
            pages.append(page)
        self._refreshes.labels("ok").inc()
        self._forget(chat)
        # A member that changes between two pages moves behind the last one: all pages together have the last version.
        roster.update([member for page in pages for member in page.members], page.version)
        roster.pair = page.pair
        roster.only_sender = page.speaker
        roster.muted = page.muted
        roster.has_hooks = page.outgoing_hooks
        roster.change_times = page.change_times
        roster.confirmed_version = max(page.version, version)
        roster.checked_at = started
        if since not in (0, roster.version):
            roster.changed_at = started
        self._store(chat, roster)
        return roster

    def _store(self, chat: ChatId, roster: Roster) -> None:
        if self.announced(chat) <= roster.version:
            self._announced.pop(chat, None)
        self._rosters[chat] = roster
        self._members += len(roster.members)
        while self._members > self._max_members and len(self._rosters) > 1:
            self._forget(next(iter(self._rosters)))

    def _forget(self, chat: ChatId) -> None:
        roster = self._rosters.pop(chat, None)
        if roster is not None:
            self._members -= len(roster.members)
            if chat not in self._loading:
                self._announced.pop(chat, None)


_SILENCE_SECONDS = 3.5
_TICK_SECONDS = 1.0


class AnnouncementReceiver:
    """Receives session's announcements of membership versions, and notices that some may be missing: a process of
    session that dies may have committed a change that it announced neither on the bus nor in Redis.

    A process of session that is silent, and did not announce its end, makes all rosters doubtful. One of a version
    without heartbeats is never missed. Times are monotonic seconds."""

    def __init__(self, rosters: RosterCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._rosters = rosters
        self._clock = clock
        self._last_heard: dict[str, float] = {}

    def receive(self, message: MembershipVersions) -> None:
        self._rosters.announce(message.versions)
        if message.leaving:
            self._last_heard.pop(message.process, None)
        elif message.process:
            self._last_heard[message.process] = self._clock()

    async def run(self) -> None:
        """Notices silence until cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        latest = self._clock() - _SILENCE_SECONDS
        for process in [process for process, heard in self._last_heard.items() if heard < latest]:
            del self._last_heard[process]
            self._rosters.announcements_lost(f"silence of session {process}")
