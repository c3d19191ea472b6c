"""Messages that a client asks for, with the faces of their senders; what is returned counts as read."""

from collections.abc import Mapping

from services.edge.node import Node
from services.edge.requests import Page, Shown, TakeUnread
from shared.contract import subjects
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread
from shared.contract.model import Face, Message, Pair, unpack_segments
from shared.contract.session import GetFaces

_ALL = 2**31
_FACES = 1_000
"""Asked for in one request."""


async def fetch(node: Node, command: GetHistory | TakeUnread, actor: AccountId, seconds: float) -> Page:
    """Raises Refused."""
    pairs: Mapping[ChatId, Pair] = {}
    if isinstance(command, GetHistory):
        command.actor = actor
        history = await node.bus.ask(subjects.GET_HISTORY, command, seconds=seconds, retry=True)
        messages = history.messages
    else:
        request = GetUnread(actor, _ALL if command.count is None else command.count)
        unread = await node.bus.ask(subjects.GET_UNREAD, request, seconds=seconds, retry=True)
        messages, pairs = unread.messages, unread.pairs
    faces = await faces_of(node, {message.sender for message in messages}, seconds)
    for message in messages:
        node.read_flush.read(actor, {message.chat: [(message.index, message.index)]})
    return Page(tuple(shown(message, faces.get(message.sender), pairs.get(message.chat)) for message in messages))


async def faces_of(node: Node, accounts: set[AccountId], seconds: float) -> dict[AccountId, Face]:
    """Raises Refused."""
    wanted, faces = sorted(accounts), dict[AccountId, Face]()
    for start in range(0, len(wanted), _FACES):
        request = GetFaces(wanted[start : start + _FACES])
        faces |= (await node.bus.ask(subjects.GET_FACES, request, seconds=seconds, retry=True)).faces
    return faces


def shown(message: Message, face: Face | None, pair: Pair | None) -> Shown:
    return Shown(message, unpack_segments(message.body), face, other(pair, message.sender))


def other(pair: Pair | None, account: AccountId) -> AccountId | None:
    """The other one of a pair; None where there is none."""
    return None if pair is None else pair[1] if pair[0] == account else pair[0]
