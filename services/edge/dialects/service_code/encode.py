"""The dialect service, server to client: the frames, byte for byte."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from services.edge.canonical.commands import CreateChatByUuid
from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.base import ERROR_CACHE_SIZE
from services.edge.dialects.service_code.codes import ServiceCode
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Login, Register
from shared.contract.errors import ErrorCode, Failure
from shared.contract.members import RequestMembership
from shared.contract.model import ChatKind, ProfileSummary
from shared.contract.session import ChatWithMembers
from shared.setting_types import Language

_encode = msgspec.json.Encoder().encode
_OK = 200

_TYPES: Mapping[ChatKind, str] = {ChatKind.GROUP: "chat", ChatKind.PRIVATE: "user", ChatKind.SERVICE: "service"}


def success(**more: object) -> bytes:
    """服务器返回值(成功)."""
    return ok({"msg": "success", **more})


def ok(content: dict[str, object]) -> bytes:
    return _encode({"state_code": _OK, "content": content})


def failed(cause: str) -> bytes:
    """Encode 服务器返回值(失败): a valid request was rejected (failed)."""
    return ok({"msg": "failed", "cause": cause})


def error(state: int, text: str) -> bytes:
    """服务器返回值(其他失败)."""
    return _encode({"state_code": state, "content": {"msg": text}})


def push(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
    content = {"chat": shown.message.chat, "values": [received(shown, base_url, language)]}
    return _encode({"service_code": ServiceCode.PUSH, "content": content})


def value(shown: DisplayMessage, base_url: str, language: Language = "zh") -> dict[str, object]:
    """Encode a message of 获取Chat, with `time` in Unix seconds."""
    message = shown.message
    return {
        "id": _sender_summary(shown).uuid,
        "content": render_message(shown.segments, base_url, language),
        "index": message.index,
        "time": message.time // 1000,
    }


def received(shown: DisplayMessage, base_url: str, language: Language = "zh") -> dict[str, object]:
    """Encode a message of 接收消息, with its sender's nickname."""
    return {"name": _sender_summary(shown).nickname, **value(shown, base_url, language)}


def _sender_summary(shown: DisplayMessage) -> ProfileSummary:
    return shown.summary or ProfileSummary(str(shown.message.sender), "")


def chats(views: Iterable[ChatWithMembers], language: Language = "zh") -> bytes:
    """Encode 找Chat (find chats). The kind of a chat has both forms that are in the document."""
    return ok({"values": [_chat(view, language) for view in views]})


def _chat(view: ChatWithMembers, language: Language) -> dict[str, object]:
    chat, separator = view.chat, "、" if language == "zh" else ", "
    return {
        "id": chat.id,
        "name": chat.name or separator.join(face.nickname for face in view.members),
        "type": _TYPES[chat.kind],
        "is_group": chat.kind is ChatKind.GROUP,
        "usrs": [{"id": face.uuid} for face in view.members],
    }


STATES: Mapping[ErrorCode, int | None] = {
    ErrorCode.INVALID: 400, ErrorCode.UNAUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: None, ErrorCode.LIMIT: None, ErrorCode.TOO_LARGE: 413, ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503, ErrorCode.INTERNAL: 500,
}  # fmt: skip
"""The state code of each error. None means a reply with state 200 and `failed`."""

_FAILED_ONLY: Mapping[type | None, frozenset[ErrorCode]] = {
    Register: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}),
    Login: frozenset({ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
    RequestMembership: frozenset({ErrorCode.FORBIDDEN}),
    CreateChatByUuid: frozenset({ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND}),
}
"""For these commands, these errors also have a reply with state 200 and `failed`."""


def error_reply(kind: type | None, failure: Failure) -> tuple[bytes]:
    """`kind`: the type of the command, or None if the frame was not decoded."""
    fails_only = failure.code in _FAILED_ONLY.get(kind, ())
    return _encoded(None if fails_only else STATES[failure.code], failure.words)


@lru_cache(ERROR_CACHE_SIZE)
def _encoded(state: int | None, text: str) -> tuple[bytes]:
    return (failed(text) if state is None else error(state, text),)
