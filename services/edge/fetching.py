"""Messages that a client asks for, with the faces of their senders; what is returned counts as read."""

from collections.abc import Mapping

from services.edge.encoding import shown
from services.edge.faces import faces_of
from services.edge.node import Node
from services.edge.requests import Page, TakeUnread
from shared.contract import subjects
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread
from shared.contract.model import Pair

_ALL = 2**31


async def fetch(node: Node, command: GetHistory | TakeUnread, actor: AccountId, seconds: float) -> Page:
    """Raises Refused."""
    pairs: Mapping[ChatId, Pair] = {}
    if isinstance(command, GetHistory):
        command.actor = actor
        history = await node.bus.ask(subjects.GET_HISTORY, command, seconds=seconds, retry=True)
        messages = history.messages
    else:
        await node.read_flush.settle(actor, [])  # what was pushed a moment ago is not unread
        request = GetUnread(actor, _ALL if command.count is None else command.count)
        unread = await node.bus.ask(subjects.GET_UNREAD, request, seconds=seconds, retry=True)
        messages, pairs = unread.messages, unread.pairs
    faces = await faces_of(node.bus, {message.sender for message in messages}, seconds)
    for message in messages:
        node.read_flush.read(actor, {message.chat: [(message.index, message.index)]})
    return Page(tuple(shown(message, pairs.get(message.chat), faces.get(message.sender)) for message in messages))
