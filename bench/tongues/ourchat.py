"""OurChat: v2, which also registers people and makes their chats, and what v0 and v1 say otherwise."""

from collections.abc import Sequence

import msgspec

from bench.load import message_tag
from bench.tongues.base import ASIDE, Asked, Founding, Heard, Person, Reply, Said, Tongue

_TO = {5: Asked.REGISTRATION, 7: Asked.LOGIN, 9: Asked.CHAT}
_ERROR = 18
_encode = msgspec.json.encode


class _Place(msgspec.Struct):
    """All that is read of a message beside its mark."""

    time: int = 0


class _Frame(msgspec.Struct):
    code: int
    status: int = 0
    ocid: str = ""
    session_id: str = ""
    token: str = ""
    details: str = ""


class _Data(msgspec.Struct):
    state: int = 0
    details: str = ""


class _Enveloped(msgspec.Struct):
    code: int
    data: _Data


_place = msgspec.json.Decoder(_Place).decode
_frame = msgspec.json.Decoder(_Frame).decode
_enveloped = msgspec.json.Decoder(_Enveloped).decode


class OurChatV2(Founding):
    path = "/ws/ourchat-v2"

    def registration(self, person: Person) -> bytes:
        email = f"{person.name}@example.invalid"
        return _encode({"code": 4, "email": email, "password": person.secret, "name": person.name})

    def creation(self, person: Person, members: Sequence[Person]) -> bytes:
        return _encode({"code": 8, "members": [_ocid(member) for member in members]})

    def login(self, person: Person) -> bytes:
        return _encode({"code": 6, "login_type": 1, "account": _ocid(person), "password": person.secret})

    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        sender = _encode({"ocid": _ocid(person), "session_id": str(chat)})
        return b'{"code":0,"time":0,"sender":%b,"msg":[{"type":0,"text":"' % sender, b'"}]}'

    def heard(self, payload: bytes) -> Heard:
        if (found := message_tag.find(payload)) is not None:
            return Said(found, _place(payload).time)
        if payload.startswith(b'{"code":0,'):
            return ASIDE
        frame = _frame(payload)
        if frame.code == _ERROR:
            return Reply(Asked.ANYTHING, refusal=frame.details)
        if (to := _TO.get(frame.code)) is None:
            return ASIDE
        refusal = f"status {frame.status}" if frame.status else ""
        return Reply(to, refusal, int(frame.ocid or 0), frame.token, int(frame.session_id or 0))


class _Older(Tongue):
    """Both have an envelope `data`, and the same codes."""

    def heard(self, payload: bytes) -> Heard:
        if (found := message_tag.find(payload)) is not None:
            return Said(found, _place(payload).time)
        frame = _enveloped(payload)
        if frame.code == _ERROR:
            return Reply(Asked.ANYTHING, refusal=frame.data.details)
        if (to := _TO.get(frame.code)) is None:
            return ASIDE
        return Reply(to, f"state {frame.data.state}" if frame.data.state else "")


class OurChatV1(_Older):
    path = "/ws/ourchat-v1"

    def login(self, person: Person) -> bytes:
        return _encode({"code": 6, "time": 0, "data": {"account": person.ocid, "password": person.secret}})

    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        sender = _encode({"ocid": person.ocid, "group_id": chat})
        return b'{"code":0,"time":0,"data":{"sender":%b,"msg":"' % sender, b'"}}'


class OurChatV0(_Older):
    """Tells no time of a message: only the order of each sender's shows."""

    path = "/ws/ourchat-v0"

    def login(self, person: Person) -> bytes:
        return _encode({"code": 6, "data": {"ocId": _ocid(person), "password": person.secret}})

    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        return b'{"code":0,"data":{"cid":%d,"sender_id":"%010d","msg":"' % (chat, person.ocid), b'"}}'


def _ocid(person: Person) -> str:
    return f"{person.ocid:010}"
