"""Gives the program the messages and changes of each chat once and in order. Missing messages and changes are
fetched."""

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from dragoman_client.client.connection import is_integer
from dragoman_client.client.store import Changes

Event = dict[str, Any]
Give = Callable[[Event, Changes], None]
"""A function that takes an event, and the changes that it makes to the store after the program has handled it."""
Fetch = Callable[[str, Event], Awaitable[Event]]
"""A function that fetches a page. The page is an empty object if the account may not have it. Raises CommandRejected,
which ends the connection."""
REACH, LISTING = "client_reach", "client_listing"
"""Two events that the client itself makes. REACH says up to where the connection has messages and changes that the
server does not push to it. LISTING is a reply to `sync`. The events after it, up to `synced`, belong to this reply."""
_RANKS = {"message": 1, "changed": 2, REACH: 3}
_PAGE = 100
_EPOCH, _PREFIX = "epoch", "chat/"
_MOST_CHATS = 2000
"""The most chats in one command. A chat takes at most 32 characters of a frame, and usually 12."""
_MOST_IDS = 2**53


class ChatPosition(msgspec.Struct, array_like=True):
    """The position up to which the program has got the messages of a chat, or a gap in place of missing messages.
    `index`, `rev`: the last message and the last change. `state`: the state of the last summary. `covered`: the last
    change that a sync has sent."""

    index: int = 0
    rev: int = 0
    state: int = 0
    covered: int = 0


class Positions:
    """The positions that a client has reached in its chats. Its next `sync` names them."""

    def __init__(self, stored: dict[str, bytes]) -> None:
        self.epoch = stored.get(_EPOCH, b"").decode()
        self.chats = {
            int(name.removeprefix(_PREFIX)): msgspec.json.decode(value, type=ChatPosition)
            for name, value in stored.items()
            if name.startswith(_PREFIX)
        }

    def named(self) -> Iterator[dict[str, Any]]:
        """The members of the next `sync` commands that name the known chats (docs/protocols/native/sync.md): There is
        one command if a frame can name all chats, and otherwise several."""
        chats = sorted(self.chats)
        starts = [0, *chats[_MOST_CHATS::_MOST_CHATS], _MOST_IDS]
        for at, (start, end) in enumerate(pairwise(starts)):
            some = chats[at * _MOST_CHATS :][:_MOST_CHATS]
            yield {"have": self._text(some), **({} if len(starts) == 2 else {"among": [start, end - 1]})}

    def _text(self, chats: list[int]) -> str:
        numbers = list[int]()
        before = 0
        for chat in chats:
            one = self.chats[chat]
            numbers += (chat - before, one.index, one.rev, one.state % (1 << 32))
            before = chat
        packed = msgspec.msgpack.encode((self.epoch, numbers))
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def entry(self, chat: int) -> Changes:
        """The stored form of a position, with the epoch that it belongs to."""
        one = self.chats.get(chat)
        return {_EPOCH: self.epoch.encode(), f"{_PREFIX}{chat}": None if one is None else msgspec.json.encode(one)}

    def entries(self) -> Changes:
        return {name: value for chat in self.chats for name, value in self.entry(chat).items()}

    def reset(self, epoch: str) -> Changes:
        self.epoch = epoch
        previous, self.chats = self.chats, {}
        return {_EPOCH: epoch.encode(), **{f"{_PREFIX}{chat}": None for chat in previous}}


class EarlyEvents:
    """The events that come before the end of a sync. If a message arrives both by push and by the sync, the copy from
    the sync is used. The pushed copy shows the message as it was when it was new, and may arrive late. `gone`: the
    chats that the account has left meanwhile, whatever else has come of them."""

    def __init__(self) -> None:
        self.gone = set[int]()
        self._others = list[Event]()
        self._pushed, self._listed = dict[object, Event](), dict[object, Event]()
        self._is_listing = False

    def put(self, event: Event) -> None:
        kind = event["ev"]
        if kind in (LISTING, "synced"):
            self._is_listing = kind == LISTING
        elif kind in ("message", "changed"):
            copies = self._listed if self._is_listing else self._pushed
            copies[kind, event["chat"], event["index"], event.get("rev")] = event
        else:
            self._others.append(event)
            if kind == "gone":
                self.gone.add(event["chat"])
            elif kind == "chat" and is_integer(chat := event.get("chat")):
                self.gone.discard(chat)

    def in_order(self, revs: Mapping[int, int]) -> list[Event]:
        """Return the events in order, with messages before their changes. REACH comes last, because the sync may have
        sent the messages and changes that it names. `revs`: for each chat, the last change that its messages have."""
        listed = {key: {"rev": revs.get(one["chat"], 0), **one} for key, one in self._listed.items()}
        events = [*self._others, *(self._pushed | listed).values()]
        there = [one for one in events if one["ev"] not in _RANKS or one["chat"] not in self.gone]
        return sorted(there, key=_early_key)


