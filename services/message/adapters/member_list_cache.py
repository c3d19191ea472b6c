"""Caches the member lists of chats by version, and loads the changes since the cached version from the session service.

A member list is fresh while Redis confirms the list's version and session has announced no newer version, however old
the list is. If Redis names a version that the session service does not have, the list is fresh for 30 s. If Redis names
no version, because Redis is unreachable or has lost the version, the list is fresh for one second. When announcements
may have been lost, the session service is queried again for every chat.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping

from services.message.metrics import MessageMetrics
from services.message.service.member_list import ChatMembers
from shared.clock import until_next
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId
from shared.contract.session import ChangeTimes, GetMembership, Membership, MembershipVersions
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_UNEXPLAINED_SECONDS = 30.0
"""A member list counts as fresh for this time while Redis and session disagree about its version. Redis may have a
higher version than a restored database. It may have a lower version until session publishes the version again."""
_UNNAMED_SECONDS = 1.0
_MAX_MEMBERS = 500_000

RequestMembership = Callable[[GetMembership], Awaitable[Membership]]
"""Requests one page of a chat's members from the session service. Raises RequestError."""

NO_SUCH_CHAT = Failure(ErrorCode.NOT_FOUND, "there is no such chat", "chat")
MEMBERS_UNAVAILABLE = Failure(ErrorCode.UNAVAILABLE, "the members of this chat cannot be read now, please try again")


