"""How search and notifications learn of new messages: the announcements of the message service, and the requests to
it."""

import msgspec

from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.routes import Routed

MAX_FOLLOWED = 1_000
"""The most chats of one request."""
MAX_FOLLOWED_MESSAGES = 1_000
"""The most messages of one reply."""
ANNOUNCE_SECONDS, IDLE_ANNOUNCE_SECONDS = 0.4, 1.0
"""A replica announces its chats this long after the first of them has changed, and about this often without changes."""
UNLIMITED = 2**63 - 1


class MovedChats(msgspec.Struct, frozen=True):
    """Each `replica` of the message service announces its chats with messages that are new or changed since the last
    announcement. `number` counts the replica's announcements since the start at `epoch` (Unix ms), so a gap shows a
    loss. `until`: all messages that the replica has sent or will send with a time before this one (Unix ms) are
    announced. It is UNLIMITED in the last announcement of a replica, and if the previous version sends it."""

    replica: str
    epoch: int
    number: int
    chats: list[ChatId]
    until: int = UNLIMITED


class HeadPosition(msgspec.Struct, array_like=True, frozen=True):
    """The position of a chat: the index of the chat's last message, and the number of its last change."""

    chat: ChatId
    index: int = 0
    rev: int = 0


class PositionPage(msgspec.Struct, frozen=True):
    """A page of positions. `more`: there are further chats after the last one. `epoch`: the epoch of the database,
    which a restore changes."""

    positions: list[HeadPosition]
    epoch: str
    more: bool = False


class ListPositions(msgspec.Struct):
    """A request for the positions of all chats, in order of id: one page after the chat `after`."""

    route = Routed("message.positions", PositionPage, reads=True)
    after: ChatId = ChatId(0)


class ChatNews(msgspec.Struct, array_like=True, frozen=True):
    """`messages`: the messages after the requested position up to `position`, in their present state. `changed`:
    earlier messages whose text has changed since then. `more`: the chat has messages after `position`."""

    position: HeadPosition
    messages: list[Message]
    changed: list[Message]
    more: bool


class News(msgspec.Struct, frozen=True):
    """The new messages that fit into a reply. A chat that is left out has no news, unless `more` is set and the chat
    comes after the reply's last one."""

    chats: list[ChatNews]
    more: bool = False


class FollowChats(msgspec.Struct):
    """A request for the news of these chats, in ascending order, since these positions: at most `limit` messages."""

    route = Routed("message.follow", News, reads=True)
    positions: list[HeadPosition]
    limit: int = MAX_FOLLOWED_MESSAGES


class Visible(msgspec.Struct, frozen=True):
    """Messages that the account may read, in their present state. `more`: later messages did not fit."""

    messages: list[Message]
    more: bool = False


class ReadVisible(msgspec.Struct):
    """A request for ranges of messages (chat, first and last index) for an account that searches."""

    route = Routed("message.visible", Visible, reads=True)
    account: AccountId
    ranges: list[tuple[ChatId, int, int]]
