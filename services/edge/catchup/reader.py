"""Requests missed messages: pages of the accounts' chats, the profile summaries of the senders, and quotes."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from services.edge.catchup.left_out import LeftOutMessages
from services.edge.confirmations.read_state import ReadStateFlusher
from services.edge.delivery.ordering import AFTER_LAST
from services.edge.delivery.quotes import QuoteReader, Quotes
from services.edge.dialects.base import Dialect
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.presence.profiles import fetch_summaries
from services.edge.rpc.coalescer import RequestCoalescer
from services.edge.rpc.retrying import request_until_answered, retry_until_answered
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
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


class SyncRequests:
    """Requests the chats and missed messages of accounts; see shared.contract.message.Sync. For an account whose client
    reads messages itself, pages without messages (`bare`) are requested."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._whole = RequestCoalescer("syncs", partial(self._request, bare=False), _ACCOUNTS_PER_REQUEST)
        self._bare = RequestCoalescer("bare syncs", partial(self._request, bare=True), _ACCOUNTS_PER_REQUEST)

    async def first_page(self, account: AccountId, *, bare: bool) -> Synced:
        """Return the first page, however long it takes. Raises RequestError when another attempt would not help."""
        requests = self._bare if bare else self._whole
        return await retry_until_answered(lambda: requests.get(account), f"sync of account {account}")

    async def close(self) -> None:
        await self._whole.close()
        await self._bare.close()

    async def _request(self, accounts: Sequence[AccountId], *, bare: bool) -> dict[AccountId, Synced | RequestError]:
        """Request a page for several accounts at once. If this fails, halve the request, so that one account that
        cannot be synced does not delay the others."""
        first, *others = accounts
        try:
            page = await self._bus.send(Sync(first, also=others, bare=bare), retry=True)
        except RequestError as error:
            if not others or error.failure.code in _NOT_ANSWERED:
                return dict.fromkeys(accounts, error)
            half = len(accounts) // 2
            first_half, second_half = accounts[:half], accounts[half:]
            return {**await self._request(first_half, bare=bare), **await self._request(second_half, bare=bare)}
        return {**page.also, first: page}


class MessageContext(NamedTuple):
    """The quotes and profile summaries with which messages are shown, as far as these are known."""

    summaries: Mapping[AccountId, ProfileSummary]
    quotes: Quotes

    def encoded(self, message: Message, pair: MemberPair | None) -> EncodedMessage:
        quote = self.quotes.get((message.chat, message.index))
        return EncodedMessage(message, pair, self.summaries.get(message.sender), quote)


class MissedReader:
    """Reads missed messages. All connections of a node share this reader."""

    def __init__(
        self,
        bus: Bus,
        syncs: SyncRequests,
        read_state: ReadStateFlusher,
        quotes: QuoteReader,
        left_out: LeftOutMessages,
    ) -> None:
        self._bus = bus
        self._left_out = left_out
        self._quotes = quotes
        self._syncs = syncs
        self._read_state = read_state

    async def first_page(self, account: AccountId, other_nodes: Collection[NodeId], *, bare: bool) -> Synced | None:
        """Return the account's chats, after the deliveries to its other connections are committed. `bare`: without
        messages. The result is None if the account cannot be synced."""
        await self._read_state.flush_account(account, other_nodes)
        return await _page(account, self._syncs.first_page(account, bare=bare))

    async def next_page(self, account: AccountId, page: Synced) -> Synced | None:
        request = Sync(account, page.last_chat)
        return await _page(account, request_until_answered(self._bus, request))

    async def chat_page(self, cursor: ChatCursor) -> ChatSynced:
        """Return messages of one chat after the cursor, and which of these messages the account may see. Raises
        RequestError."""
        after = AFTER_LAST if cursor.after is None else cursor.after
        request = SyncChat(cursor.chat, [cursor.account], after)
        return await request_until_answered(self._bus, request)

    def first_undelivered(self, cursor: ChatCursor, stored: int) -> int:
        """See ReadStateFlusher.first_undelivered. Only messages before the cursor's `fresh` count."""
        return self._read_state.first_undelivered(cursor.account, cursor.chat, stored, cursor.fresh)

    def skip_left_out(self, account: AccountId, entry: ChatSync) -> None:
        """If the chat has more missed messages than the sync returned, do not push the older ones."""
        if entry.missed_from > entry.delivered_index + 1:
            self._left_out.skip(account, entry.chat, entry.missed_from - 1, entry.left_out, entry.pair)

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


async def _page(account: AccountId, request: Awaitable[Synced]) -> Synced | None:
    try:
        return await request
    except RequestError as error:
        _log.warning("account cannot be synced", account=account, error=str(error))
        return None
