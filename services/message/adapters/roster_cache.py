"""Who is in which chat: rosters by version, loaded from session as changes since the version known.

A roster is good while Redis names no newer version, and for 30 s at most whatever Redis says. When Redis names none
(it is away, or has lost it), only for one second.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping

from services.message.metrics import Metrics
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import MemberPair, Role
from shared.contract.session import GetMembership, Member, Membership
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GOOD_SECONDS = 30.0
_UNCONFIRMED_SECONDS = 1.0
_MEMBERS_KEPT = 500_000

Ask = Callable[[GetMembership], Awaitable[Membership]]
"""Asks session for a page. Raises Refused."""

NO_SUCH_CHAT = Failure(ErrorCode.NOT_FOUND, "there is no such chat", "chat")
NOT_KNOWN = Failure(ErrorCode.UNAVAILABLE, "the members of this chat cannot be read now, please try again")


class Roster:
    """The members of a chat at `version`: the first index each may see, and the first that may be unread for it.
    Loading replaces what is in it; whoever iterates it must not await meanwhile."""

    __slots__ = ("_latest", "asked", "confirmed", "members", "pair", "speaker", "version")

    def __init__(self) -> None:
        self.version = 0
        self.members: dict[AccountId, tuple[int, int]] = {}
        self.pair: MemberPair | None = None
        """Of a private chat."""
        self.speaker = NO_ACCOUNT
        """Who alone may say something; NOBODY: every member."""
        self.confirmed = 0
        """The highest version named by Redis that session has been asked about."""
        self.asked = 0.0
        """When session was last asked, monotonic seconds."""
        self._latest = 0
        """No member's first index is above this."""

    def change(self, member: Member) -> None:
        if member.role is Role.LEFT:
            self.members.pop(member.account, None)
        else:
            first = member.first_index
            self.members[member.account] = (first, max(member.unread_from, first))
            self._latest = max(self._latest, first)

    def joined_after(self, index: int) -> dict[AccountId, int]:
        """Members who may not see the message with this index, and their first ones."""
        if self._latest <= index:
            return {}
        return {account: first for account, (first, _) in self.members.items() if first > index}


class Memberships:
    """The rosters of the chats that are talked in now."""

    def __init__(
        self,
        ask: Ask,
        metrics: Metrics,
        *,
        members_kept: int = _MEMBERS_KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._refreshes = metrics.refreshes
        self._members_kept = members_kept
        self._clock = clock
        self._rosters: OrderedDict[ChatId, Roster] = OrderedDict()
        self._members = 0
        self._loading: dict[ChatId, asyncio.Task[Roster | Failure]] = {}
        self._tasks = Tasks()

    async def close(self) -> None:
        await self._tasks.close()

    def known(self, chat: ChatId) -> Roster | None:
        """What was loaded last, however old."""
        roster = self._rosters.get(chat)
        if roster is not None:
            self._rosters.move_to_end(chat)
        return roster

    def good(self, chat: ChatId, versions: Mapping[ChatId, int]) -> Roster | None:
        """The roster, if it need not be asked for; `versions` are those that Redis names now."""
        roster = self.known(chat)
        version = versions.get(chat)
        if roster is None or (version or 0) > roster.confirmed:
            return None
        age = self._clock() - roster.asked
        return roster if age < (_UNCONFIRMED_SECONDS if version is None else _GOOD_SECONDS) else None

    async def rosters(
        self, chats: Collection[ChatId], versions: Mapping[ChatId, int]
    ) -> dict[ChatId, Roster | Failure]:
        """The roster of each chat, or why there is none; session is asked for all that are not good at once."""
        return dict(zip(chats, await asyncio.gather(*(self._roster(chat, versions) for chat in chats)), strict=True))

    async def _roster(self, chat: ChatId, versions: Mapping[ChatId, int]) -> Roster | Failure:
        while (roster := self.good(chat, versions)) is None:
            ours = chat not in self._loading
            if ours:
                self._loading[chat] = self._tasks.start(self._load(chat, versions.get(chat, 0)), "membership")
            loaded = await asyncio.shield(self._loading[chat])
            if ours or isinstance(loaded, Failure):
                return loaded
        return roster

    async def _load(self, chat: ChatId, version: int) -> Roster | Failure:
        try:
            return await self._refresh(chat, version)
        except RequestError as refused:
            self._refreshes.labels(refused.failure.code.value).inc()
            if refused.failure.code is not ErrorCode.NOT_FOUND:
                return NOT_KNOWN
            self._forget(chat)
            return NO_SUCH_CHAT
        except Exception:
            _log.exception("membership not loaded", chat=chat)
            return NOT_KNOWN
        finally:
            del self._loading[chat]

    async def _refresh(self, chat: ChatId, version: int) -> Roster:
        asked = self._clock()
        roster = self._rosters.get(chat) or Roster()
        pages = [page := await self._ask(GetMembership(chat, roster.version, unnamed=not version))]
        while page.more:
            last = page.members[-1]
            page = await self._ask(GetMembership(chat, roster.version, (last.version, last.account)))
            pages.append(page)
        self._refreshes.labels("ok").inc()
        self._forget(chat)
        # What changes between two pages moves behind the last one: together they are of the last one's version.
        for page in pages:
            for member in page.members:
                roster.change(member)
        roster.version = page.version
        roster.pair = page.pair
        roster.speaker = page.speaker
        roster.confirmed = max(page.version, version)
        roster.asked = asked
        self._keep(chat, roster)
        return roster

    def _keep(self, chat: ChatId, roster: Roster) -> None:
        self._rosters[chat] = roster
        self._members += len(roster.members)
        while self._members > self._members_kept and len(self._rosters) > 1:
            self._forget(next(iter(self._rosters)))

    def _forget(self, chat: ChatId) -> None:
        roster = self._rosters.pop(chat, None)
        if roster is not None:
            self._members -= len(roster.members)
