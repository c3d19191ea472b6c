"""How search follows the messages: what the message service announces, and requests to it."""

import msgspec

from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.routes import Routed

MAX_FOLLOWED = 1_000
"""Chats of one request."""
ANNOUNCE_SECONDS = 0.4
"""Between two announcements."""


class MovedChats(msgspec.Struct, frozen=True):
    """Announced by each `replica` of message: chats with new or changed messages since its last announcement. `number`
    counts its announcements since its start at `epoch` (Unix ms): a gap tells that one was lost."""

    replica: str
    epoch: int
    number: int
    chats: list[ChatId]


class HeadPosition(msgspec.Struct, array_like=True, frozen=True):
    """How far a chat has come: the index of its last message, and the number of its last change."""

    chat: ChatId
    index: int = 0
    rev: int = 0


class PositionPage(msgspec.Struct, frozen=True):
    """`more`: continue after the last chat. `epoch`: of the database; another one after a restore."""

    positions: list[HeadPosition]
    epoch: str
    more: bool = False


class ListPositions(msgspec.Struct):
    """Requests the positions of all chats, in order of id, a page after `after`."""

    route = Routed("message.positions", PositionPage, reads=True)

    after: ChatId = ChatId(0)


class ChatNews(msgspec.Struct, array_like=True, frozen=True):
    """`messages`: those after the given position up to `position`, as they are now. `changed`: earlier ones whose text
    has changed since. `more`: `position` is not the chat's head."""

    position: HeadPosition
    messages: list[Message]
    changed: list[Message]
    more: bool


class News(msgspec.Struct, frozen=True):
    """As much as fits into a reply. A chat that is left out has no news, unless it is after the last one of the reply
    and `more` is set."""

    chats: list[ChatNews]
    more: bool = False


class FollowChats(msgspec.Struct):
    """Requests what is new in these chats, in ascending order, since these positions."""

    route = Routed("message.follow", News, reads=True)

    positions: list[HeadPosition]


class Visible(msgspec.Struct, frozen=True):
    """Those of the messages that the account may read, as they are now. `more`: later ones did not fit."""

    messages: list[Message]
    more: bool = False


class ReadVisible(msgspec.Struct):
    """Requests ranges of messages (chat, first and last index) on behalf of an account that looks for them."""

    route = Routed("message.visible", Visible, reads=True)

    account: AccountId
    ranges: list[tuple[ChatId, int, int]]
