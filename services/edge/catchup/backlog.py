"""What an account missed, to one of its connections: after a login, and for chats that turn up in a re-sync.

Presence is registered before this starts, so a message is either read here or delivered as news, or both: each
connection keeps its own last index per chat until the chat's head on this node has passed it. The first page is asked
for before the login is answered: so what is said after the answer comes after that snapshot, and is shown even if it
is the account's own or another device has read it already.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from services.edge.context import EdgeContext
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer
from services.edge.dialects.base import Dialect, LoadedChat
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.local_accounts import LocalAccount
from services.edge.presence.profiles import fetch_summaries
from services.edge.rpc.retrying import request_until_answered
from services.edge.upstream.in_flight import InFlight
from shared.clock import now_ms
from shared.contract import subjects
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import ChatSync, Sync, SyncChat, Synced
from shared.contract.model import Message, ProfileSummary
from shared.telemetry import log

_log = log(__name__)
_BEGIN_SECONDS = 1.5
_PACE_SECONDS = 0.05
_PACE_BYTES = 256 * 1024
_FACES_SECONDS = 2.0

Faces = Mapping[AccountId, ProfileSummary]

_READING = -1
"""The position of a chat whose backlog is being read."""


class BacklogReader(Protocol):
    """The connection that reads."""

    @property
    def dialect(self) -> Dialect: ...

    def deliver_one(self, encoded: EncodedMessage) -> None:
        """A message that was missed."""

    @property
    def in_flight(self) -> InFlight | None:
        """What it has said itself, as long as it has not got all of it."""

    def chats_loaded(self, chats: list[LoadedChat]) -> None: ...

    def unsent_bytes(self) -> int:
        """Bytes shown that are not on their way yet."""


@dataclass(slots=True)
class ChatCursor:
    """What is left of a chat: after an index (None: from the account's first unread one), without what is `read`, save
    for what is newer than the login: from index `fresh` on."""

    chat: ChatId
    account: AccountId
    after: int | None
    fresh: int
    read: list[tuple[int, int]] = field(default_factory=list)

    def wants(self, message: Message, said: InFlight | None) -> bool:
        """`said`: what the connection waits for itself."""
        if message.index >= self.fresh:
            return True
        if message.sender == self.account:
            return said is not None and said.awaits(message.nonce)
        return not any(low <= message.index <= high for low, high in self.read)


class Backlog:
    """How far one connection has read each chat: what is not reached yet, or read already, is no news."""

    __slots__ = (
        "_answered", "_first_page", "_last", "_node", "_others", "_reader", "_resident", "_since", "_turned_up",
        "complete",
    )  # fmt: skip

    def __init__(
        self, node: EdgeContext, reader: BacklogReader, resident: LocalAccount, *, complete: bool = False
    ) -> None:
        self._node = node
        self._reader = reader
        self._resident = resident
        self._since = now_ms()
        self._others: Collection[NodeId] = ()
        self._first_page: Synced | None = None
        self._last: dict[ChatId, int] = {}
        self._turned_up: dict[ChatId, int] = {}
        """Chats still to be read, and from which index on there was news since the login."""
        self._answered: set[tuple[ChatId, int]] = set()
        """The connection's own messages that did not wait for their place."""
        self.complete = complete
        """Every chat has been reached: one without a position has no backlog."""

    # What comes meanwhile

    def contains(self, message: Message) -> bool:
        """Whether the backlog holds this message, so that it must not be pushed as news."""
        chat, index = message.chat, message.index
        position = self._last.get(chat)
        if position is None:
            if not self.complete:
                fresh = (
                    index if message.time >= self._since else AFTER_LAST
                )  # what is older may have been got elsewhere
                self._turned_up[chat] = min(fresh, self._turned_up.get(chat, AFTER_LAST))
            return not self.complete
        if position == _READING or index <= position:
            return True
        if self.complete:
            del self._last[chat]  # the stream has passed it
        return False

    def mark_sent(self, chat: ChatId, index: int) -> None:
        """The connection has got this message as an answer."""
        if not self.is_finished:
            self._answered.add((chat, index))

    def chat_discovered(self, chat: ChatId, fresh: int) -> None:
        """News of this chat did not come: read it, too. After the sync, what comes from index `fresh` on is news in any
        case."""
        if chat not in self._last:
            self._turned_up[chat] = min(fresh if self.complete else AFTER_LAST, self._turned_up.get(chat, AFTER_LAST))
            if self.complete:
                self._last[chat] = _READING

    @property
    def is_finished(self) -> bool:
        """Nothing but plain delivery is left."""
        return self.complete and not self._last

    # Reading

    async def begin(self, others: Collection[NodeId]) -> None:
        """Before the login is answered, which does not wait for it long; `others` are the other nodes that the account
        is on."""
        self._others = others
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                self._first_page = await self._snapshot()
        except TimeoutError:
            _log.info("login does not wait for its sync", account=self._resident.account)

    async def read_all(self) -> None:
        """Everything unread in every chat."""
        first = self._first_page
        page = first or await self._snapshot()
        while page is not None:
            self._reader.chats_loaded([LoadedChat(entry.chat, entry.pair) for entry in page.chats])
            for entry in page.chats:
                await self._read(entry, after_login=page is not first)
            page = await self._page(self._following(page)) if page.more else None
        await self.read_discovered()

    async def _snapshot(self) -> Synced | None:
        """The first page, once it is committed what the account's other connections have got."""
        account, bare = self._resident.account, not self._reader.dialect.pushes_backlog
        await self._node.read_state.flush_account(account, self._others)
        return await self._page(self._node.syncs.first_page(account, bare=bare))

    async def _following(self, page: Synced) -> Synced:
        return await request_until_answered(
            self._node.bus, subjects.SYNC, Sync(self._resident.account, page.chats[-1].chat)
        )

    async def _page(self, asking: Awaitable[Synced]) -> Synced | None:
        """None when there can be none."""
        try:
            return await asking
        except RequestError as refusal:
            _log.warning("account cannot be synced", account=self._resident.account, error=str(refusal))
            return None

    async def read_discovered(self) -> None:
        """Chats that turned up meanwhile, then back to plain delivery."""
        while self._turned_up:
            chat = next(iter(self._turned_up))
            fresh = self._turned_up.pop(chat)
            await self._read_on(ChatCursor(chat, self._resident.account, None, fresh))
        self.complete = True
        self._answered.clear()
        for chat, last in list(self._last.items()):
            stream = self._node.chats.sequencer(chat)
            if stream is None or stream.delivered(last):
                del self._last[chat]

    async def _read(self, entry: ChatSync, *, after_login: bool) -> None:
        """One chat of a sync, to its head. In a snapshot of after the login, what has come live is news even if it is
        read already."""
        account, chat = self._resident.account, entry.chat
        faces = await self._faces(entry.messages)
        stream = self._node.chats.joined(self._resident, chat, entry.head)
        if stream is None:
            return
        if entry.unread_from > entry.read_index + 1:
            self._node.read_state.mark_read(account, {chat: [(entry.read_index + 1, entry.unread_from - 1)]})
        live = self._turned_up.pop(chat, AFTER_LAST)
        stream.pair = entry.pair or stream.pair
        fresh = min(live, entry.head + 1) if after_login else entry.head + 1
        reads = self._reader.dialect.pushes_backlog
        if after_login and self._speaks_in(chat):
            after = min(entry.unread_from, fresh) - 1  # what it says may be among these, and a sync leaves it out
        elif reads:
            after = min(entry.upto, fresh - 1)
            self._show(stream, (message for message in entry.messages if message.index <= after), faces)
        else:
            after = fresh - 1  # the client asks for what is older
        self._last[chat] = after
        if after < entry.head or (stream.head or 0) > after:
            await self._read_on(ChatCursor(chat, account, after, fresh, entry.read if reads else [(1, fresh - 1)]))
        await self._pace()

    def _speaks_in(self, chat: ChatId) -> bool:
        said = self._reader.in_flight
        return said is not None and said.chat == chat

    async def _read_on(self, rest: ChatCursor) -> None:
        """Page to the head while news of this chat are left aside, then change over to them."""
        self._last[rest.chat] = _READING
        stream = self._node.chats.joined(self._resident, rest.chat, None)
        try:
            if stream is not None:
                with self._node.chats.reading(rest.chat, stream):
                    while not await self._read_page(stream, rest):
                        await self._pace()
        except RequestError as refusal:
            _log.warning("chat cannot be read", chat=rest.chat, error=str(refusal))
        finally:
            self._last[rest.chat] = rest.after or 0

    async def _read_page(self, stream: ChatSequencer, rest: ChatCursor) -> bool:
        """One page; whether the connection has all there is. Raises Refused."""
        after = AFTER_LAST if rest.after is None else rest.after
        request = SyncChat(rest.chat, [rest.account], after)
        reply = await request_until_answered(self._node.bus, subjects.SYNC_CHAT, request)
        if reply.version < stream.latest_version:
            await asyncio.sleep(_PACE_SECONDS)
            return False
        first = reply.first_index.get(rest.account)
        if first is None:
            return True  # it has left
        if rest.after is None:
            rest.fresh = min(rest.fresh, reply.head + 1)
            rest.after = min(reply.unread_from[rest.account], rest.fresh) - 1
        else:
            self._show_rest(stream, rest, reply.messages, first, await self._faces(reply.messages))
            rest.after = max(rest.after, reply.upto)
        if rest.after < reply.head:
            return False
        faces = await self._faces(stream.recent_after(rest.after) or ())
        recent = stream.recent_after(rest.after)  # what has come by now: there is no waiting from here on
        if recent is None:
            return False
        self._show_rest(stream, rest, recent, first, faces)
        rest.after = max(rest.after, stream.head or 0)
        return True

    def _show_rest(
        self, stream: ChatSequencer, rest: ChatCursor, messages: Iterable[Message], first: int, faces: Faces
    ) -> None:
        said = self._reader.in_flight
        self._show(stream, (one for one in messages if one.index >= first and rest.wants(one, said)), faces)

    def _show(self, stream: ChatSequencer, messages: Iterable[Message], faces: Faces) -> None:
        for message in messages:
            if (message.chat, message.index) not in self._answered:
                self._reader.deliver_one(EncodedMessage(message, stream.pair, faces.get(message.sender)))

    async def _faces(self, messages: Collection[Message]) -> Faces:
        """Of the senders, for a dialect that names them; a message is not left out for want of them."""
        if not self._reader.dialect.names_senders or not messages:
            return {}
        try:
            return await fetch_summaries(self._node.bus, {message.sender for message in messages}, _FACES_SECONDS)
        except RequestError as refusal:
            _log.warning("senders' faces not known", error=str(refusal))
            return {}

    async def _pace(self) -> None:
        while self._reader.unsent_bytes() > _PACE_BYTES:  # noqa: ASYNC110 (the kernel sets no event)
            await asyncio.sleep(_PACE_SECONDS)
