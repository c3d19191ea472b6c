"""OurChat v0: frames with an integer `code` and an object `data`. It has only messages, registrations and logins."""

import msgspec

from dragoman_client.codec.base import (
    ClientAccount,
    ClientRequest,
    Codec,
    Destination,
    Unsupported,
    echo_of,
    encode,
    padded,
)
from dragoman_client.codec.events import ClientEvent, OtherFrame, ReceivedMedia, ReceivedMessage, ReplyKind, ServerReply

_PICTURE = 2
_REPLIES = {5: ReplyKind.REGISTRATION, 7: ReplyKind.LOGIN}


class _V0Data(msgspec.Struct):
    cid: int = 0
    sender_id: str = ""
    msg: str = ""
    emojiId: int = 0
    packages_num: int = 0
    size: int = 0
    state: int = 0
    ocId: str = ""
    token: str = ""
    details: str = ""


class _V0Frame(msgspec.Struct):
    code: int
    data: _V0Data


_frame = msgspec.json.Decoder(_V0Frame).decode


class OurChatV0Codec(Codec):
    dialect = "ourchat-v0"
    lobby = 1

    # Requests

    def register(self, account: ClientAccount) -> ClientRequest:
        """Register by e-mail address, or by nickname as clients did in 2022."""
        named = {"mail": account.email} if account.email else {"nick": account.name}
        return ClientRequest(encode({"code": 4, "data": named | {"password": account.secret}}), ReplyKind.REGISTRATION)

    def login(self, account: ClientAccount) -> ClientRequest:
        if not account.number:
            raise Unsupported(f"{self.dialect} logs in by number")
        data = {"ocId": padded(account.number), "password": account.secret}
        return ClientRequest(encode({"code": 6, "data": data}), ReplyKind.LOGIN)

    def post(self, account: ClientAccount, to: Destination, text: str) -> ClientRequest:
        if not to.chat:
            raise Unsupported(f"{self.dialect} sends messages to chats only")
        data = {"cid": to.chat, "sender_id": padded(account.number), "msg": text}
        return ClientRequest(encode({"code": 0, "data": data}), ReplyKind.MESSAGE, text, account.number)

    def message_parts(self, account: ClientAccount, chat: int) -> tuple[bytes, bytes]:
        return b'{"code":0,"data":{"cid":%d,"sender_id":"%010d","msg":"' % (chat, account.number), b'"}}'

    # Frames received

    def decode(self, frame: bytes) -> ClientEvent:
        read = _frame(frame)
        data = read.data
        match read.code:
            case 0:
                return ReceivedMessage(data.msg, chat=data.cid, sender=int(data.sender_id))
            case 1:
                return ReceivedMessage(f"[emoji:{data.emojiId}]", chat=data.cid, sender=int(data.sender_id))
            case 2 | 3:
                return ReceivedMedia(
                    int(data.sender_id), data.size, data.cid, is_picture=read.code == _PICTURE, parts=data.packages_num
                )
            case 5 | 7:
                error = (data.details or f"state {data.state}") if data.state else ""
                return ServerReply(_REPLIES[read.code], error, data.state, int(data.ocId or 0), data.token)
            case 18:
                return ServerReply(ReplyKind.ANY, error=data.details or "rejected")
        return OtherFrame()

    def position(self, frame: bytes) -> int | None:
        """The position is always 0, because the dialect has none. The messages of each sender keep their order."""
        return 0

    def match(self, request: ClientRequest, event: object) -> ServerReply | None:
        return echo_of(request, event) or super().match(request, event)
