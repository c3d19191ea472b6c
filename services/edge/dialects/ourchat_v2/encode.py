"""OurChat v2, server to client: the frames, byte for byte."""

from typing import Final

import msgspec

from services.edge.dialects.ourchat_envelope import ocid
from services.edge.dialects.ourchat_v2.codes import V2Code
from services.edge.dialects.ourchat_v2.segments import to_wire
from services.edge.dialects.text_fallback import only_text
from shared.contract.auth import Authenticated
from shared.contract.ids import ChatId
from shared.contract.model import Message, Segment
from shared.setting_types import Language

_encode: Final = msgspec.json.Encoder().encode

_MESSAGE: Final = b'{"code":0,"time":%d,"msg_id":"%d","sender":{"ocid":"%010d","session_id":"%d"},"msg":%b}'
"""用户信息: all ids are strings, `time` is whole milliseconds."""
_TEXT: Final = _MESSAGE.replace(b"%b", b'[{"type":0,"text":%b}]')


def message(message: Message, segments: tuple[Segment, ...], base_url: str, language: Language = "zh") -> bytes:
    text = only_text(segments)
    if text is not None:
        return _TEXT % (message.time, message.id, message.sender, message.chat, _encode(text))
    wire = [to_wire(segment, base_url, language) for segment in segments]
    return _MESSAGE % (message.time, message.id, message.sender, message.chat, _encode(wire))


def status(code: int, status: int) -> bytes:
    """`{"code", "status"}`, the form of most replies."""
    return _encode({"code": code, "status": status})


def data(code: V2Code, data: dict[str, object]) -> bytes:
    """The requested values."""
    return _encode({"code": code, "status": 0, "data": data})


def logged_in(code: V2Code, answer: Authenticated) -> bytes:
    """A registration or login that succeeded; the token also serves uploads, downloads and other dialects."""
    return _encode({"code": code, "status": 0, "ocid": ocid(answer.account), "token": answer.token})


def new_session(chat: ChatId) -> bytes:
    return _encode({"code": V2Code.NEW_SESSION_MADE, "status": 0, "session_id": str(chat)})


def verify() -> bytes:
    return _encode({"code": V2Code.VERIFY})


def error(details: str) -> bytes:
    return _encode({"code": V2Code.ERROR, "details": details})
