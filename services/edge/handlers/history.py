"""Messages that a client requests, with the profile summaries of their senders. They count as delivered."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from services.edge.canonical.commands import FetchUnread, ReadHistory, ResumeChats
from services.edge.canonical.replies import ChatsResumed, HistoryPage, MessagePage
from services.edge.catchup.left_out import LeftOutMessages
from services.edge.delivery.local_chats import LocalChats
from services.edge.delivery.quotes import QuoteReader
from services.edge.dialects.encoded_message import to_display
from services.edge.handlers.missing_messages import MissingMessages
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from services.edge.receipts.read_state import ReadStateFlusher
from shared.bus.client import Bus
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread, History, Unread
from shared.contract.model import MemberPair, Message

_ALL = 2**31
UnpushedTo = Callable[[Iterable[ChatId]], Mapping[ChatId, int]]


class MessageHistory:
    """Each request waits for its reply for `seconds`."""

    def __init__(
        self,
        bus: Bus,
        accounts: LocalAccounts,
        chats: LocalChats,
        read_state: ReadStateFlusher,
        quotes: QuoteReader,
        left_out: LeftOutMessages,
        seconds: float,
    ) -> None:
        self._bus = bus
        self._left_out = left_out
        self._quotes = quotes
        self._accounts = accounts
        self._chats = chats
        self._read_state = read_state
        self._seconds = seconds
        self._missing = MissingMessages(bus, accounts, read_state, seconds)

    async def fetch(
        self, command: GetHistory | FetchUnread, actor: AccountId, unpushed_to: UnpushedTo = lambda _: {}
    ) -> MessagePage:
        """`unpushed_to`: the index up to which the messages of each chat are not pushed to this client. Raises
        RequestError."""
        pairs: Mapping[ChatId, MemberPair] = {}
        if isinstance(command, GetHistory):
            command.actor = actor
            messages = await self._history(command)
            self._mark_delivered(actor, messages)
        else:
            heads = self._heads(actor)
            unpushed = unpushed_to(heads)
            heads = {chat: max(head, unpushed.get(chat, 0)) for chat, head in heads.items()}
            messages, pairs = await self._unread(actor, _ALL if command.count is None else command.count, heads)
        summaries = await fetch_summaries(self._bus, {message.sender for message in messages}, self._seconds)
        quotes = await self._quotes.of(messages)
        return MessagePage(
            tuple(
                to_display(one, pairs.get(one.chat), summaries.get(one.sender), quote=quotes.get((one.chat, one.index)))
                for one in messages
            )
        )

    async def read_page(self, command: ReadHistory, actor: AccountId) -> HistoryPage:
        """One reply's worth of messages. Raises RequestError."""
        request = GetHistory(command.chat, command.start, command.count, command.older, actor, with_reactions=True)
        page = await self._bus.send(request, seconds=self._seconds, retry=True)
        messages = page.messages
        summaries = await fetch_summaries(self._bus, {message.sender for message in messages}, self._seconds)
        pair = self._chats.pair(command.chat)
        shown = tuple(
            to_display(message, pair, summaries.get(message.sender), page.reactions.get(message.index))
            for message in messages
        )
        return HistoryPage(shown, page.head, _has_more(command, page), page.rev)

    async def resume(self, command: ResumeChats, actor: AccountId) -> ChatsResumed:
        """Raises RequestError."""
        return await self._missing.fetch(command, actor)

    async def count_unread(self, actor: AccountId) -> Unread:
        """Raises RequestError."""
        await self._read_state.flush_account(actor, await self._accounts.other_nodes(actor))
        request = GetUnread(actor, 0, by_chat=True)
        return await self._bus.send(request, seconds=self._seconds, retry=True)

    async def _history(self, command: GetHistory) -> list[Message]:
        """The requested number of messages, from as many replies as it takes."""
        messages: list[Message] = []
        while True:
            page = await self._bus.send(command, seconds=self._seconds, retry=True)
            messages += page.messages
            left = command.count - len(page.messages)
            if not page.more or not page.messages or left < 1:
                return messages
            following = messages[-1].index + (-1 if command.older else 1)
            command = msgspec.structs.replace(command, start=following, count=left)

    async def _unread(
        self, actor: AccountId, count: int, heads: Mapping[ChatId, int]
    ) -> tuple[list[Message], Mapping[ChatId, MemberPair]]:
        """At most `count` messages, from as many replies as it takes. The messages of a reply are marked as delivered
        before the next request. A message that could not be marked comes again, and ends the loop. Messages after the
        `heads` are pushed, and left out."""
        messages: dict[tuple[ChatId, int], Message] = {}
        pairs: dict[ChatId, MemberPair] = {}
        other_nodes = await self._accounts.other_nodes(actor)
        while count > 0:
            # messages that were delivered a moment ago, on any node, are not unread
            await self._read_state.flush_account(actor, other_nodes)
            request = GetUnread(actor, count)
            unread = await self._bus.send(request, seconds=self._seconds, retry=True)
            for chat, (upto, number) in unread.left_out.items():
                self._left_out.skip(actor, chat, upto, number, unread.pairs.get(chat))
            older = [one for one in unread.messages if one.index <= heads.get(one.chat, one.index)]
            added = [message for message in older if (message.chat, message.index) not in messages]
            if not added:
                break
            messages |= {(message.chat, message.index): message for message in added}
            pairs |= unread.pairs
            self._mark_delivered(actor, added)
            count = min(count, unread.total) - len(added)
        return list(messages.values()), pairs

    def _heads(self, account: AccountId) -> Mapping[ChatId, int]:
        """The index of the last message of each chat that was delivered to the account's connections here."""
        local = self._accounts.get(account)
        sequencers = {chat: self._chats.sequencer(chat) for chat in (local.chats if local else ())}
        return {
            chat: sequencer.head
            for chat, sequencer in sequencers.items()
            if sequencer is not None and sequencer.head is not None
        }

    def _mark_delivered(self, account: AccountId, messages: list[Message]) -> None:
        for message in messages:
            self._read_state.mark_delivered(account, {message.chat: [(message.index, message.index)]})


def _has_more(command: ReadHistory, page: History) -> bool:
    """Whether the chat may have messages after the page, in its direction."""
    if not page.messages:
        return False
    last = page.messages[-1].index
    return last > 1 if command.older else last < page.head
