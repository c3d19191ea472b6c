"""Messages that a client asks for, with the faces of their senders; what is returned counts as read."""

from collections.abc import Mapping

import msgspec

from services.edge.canonical.commands import FetchUnread
from services.edge.canonical.replies import MessagePage
from services.edge.context import EdgeContext
from services.edge.dialects.encoded_message import to_display
from services.edge.presence.profiles import fetch_summaries
from shared.contract import subjects
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread
from shared.contract.model import MemberPair, Message

_ALL = 2**31


async def fetch_messages(
    node: EdgeContext, command: GetHistory | FetchUnread, actor: AccountId, seconds: float
) -> MessagePage:
    """Raises Refused."""
    pairs: Mapping[ChatId, MemberPair] = {}
    if isinstance(command, GetHistory):
        command.actor = actor
        messages = await _history(node, command, seconds)
        _read(node, actor, messages)
    else:
        messages, pairs = await _unread(node, actor, _ALL if command.count is None else command.count, seconds)
    faces = await fetch_summaries(node.bus, {message.sender for message in messages}, seconds)
    return MessagePage(
        tuple(to_display(message, pairs.get(message.chat), faces.get(message.sender)) for message in messages)
    )


async def _history(node: EdgeContext, command: GetHistory, seconds: float) -> list[Message]:
    """As many as were asked for, however many replies they fill."""
    messages: list[Message] = []
    while True:
        page = await node.bus.request(subjects.GET_HISTORY, command, seconds=seconds, retry=True)
        messages += page.messages
        left = command.count - len(page.messages)
        if not page.more or not page.messages or left < 1:
            return messages
        following = messages[-1].index + (-1 if command.older else 1)
        command = msgspec.structs.replace(command, start=following, count=left)


async def _unread(
    node: EdgeContext, actor: AccountId, count: int, seconds: float
) -> tuple[list[Message], Mapping[ChatId, MemberPair]]:
    """As many as there are, however many replies they fill: what one holds is read before the next is asked for. (What
    could not be marked as read comes again, and ends it.) What is newer than the request is pushed, and left out."""
    messages: dict[tuple[ChatId, int], Message] = {}
    pairs: dict[ChatId, MemberPair] = {}
    pushed_after = _passed(node, actor)
    others = await node.accounts.other_nodes(actor)
    while count > 0:
        await node.read_state.flush_account(
            actor, others
        )  # also what was got a moment ago, here or there, is not unread
        unread = await node.bus.request(subjects.GET_UNREAD, GetUnread(actor, count), seconds=seconds, retry=True)
        older = [one for one in unread.messages if one.index <= pushed_after.get(one.chat, one.index)]
        news = [message for message in older if (message.chat, message.index) not in messages]
        if not news:
            break
        messages |= {(message.chat, message.index): message for message in news}
        pairs |= unread.pairs
        _read(node, actor, news)
        count = min(count, unread.total) - len(news)
    return list(messages.values()), pairs


def _passed(node: EdgeContext, account: AccountId) -> Mapping[ChatId, int]:
    """The last index of each chat that has come by the account's connections here."""
    resident = node.accounts.get(account)
    streams = {chat: node.chats.sequencer(chat) for chat in (resident.chats if resident else ())}
    return {chat: stream.head for chat, stream in streams.items() if stream is not None and stream.head is not None}


def _read(node: EdgeContext, account: AccountId, messages: list[Message]) -> None:
    for message in messages:
        node.read_state.mark_read(account, {message.chat: [(message.index, message.index)]})
