"""The events that a client of any dialect may receive. They are decoded from the frames of a server."""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

import msgspec

_NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class ReplyKind(Enum):
    """The kinds of requests that have replies. A value completes the sentence "no answer to a …"."""

    REGISTRATION = "registration"
    LOGIN = "login"
    CHAT = "chat"
    MESSAGE = "message"
    CHATS = "list of chats"
    CHAT_DETAILS = "request about a chat"
    ACCOUNT = "request about an account"
    HISTORY = "page of the history"
    SEARCH = "search"
    STATUS = "request of the server's status"
    OPERATION = "request by name"
    ANY = "request"
    """For a reply, it answers the oldest request. For a request, any reply answers it."""


class ListedChat(msgspec.Struct, frozen=True):
    """A chat of the account. In some dialects, `name` and `members` are empty and must be requested for each chat."""

    number: int
    name: str = ""
    members: Sequence[str] = ()


class ReceivedMessage(msgspec.Struct, gc=False):
    """A message. `position` orders the messages of a chat as well as the dialect allows. It is an index, a time, or 0.

    In some dialects, `chat` is 0 in a private chat. Then the chat is named by its users: by `sender` and, in v1, by
    `recipient`. `sender` is 0 if the dialect does not name the sender, or names it by `sender_uuid`.
    """

    text: str
    position: int = 0
    chat: int = 0
    sender: int = 0
    recipient: int = 0
    id: int = 0
    sender_uuid: str = ""
    sender_name: str = ""


class ServerReply(msgspec.Struct):
    """A reply to a request. `error` is empty when the request has succeeded. `status` is the dialect's number of the
    error. `fields` (pipe) and `values` (v2, and native's OPERATION) are the rest of the reply as it was sent."""

    to: ReplyKind
    error: str = ""
    status: int = 0
    number: int = 0
    token: str = ""
    chat: int = 0
    position: int = 0
    messages: Sequence[ReceivedMessage] = ()
    chats: Sequence[ListedChat] = ()
    fields: Sequence[str] = ()
    values: Mapping[str, Any] = _NO_VALUES
    needs_verification: bool = False
    """Whether the server waits until the e-mail address is verified."""


class NotificationKind(Enum):
    CHAT_ADDED = "chat added"
    CHAT_MUTED = "chat muted"
    CHAT_RENAMED = "chat renamed"
    CHAT_SETTINGS_CHANGED = "chat settings changed"
    CHAT_LEFT = "chat left"
    ROLE_CHANGED = "role changed"
    USER_RENAMED = "user renamed"
    MEMBERSHIP_REQUESTED = "membership requested"
    MEMBERSHIP_GRANTED = "membership granted"
    MEMBERSHIP_REJECTED = "membership rejected"
    FRIENDSHIP_REQUESTED = "friendship requested"
    FRIENDSHIP_ACCEPTED = "friendship accepted"
    FRIENDSHIP_REJECTED = "friendship rejected"
    TYPING = "typing"
    TYPING_ENDED = "typing ended"
    PRESENCE_CHANGED = "presence changed"
    CHAT_MOVED = "chat moved"
    CHAT_READ = "chat read"
    CHAT_MARKED_UNREAD = "chat marked as unread"
    DRAFT_CHANGED = "draft changed"
    OWN_SETTINGS_CHANGED = "own settings changed"
    READ_BY_OTHERS = "read by others"
    VERIFICATION_PASSED = "verification passed"
    VERIFICATION_FAILED = "verification failed"
    VERIFICATION_EXPIRED = "verification expired"


class ReceivedNotification(msgspec.Struct):
    """An event that is no message. `user`: the account that it is about. `text`: depends on the kind. It is the words
    of a request, the reason of a departure, a role, the state of a user's presence, the place of a chat in the
    account's list, or the beginning of a draft."""

    kind: NotificationKind
    chat: int = 0
    user: int = 0
    name: str = ""
    text: str = ""


class ReceivedChange(msgspec.Struct):
    """The message at `position` has changed. `kind`: edit, recall, reaction or pin. `user`: the user who made the
    change. `text`: the text of the edited message, or the emoji. It is empty if only the result is known. `on`: whether
    the reaction or the pin is added. `rev` counts the changes of the chat, 1, 2, 3 …"""

    kind: str
    chat: int
    position: int
    rev: int
    user: int
    text: str = ""
    on: bool = True


class PendingRequests(msgspec.Struct):
    """The requests of other users that the account has not answered yet."""

    requests: Sequence[ReceivedNotification]


class MaintenanceStatus(msgspec.Struct):
    """Whether the server is in maintenance. This is the reply to a status request, and is also sent when the status
    changes."""

    active: bool


class ReceivedMedia(msgspec.Struct):
    """A picture or file. It is at `url`, or in the next `parts` binary frames."""

    sender: int
    size: int
    chat: int = 0
    is_picture: bool = False
    url: str = ""
    parts: int = 0


class ReceivedPart(msgspec.Struct):
    """One binary frame of a received picture or file."""

    data: bytes


class OtherFrame(msgspec.Struct):
    """A frame without an event of its own. It is a part of another frame, or a frame that this library never
    requests."""


ClientEvent = (
    ReceivedMessage
    | ServerReply
    | ReceivedNotification
    | ReceivedChange
    | PendingRequests
    | MaintenanceStatus
    | ReceivedMedia
    | ReceivedPart
    | OtherFrame
)
