"""Reads the missed messages (offline messages) of an account for one connection, after a login and for chats that a
resync finds.

The account's presence is registered before this starts. So each message is either read here or delivered live, or both.
To skip the duplicates, each connection remembers for each chat the last index that it has read, until the chat's last
index on this node is higher.

The first page is requested before the login is answered. A message that the client posts after the reply to its login
is newer than this page. The connection gets such a message even if it is the account's own, or if another device has
read it already.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from services.edge.catchup.reader import ChatCursor, MessageContext, MissedReader
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer
from services.edge.dialects.base import Dialect, LoadedChat
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.local_accounts import LocalAccount
from shared.contract.errors import RequestError
from shared.contract.ids import ChatId, NodeId
from shared.contract.message import ChatSync, Synced
from shared.contract.model import Message
from shared.telemetry import log

_log = log(__name__)
_BEGIN_SECONDS = 1.5
_STALE_SECONDS = 0.05
"""The pause after a page that shows an older membership than this node knows."""

_LOOK_BACK = 32
"""How many of the newest messages are searched first for messages from before the login."""

_READING = -1
"""The position of a chat while its missed messages are being read."""


class ReadingClient(Protocol):
    """The client that reads its missed messages."""

    def awaits_reply(self, message: Message) -> bool:
        """Whether the client has posted this message and the message has no reply yet."""

    def posts_in(self, chat: ChatId) -> bool:
        """Whether messages that the client has posted to this chat have no reply yet."""

    def load_chats(self, chats: Sequence[LoadedChat]) -> None:
        """Give these chats of the account to the dialect."""

    def show(self, messages: Iterable[EncodedMessage]) -> None:
        """Deliver these messages of one chat. Before each message, the iterator checks how far the client has read and
        which of its own messages are in flight."""

    async def until_room(self) -> None:
        """Wait until the client has received most of the frames sent to it."""


class MissedMessages:
    """The index up to which one connection has read each chat. A message up to this index is not live for the
    connection. While the connection reads a chat, none of the chat's messages are live."""

    __slots__ = (
        "_account", "_answered", "_chats", "_client", "_dialect", "_discovered", "_first_page", "_last", "_other_nodes",
        "_reader", "_since", "complete",
    )  # fmt: skip

    def __init__(
        self,
        reader: MissedReader,
        chats: LocalChats,
        account: LocalAccount,
        dialect: Dialect,
        client: ReadingClient,
        *,
        complete: bool = False,
    ) -> None:
        self._reader = reader
        self._chats = chats
        self._account = account
        self._dialect = dialect
        self._client = client
        self._since = chats.message_clock.latest() * 1000
        """The time of the login, on the clock that stamps messages."""
        self._other_nodes: Collection[NodeId] = ()
        self._first_page: Synced | None = None
        self._last: dict[ChatId, int] = {}
        self._discovered: dict[ChatId, int] = {}
        """The chats that remain to be read, each with an index. Messages from this index on arrived after the login."""
        self._answered: set[tuple[ChatId, int]] = set()
        """The connection's own messages that were answered before the connection read them in their chat."""
        self.complete = complete
        """Whether the connection has begun to read every chat. If it has, a chat without a position has no missed
        messages."""

    # Live messages meanwhile

    def contains(self, message: Message) -> bool:
        """Whether this message is read as a missed message. A missed message must not be pushed as a live one."""
        chat, index = message.chat, message.index
        position = self._last.get(chat)
        if position is None:
            if not self.complete:
                # The first live message here may follow older messages that another node has delivered.
                fresh = index if message.time >= self._since else AFTER_LAST
                self._discovered[chat] = min(fresh, self._discovered.get(chat, AFTER_LAST))
            return not self.complete
        if position == _READING or index <= position:
            return True
        if self.complete:
            del self._last[chat]  # the chat's sequencer has already released this message
        return False

    def mark_sent(self, chat: ChatId, index: int) -> None:
        """Note that the connection has received this message as a reply."""
        if not self.is_finished:
            self._answered.add((chat, index))

    def chat_discovered(self, chat: ChatId, fresh: int) -> None:
        """Note that the chat must be read, too. The node did not know that the account is in this chat, so the chat's
        live messages did not arrive. After the sync, messages from index `fresh` on are always shown."""
        if chat not in self._last:
            fresh = fresh if self.complete else AFTER_LAST
            self._discovered[chat] = min(fresh, self._discovered.get(chat, AFTER_LAST))
            if self.complete:
                self._last[chat] = _READING

    def unpushed_to(self, chats: Iterable[ChatId]) -> dict[ChatId, int]:
        """For each chat, the index up to which no messages are pushed, in a dialect whose clients request them. The
        chat's last index on this node may be lower."""
        if self._dialect.pushes_missed:
            return {}
        page = None if self.complete else self._first_page
        to_read = {} if page is None else {entry.chat: entry.head for entry in page.chats}
        otherwise = 0 if self.complete else AFTER_LAST
        found = {chat: self._last.get(chat, to_read.get(chat, otherwise)) for chat in chats}
        return {chat: 0 if position == _READING else position for chat, position in found.items()}

    @property
    def is_finished(self) -> bool:
        """Whether all missed messages are read, so that only live delivery remains."""
        return self.complete and not self._last

    def awaits(self, chat: ChatId) -> bool:
        """Whether messages of this chat remain to be read."""
        return not self.complete or chat in self._discovered or self._last.get(chat) == _READING

    # Reading

    async def begin(self, other_nodes: Collection[NodeId]) -> None:
        """Request the first page before the login is answered. The login waits only briefly for the page.
        `other_nodes`: the other nodes on which the account has connections."""
        self._other_nodes = other_nodes
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                self._first_page = await self._snapshot()
        except TimeoutError:
            _log.info("a login continues before its sync is complete", account=self._account.account)

    async def read_all(self) -> None:
        """Read the missed messages of every chat."""
        first = self._first_page
        page = first or await self._snapshot()
        while page is not None:
            self._client.load_chats([LoadedChat(entry.chat, entry.pair) for entry in page.chats])
            for entry in page.chats:
                await self._read(entry, after_login=page is not first)
            page = await self._reader.next_page(self._account.account, page) if page.more else None
        await self.read_discovered()

    async def read_discovered(self) -> None:
        """Read the chats that were found while other chats were read. Afterwards, only live messages are delivered."""
        while self._discovered:
            chat = next(iter(self._discovered))
            fresh = self._discovered.pop(chat)
            await self._read_on(ChatCursor(chat, self._account.account, None, fresh))
        self.complete = True
        self._answered.clear()
        for chat, last in list(self._last.items()):
            sequencer = self._chats.sequencer(chat)
            if sequencer is None or sequencer.delivered(last):
                del self._last[chat]

    async def _snapshot(self) -> Synced | None:
        bare = not self._dialect.pushes_missed
        return await self._reader.first_page(self._account.account, self._other_nodes, bare=bare)

    async def _read(self, entry: ChatSync, *, after_login: bool) -> None:
        """Read one chat of a sync, to the chat's last index. A snapshot taken after the login also shows messages that
        arrived live and are read already."""
        chat, pushes = entry.chat, self._dialect.pushes_missed
        context = await self._context(entry.messages)
        before = await self._before_login(entry) if after_login and not pushes else entry.head
        sequencer = self._chats.joined(self._account, chat, entry.head)
        if sequencer is None:
            return
        if pushes:
            self._reader.skip_left_out(self._account.account, entry)
        live = self._discovered.pop(chat, AFTER_LAST)
        sequencer.pair = entry.pair or sequencer.pair
        sequencer.rev = entry.rev if sequencer.rev is None else sequencer.rev
        fresh = min(live, before + 1) if after_login else entry.head + 1
        if after_login and self._client.posts_in(chat):
            # The account may have posted some of the missed messages itself. A sync leaves the account's own messages
            # out.
            after = min(entry.missed_from, fresh) - 1
        elif pushes:
            after = min(entry.upto, fresh - 1)
            missed = (message for message in entry.messages if message.index <= after)
            self._show(sequencer, missed, context)
        else:
            after = fresh - 1  # the client requests the older messages by itself
        self._last[chat] = after
        if after < entry.head or (sequencer.head or 0) > after:
            read = entry.delivered if pushes else [(1, fresh - 1)]
            since = 0.0 if before == entry.head else self._since
            cursor = ChatCursor(chat, self._account.account, after, fresh, read, since)
            await self._read_on(cursor)
        await self._client.until_room()

    async def _before_login(self, entry: ChatSync) -> int:
        """Return an index up to which all messages of the snapshot were posted before the login. The snapshot was taken
        after the login, so the client may have requested older messages already. If the client can have missed no
        message since the login, the result is the last index."""
        if 0 < entry.last_time < self._since:
            return entry.head
        before, step = entry.head, _LOOK_BACK
        while before > 0:
            before, step = max(0, before - step), 4 * step
            try:
                page = await self._reader.chat_page(ChatCursor(entry.chat, self._account.account, before, entry.head))
            except RequestError as error:
                _log.warning("chat cannot be read", chat=entry.chat, error=str(error))
                return entry.head
            if page.messages and page.messages[0].time < self._since:
                break
        return before

    async def _read_on(self, cursor: ChatCursor) -> None:
        """Read pages up to the last index while live messages of this chat are held. From the last index on, the
        connection gets live messages."""
        self._last[cursor.chat] = _READING
        sequencer = self._chats.joined(self._account, cursor.chat, None)
        try:
            if sequencer is not None:
                with self._chats.reading(cursor.chat, sequencer):
                    while not cursor.at_head:
                        await self._read_page(sequencer, cursor)
        except RequestError as error:
            _log.warning("chat cannot be read", chat=cursor.chat, error=str(error))
        finally:
            self._last[cursor.chat] = cursor.after or 0

    async def _read_page(self, sequencer: ChatSequencer, cursor: ChatCursor) -> None:
        """Read one page. At the last index, also take the live messages since then. Raises RequestError."""
        page = await self._reader.chat_page(cursor)
        if page.version < sequencer.latest_version:
            await asyncio.sleep(_STALE_SECONDS)
            await self._client.until_room()
            return
        first = page.first_index.get(cursor.account)
        if first is None:  # the account has left the chat
            cursor.at_head = True
            return
        if cursor.after is None:
            cursor.fresh = min(cursor.fresh, page.head + 1)
            cursor.after = self._reader.first_undelivered(cursor, page.unread_from[cursor.account]) - 1
        else:
            context = await self._context(page.messages)
            self._show(sequencer, self._unseen(cursor, page.messages, first), context)
            cursor.after = max(cursor.after, page.upto)
        if cursor.after >= page.head:
            context = await self._context(sequencer.recent_after(cursor.after) or ())
            # no other coroutine runs from here on, so this list stays complete
            recent = sequencer.recent_after(cursor.after)
            if recent is not None:
                self._show(sequencer, self._unseen(cursor, recent, first), context)
                cursor.after = max(cursor.after, sequencer.head or 0)
                cursor.at_head = True
                return
        await self._client.until_room()

    def _unseen(self, cursor: ChatCursor, messages: Iterable[Message], first: int) -> Iterable[Message]:
        return (one for one in messages if one.index >= first and cursor.shows(one, self._client.awaits_reply))

    def _show(self, sequencer: ChatSequencer, messages: Iterable[Message], context: MessageContext) -> None:
        self._client.show(
            context.encoded(message, sequencer.pair)
            for message in messages
            if (message.chat, message.index) not in self._answered
        )

    async def _context(self, messages: Collection[Message]) -> MessageContext:
        return await self._reader.context(messages, self._dialect)
