"""Gives the messages and changes of each chat once and in order, and fetches what is missing of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from clients.resuming.connection import is_integer

Event = dict[str, Any]
Fetch = Callable[[str, Event], Awaitable[Event]]
"""Gets a page; an empty object if the server gives none. Raises CommandLost."""
_PAGE = 100


class ChatPosition(msgspec.Struct):
    """What was given of a chat; a gap names what was not. `covered`: a sync has sent the changes up to this one.
    `state`: of the last head."""

    index: int = 0
    rev: int = 0
    covered: int = 0
    state: int = 0


class Positions(msgspec.Struct):
    """What a client has, for its next `sync`. Keep it beside the messages."""

    epoch: str = ""
    chats: dict[int, ChatPosition] = {}

    def have(self, most: int) -> dict[str, list[int]]:
        return {str(chat): [one.index, one.rev] for chat, one in list(self.chats.items())[:most]}

    def states(self, most: int) -> dict[str, int]:
        return {str(chat): one.state for chat, one in list(self.chats.items())[:most]}

    def clear(self) -> None:
        self.chats.clear()


class ChatOrder:
    """Of one connection. Its methods raise what `fetch` raises."""

    def __init__(self, positions: Positions, give: Callable[[Event], None], fetch: Fetch, timeline: int) -> None:
        """`timeline`: so many of the newest messages of a new chat are given."""
        self._positions = positions
        self._give_event = give
        self._fetch = fetch
        self._timeline = timeline
        for place in positions.chats.values():
            place.covered = place.rev

    def take_head(self, head: Event, *, had: bool) -> None:
        """A chat of a sync. `had`: the sync has named it."""
        self._give_event({"ev": "head", **head})
        chat, covered = head["chat"], head["changes_after" if "changes_after" in head else "rev"]
        lacks_from = head["gap"]["from"] if "gap" in head else head["first"]
        place = self._positions.chats.get(chat)
        if place is None:
            place = ChatPosition(max(0, min(lacks_from - 1, head["head"])), covered, covered)
            self._positions.chats[chat] = place
        elif had:
            place.covered = covered
        if "state" in head:  # an older server has none
            place.state = head["state"]
        if "gap" in head:
            self._skip(chat, place, head["gap"]["to"])

    async def take_early(self, events: list[Event]) -> None:
        """What has come before the end of a sync: messages before the changes of messages."""
        ordered = ("message", "changed")
        for event in events:
            if event["ev"] not in ordered:
                await self.take(event)
        for event in sorted(
            (event for event in events if event["ev"] in ordered),
            key=lambda event: (event.get("rev", 0), event["index"]),
        ):
            await self.take(event)

    async def take(self, event: Event) -> None:
        kind, chat = event["ev"], event.get("chat", 0)
        if kind == "message":
            await self.reach(chat, event["index"] - 1, 0, event)
        elif kind == "changed":
            await self.reach(chat, event["index"], event["rev"] - 1, event)
        else:
            if kind == "gone":
                self._positions.chats.pop(chat, None)
            self._give_event(event)
            if kind == "chat":
                self._begin(event)

    def _begin(self, event: Event) -> None:
        """In a chat that is newer than the sync: what comes from its event on is pushed."""
        chat, head, first, rev = (event.get(name) for name in ("chat", "head", "first", "rev"))
        if not (is_integer(chat) and is_integer(head) and is_integer(first) and is_integer(rev)):
            return  # an older server names none
        if chat not in self._positions.chats:
            place = self._positions.chats[chat] = ChatPosition(max(0, min(first - 1, head)), rev, rev)
            self._skip(chat, place, head - self._timeline)

    async def reach(self, chat: int, index: int, rev: int, event: Event | None = None) -> None:
        """Gives an event after all messages up to an index and all changes up to a `rev`."""
        place = self._positions.chats.get(chat)
        if place is None:  # newer than the sync, and its event is still to come, or names no head
            place = self._positions.chats[chat] = ChatPosition()
            self._skip(chat, place, index - self._timeline)
        while place.index < index:
            await self._fetch_messages(chat, place, index)
        while max(place.rev, place.covered) < rev:
            await self._fetch_changes(chat, place, rev)
        place.rev = max(place.rev, rev)
        if event is not None:
            self._give(place, event)

    def _give(self, place: ChatPosition, event: Event) -> None:
        """Unless it was given."""
        if event["ev"] == "message":
            if event["index"] <= place.index:
                return
            place.index = event["index"]
        else:
            if event["rev"] <= place.rev:
                return
            place.rev = event["rev"]
        self._give_event(event)

    def _skip(self, chat: int, place: ChatPosition, to: int) -> None:
        if to > place.index:
            self._give_event({"ev": "gap", "chat": chat, "from": place.index + 1, "to": to})
            place.index = to

    async def _fetch_messages(self, chat: int, place: ChatPosition, upto: int) -> None:
        wanted = {"chat": chat, "from": place.index + 1, "count": _PAGE, "dir": "newer"}
        messages = (await self._fetch("history", wanted)).get("messages", [])
        for message in messages:
            self._skip(chat, place, message["index"] - 1)
            self._give(place, {"ev": "message", **message})
        if not messages:
            self._skip(chat, place, upto)

    async def _fetch_changes(self, chat: int, place: ChatPosition, upto: int) -> None:
        page = await self._fetch("changes", {"chat": chat, "after": max(place.rev, place.covered)})
        changes = page.get("changes", [])
        for change in changes:
            while place.index < change["index"]:
                await self._fetch_messages(chat, place, change["index"])
            self._give(place, {"ev": "changed", **change})
        place.rev = max(place.rev, 0 if changes else upto, 0 if page.get("more") else page.get("rev", upto))
