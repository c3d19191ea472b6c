"""The chats of accounts that search, with the first index that the account may see in each chat. If the session service
must list ten thousand chats, this takes longer than the search itself. So lists are cached, and corrected when session
announces changed members. The message service checks each hit again, so an outdated list does not show forbidden
messages."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.session import ChatList, GetMembership, ListChats, Membership, MembershipVersions

_MAX_ENTRIES = 500_000
"""The most chats in all lists together. They take tens of MiB."""
_MAX_CHANGED = 50
"""The most chats with changed members. If there are more, all lists are dropped."""
_KEPT_SECONDS = 300.0
"""The time for which a list is valid. The time is limited, because a process that dies may not have announced a
change."""

FirstIndexes = dict[ChatId, int]


class ChatLists:
    """Caches the lists of chats. `of` raises RequestError."""

    def __init__(
        self,
        list_chats: Callable[[ListChats], Awaitable[ChatList]],
        membership: Callable[[GetMembership], Awaitable[Membership]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list_chats = list_chats
        self._membership = membership
        self._clock = clock
        self._lists: dict[AccountId, tuple[float, FirstIndexes]] = {}
        """Each list with the time when it was read. The least recently used list comes first."""
        self._entries = 0
        self._changed: set[ChatId] = set()
        self._losses = 0
        self._correcting = asyncio.Lock()

    def announce(self, message: MembershipVersions) -> None:
        """Note that the members of these chats have changed."""
        self._changed |= message.versions.keys()
        if len(self._changed) > _MAX_CHANGED:
            self.lost()

    def lost(self, _reason: str = "") -> None:
        """Drop all lists, because announcements may be missing."""
        self._lists.clear()
        self._changed.clear()
        self._entries = 0
        self._losses += 1

    async def of(self, account: AccountId) -> FirstIndexes:
        """The list of the account. The caller must not change it."""
        async with self._correcting:
            await self._correct()
        read, found = self._lists.pop(account, (0.0, None))
        if found is not None:
            self._entries -= len(found)
        if found is None or self._clock() - read > _KEPT_SECONDS:
            losses, read = self._losses, self._clock()
            found = await self._read(account)
            if losses != self._losses:
                return found
        self._keep(account, read, found)
        return found

    def _keep(self, account: AccountId, read: float, found: FirstIndexes) -> None:
        if (other := self._lists.pop(account, None)) is not None:
            self._entries -= len(other[1])
        self._lists[account] = (read, found)
        self._entries += len(found)
        while self._entries > _MAX_ENTRIES and len(self._lists) > 1:
            _, dropped = self._lists.pop(next(iter(self._lists)))
            self._entries -= len(dropped)

    async def _read(self, account: AccountId) -> FirstIndexes:
        page = await self._list_chats(ListChats(account))
        found = {one.chat: one.first_index for one in page.entries}
        while page.more:
            page = await self._list_chats(ListChats(account, page.entries[-1].chat))
            found |= {one.chat: one.first_index for one in page.entries}
        return found

    async def _correct(self) -> None:
        changed, self._changed = self._changed, set()
        if not self._lists:
            return
        try:
            for chat in changed:
                await self._correct_chat(chat)
        except RequestError:
            self.lost()
            raise

    async def _correct_chat(self, chat: ChatId) -> None:
        page = await self._membership(GetMembership(chat))
        members = page.members
        while page.more:
            page = await self._membership(GetMembership(chat, 0, (members[-1].version, members[-1].account)))
            members = members + page.members
        first = {one.account: one.first_index for one in members if one.role is not Role.LEFT}
        for account, (_, found) in self._lists.items():
            before = len(found)
            found.pop(chat, None)
            if account in first:
                found[chat] = first[account]
            self._entries += len(found) - before