class MemberListCache:
    """Caches the member lists of recently used chats, with at most `max_members` members in total. Implements
    services.message.service.ports.MemberListPort."""

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
        self._member_lists: OrderedDict[ChatId, ChatMembers] = OrderedDict()
        self._members = 0
        self._loading: dict[ChatId, asyncio.Task[ChatMembers | Failure]] = {}
        self._announced: dict[ChatId, int] = {}
        """The announced versions that are newer than the cached member lists, or than the lists being loaded."""
        self._trusted_since = 0.0
        """If a list was last checked before this time, an announcement about it may have been lost."""
        self._tasks = Tasks()

    async def close(self) -> None:
        await self._tasks.close()

    def announce(self, versions: Mapping[ChatId, int]) -> None:
        """Note that the session service has changed the membership of these chats."""
        for chat, version in versions.items():
            member_list = self._member_lists.get(chat)
            if member_list is not None and member_list.version < version:
                member_list.confirmed_version = (
                    member_list.version
                )  # Redis may have confirmed this version before a restore
            elif chat not in self._loading:
                continue
            self._announced[chat] = max(version, self._announced.get(chat, 0))

    def announcements_lost(self, _reason: str) -> None:
        self._trusted_since = self._clock()

    def announced(self, chat: ChatId) -> int:
        """The version announced since the cached member list was loaded; 0 if none was announced."""
        return self._announced.get(chat, 0)

    def cached(self, chat: ChatId) -> ChatMembers | None:
        """The member list that was loaded last, however old it is."""
        member_list = self._member_lists.get(chat)
        if member_list is not None:
            self._member_lists.move_to_end(chat)
        return member_list

    def fresh(self, chat: ChatId, versions: Mapping[ChatId, int]) -> ChatMembers | None:
        member_list = self.cached(chat)
        version = versions.get(chat)
        if member_list is None or max(version or 0, self.announced(chat)) > member_list.confirmed_version:
            return None
        if member_list.checked_at < self._trusted_since:
            return None
        if version == member_list.version:
            return member_list
        age = self._clock() - member_list.checked_at
        return member_list if age < (_UNNAMED_SECONDS if version is None else _UNEXPLAINED_SECONDS) else None

    async def load(
        self, chats: Collection[ChatId], versions: Mapping[ChatId, int], seconds: float | None = None
    ) -> dict[ChatId, ChatMembers | Failure]:
        """Session is queried for all chats concurrently. Queries that take longer than `seconds` continue in the
        background."""
        member_lists = await asyncio.gather(*(self._load_within(chat, versions, seconds) for chat in chats))
        return dict(zip(chats, member_lists, strict=True))

    async def _load_within(
        self, chat: ChatId, versions: Mapping[ChatId, int], seconds: float | None
    ) -> ChatMembers | Failure:
        try:
            async with asyncio.timeout(seconds):
                return await self._load_member_list(chat, versions)
        except TimeoutError:
            return MEMBERS_UNAVAILABLE

    async def _load_member_list(self, chat: ChatId, versions: Mapping[ChatId, int]) -> ChatMembers | Failure:
        while (member_list := self.fresh(chat, versions)) is None:
            started_here = chat not in self._loading
            if started_here:
                task = self._tasks.start(self._request_member_list(chat, versions.get(chat, 0)), "membership")
                self._loading[chat] = task
            loaded = await asyncio.shield(self._loading[chat])
            if started_here or isinstance(loaded, Failure):
                return loaded
        return member_list

    async def _request_member_list(self, chat: ChatId, version: int) -> ChatMembers | Failure:
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

    async def _refresh(self, chat: ChatId, version: int) -> ChatMembers:
        started = self._clock()
        member_list = self._member_lists.get(chat) or ChatMembers()
        since = member_list.version
        unnamed = not version or version < member_list.version
        pages = [page := await self._request_membership(GetMembership(chat, member_list.version, unnamed=unnamed))]
        while page.more:
            last = page.members[-1]
            page = await self._request_membership(
                GetMembership(chat, member_list.version, (last.version, last.account))
            )
            pages.append(page)
        self._refreshes.labels("ok").inc()
        self._forget(chat)
        # Pages are ordered by version. A member that changes while the pages are read gets a higher version, and so
        # appears on a later page. So the pages together are complete up to the last version.
        member_list.update([member for page in pages for member in page.members], page.version)
        member_list.pair = page.pair
        member_list.only_sender = page.speaker
        member_list.muted = page.muted
        member_list.speakers = frozenset(page.speakers)
        member_list.strangers_post = page.strangers_post
        member_list.has_webhooks = page.outgoing_hooks
        member_list.change_times = page.change_times or ChangeTimes()
        member_list.confirmed_version = max(page.version, version)
        member_list.checked_at = started
        if since not in (0, member_list.version):
            member_list.changed_at = started
        self._store(chat, member_list)
        return member_list

    def _store(self, chat: ChatId, member_list: ChatMembers) -> None:
        if self.announced(chat) <= member_list.version:
            self._announced.pop(chat, None)
        self._member_lists[chat] = member_list
        self._members += len(member_list.members)
        while self._members > self._max_members and len(self._member_lists) > 1:
            self._forget(next(iter(self._member_lists)))

    def _forget(self, chat: ChatId) -> None:
        member_list = self._member_lists.pop(chat, None)
        if member_list is not None:
            self._members -= len(member_list.members)
            if chat not in self._loading:
                self._announced.pop(chat, None)


_SILENCE_SECONDS = 3.5
_TICK_SECONDS = 1.0


class AnnouncementReceiver:
    """Receives session's announcements of membership versions, and notices when some may be missing. A session process
    that dies may have committed a change and announced it neither on NATS nor in Redis.

    When a session process stops sending heartbeats without having announced its end, session must be queried again for
    all member lists. Times are monotonic seconds."""

    def __init__(self, member_lists: MemberListCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._member_lists = member_lists
        self._clock = clock
        self._last_heard: dict[str, float] = {}

    def receive(self, message: MembershipVersions) -> None:
        self._member_lists.announce(message.versions)
        if message.leaving:
            self._last_heard.pop(message.process, None)
        elif message.process:  # only heartbeats name the process
            self._last_heard[message.process] = self._clock()

    async def run(self) -> None:
        """Checks until cancelled whether heartbeats are missing."""
        while True:
            await asyncio.sleep(until_next(_TICK_SECONDS))
            self.on_timer()

    def on_timer(self) -> None:
        latest = self._clock() - _SILENCE_SECONDS
        for process in [process for process, heard in self._last_heard.items() if heard < latest]:
            del self._last_heard[process]
            self._member_lists.announcements_lost(f"silence of session {process}")
