"""A native user who connects and disconnects, and fetches missed messages by `sync`.

This user also posts and changes messages. It repeats a command that got no reply, with the same nonce.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientRequest, encode
from dragoman_client.codec.events import ClientEvent, ReplyKind, ServerReply
from dragoman_client.errors import ClientError, RequestRejected
from tests.drills.device import DrillUser, Edge
from tests.drills.native_messages import MessageState, NativeMessages, Place, state_of, text_of
from tests.drills.recorded_connection import Journal, numbers
from tests.drills.records import (
    ChangeAcknowledged,
    ChangeRejected,
    ChangeRequested,
    ChangeSeen,
    Closed,
    LastStatesSeen,
    MessageAcknowledged,
    MessageReceived,
    MessageRejected,
    MessageSent,
    Opened,
    ShownState,
)
from tests.drills.requested_changes import RequestedChange

_NATIVE = CODECS["native"]
_CONNECT_SECONDS, _REPLY_SECONDS = 3.0, 12.0
_LONGEST_SLEEP_SECONDS, _LONGEST_STAY_SECONDS = 3.0, 6.0
_RETRY_SECONDS = 0.3
_POST_SECONDS = 0.8
_UNKNOWN = ("unavailable", "limit", "rate_limited")
"""The codes of errors after which the same request is sent again."""
_PAGE = 200
_CHANGES_PER_POST = 2
_IMPATIENT = 0.1
"""For this share of its changes, the follower disconnects without waiting for the reply."""
_SHARES = {"edit": 8, "recall": 2, "react": 7, "unreact": 3}
_EMOJI = ("👍", "🎉")


class _PendingChange(NamedTuple):
    """A change that the follower has requested and that has no reply yet."""

    name: str
    place: Place
    msg_id: int
    change: RequestedChange

    @property
    def members(self) -> dict[str, Any]:
        """Returns the members of the command that requests this change."""
        chat, index = self.place
        match self.change.kind:
            case "edit":
                more = {"text": self.change.value, "nonce": self.name}
            case "recall":
                more = {}
            case _:
                more = {"emoji": self.change.value}
        return {"chat": chat, "index": index, **more}


class Follower:
    """A user with one connection, of which it is the listener (dragoman_client.aio.Listener).

    It posts messages to its chats and changes messages, one after another. It learns of changes only from events and
    pages of the server, and not from the replies to its own commands.
    """

    def __init__(self, user: DrillUser, edges: Sequence[Edge], journal: Journal) -> None:
        self.account = user.account
        self._places = user.chats
        self._edges = edges
        self._journal = journal
        self._epoch = ""
        self._messages = NativeMessages(self.account.number)
        self._ids: dict[Place, int] = {}
        self._own: list[Place] = []
        """The follower's own messages that are acknowledged."""
        self._edge = ""
        self._number = 0
        """The number of the connection. It is set while the follower is logged in."""
        self._reply: dict[str, Any] = {}
        self._synced = asyncio.Event()
        self._posts = 0
        self._unanswered: tuple[int, str] | None = None
        """The chat and the text of the message that has no reply yet."""
        self._changes = 0
        self._pending: _PendingChange | None = None
        self._changed: set[Place] = set()
        self._stopped = False
        self._last_sent = False
        self._finished = asyncio.Event()

    async def live(self) -> None:
        """Connects, stays for a while, and disconnects. Repeats this until the task is cancelled."""
        while True:
            await asyncio.sleep(random.uniform(0, _LONGEST_SLEEP_SECONDS))
            self._number, (self._edge, url) = 0, random.choice(self._edges)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    connection = await connect(url + _NATIVE.path, _NATIVE, self, self._decode)
            except (ClientError, TimeoutError):
                continue
            await self._stay(connection)

    async def finish(self) -> None:
        """At the end, posts and changes messages until all is acknowledged.

        Then records the last states of the changed messages.
        """
        self._stopped = True
        await self._finished.wait()

    async def _stay(self, connection: AsyncConnection) -> None:
        try:
            await connection.request(_NATIVE.login(self.account), _REPLY_SECONDS)
            await self._catch_up(connection)
            leaves_at = time.monotonic() + random.uniform(0, _LONGEST_STAY_SECONDS)
            while time.monotonic() < leaves_at and not connection.has_ended:
                if not self._finished.is_set():
                    await self._act(connection)
                await asyncio.sleep(_POST_SECONDS)
        except (ClientError, TimeoutError):
            pass
        finally:
            await connection.close()
            if self._number:
                closed = Closed(time.monotonic(), self._number, connection.close_code, connection.pong_sent_at)
                self._journal(closed)

    async def _catch_up(self, connection: AsyncConnection) -> None:
        """Raises ClientError, TimeoutError."""
        self._synced.clear()
        have = self._messages.positions
        reply = await self._call(connection, "sync", epoch=self._epoch, have=have, timeline=5)
        self._epoch = reply["epoch"]
        if reply["reset"]:
            # After a reset, the follower drops earlier messages. Without a reset, a repeated message violates an
            # invariant.
            self._messages = NativeMessages(self.account.number)
            self._ids.clear()
            self._own.clear()
        async with asyncio.timeout(_REPLY_SECONDS):
            await self._synced.wait()
        for head in reply["chats"]:
            chat = head["chat"]
            while (last := self._messages.last[chat]) < head["head"]:
                page = {"chat": chat, "from": last + 1, "dir": "newer", "count": _PAGE}
                for message in (await self._call(connection, "history", **page))["messages"]:
                    self._receive(message)
            if "changes_after" in head:
                await self._follow_changes(connection, chat, head["changes_after"])
            self._messages.has_changes_up_to(chat, head["rev"])

    async def _follow_changes(self, connection: AsyncConnection, chat: int, after: int) -> None:
        """Raises ClientError."""
        while True:
            page = await self._call(connection, "changes", chat=chat, after=after)
            for change in page["changes"]:
                self._see(change, paged=True)
                after = change["rev"]
            if not page["more"]:
                self._messages.has_changes_up_to(chat, page["rev"])
                return

    async def _act(self, connection: AsyncConnection) -> None:
        """Raises ClientError, TimeoutError."""
        if not self._last_sent:
            await self._post(connection)
        for _ in range(_CHANGES_PER_POST):
            await self._change(connection)
        if self._last_sent:
            await self._catch_up(connection)
            await self._record_last_states(connection)
            self._finished.set()

    async def _post(self, connection: AsyncConnection) -> None:
        """Raises ClientError."""
        is_last = self._stopped
        if self._unanswered is None:
            self._posts += 1
            self._unanswered = random.choice(self._places), f"{self.account.number}/native {self._posts}"
        chat, text = self._unanswered

        def sent() -> None:
            self._journal(MessageSent(time.monotonic(), self._number, chat, text))

        try:
            reply = await self._call(connection, "send", sent, chat=chat, text=text, nonce=text)
        except RequestRejected as rejected:
            self._unanswered = None
            self._journal(MessageRejected(time.monotonic(), self._number, text, str(rejected), unknown=False))
            return
        self._unanswered = None
        own = {"segments": [{"text": text}], "sender": self.account.number}
        self._receive(reply | own)
        self._own.append((chat, reply["index"]))
        self._journal(MessageAcknowledged(time.monotonic(), self._number, text, reply["id"]))
        self._last_sent = is_last

    async def _change(self, connection: AsyncConnection) -> None:
        """Raises ClientError."""
        self._pending = pending = self._pending or self._choose()
        if pending is None:
            return
        name, (chat, index), msg_id, (kind, value) = pending
        self._changed.add(pending.place)

        def sent() -> None:
            self._journal(ChangeRequested(time.monotonic(), self._number, name, chat, index, msg_id, kind, value))

        try:
            seconds = 0.0 if not self._stopped and random.random() < _IMPATIENT else _REPLY_SECONDS
            reply = await self._call(connection, kind, sent, seconds, **pending.members)
        except RequestRejected as rejected:
            self._pending = None
            self._journal(ChangeRejected(time.monotonic(), self._number, name, str(rejected)))
            return
        self._pending = None
        self._journal(ChangeAcknowledged(time.monotonic(), self._number, name, reply["rev"]))
        await self._follow_changes(connection, chat, self._messages.rev[chat])

    def _choose(self) -> _PendingChange | None:
        """Returns a message and a change of it that has an effect."""
        states, emoji = {at: self._messages.states[at] for at in self._ids}, random.choice(_EMOJI)
        # the follower may lack one of its earlier messages
        own = [at for at in self._own if at in states and states[at].text is not None]
        places = {
            "edit": own,
            "recall": own,
            "react": [at for at, one in states.items() if one.text is not None and emoji not in one.mine],
            "unreact": [at for at, one in states.items() if emoji in one.mine],
        }
        possible = [kind for kind in _SHARES if places[kind]]
        if not possible:
            return None
        (kind,) = random.choices(possible, [_SHARES[kind] for kind in possible])
        place = random.choice(places[kind])
        self._changes += 1
        name = f"{self.account.number}/native change {self._changes}"
        value = {"edit": name, "recall": ""}.get(kind, emoji)
        return _PendingChange(name, place, self._ids[place], RequestedChange(kind, value))

    async def _record_last_states(self, connection: AsyncConnection) -> None:
        """Records the last state of the messages: from this connection, and from a history that is read now.

        Raises ClientError.
        """
        for chat in self._places:
            indexes = sorted(index for number, index in self._changed if number == chat)
            states = self._messages.states
            has = {index: states[chat, index] for index in indexes if (chat, index) in states}
            self._record(chat, self._messages.rev[chat], has, again=False)
            rev, read = 0, dict[int, MessageState]()
            for index in indexes:
                if index not in read:
                    page: dict[str, Any] = {"chat": chat, "from": index, "dir": "newer", "count": _PAGE}
                    reply = await self._call(connection, "history", **page)
                    read |= {message["index"]: state_of(message) for message in reply["messages"]}
                    rev = reply["rev"]
            if indexes:
                self._record(chat, rev, {index: read[index] for index in indexes if index in read}, again=True)

    def _record(self, chat: int, rev: int, states: Mapping[int, MessageState], *, again: bool) -> None:
        shown = [ShownState(index, state.text, sorted(state.mine)) for index, state in states.items()]
        self._journal(LastStatesSeen(time.monotonic(), self._number, chat, rev, shown, again))

    async def _call(
        self, connection: AsyncConnection, op: str, sent: Callable[[], None] | None = None,
        seconds: float = _REPLY_SECONDS, **members: object,
    ) -> dict[str, Any]:  # fmt: skip
        """Sends a command and returns its reply. Repeats an attempt that may succeed later.

        Only one call runs at a time, so the last reply is the reply to this call. `sent` is called before each attempt.
        Raises ClientError.
        """
        request = ClientRequest(encode({"op": op, "id": op, **members}), ReplyKind.ANY)
        while True:
            if sent:
                sent()
            try:
                await connection.request(request, seconds)
                return self._reply
            except RequestRejected:
                if self._reply["error"]["code"] not in _UNKNOWN:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    # The methods below receive events from the connection.

    def _decode(self, frame: bytes) -> ClientEvent | dict[str, Any]:
        event = _NATIVE.decode(frame)
        if not isinstance(event, ServerReply):
            shown: dict[str, Any] = msgspec.json.decode(frame)
            return shown
        self._reply = msgspec.json.decode(frame)
        if event.to is ReplyKind.LOGIN and not event.error:
            self._number, account = next(numbers), self.account.number
            self._journal(Opened(time.monotonic(), self._number, f"{account}/native", account, self._edge))
        return event

    def received(self, event: Any, now: int) -> None:
        match event["ev"]:
            case "message":
                self._receive(event)
            case "changed":
                self._see(event, paged=False)
            case "synced":
                self._synced.set()

    def _receive(self, message: Mapping[str, Any]) -> None:
        for one in self._messages.add(message):
            self._ids[one["chat"], one["index"]] = one["id"]
            self._journal(
                MessageReceived(
                    time.monotonic(), self._number, one["chat"], one["sender"], one["id"], text_of(one), one["time"]
                )
            )

    def _see(self, change: Mapping[str, Any], *, paged: bool) -> None:
        text = text_of(change) if change["kind"] == "edit" else ""
        self._journal(
            ChangeSeen(
                time.monotonic(), self._number, change["chat"], change["rev"], change["index"], change["kind"],
                change["by"], text, paged,
            )
        )  # fmt: skip
        self._messages.change(change)

    def replied(self, reply: ServerReply, now: int) -> None:
        return

    def ended(self) -> None:
        return
