"""The dialect service: JSON objects. Requests have a `service_code`, and replies have a `state_code`. Replies are in
the order of the requests."""

import base64
import re
import uuid
from collections.abc import Sequence

import msgspec

from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination, encode
from dragoman_client.codec.events import ClientEvent, ListedChat, OtherFrame, ReceivedMessage, ReplyKind, ServerReply

_OK = 200
_PUSH, _PUSH_START = 8, b'{"service_code":8,'
_PAGE = 200
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dragoman:service")


class _ServiceUser(msgspec.Struct):
    id: str


class _ServiceValue(msgspec.Struct):
    """A message or a chat in a reply."""

    id: str | int = ""
    content: str = ""
    index: int = 0
    name: str = ""
    usrs: list[_ServiceUser] | None = None


class _ServiceContent(msgspec.Struct):
    msg: str = ""
    cause: str = ""
    token: str = ""
    chat: int = 0
    index: int = 0
    values: list[_ServiceValue] = []


class _ServiceFrame(msgspec.Struct):
    content: _ServiceContent
    service_code: int = 0
    state_code: int = _OK


class _PushedValue(msgspec.Struct):
    index: int


class _PushedContent(msgspec.Struct):
    values: tuple[_PushedValue]


class _Pushed(msgspec.Struct):
    content: _PushedContent


class _TokenClaims(msgspec.Struct):
    sub: str


_frame = msgspec.json.Decoder(_ServiceFrame).decode
_pushed = msgspec.json.Decoder(_Pushed).decode
_claims = msgspec.json.Decoder(_TokenClaims).decode


def _request(reply: ReplyKind, code: int, **content: object) -> ClientRequest:
    return ClientRequest(encode({"service_code": code, "content": content}), reply)


class ServiceCodec(Codec):
    """The codec of service. Users of this dialect choose their UUIDs and secrets themselves. A login requests pushes,
    unless `push` is false."""

    dialect = "service"
    pushes_missed = False

    def __init__(self, *, push: bool = True) -> None:
        self._pushes: dict[str, object] = {"push": True} if push else {}

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        return _request(ReplyKind.REGISTRATION, 2, id=account.uuid, token=account.secret, **self._pushes)

    def login(self, account: ClientAccount) -> ClientRequest:
        return _request(ReplyKind.LOGIN, 1, id=account.uuid, token=account.token or account.secret, **self._pushes)

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        return _request(ReplyKind.MESSAGE, 5, token=account.token, chat=to.chat, msg=text)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        token = encode(account.token)
        return b'{"service_code":5,"content":{"token":%b,"chat":%d,"msg":"' % (token, chat), b'"}}'

    def create_group(self, account: ClientAccount, name: str, members: Sequence[ClientAccount] = ()) -> ClientRequest:
        return self._create(account, name, members, is_group=True)

    def open_private(self, account: ClientAccount, user: ClientAccount) -> ClientRequest:
        return self._create(account, "", [user], is_group=False)

    def _create(
        self, account: ClientAccount, name: str, members: Sequence[ClientAccount], *, is_group: bool
    ) -> ClientRequest:
        ids = [{"id": member.uuid} for member in members]
        return _request(ReplyKind.CHAT, 7, token=account.token, name=name, is_group=is_group, member=ids)

    def join(self, account: ClientAccount, chat: int) -> ClientRequest:
        return _request(ReplyKind.ANY, 6, token=account.token, chat=chat)

    def list_chats(self, account: ClientAccount) -> ClientRequest:
        return _request(ReplyKind.CHATS, 4, token=account.token)

    def history(self, account: ClientAccount, chat: int, count: int, start: int = -1) -> ClientRequest:
        return _request(ReplyKind.HISTORY, 3, token=account.token, chat=chat, index=start, count=count)

    def missed(self, account: ClientAccount, chat: int, after: int) -> Sequence[ClientRequest]:
        return (_request(ReplyKind.HISTORY, 9, token=account.token, chat=chat, index=after + 1, count=_PAGE),)

    # Users

    def account(self, name: str, secret: str) -> ClientAccount:
        account = self.user(name)
        account.secret = secret
        return account

    def user(self, text: str) -> ClientAccount:
        """The account with this UUID. If the text is no UUID, one is computed from the text."""
        lower = text.lower()
        return ClientAccount(name=text, uuid=lower if _UUID.fullmatch(lower) else str(uuid.uuid5(_NAMESPACE, text)))

    def user_id(self, account: ClientAccount) -> str:
        return account.name if self.user(account.name).uuid == account.uuid else account.uuid

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        read = _frame(frame)
        content = read.content
        if read.service_code == _PUSH:
            (value,) = content.values
            return _message(value, content.chat)
        if read.service_code:
            return OtherFrame()
        error = content.cause if read.state_code == _OK else content.msg or str(read.state_code)
        reply = ServerReply(ReplyKind.ANY, error, read.state_code, chat=content.chat, position=content.index)
        if content.token:
            reply.number, reply.token = _account_of(content.token), content.token
        if content.values:
            reply.chats = [_chat(value) for value in content.values if value.usrs is not None]
            reply.messages = [_message(value, content.chat) for value in content.values if value.usrs is None]
        return reply

    def position(self, frame: bytes) -> int | None:
        return _pushed(frame).content.values[0].index if frame.startswith(_PUSH_START) else None


def _message(value: _ServiceValue, chat: int) -> ReceivedMessage:
    return ReceivedMessage(
        value.content, position=value.index, chat=chat, sender_uuid=str(value.id), sender_name=value.name
    )


def _chat(value: _ServiceValue) -> ListedChat:
    return ListedChat(int(value.id), value.name, [user.id for user in value.usrs or ()])


def _account_of(token: str) -> int:
    """The number of the account that a token belongs to. Only the server can check whether the token is valid."""
    claims = token.split(".")[1]
    return int(_claims(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))).sub)
