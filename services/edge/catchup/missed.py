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
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from services.edge.catchup.left_out import LeftOutMessages
from services.edge.catchup.login_device import LoginDevice
from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.ordering import AFTER_LAST, ChatSequencer
from services.edge.delivery.quotes import QuoteReader, Quotes
from services.edge.dialects.base import Dialect, LoadedChat
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.local_accounts import LocalAccount
from services.edge.presence.profiles import fetch_summaries
from services.edge.rpc.coalescer import RequestCoalescer
from services.edge.rpc.retrying import request_until_answered, retry_until_answered
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, DeviceId, NodeId
from shared.contract.message import ChatSync, ChatSynced, Sync, SyncChat, Synced
from shared.contract.model import MemberPair, Message, ProfileSummary
from shared.telemetry import log

_ACCOUNTS_PER_REQUEST = 256
_NOT_ANSWERED = (ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED)
"""Failures that have other causes than the accounts of the request."""
_log = log(__name__)
_SUMMARIES_SECONDS = 2.0


@dataclass(slots=True)
class ChatCursor:
    """Selects the messages of a chat after index `after`, except the ranges in `read`. If `after` is None, the first
    undelivered message comes first. Indexes from `fresh` on arrived after the login and are always shown."""

    chat: ChatId
    account: AccountId
    after: int | None
    fresh: int
    read: list[tuple[int, int]] = field(default_factory=list)
    since: float = 0.0
    """The client itself requests messages that are older than this time (Unix milliseconds, on the clock that stamps
    messages)."""
    at_head: bool = False
    """Whether the connection has every message of the chat, and gets live messages from now on."""

    def shows(self, message: Message, awaits_reply: Callable[[Message], bool]) -> bool:
        """Whether the connection is shown this message. `awaits_reply` tells whether the connection has sent the
        message and waits for the reply to its request."""
        is_recent = message.time >= self.since
        if message.index >= self.fresh and is_recent:
            return True
        if message.sender == self.account:
            return awaits_reply(message)
        return is_recent and not any(low <= message.index <= high for low, high in self.read)


_Login = tuple[AccountId, DeviceId]


class SyncRequests:
    """Requests the chats and missed messages of accounts or their devices; see shared.contract.message.Sync. For an
    account whose client reads messages itself, pages without messages (`bare`) are requested."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._whole = RequestCoalescer("syncs", partial(self._request, bare=False), _ACCOUNTS_PER_REQUEST)
        self._bare = RequestCoalescer("bare syncs", partial(self._request, bare=True), _ACCOUNTS_PER_REQUEST)

    async def first_page(self, login: _Login, *, bare: bool) -> Synced:
        """Return the first page, however long it takes. Raises RequestError when another attempt would not help."""
        requests = self._bare if bare else self._whole
        return await retry_until_answered(lambda: requests.get(login), f"sync of account {login[0]}")

    async def close(self) -> None:
        await self._whole.close()
        await self._bare.close()

    async def _request(self, logins: Sequence[_Login], *, bare: bool) -> dict[_Login, Synced | RequestError]:
        """Request a page for several accounts at once, and for one device of each. Other devices wait for the next
        request. If this fails, halve the request, so that one account that cannot be synced does not delay the
        others."""
        wanted: dict[AccountId, DeviceId] = {}
        for account, device in logins:
            wanted.setdefault(account, device)
        first, *others = wanted
        devices = {account: device for account, device in wanted.items() if device}
        try:
            page = await self._bus.send(Sync(first, also=others, bare=bare, devices=devices), retry=True)
        except RequestError as error:
            if not others or error.failure.code in _NOT_ANSWERED:
                return dict.fromkeys(wanted.items(), error)
            half, sent = len(wanted) // 2, list(wanted.items())
            return {**await self._request(sent[:half], bare=bare), **await self._request(sent[half:], bare=bare)}
        return {(account, wanted[account]): one for account, one in {**page.also, first: page}.items()}


class MessageContext(NamedTuple):
    """The quotes and profile summaries with which messages are shown, as far as these are known."""

    summaries: Mapping[AccountId, ProfileSummary]
    quotes: Quotes

    def encoded(self, message: Message, pair: MemberPair | None) -> EncodedMessage:
        quote = self.quotes.get((message.chat, message.index))
        return EncodedMessage(message, pair, self.summaries.get(message.sender), quote)


@dataclass(frozen=True)
class MissedReader:
    """Reads missed messages. All connections of a node share this reader."""

    _bus: Bus
    _syncs: SyncRequests
    _read_state: ReadStateFlusher
    _quotes: QuoteReader
    _left_out: LeftOutMessages

    async def first_page(
        self, account: AccountId, device: LoginDevice, other_nodes: Collection[NodeId], *, bare: bool
    ) -> Synced | None:
        """Return the account's chats, after the deliveries to its other connections are committed. `bare`: without
        messages. The result is None if the account cannot be synced."""
        await self._read_state.flush_account(account, other_nodes)
        await device.open(self._bus, account)
        return await _page(account, device, self._syncs.first_page((account, device.number), bare=bare))

    async def next_page(self, account: AccountId, device: LoginDevice, page: Synced) -> Synced | None:
        request = Sync(account, page.last_chat, devices=_numbers(account, device))
        return await _page(account, device, request_until_answered(self._bus, request))

    async def chat_page(self, cursor: ChatCursor, device: LoginDevice) -> ChatSynced:
        """Return messages of one chat after the cursor, and which of these messages the account may see. Raises
        RequestError."""
        after = AFTER_LAST if cursor.after is None else cursor.after
        request = SyncChat(cursor.chat, [cursor.account], after, devices=_numbers(cursor.account, device))
        return await request_until_answered(self._bus, request)

    def first_undelivered(self, cursor: ChatCursor, device: LoginDevice, stored: int) -> int:
        """See ReadStateFlusher.first_undelivered. Only messages before the cursor's `fresh` count."""
        return self._read_state.first_undelivered(cursor.account, cursor.chat, stored, cursor.fresh, device.number)

    def skip_left_out(self, account: AccountId, device: LoginDevice, entry: ChatSync) -> None:
        """If the chat has more missed messages than the sync returned, do not push the older ones."""
        if entry.missed_from > entry.delivered_index + 1:
            upto = entry.missed_from - 1
            self._left_out.skip(account, entry.chat, upto, entry.left_out, entry.pair, device.number)

    async def context(self, messages: Collection[Message], dialect: Dialect) -> MessageContext:
        """The quotes and profile summaries of these messages, if the dialect shows such data."""
        summaries = await self._summaries(messages) if dialect.names_senders else {}
        return MessageContext(summaries, {} if dialect.shows_replies else await self._quotes.of(messages))

    async def _summaries(self, messages: Collection[Message]) -> Mapping[AccountId, ProfileSummary]:
        """The profile summaries of the senders, as far as the services return them. A message is shown even if its
        sender's summary is missing."""
        if not messages:
            return {}
        try:
            return await fetch_summaries(self._bus, {message.sender for message in messages}, _SUMMARIES_SECONDS)
        except RequestError as error:
            _log.warning("names and pictures of senders were not fetched", error=str(error))
            return {}


