"""The dialect pipe: text frames whose fields are separated by `|`. The first field is the command."""

from collections.abc import Sequence
from urllib.parse import urlunsplit

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, Unsupported
from dragoman_client.codec.events import (
    ClientEvent,
    ListedChat,
    NotificationKind,
    PendingRequests,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedNotification,
    ReplyKind,
    ServerReply,
)

_PRIVATE, _GROUP = "0", "1"
_REPLIES = {
    "register_succ": ReplyKind.REGISTRATION,
    "login_succ": ReplyKind.LOGIN,
    "userinfo": ReplyKind.LOGIN,
    "send_message_succ": ReplyKind.MESSAGE,
    "create_group_succ": ReplyKind.CHAT,
}
"""The kinds of replies, by their command. `userinfo` is the reply to a login by token."""
_MESSAGE, _SENT = b"message|", b"send_message_succ|"
_ACCEPTED = ServerReply(ReplyKind.MESSAGE)


class PipeCodec(Codec):
    dialect = "pipe"
    registration_logs_in = False
    pushes_missed = False

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        if account.email or not account.name:
            raise Unsupported(f"{self.dialect} registers an account by a user name without @")
        frame = _frame("register", account.name, account.secret, account.name, 1, "", 1, "", 0)
        return ClientRequest(frame, ReplyKind.REGISTRATION)

    def login(self, account: ClientAccount) -> ClientRequest:
        """Log in. With a token, this is a request for the account's own data. Otherwise, it is a login by number,
        e-mail address or user name."""
        if account.token:
            frame = _frame("get_user_info", account.number, account.number, account.token)
        else:
            frame = _frame("login", account.number or account.email or account.name, account.secret)
        return ClientRequest(frame, ReplyKind.LOGIN)

    def after_login(self, account: ClientAccount) -> Sequence[ClientRequest]:
        return (ClientRequest(b"get_unread_message|", None),)

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        kind, number = (_GROUP, to.chat) if to.chat else (_PRIVATE, to.user)
        frame = _frame("send_message", kind, account.number, number, 0, text, account.token)
        return ClientRequest(frame, ReplyKind.MESSAGE)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        head = f"send_message|{_GROUP}|{account.number}|{chat}|0|"
        return head.encode(), f"|{account.token}".encode()

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        if members:
            raise Unsupported(f"{self.dialect} makes groups without members: they ask to join")
        return ClientRequest(_frame("create_group", account.number, name, account.token), ReplyKind.CHAT)

    def open_private(self, account: ClientAccount, user: ClientAccount) -> Destination:
        return Destination(user=user.number)

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        return ClientRequest(_frame("join_group", account.number, chat, "", account.token), ReplyKind.ANY)

    def accept(self, account: ClientAccount, chat: int, user: ClientAccount) -> ClientRequest:
        return ClientRequest(_frame("hand_group_request", user.number, chat, 1, account.token), ReplyKind.ANY)

    def list_chats(self, account: ClientAccount) -> ClientRequest:
        return ClientRequest(_frame("get_user_group", account.number, account.token), ReplyKind.CHATS)

    def describe_chat(self, account: ClientAccount, chat: int) -> ClientRequest:
        return ClientRequest(_frame("get_group_info", account.number, chat, account.token), ReplyKind.CHAT_DETAILS)

    def missed(self, account: ClientAccount, chat: int, after: int) -> Sequence[ClientRequest]:
        return (*self.after_login(account), self.login(account)._replace(reply=ReplyKind.ANY))

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        if frame.startswith(_SENT):
            return _ACCEPTED
        command, _, rest = frame.decode().partition("|")
        match command:
            case "message":
                return _message(rest)
            case "file":
                return _media(rest)
            case "friend_request" | "group_request":
                return _requests(command, rest)
        fields = (command, *rest.split("|"))
        if command == "error" or command.endswith("_error"):
            return _rejected(command, rest)
        return _accepted(fields)

    def position(self, frame: bytes) -> int | None:
        return int(frame.split(b"|", 4)[3]) if frame.startswith(_MESSAGE) else None

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        """The reply in an event. A list of groups and the details of a group begin with the same word, and are
        distinguished by the request."""
        if isinstance(event, ServerReply) and event.fields and event.fields[0] == "groupinfo":
            if request.reply is ReplyKind.CHATS:
                chats = [ListedChat(int(number)) for number in event.fields[2:]]
                return ServerReply(ReplyKind.CHATS, chats=chats, fields=event.fields)
            if request.reply is ReplyKind.CHAT_DETAILS:
                _, number, name, _, *members = event.fields
                chat = ListedChat(int(number), name, members)
                return ServerReply(ReplyKind.CHAT_DETAILS, chat=chat.number, chats=[chat], fields=event.fields)
        return super().match(request, event)


def _frame(*fields: object) -> bytes:
    return "|".join(map(str, fields)).encode()


def _message(rest: str) -> ReceivedMessage:
    """A message in the form `kind|number|seconds|text`. The number is the sender of a private message, or a group. In a
    group, the text names the sender."""
    kind, number, seconds, text = rest.split("|", 3)
    if kind == _PRIVATE:
        return ReceivedMessage(text, position=int(seconds), sender=int(number))
    return ReceivedMessage(text, position=int(seconds), chat=int(number))


def _media(rest: str) -> ReceivedMedia:
    sender, host, port, path, size, *_ = rest.split("|")
    return ReceivedMedia(int(sender), int(size), url=urlunsplit(("http", f"{host}:{port}", path, "", "")))


def _requests(command: str, rest: str) -> PendingRequests:
    _, *fields = rest.split("|")
    if command == "friend_request":
        users = [
            ReceivedNotification(NotificationKind.FRIENDSHIP_REQUESTED, user=int(user), text=text)
            for user, text in zip(fields[::2], fields[1::2], strict=False)
        ]
        return PendingRequests(users)
    return PendingRequests(
        [
            ReceivedNotification(NotificationKind.MEMBERSHIP_REQUESTED, int(chat), int(user), text=text)
            for user, chat, text in zip(fields[::3], fields[1::3], fields[2::3], strict=False)
        ]
    )


def _rejected(command: str, reason: str) -> ClientEvent:
    return ServerReply(ReplyKind.ANY, error=reason or command)


def _accepted(fields: Sequence[str]) -> ClientEvent:
    kind = _REPLIES.get(fields[0], ReplyKind.ANY)
    match fields:
        case "login_succ", _, number, token, _:
            return ServerReply(kind, number=int(number), token=token, fields=fields)
        case "create_group_succ", chat, *_:
            return ServerReply(kind, chat=int(chat), fields=fields)
    return ServerReply(kind, fields=fields)