def _early_key(event: Event) -> tuple[int, int, int]:
    rank = _RANKS.get(event["ev"], 0)
    return rank, event["rev"] if rank == _RANKS["changed"] else 0, event["index"] if rank else 0


class ChatOrder:
    """Puts the events of one connection in order. Its methods raise the errors of `fetch`."""

    def __init__(self, positions: Positions, give: Give, fetch: Fetch, timeline: int) -> None:
        """`timeline`: how many of a new chat's newest messages are given to the program."""
        self._positions = positions
        self._give_with = give
        self._fetch = fetch
        self._timeline = timeline
        for place in positions.chats.values():
            place.covered = place.rev

    def take_head(self, head: Event, *, had: bool) -> None:
        """Handle the summary of a chat from a sync. `had`: whether the client has named the chat in the sync."""
        chat, covered = head["chat"], head["changes_after" if "changes_after" in head else "rev"]
        lacks_from = head["gap"]["from"] if "gap" in head else head["first"]
        place = self._positions.chats.get(chat)
        if place is None:
            place = ChatPosition(max(0, min(lacks_from - 1, head["head"])), covered, 0, covered)
            self._positions.chats[chat] = place
        elif had:
            place.covered = covered
        if "state" in head:  # servers of older versions send no state
            place.state = head["state"]
        self._give_event({"ev": "head", **head}, chat)
        if "gap" in head:
            self._skip(chat, place, head["gap"]["to"])

    async def take(self, event: Event) -> None:
        kind, chat = event["ev"], event.get("chat", 0)
        if kind == "message":
            await self.reach(chat, event["index"] - 1, 0, event)
        elif kind == "changed":
            await self.reach(chat, event["index"], event["rev"] - 1, event)
        elif kind == REACH:
            await self.reach(chat, event["index"], event["rev"])
        else:
            if kind == "gone":
                self._positions.chats.pop(chat, None)
            self._give_with(event, self._positions.entry(chat) if kind == "gone" else {})
            if kind == "chat":
                self._begin(event)

    def _begin(self, event: Event) -> None:
        """Begin a chat that is newer than the sync. All its later messages are pushed."""
        chat, head, first, rev = (event.get(name) for name in ("chat", "head", "first", "rev"))
        if not (is_integer(chat) and is_integer(head) and is_integer(first) and is_integer(rev)):
            return  # servers of older versions do not send these numbers
        if chat not in self._positions.chats:
            place = self._positions.chats[chat] = ChatPosition(max(0, min(first - 1, head)), rev, 0, rev)
            self._skip(chat, place, head - self._timeline)

    async def reach(self, chat: int, index: int, rev: int, event: Event | None = None) -> None:
        """Give an event after all messages up to an index, and after all changes up to a `rev`."""
        place = self._positions.chats.get(chat)
        # The chat began after the sync. The event about the new chat arrives later, or lacks the last index.
        if place is None:
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
        """Give an event to the program, unless it was given before."""
        if event["ev"] == "message":
            if event["index"] <= place.index:
                return
            place.index = event["index"]
        else:
            if event["rev"] <= place.rev:
                return
            place.rev = event["rev"]
        self._give_event(event, event["chat"])

    def _give_event(self, event: Event, chat: int) -> None:
        self._give_with(event, self._positions.entry(chat))

    def _skip(self, chat: int, place: ChatPosition, to: int) -> None:
        if to > place.index:
            first, place.index = place.index + 1, to
            self._give_event({"ev": "gap", "chat": chat, "from": first, "to": to}, chat)

    async def _fetch_messages(self, chat: int, place: ChatPosition, upto: int) -> None:
        wanted = {"chat": chat, "from": place.index + 1, "count": _PAGE, "dir": "newer"}
        page = await self._fetch("history", wanted)
        messages = page.get("messages", [])
        for message in messages:
            self._skip(chat, place, message["index"] - 1)
            self._give(place, {"ev": "message", **message, "rev": page.get("rev", 0)})
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