def _numbers(account: AccountId, device: LoginDevice) -> dict[AccountId, DeviceId]:
    return {account: device.number} if device.number else {}


async def _page(account: AccountId, device: LoginDevice, request: Awaitable[Synced]) -> Synced | None:
    try:
        return await request
    except RequestError as error:
        _log.warning("account cannot be synced", account=account, error=str(error))
        device.missed_some()
        return None


_BEGIN_SECONDS = 1.5
_CHATS_AT_ONCE = 100
"""After this number of chats, other tasks get their turn, above all the client's first command. To read thousands of
chats takes tens of milliseconds, even without messages."""
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
        "_account", "_answered", "_chats", "_client", "_device", "_dialect", "_discovered", "_first_page", "_last",
        "_other_nodes", "_reader", "_since", "complete",
    )  # fmt: skip

    def __init__(
        self,
        reader: MissedReader,
        chats: LocalChats,
        account: LocalAccount,
        device: LoginDevice,
        dialect: Dialect,
        client: ReadingClient,
        *,
        complete: bool = False,
    ) -> None:
        self._reader = reader
        self._chats = chats
        self._account = account
        self._device = device
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
            for number, entry in enumerate(page.chats, 1):
                await self._read(entry, after_login=page is not first)
                if number % _CHATS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            page = await self._next_page(page) if page.more else None
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
        return await self._reader.first_page(self._account.account, self._device, self._other_nodes, bare=bare)

    async def _next_page(self, page: Synced) -> Synced | None:
        return await self._reader.next_page(self._account.account, self._device, page)

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
            self._reader.skip_left_out(self._account.account, self._device, entry)
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
                cursor = ChatCursor(entry.chat, self._account.account, before, entry.head)
                page = await self._reader.chat_page(cursor, self._device)
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
            self._device.missed_some()
        finally:
            self._last[cursor.chat] = cursor.after or 0

    async def _read_page(self, sequencer: ChatSequencer, cursor: ChatCursor) -> None:
        """Read one page. At the last index, also take the live messages since then. Raises RequestError."""
        page = await self._reader.chat_page(cursor, self._device)
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
            cursor.after = self._reader.first_undelivered(cursor, self._device, page.unread_from[cursor.account]) - 1
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
