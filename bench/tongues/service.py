"""service, by token, with pushes. Its people bring their own ids, so they must be registered here."""

import base64
from collections.abc import Sequence

import msgspec

from bench.load import message_tag
from bench.tongues.base import Asked, Founding, Heard, Person, Reply, Said

_OK = 200
_PAGE = 200
_encode = msgspec.json.encode


class _Value(msgspec.Struct):
    content: str
    index: int


class _Content(msgspec.Struct):
    msg: str = ""
    cause: str = ""
    token: str = ""
    chat: int = 0
    values: list[_Value] = []


class _Frame(msgspec.Struct):
    content: _Content
    service_code: int = 0
    state_code: int = _OK


_frame = msgspec.json.Decoder(_Frame).decode


class Service(Founding):
    path = "/ws/service?push=1"
    asks_for_missed = True

    def registration(self, person: Person) -> bytes:
        return _request(2, id=person.uuid, token=person.secret)

    def creation(self, person: Person, members: Sequence[Person]) -> bytes:
        ids = [{"id": member.uuid} for member in members]
        return _request(7, token=person.token, name="bench", is_group=True, member=ids)

    def login(self, person: Person) -> bytes:
        return _request(1, id=person.uuid, token=person.token or person.secret)

    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        return b'{"service_code":5,"content":{"token":%b,"chat":%d,"msg":"' % (_encode(person.token), chat), b'"}}'

    def missed(self, person: Person, chat: int, after: int) -> Sequence[bytes]:
        return (_request(9, token=person.token, chat=chat, index=after + 1, count=_PAGE),)

    def page(self, person: Person, chat: int, index: int, count: int) -> bytes:
        """So many messages of a chat from `index` towards older ones; −1: from the newest."""
        return _request(3, token=person.token, chat=chat, index=index, count=count)

    def heard(self, payload: bytes) -> Heard:
        frame = _frame(payload)
        content = frame.content
        said = [Said(found, one.index) for one in content.values if (found := message_tag.find(one.content.encode()))]
        if frame.service_code and said:
            return said[0]
        refusal = content.cause if frame.state_code == _OK else content.msg or str(frame.state_code)
        ocid = _account(content.token) if content.token else 0
        return Reply(Asked.ANYTHING, refusal, ocid, content.token, content.chat, said)


class _Claims(msgspec.Struct):
    sub: str


def _account(token: str) -> int:
    """Whose it is. Only the server knows whether it is good."""
    claims = token.split(".")[1]
    return int(msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)), type=_Claims).sub)


def _request(code: int, **content: object) -> bytes:
    return _encode({"service_code": code, "content": content})
