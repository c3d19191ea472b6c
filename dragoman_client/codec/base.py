"""The base class of all codecs. A codec is the client's side of a dialect, without I/O. It turns requests into frames,
and frames into events.

A codec has no state, so that one object is enough for all connections. A request that a dialect lacks raises
Unsupported, with a sentence for the user.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from dragoman_client.codec.events import ClientEvent, ReceivedMessage, ReplyKind, ServerReply
from dragoman_client.errors import ClientError


class Unsupported(ClientError):
    """The dialect does not have this request, or not with these arguments."""


class ClientAccount(msgspec.Struct):
    """The data of an account that a client has. `secret` is sent unchanged. It is the password, or its hash if the
    dialect takes a hash. If there is a `token`, it is used for the login in dialects that accept tokens."""

    name: str = ""
    secret: str = ""
    number: int = 0
    uuid: str = ""
    token: str = ""
    email: str = ""


class Destination(NamedTuple):
    """A chat. In a private chat of some dialects, it is the other user instead."""

    chat: int = 0
    user: int = 0


class ClientRequest(NamedTuple):
    """A frame to send, and the frames to send `before` it. `reply`: the kind of its reply, or None if there is no reply
    to a success. In some dialects, the reply is the sender's own message or group, which is recognised by its text or
    name (`echo`)."""

    frame: bytes
    reply: ReplyKind | None
    echo: str = ""
    account: int = 0
    """The number of the account that sends the frame."""
    before: tuple[bytes, ...] = ()


class Codec(ABC):
    dialect: ClassVar[str]
    registration_logs_in: ClassVar[bool] = True
    pushes_missed: ClassVar[bool] = True
    """Whether missed messages are pushed after the login. If not, the client requests them with `missed`."""
    marks_read: ClassVar[bool] = False
    """Whether the client reports what is read (`read`). If not, a message counts as read when its user writes in the
    chat."""
    lobby: ClassVar[int] = 0
    """The chat that every account of the dialect is in, or 0 if there is none."""

    @property
    def path(self) -> str:
        """The path of the dialect's WebSocket address."""
        return f"/ws/{self.dialect}"

    # Requests

    @abstractmethod
    def register(self, account: ClientAccount) -> ClientRequest: ...

    @abstractmethod
    def login(self, account: ClientAccount) -> ClientRequest: ...

    def after_login(self, account: ClientAccount) -> Sequence[ClientRequest]:
        """The requests that a client sends after the login, so that missed messages are delivered."""
        return ()

    @abstractmethod
    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest: ...

    @abstractmethod
    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        """The bytes before and after the text of a message to a chat, for programs that send many messages. The text is
        inserted unchanged. So it must not contain characters that need escaping."""

    def message_writer(self, account: ClientAccount, chat: int) -> Callable[[bytes], bytes]:
        """Make a function that makes the frame for a text. See `message_parts`."""
        head, tail = self.message_parts(account, chat)
        return lambda text: head + text + tail

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        raise self.unsupported("make a group")

    def open_private(self, account: ClientAccount, user: ClientAccount) -> ClientRequest | Destination:
        """The request for the private chat with a user. If no request is needed, it is the destination itself."""
        raise self.unsupported("open a private chat")

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        raise self.unsupported("ask to join a group")

    def accept(self, account: ClientAccount, chat: int, user: ClientAccount) -> ClientRequest:
        """Accept a user's request to join a group."""
        raise self.unsupported("accept a request to join a group")

    def list_chats(self, account: ClientAccount) -> ClientRequest:
        raise self.unsupported("list the chats of an account")

    def describe_chat(self, account: ClientAccount, chat: int) -> ClientRequest:
        """The request for the name and the members of a listed chat."""
        raise self.unsupported("look at a chat")

    def history(self, account: ClientAccount, chat: int, count: int, start: int = -1) -> ClientRequest:
        """The request for a page of messages from index `start` (−1: the newest) towards older messages."""
        raise self.unsupported("page through the history of a chat")

    def search(self, query: str, count: int, zone: int = 0) -> ClientRequest:
        """The request for the newest messages in the account's chats that match the query (docs/reference/search.md).
        `zone`: minutes east of UTC, for dates in the query."""
        raise self.unsupported("search")

    def missed(self, account: ClientAccount, chat: int, after: int) -> Sequence[ClientRequest]:
        """The requests for the messages of a chat after a position. The reply to the last request is a page of
        messages. In other dialects, it is any reply, and the messages are delivered before it like new ones."""
        raise self.unsupported("request missed messages")

    def reply(self, chat: int, index: int, text: str) -> ClientRequest:
        """A message that is a reply to another message."""
        raise self.unsupported("reply to a message")

    def edit(self, chat: int, index: int, text: str) -> ClientRequest:
        raise self.unsupported("edit a message")

    def recall(self, chat: int, index: int) -> ClientRequest:
        raise self.unsupported("recall a message")

    def react(self, chat: int, index: int, emoji: str, *, on: bool = True) -> ClientRequest:
        raise self.unsupported("react to a message")

    def read(self, chat: int, index: int, *, counts: bool = True) -> ClientRequest:
        """Mark the messages of a chat up to an index as read. `counts`: whether the client wants a reply with the
        number of unread messages. If not, there is no reply."""
        raise self.unsupported("mark messages as read")

    def call(self, operation: str, members: Mapping[str, Any]) -> ClientRequest:
        """The request for any operation of the dialect, by its name. The `values` of its reply are everything that the
        server has sent."""
        raise self.unsupported("call an operation by its name")

    def block(self, user: ClientAccount, *, on: bool = True) -> ClientRequest:
        raise self.unsupported("block a user")

    def request_verification(self) -> ClientRequest | None:
        """The request to mail the link for a verification. None if the server mails the link without a request."""
        return None

    # Users

    def account(self, name: str, secret: str) -> ClientAccount:
        """The account that a user means by a typed name, which is an e-mail address, a number, or a user name."""
        if "@" in name:
            return ClientAccount(name.partition("@")[0], secret, email=name)
        return ClientAccount(name, secret, int(name) if name.isascii() and name.isdecimal() else 0)

    def user(self, text: str) -> ClientAccount:
        """The user whose number is typed in this text. Raises Unsupported."""
        if not text.isascii() or not text.isdecimal():
            raise Unsupported(f"{self.dialect} needs the number of a user: {text} is no number")
        return ClientAccount(number=int(text))

    def user_id(self, account: ClientAccount) -> str:
        """The text by which other users of the dialect name an account."""
        return str(account.number)

    # Frames received

    @abstractmethod
    def decode(self, frame: bytes) -> ClientEvent:
        """Decode a frame. Raises ValueError or msgspec.MsgspecError for a frame that no server sends."""

    @abstractmethod
    def position(self, frame: bytes) -> int | None:
        """The position of a message, without decoding the rest of its frame. The result is None if this is not
        possible, and then the caller must call `decode`. Programs that receive many messages use this method, because
        they recognise a message by a tag in its text."""

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        """The reply in an event, if it answers the request."""
        if not isinstance(event, ServerReply) or request.reply is None:
            return None
        return event if event.to is request.reply or ReplyKind.ANY in (event.to, request.reply) else None

    def unsupported(self, action: str) -> Unsupported:
        return Unsupported(f"{self.dialect} cannot {action}")


def echo_of(request: ClientRequest, event: object) -> ServerReply | None:
    """The reply to a message, if the dialect sends the sender's own message as the reply."""
    if (
        request.reply is ReplyKind.MESSAGE
        and isinstance(event, ReceivedMessage)
        and (event.sender, event.text) == (request.account, request.echo)
    ):
        return ServerReply(ReplyKind.MESSAGE, chat=event.chat, position=event.position, messages=(event,))
    return None


def encode(frame: object) -> bytes:
    return msgspec.json.encode(frame)


def padded(number: int) -> str:
    """The number of an account in the form of OurChat."""
    return f"{number:010d}"
